//! How a forbidden address can be written, and what names of this machine stand for one.
//!
//! Facts: the WHATWG URL standard's host parser (which takes numbers, hex, octal, full-width digits and
//! percent signs for an IPv4 address), the IANA special-purpose address registries, and the documented
//! metadata services of the clouds.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _, UdpSocket};

use acceptance_tests::new_slug;

/// The one address that the suite's server may call although it is not public.
pub(super) const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Every way to write a forbidden address that we know of, as the host of a URL.
pub(super) const HOSTS: &[&str] = &[
    // Loopback, and what a URL parser turns into it.
    "127.0.0.1",
    "127.0.0.1.",
    "127.0.0.3",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "017700000001",
    "2130706433",
    "127.0.0.0x1",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.0.0.①",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    // This network, which Linux takes for itself.
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    // Loopback, and itself, in IPv6.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    // IPv4 inside IPv6: mapped, the allowed one too, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:127.0.0.2]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:53aa:64c:0:0:80ff:fffe]",
    "[2a00:1450::5efe:127.0.0.1]",
    "[2a00:1450::200:5efe:a00:1]",
    // Private, and carrier-grade NAT.
    "10.0.0.1",
    "10.255.255.255",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "100.64.0.1",
    "100.127.255.255",
    "[fc00::1]",
    "[fdff::1]",
    // Metadata services.
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "[fd00:ec2::254]",
    // Link-local, multicast, broadcast, reserved, documentation, benchmarks.
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "192.88.99.1",
    "[100::1]",
    "[2001:db8::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[4000::1]",
    "[5f00::1]",
];

/// One of each sort, for what is tried in many places.
pub(super) const SOME_HOSTS: &[&str] =
    &["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"];

/// Names that a resolver may know and that the machine's own file of names does not have.
const WELL_KNOWN: &[&str] = &[
    "localhost",
    "localhost.",
    "LOCALHOST",
    "LocalHost",
    "loc%61lhost",
    "ｌｏｃａｌｈｏｓｔ",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "inside.localhost",
    "host.docker.internal",
    "gateway.docker.internal",
    "kubernetes.default.svc",
    "metadata.google.internal",
    "instance-data",
];

/// Addresses that this machine has besides the loopback ones, as hosts of a URL, if they are forbidden.
pub(super) fn own_hosts() -> Vec<String> {
    // Nothing is sent: a datagram socket is only told its way.
    let towards = |from: &str, to: &str| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let own = [towards("0.0.0.0:0", "198.51.100.1:9"), towards("[::]:0", "[2001:db8::1]:9")];
    let inside = own.into_iter().flatten().filter(|address| is_inside(*address));
    inside
        .map(|address| if address.is_ipv6() { format!("[{address}]") } else { address.to_string() })
        .collect()
}

/// Names that stand for forbidden addresses alone, by this machine's own resolver.
pub(super) fn inside_names() -> Vec<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let of_machine = lines.flat_map(|line| line.split_whitespace().skip(1).map(str::to_owned));
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let names = WELL_KNOWN.iter().map(|name| (*name).to_owned()).chain(of_machine);
    let names: BTreeSet<_> = names.chain([format!("{own}."), own]).collect();
    names.into_iter().filter(|name| stands_for_inside(name)).collect()
}

/// A name that stands for nothing, as everybody knows (RFC 6761).
pub(super) fn nobody() -> String {
    format!("{}.invalid", new_slug("nobody"))
}

fn stands_for_inside(name: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(&format!("http://{name}/")) else { return false };
    let Some(name) = url.domain() else { return false };
    let found: Vec<_> = (name, 0).to_socket_addrs().into_iter().flatten().map(|found| found.ip()).collect();
    !found.is_empty() && found.into_iter().all(is_inside)
}

/// What is certainly not public, and not the allowed one.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address != ALLOWED
                && (address.is_loopback()
                    || address.is_private()
                    || address.is_link_local()
                    || address.is_documentation())
        }
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
