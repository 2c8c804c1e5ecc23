//! Which addresses may be called: public unicast ones, and those that the configuration adds.
//!
//! Facts: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
//! For IPv6 the rule is the other way round: only 2000::/3 is global unicast (RFC 4291), less what is
//! set aside in it. So every form that carries an IPv4 address inside (mapped, compatible, NAT64) is
//! outside it or listed, whatever address it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 that is not somebody else's public unicast.
const V4_FORBIDDEN: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this network; many systems connect to themselves
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier-grade NAT, and one cloud's metadata
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // a cloud's own services for its machines, at a public address
    v4(169, 254, 0, 0, 16),   // link-local, and most clouds' metadata
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments, and one cloud's metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // multicast relays
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(192, 175, 48, 0, 24),  // AS112
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// The only global unicast of IPv6.
const V6_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 3);

/// What is set aside inside [`V6_UNICAST`].
const V6_FORBIDDEN: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 23),         // protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0xdb8, 0], 32),     // documentation
    v6([0x2002, 0, 0], 16),         // 6to4: an IPv4 address inside
    v6([0x2620, 0x4f, 0x8000], 48), // AS112
    v6([0x3fff, 0, 0], 20),         // documentation
];

/// The addresses that may be called.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    /// Allowed although they are not public unicast.
    pub(super) allow: Vec<IpNet>,
}

impl Addresses {
    /// Whether this address may be connected to. An IPv4 address in IPv6 form is not the IPv4 address:
    /// allowing one does not allow the other.
    pub(super) fn allowed(&self, address: IpAddr) -> bool {
        is_public_unicast(address) || self.allow.iter().any(|net| net.contains(&address))
    }

    /// Whether the host of a URL may be: a name is judged when it is resolved, an address now.
    pub(super) fn host_allowed(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => self.allowed(address.into()),
            Some(Host::Ipv6(address)) => self.allowed(address.into()),
            None => false,
        }
    }
}

fn is_public_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !V4_FORBIDDEN.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            V6_UNICAST.contains(&address)
                && !V6_FORBIDDEN.iter().any(|net| net.contains(&address))
                && !is_isatap(address)
        }
    }
}

/// ISATAP (RFC 5214): any prefix, then an interface id of `[02]00:5efe` and an IPv4 address.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., flags, mark, _, _] = address.segments();
    mark == 0x5efe && flags & !0x0200 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to write a forbidden address that we know of, as the host of a URL.
    const FORBIDDEN: &[&str] = &[
        // Loopback, as IPv4 and in the forms that a URL parser turns into it.
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "0x7f.0.0.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "2130706433",
        "0x7f.1",
        "127.0.0.0x1",
        "１２７.０.０.１",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        // This network, which many systems take for themselves.
        "0.0.0.0",
        "0",
        "0.1.2.3",
        // Private and carrier-grade NAT.
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "0xc0a80101",
        "100.64.0.1",
        "100.127.255.255",
        // Metadata services.
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "[fd00:ec2::254]",
        // Multicast, broadcast, reserved, documentation, benchmarks.
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.88.99.1",
        // IPv6's own.
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fdff::1]",
        "[ff02::1]",
        "[ff0e::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[4000::1]",
        "[5f00::1]",
        // IPv4 inside IPv6.
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:8.8.8.8]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:53aa:64c:0:0:80ff:fffe]",
        "[2001:10::1]",
        "[2001:2::1]",
        "[2a00:1450::5efe:127.0.0.1]",
        "[2a00:1450::200:5efe:a00:1]",
    ];

    #[test]
    fn forbidden_forms_are_refused() {
        let addresses = Addresses::default();
        assert!(FORBIDDEN.len() >= 40);
        for host in FORBIDDEN {
            let url = Url::parse(&format!("https://{host}/x")).unwrap();
            assert!(!matches!(url.host(), Some(Host::Domain(_))), "{host} is not read as an address");
            assert!(!addresses.host_allowed(&url), "{host}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        let addresses = Addresses::default();
        for host in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "[2001:200::1]",
            "[2001:4860:4860::8888]",
            "[2606:4700::1111]",
            "[2a00:1450:4001:80b::200e]",
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert!(addresses.host_allowed(&url), "{host}");
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_in_that_form_alone() {
        let addresses =
            Addresses { allow: vec!["127.0.0.0/8".parse().unwrap(), "fd12::/16".parse().unwrap()] };
        assert!(addresses.allowed("127.0.0.1".parse().unwrap()));
        assert!(addresses.allowed("fd12::7".parse().unwrap()));
        assert!(!addresses.allowed("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!addresses.allowed("::1".parse().unwrap()));
        assert!(!addresses.allowed("10.0.0.1".parse().unwrap()));
    }
}
