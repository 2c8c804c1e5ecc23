//! Ways that a far side at an allowed address opens: redirects, token services, kubeconfigs, and hints that
//! a browser would follow.

use acceptance_tests::far::new_secret;
use acceptance_tests::new_slug;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::addresses::{HOSTS, SOME_HOSTS, own_hosts};
use super::directly::{registry, request, webhook};
use super::machine::{Machine, Path};
use super::tenant::{ADDRESS, Ends, Tenant, Way};
use crate::score::Score;

/// The redirects of HTTP.
const STATUSES: &[u16] = &[301, 302, 303, 307, 308];

/// Where a redirect may lead besides a plain address; `{}` is the port.
const LOCATIONS: &[&str] = &[
    "//127.0.0.1:{}/",
    "///127.0.0.1:{}/",
    "\\\\127.0.0.1:{}\\",
    "http:127.0.0.1:{}/",
    "hTTp://127.0.0.1:{}",
    " http://127.0.0.1:{}/ ",
    "http://user:password@127.0.0.1:{}/",
    "http://127.0.0.2@127.0.0.1:{}/",
    "http://127.0.0.1:{}\\@127.0.0.2/",
    "http://127.0.0.1:{}#@127.0.0.2/",
    "https://127.0.0.1:{}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{}/_GET%20/",
    "ftp://127.0.0.1:{}/",
    "dict://127.0.0.1:{}/",
    "unix:///run/x.sock",
    "data:application/json,{}",
    "javascript:0",
    "http://",
    "http://[",
    "http://127.0.0.1:99999/",
    "",
];

/// Redirects, by every status, to every host, at once and after some others.
pub(super) fn redirects(machine: &Machine) -> Vec<Way> {
    let to = |host: &str| format!("http://{host}:{{}}/v2/");
    let address = || Ends::With(ADDRESS.to_owned());
    let mut ways = Vec::new();
    let hosts = HOSTS.iter().map(|host| (*host).to_owned()).chain(own_hosts());
    ways.extend(hosts.map(|host| redirect(machine, 302, 0, &to(&host), address())));
    for host in SOME_HOSTS {
        for &status in STATUSES {
            ways.push(redirect(machine, status, 0, &to(host), address()));
        }
        ways.extend([1, 2].map(|hops| redirect(machine, 307, hops, &to(host), address())));
        // More than are followed.
        ways.push(redirect(machine, 307, 3, &to(host), Ends::Unverified));
    }
    ways.extend(LOCATIONS.iter().map(|to| redirect(machine, 302, 0, to, Ends::Unverified)));
    // What was posted is not sent on at all.
    ways.extend(STATUSES.iter().map(|&status| {
        let at = |port: u16| {
            let to = format!("http://127.0.0.1:{port}/");
            webhook(&machine.allowed(&Path::redirect(status, 0, &to)), "required")
        };
        way(machine, format!("a webhook redirected by {status}"), at, Ends::Unverified)
    }));
    ways
}

/// Redirects of every status are followed to where one may go.
pub(super) fn redirects_lead(machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let mut score = Score::default();
    for (&status, hops) in STATUSES.iter().zip([0, 1, 2, 0, 1]) {
        let path = Path::yes(&new_slug("on"));
        let redirect = Path::redirect(status, hops, &machine.allowed(&path));
        let seen = tenant.install(&registry(&machine.allowed(&redirect)))?;
        ensure!(machine.was_asked(&path), "a redirect by {status} was not followed: {}", seen.answer);
        score.control();
    }
    Ok(score)
}

/// Token services of a registry, which get the password: named in its challenge, or behind a redirect.
pub(super) fn realms(machine: &Machine) -> Vec<Way> {
    let mut ways = Vec::new();
    for host in SOME_HOSTS {
        let realm = move |port: u16| format!("http://{host}:{port}/token");
        let named = |port| challenging(machine, &realm(port));
        let ends = || Ends::With(ADDRESS.to_owned());
        ways.push(way(machine, format!("a token service at {host}"), named, ends()));
        let behind = |port| challenging(machine, &machine.allowed(&Path::redirect(307, 0, &realm(port))));
        ways.push(way(machine, format!("a token service that redirects to {host}"), behind, ends()));
    }
    for location in LOCATIONS {
        let named = |port: u16| challenging(machine, &location.replace("{}", &port.to_string()));
        ways.push(way(machine, format!("a token service at {location}"), named, Ends::Unverified));
    }
    ways
}

/// A token service that one may call gets called.
pub(super) fn realms_lead(machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let path = Path::yes(&new_slug("token"));
    let seen = tenant.install(&challenging(machine, &machine.allowed(&path)))?;
    ensure!(machine.was_asked(&path), "the token service was not called: {}", seen.answer);
    let mut score = Score::default();
    score.control();
    Ok(score)
}

/// What is no redirect, but would take a browser along.
pub(super) fn hints(machine: &Machine) -> Vec<Way> {
    let hint = |port: u16| machine.allowed(&Path::hint(&format!("http://127.0.0.1:{port}/")));
    vec![
        way(machine, "a webhook's hints".to_owned(), |port| webhook(&hint(port), "optional"), Ends::Anyhow),
        way(machine, "a registry's hints".to_owned(), |port| registry(&hint(port)), Ends::Anyhow),
    ]
}

/// Kubeconfigs that name another server than the connector does, or have others called on the way.
pub(super) fn kubeconfigs(machine: &Machine) -> Vec<Way> {
    let here = machine.allowed(&Path::yes("cluster"));
    let user = json!({ "token": new_secret() });
    let cluster = |server: &str| json!({ "server": server, "insecure-skip-tls-verify": true });
    let mut ways: Vec<_> = SOME_HOSTS
        .iter()
        .map(|host| {
            let with = |port: u16| kubernetes(&here, &cluster(&format!("https://{host}:{port}")), &user);
            way(machine, format!("a kubeconfig whose server is {host}"), with, Ends::Unverified)
        })
        .collect();
    for proxy in ["http://127.0.0.1:{}", "https://127.0.0.1:{}", "socks5://127.0.0.1:{}"] {
        let with = |port: u16| {
            let mut cluster = cluster(&here);
            cluster["proxy-url"] = json!(proxy.replace("{}", &port.to_string()));
            kubernetes(&here, &cluster, &user)
        };
        ways.push(way(machine, format!("a kubeconfig with the proxy {proxy}"), with, Ends::Unverified));
    }
    let provider = |port: u16| {
        let config = json!({ "idp-issuer-url": format!("http://127.0.0.1:{port}/"), "client-id": "x",
            "refresh-token": "x", "id-token": "x" });
        let user = json!({ "auth-provider": { "name": "oidc", "config": config } });
        kubernetes(&here, &cluster(&here), &user)
    };
    ways.push(way(machine, "a kubeconfig with an OIDC provider".to_owned(), provider, Ends::Unverified));
    let command = |port: u16| {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        let exec = json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": "bash",
            "args": ["-c", script], "interactiveMode": "Never" });
        kubernetes(&here, &cluster(&here), &json!({ "exec": exec }))
    };
    ways.push(way(machine, "a kubeconfig with a command".to_owned(), command, Ends::Unverified));
    ways
}

fn redirect(machine: &Machine, status: u16, hops: usize, to: &str, ends: Ends) -> Way {
    let at = |port: u16| {
        let to = to.replace("{}", &port.to_string());
        registry(&machine.allowed(&Path::redirect(status, hops, &to)))
    };
    way(machine, format!("a registry redirected by {status}, after {hops} others, to {to}"), at, ends)
}

fn challenging(machine: &Machine, realm: &str) -> Value {
    let config = json!({ "url": machine.allowed(&Path::realm(realm)), "username": "ci" });
    request("container_registry", &config, &json!({ "password": new_secret() }), "optional")
}

fn kubernetes(url: &str, cluster: &Value, user: &Value) -> Value {
    // JSON is YAML.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "here" } }],
        "clusters": [{ "name": "here", "cluster": cluster }],
        "users": [{ "name": "here", "user": user }],
    });
    let secrets = json!({ "kubeconfig": kubeconfig.to_string() });
    request("kubernetes_cluster", &json!({ "url": url }), &secrets, "optional")
}

fn way(machine: &Machine, what: String, at: impl Fn(u16) -> Value, ends: Ends) -> Way {
    Way { what, there: at(machine.port()), nowhere: at(machine.silent_port()), ends }
}
