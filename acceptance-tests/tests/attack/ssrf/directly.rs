//! Ways that are in the request itself: hosts, whole addresses, names, and every field of every kind that
//! an address, or a part of one, can be made of.

use acceptance_tests::new_slug;
use anyhow::{Result, ensure};
use integraci_api::catalogue::{FieldValues, KINDS, Kind};
use serde_json::{Map, Value, json};

use super::addresses::{HOSTS, SOME_HOSTS, inside_names, nobody, own_hosts};
use super::kinds;
use super::machine::{Machine, Path};
use super::tenant::{ADDRESS, Ends, NAME, Tenant, Way};
use crate::score::Score;

/// Addresses that are strange as a whole; `{}` is the port.
const URLS: &[&str] = &[
    // Who reads which part as the host?
    "http://user:password@127.0.0.1:{}/",
    "http://127.0.0.2@127.0.0.1:{}/",
    "http://127.0.0.1:{}@127.0.0.2/",
    "http://:password@127.0.0.1:{}/",
    "http://127.0.0.1:{}/#@127.0.0.2/",
    "http://127.0.0.1:{}\\@127.0.0.2/",
    "http://127.0.0.1:{}?@127.0.0.2/",
    "http://127.0.0.1:{}/@127.0.0.2/",
    "http://[::1%25lo]:{}/",
    "http://[::ffff:127.0.0.1%25lo]:{}/",
    "http://127.0.0.1%00.example:{}/",
    "http://127.0.0.1%0d%0a:{}/",
    "http://127.0.0.1 :{}/",
    // Sloppy, and yet an address to a URL parser.
    "http:127.0.0.1:{}/",
    "http:/127.0.0.1:{}/",
    "http:///127.0.0.1:{}/",
    "http:\\\\127.0.0.1:{}\\",
    "hTTp://127.0.0.1:{}/",
    " http://127.0.0.1:{}/ ",
    "http://127.0.0.1:00000{}/",
    // Not quite.
    "ht\ttp://127.0.0.1:{}/",
    "http://127.0.0.1:{}/\r\nx: y",
    "//127.0.0.1:{}/",
    "127.0.0.1:{}",
    "localhost:{}",
    "/",
    // Other schemes.
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{}/_GET%20/",
    "ftp://127.0.0.1:{}/",
    "ftps://127.0.0.1:{}/",
    "sftp://127.0.0.1:{}/",
    "tftp://127.0.0.1:{}/x",
    "dict://127.0.0.1:{}/info",
    "ldap://127.0.0.1:{}/",
    "redis://127.0.0.1:{}/",
    "ws://127.0.0.1:{}/",
    "wss://127.0.0.1:{}/",
    "tcp://127.0.0.1:{}/",
    "unix:///run/x.sock",
    "http+unix://%2Frun%2Fx.sock/",
    "jar:http://127.0.0.1:{}/x!/",
    "blob:http://127.0.0.1:{}/x",
    "view-source:http://127.0.0.1:{}/",
    "url:http://127.0.0.1:{}/",
    "data:text/plain,x",
    "javascript:0",
    "about:blank",
];

/// What a text may try to become in the middle of an address; `{}` is the port.
const INJECTIONS: &[&str] =
    &["@127.0.0.1:{}/", "127.0.0.1:{}/#", "http://127.0.0.1:{}/", "../../@127.0.0.1:{}", "x.localhost:{}/?"];

/// The same in a region, which becomes a part of a host's name.
const REGIONS: &[&str] = &[
    "@127.0.0.1:{}/",
    "x@127.0.0.1:{}#",
    "127.0.0.1:{}/",
    "127.0.0.1:{}#",
    "localhost:{}/",
    "evil.example/",
    "evil.example#",
    "evil.example?",
    "evil.example\\",
    "us-east-1.127.0.0.1.nip",
    "us-east-1@evil.example",
    "us-east-1/../..",
    "us-east-1%2f",
    "us-east-1.",
    "us_east_1",
    "[::1]:{}",
];

/// A request for a connector.
pub(super) fn request(kind: &str, config: &Value, secrets: &Value, verify: &str) -> Value {
    json!({ "kind": kind, "config": config, "secrets": secrets, "verify": verify })
}

/// A webhook, which is posted to.
pub(super) fn webhook(url: &str, verify: &str) -> Value {
    let config = json!({ "url": url, "events": ["tenant.updated"] });
    request("webhook", &config, &json!({ "hmac_key": acceptance_tests::far::new_secret() }), verify)
}

/// A registry, which is read, with redirects followed.
pub(super) fn registry(url: &str) -> Value {
    let secrets = json!({ "token": acceptance_tests::far::new_secret() });
    request("container_registry", &json!({ "url": url }), &secrets, "optional")
}

/// Every host: where it is read and where it is posted to, with and without TLS.
pub(super) fn hosts(machine: &Machine) -> Vec<Way> {
    let mut ways = Vec::new();
    for host in HOSTS.iter().map(|host| (*host).to_owned()).chain(own_hosts()) {
        for (what, request) in [
            ("a webhook at", (|url: &str| webhook(url, "required")) as fn(&str) -> Value),
            ("a registry at", registry),
        ] {
            let scheme = if what.contains("webhook") { "http" } else { "https" };
            let at = |port: u16| request(&format!("{scheme}://{host}:{port}/"));
            ways.push(Way {
                what: format!("{what} {scheme}://{host}"),
                there: at(machine.port()),
                nowhere: at(machine.silent_port()),
                ends: Ends::With(ADDRESS.to_owned()),
            });
        }
    }
    ways
}

/// Every strange address.
pub(super) fn urls(machine: &Machine) -> Vec<Way> {
    let at = |url: &str, port: u16| webhook(&url.replace("{}", &port.to_string()), "required");
    let way = |url: &&str| Way {
        what: format!("a webhook at {}", url.escape_debug()),
        there: at(url, machine.port()),
        nowhere: at(url, machine.silent_port()),
        ends: Ends::With("/config/url".to_owned()),
    };
    URLS.iter().map(way).collect()
}

/// Every name that stands for this machine or its network, beside one that nobody has: nothing that is
/// learnt tells which of them there are.
pub(super) fn names(machine: &Machine) -> Result<Vec<Way>> {
    let names = inside_names();
    ensure!(!names.is_empty(), "not even `localhost` stands for this machine");
    let mut ways = Vec::new();
    for name in names {
        let url = |name: &str, scheme: &str| format!("{scheme}://{name}:{}/", machine.port());
        for scheme in ["http", "https"] {
            ways.push(Way {
                what: format!("a webhook at {scheme}://{name}"),
                there: webhook(&url(&name, scheme), "optional"),
                nowhere: webhook(&url(&nobody(), scheme), "optional"),
                ends: Ends::With(NAME.to_owned()),
            });
        }
        let redirected = |to: &str| registry(&machine.allowed(&Path::redirect(307, 0, &url(to, "http"))));
        ways.push(Way {
            what: format!("a registry that redirects to {name}"),
            there: redirected(&name),
            nowhere: redirected(&nobody()),
            ends: Ends::With(NAME.to_owned()),
        });
        let challenged = |to: &str| {
            let url = machine.allowed(&Path::realm(&url(to, "http")));
            let secrets = json!({ "password": acceptance_tests::far::new_secret() });
            request("container_registry", &json!({ "url": url, "username": "ci" }), &secrets, "optional")
        };
        ways.push(Way {
            what: format!("a registry whose token service is at {name}"),
            there: challenged(&name),
            nowhere: challenged(&nobody()),
            ends: Ends::With(NAME.to_owned()),
        });
    }
    Ok(ways)
}

/// Every field of every kind that holds an address, with every choice of secrets; the kind's other
/// addresses are those of a far side that is glad of everything, so that this one's turn comes.
pub(super) fn fields(machine: &Machine) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for (kind, field) in fields_of(|values| values == FieldValues::Url) {
        for secrets in kinds::secrets(kind)? {
            let with = |address: &str| -> Result<Value> {
                let yes = machine.allowed(&Path::yes("others"));
                let config =
                    kinds::config(kind, |name| if name == field { address } else { &yes }.to_owned())?;
                Ok(request(kind.name, &json!(config), &json!(secrets), "optional"))
            };
            let what = format!("{} with `{field}` and {:?}", kind.name, secrets.keys().collect::<Vec<_>>());
            for host in SOME_HOSTS {
                let at = |port: u16| with(&format!("http://{host}:{port}/"));
                ways.push(Way {
                    what: format!("{what} at {host}"),
                    there: at(machine.port())?,
                    nowhere: at(machine.silent_port())?,
                    ends: Ends::With(ADDRESS.to_owned()),
                });
            }
            let redirected = |port: u16| {
                let to = format!("http://127.0.0.1:{port}/");
                with(&machine.allowed(&Path::redirect(307, 0, &to)))
            };
            ways.push(Way {
                what: format!("{what} redirected"),
                there: redirected(machine.port())?,
                nowhere: redirected(machine.silent_port())?,
                ends: Ends::Unverified,
            });
        }
    }
    Ok(ways)
}

/// Each of those fields leads to whom it names: at the allowed address somebody is called.
pub(super) fn fields_lead(machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let mut score = Score::default();
    let mut blind = Vec::new();
    for (kind, field) in fields_of(|values| values == FieldValues::Url) {
        for secrets in kinds::secrets(kind)? {
            let path = Path::yes(&new_slug(kind.name));
            let config = kinds::config(kind, |name| {
                machine.allowed(&if name == field { path.clone() } else { Path::yes("others") })
            })?;
            let seen = tenant.install(&request(kind.name, &json!(config), &json!(secrets), "optional"))?;
            if machine.was_asked(&path) {
                score.control();
            } else {
                blind.push(format!("{} by `{field}`: {}", kind.name, seen.answer));
            }
        }
    }
    ensure!(blind.is_empty(), "nobody was called, so that these show nothing: {blind:#?}");
    Ok(score)
}

/// Every other text of every kind, as if it could become an address or break out of one.
pub(super) fn texts(machine: &Machine) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    let yes = machine.allowed(&Path::yes("others"));
    for (kind, field) in fields_of(|values| values == FieldValues::Text) {
        let secrets = kinds::secrets(kind)?.into_iter().next().unwrap_or_default();
        let config = kinds::config(kind, |_| yes.clone())?;
        ways.extend(INJECTIONS.iter().map(|text| {
            let with = |port| with_text(kind, &config, field, text, port, &secrets);
            Way {
                what: format!("{} with `{field}` = {text}", kind.name),
                there: with(machine.port()),
                nowhere: with(machine.silent_port()),
                ends: Ends::Anyhow,
            }
        }));
    }
    for (kind, field, address) in [("aws", "region", Some("sts_url")), ("datadog", "site", Some("base_url"))]
    {
        let Some(kind) = integraci_api::catalogue::kind(kind) else { continue };
        let secrets = kinds::secrets(kind)?.into_iter().next().unwrap_or_default();
        let mut config = kinds::config(kind, |_| yes.clone())?;
        address.map(|address| config.remove(address));
        ways.extend(REGIONS.iter().map(|text| {
            let with = |port| with_text(kind, &config, field, text, port, &secrets);
            Way {
                what: format!("{} with `{field}` = {text} as its host", kind.name),
                there: with(machine.port()),
                nowhere: with(machine.silent_port()),
                ends: Ends::With(format!("/config/{field}")),
            }
        }));
    }
    Ok(ways)
}

fn with_text(
    kind: &Kind,
    config: &Map<String, Value>,
    field: &str,
    text: &str,
    port: u16,
    secrets: &Map<String, Value>,
) -> Value {
    let mut config = config.clone();
    config.insert(field.to_owned(), json!(text.replace("{}", &port.to_string())));
    request(kind.name, &json!(config), &json!(secrets), "optional")
}

fn fields_of(
    wanted: impl Fn(FieldValues) -> bool + Copy,
) -> impl Iterator<Item = (&'static Kind, &'static str)> {
    KINDS.iter().flat_map(move |kind| {
        kind.fields.iter().filter(move |field| wanted(field.values)).map(move |field| (kind, field.name))
    })
}
