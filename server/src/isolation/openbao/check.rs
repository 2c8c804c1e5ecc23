//! What `doctor` looks at in OpenBao: whether it answers, is unsealed, and takes the platform's token
//! for all that the platform does with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Call, Client, Finding, System};

/// A namespace that is only asked about: whether the token could work in it. It need not exist.
const EXAMPLE: &str = "tenant-example";

/// What the platform does, by path, and what it takes: no more than that, so that a policy of just this
/// passes. `<platform>/` stands for the platform's namespace, `<tenant>` for the name of a tenant's.
const NEEDED: &[(&str, &[&str])] = &[
    ("<platform>/sys/namespaces/<tenant>", &["read", "update", "delete"]),
    ("<platform>/<tenant>/sys/mounts", &["read"]),
    ("<platform>/<tenant>/sys/mounts/secret", &["update"]),
    ("<platform>/<tenant>/sys/auth", &["read"]),
    ("<platform>/<tenant>/sys/auth/approle", &["update", "sudo"]),
    ("<platform>/<tenant>/sys/policies/acl", &["list"]),
    ("<platform>/<tenant>/sys/policies/acl/tenant", &["read", "update"]),
    ("<platform>/<tenant>/auth/approle/role", &["list"]),
    ("<platform>/<tenant>/auth/approle/role/tenant", &["create", "read", "update"]),
    ("<platform>/<tenant>/auth/approle/role/tenant/role-id", &["read"]),
    ("<platform>/<tenant>/auth/approle/role/tenant/secret-id", &["update"]),
    ("<platform>/<tenant>/auth/token/renew-accessor", &["update"]),
    ("<platform>/<tenant>/auth/token/revoke-accessor", &["update"]),
    ("<platform>/<tenant>/secret/config", &["read", "update"]),
    ("<platform>/<tenant>/secret/data/connectors/example", &["create", "read", "update"]),
    ("<platform>/<tenant>/secret/destroy/connectors/example", &["update"]),
    ("<platform>/<tenant>/secret/metadata/connectors/example", &["read", "delete"]),
    ("<platform>/integraci/data/tenants/<tenant>/nats", &["create", "read", "update"]),
    ("<platform>/integraci/metadata/tenants/<tenant>/nats", &["delete"]),
    ("<platform>/integraci-transit/sign/attestation", &["update"]),
    ("<platform>/integraci-transit/keys/attestation", &["read"]),
    ("<platform>/integraci-transit/sign/oidc-token", &["update"]),
    ("<platform>/integraci-transit/keys/oidc-token", &["read"]),
    ("sys/quotas/rate-limit/<quota>", &["create", "read", "update", "delete"]),
    ("auth/token/renew-self", &["update"]),
];

/// What it never does. A token that could is one too strong for a server.
const NEVER: &[&str] = &[
    "<platform>/secret/data/example",
    "<platform>/sys/mounts/example",
    "<platform>/sys/policies/acl/example",
    "<platform>/sys/namespaces/example",
    "<platform>/example/sys/policies/acl/tenant",
    "<platform>/auth/token/create",
    "<platform>/integraci-transit/keys/attestation/rotate",
    "<platform>/integraci-transit/keys/oidc-token/rotate",
    "sys/policies/acl/integraci-server",
    "sys/seal",
];

/// A token that expires sooner and is not renewed is a finding.
const TOKEN_TTL_LOW_S: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    version: String,
}

/// The platform's own token; the rest of the answer, the token itself first, is not read.
#[derive(Deserialize)]
struct OwnToken {
    /// Seconds left; zero for one that does not expire.
    ttl: u64,
    /// Seconds that every renewal gives it; absent for one that can only be renewed up to some age.
    #[serde(default)]
    period: u64,
    #[serde(default)]
    policies: Vec<String>,
}

/// Everything, in order; what cannot be looked at after a failure is left out.
pub(super) async fn check(client: &Client) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The codes make a sealed or standing-by node answer 200, so that its answer is read.
    let health =
        Call::get("health", "sys/health?standbyok=true&sealedcode=200&uninitcode=200").root().anonymous();
    match client.parsed::<Health>(health).await {
        Ok(health) => findings.extend(health_findings(&health)),
        Err(failed) => findings.push(finding(
            "reachable",
            failed.to_string(),
            Some("start OpenBao, or correct the address, the CA certificate or the network"),
        )),
    }
    if findings.iter().all(Finding::passed) {
        findings.push(token_finding(client).await);
    }
    if findings.iter().all(|finding| finding.passed() || finding.check.starts_with("token ")) {
        findings.extend(capabilities_findings(client).await);
    }
    findings
}

fn health_findings(health: &Health) -> Vec<Finding> {
    // A version is digits, dots and a suffix; anything else in its place is not repeated.
    let version: String = health
        .version
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
        .take(32)
        .collect();
    let sealed = match (health.initialized, health.sealed) {
        (false, _) => {
            finding("unsealed", "not initialised".to_owned(), Some("initialise it: `bao operator init`"))
        }
        (true, true) => finding(
            "unsealed",
            "sealed".to_owned(),
            Some("unseal it (`bao operator unseal`), or mend its automatic unsealing"),
        ),
        (true, false) => finding("unsealed", "unsealed".to_owned(), None),
    };
    vec![finding("reachable", format!("version {version}"), None), sealed]
}

async fn token_finding(client: &Client) -> Finding {
    match client.data::<OwnToken>(Call::get("token_lookup", "auth/token/lookup-self").root()).await {
        Ok(token) => token.finding(),
        Err(failed) => finding(
            "token",
            failed.to_string(),
            Some("see whether it was revoked or has expired; `integraci-server setup` makes a new one"),
        ),
    }
}

impl OwnToken {
    fn finding(&self) -> Finding {
        if self.policies.iter().any(|policy| policy == "root") {
            return finding("token rights", "a root token".to_owned(), Some(SET_UP));
        }
        if self.period > 0 {
            return finding("token", "accepted; the server renews it".to_owned(), None);
        }
        if self.ttl > 0 && self.ttl < TOKEN_TTL_LOW_S {
            return finding("token lifetime", format!("expires in {} minutes", self.ttl / 60), Some(SET_UP));
        }
        finding("token", "accepted".to_owned(), None)
    }
}

const SET_UP: &str = "run `integraci-server setup`: it makes a token with just the rights that the server needs, \
                      which the server renews";

async fn capabilities_findings(client: &Client) -> Vec<Finding> {
    let paths = || NEEDED.iter().map(|(path, _)| *path).chain(NEVER.iter().copied());
    let asked: Vec<_> = paths().map(|path| real(client, path)).collect();
    let body = json!({ "paths": asked });
    let call = Call::post("capabilities_read", "sys/capabilities-self").root().json(&body);
    match client.data::<Capabilities>(call).await {
        Ok(mut held) => {
            let by_path = |path| Some((path, held.remove(&real(client, path))?));
            compared(&paths().filter_map(by_path).collect())
        }
        Err(failed) => vec![finding("capabilities", failed.to_string(), Some(SET_UP))],
    }
}

/// What is held on each path.
type Capabilities<P = String> = BTreeMap<P, Vec<String>>;

/// The path as OpenBao knows it, from its root.
fn real(client: &Client, path: &str) -> String {
    path.replace("<platform>/", &client.namespace_path(""))
        .replace("<quota>", &client.quota_name(EXAMPLE))
        .replace("<tenant>", EXAMPLE)
}

fn compared(held: &Capabilities<&str>) -> Vec<Finding> {
    let held = |path: &str| held.get(path).map_or(&[][..], Vec::as_slice);
    let is_root = |words: &[String]| words.iter().any(|word| word == "root");
    let mut missing = Vec::new();
    for (path, needed) in NEEDED {
        let held = held(path);
        let lacks = |needed: &&&str| !held.iter().any(|held| held == **needed);
        let lacking: Vec<_> = needed.iter().filter(lacks).copied().collect();
        if !lacking.is_empty() && !is_root(held) {
            missing.push(format!("{} on {path}", lacking.join(", ")));
        }
    }
    let is_more = |path: &&str| held(path).iter().any(|word| word != "deny");
    let more: Vec<_> = NEVER.iter().filter(|path| is_more(path)).copied().collect();
    vec![
        finding(
            "capabilities",
            if missing.is_empty() {
                "all that are needed".to_owned()
            } else {
                format!("missing: {}", missing.join("; "))
            },
            (!missing.is_empty()).then_some(SET_UP),
        ),
        finding(
            "least privilege",
            if more.is_empty() {
                "nothing beyond them".to_owned()
            } else {
                format!("may also reach: {}", more.join(", "))
            },
            (!more.is_empty()).then_some(SET_UP),
        ),
    ]
}

fn finding(check: &'static str, found: String, remedy: Option<&str>) -> Finding {
    Finding { system: System::OpenBao, check, found, remedy: remedy.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least() -> Capabilities<&'static str> {
        let needed =
            NEEDED.iter().map(|(path, words)| (*path, words.iter().map(|&w| w.to_owned()).collect()));
        needed.chain(NEVER.iter().map(|path| (*path, vec!["deny".to_owned()]))).collect()
    }

    #[test]
    fn what_is_needed_and_no_more_passes() {
        assert!(compared(&least()).iter().all(Finding::passed));
    }

    #[test]
    fn a_root_token_can_do_all_and_too_much() {
        let held = least().into_keys().map(|path| (path, vec!["root".to_owned()])).collect();
        let passed: Vec<_> = compared(&held).iter().map(Finding::passed).collect();
        assert_eq!(passed, [true, false]);
        let token = OwnToken { ttl: 0, period: 0, policies: vec!["root".to_owned()] };
        assert!(token.finding().remedy.unwrap().contains("setup"));
    }

    #[test]
    fn a_token_that_the_server_renews_is_no_finding() {
        let token = |ttl, period| OwnToken { ttl, period, policies: Vec::new() }.finding();
        assert!(token(600, 86_400).passed());
        assert!(token(10 * 86_400, 0).passed());
        assert!(!token(600, 0).passed());
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let mut held = least();
        held.insert("<platform>/sys/namespaces/<tenant>", vec!["read".to_owned(), "deny".to_owned()]);
        held.remove("<platform>/<tenant>/sys/mounts");
        held.insert("sys/seal", vec!["update".to_owned(), "sudo".to_owned()]);
        let findings = compared(&held);
        assert_eq!(
            findings[0].found,
            "missing: update, delete on <platform>/sys/namespaces/<tenant>; read on <platform>/<tenant>/sys/mounts"
        );
        assert_eq!(findings[1].found, "may also reach: sys/seal");
        assert!(findings.iter().all(|finding| !finding.passed()));
    }

    #[test]
    fn a_sealed_node_says_what_to_do() {
        let findings =
            health_findings(&Health { initialized: true, sealed: true, version: "2.7.2<script>".into() });
        assert_eq!(findings[0].found, "version 2.7.2script");
        assert!(findings[1].remedy.as_ref().unwrap().contains("unseal"));
    }
}
