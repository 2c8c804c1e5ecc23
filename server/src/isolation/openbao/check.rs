//! What `doctor` looks at in OpenBao: whether it answers, is unsealed, and takes the platform's token
//! for all that the platform does with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Call, Client, Finding, System};

/// A namespace that is only asked about: whether the token could work in it. It need not exist.
const EXAMPLE: &str = "tenant-example";

/// What the platform does, by path below its namespace (`{}` being a tenant's), and what it takes: no
/// more than that, so that a policy of just this passes.
const NEEDED: &[(&str, &[&str])] = &[
    ("sys/namespaces/{}", &["read", "update", "delete"]),
    ("{}/sys/mounts", &["read"]),
    ("{}/sys/mounts/secret", &["update"]),
    ("{}/secret/config", &["update"]),
    ("{}/sys/policies/acl/tenant", &["update"]),
    ("{}/secret/data/connectors/example", &["create", "read", "update"]),
    ("{}/secret/destroy/connectors/example", &["update"]),
    ("{}/secret/metadata/connectors/example", &["read", "delete"]),
];

/// A token that expires sooner is a finding: somebody must renew it before that.
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
    #[serde(default)]
    policies: Vec<String>,
}

/// Everything, in order; what cannot be looked at after a failure is left out.
pub(super) async fn check(client: &Client) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The codes make a sealed or standing-by node answer 200, so that its answer is read.
    let health = Call::get("health", "sys/health?standbyok=true&sealedcode=200&uninitcode=200").anonymous();
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
    if findings.iter().all(|finding| finding.passed() || finding.check == "token lifetime") {
        findings.push(capabilities_finding(client).await);
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
    match client.data::<OwnToken>(Call::get("token_lookup", "auth/token/lookup-self")).await {
        Ok(token) if token.ttl > 0 && token.ttl < TOKEN_TTL_LOW_S => finding(
            "token lifetime",
            format!("expires in {} minutes", token.ttl / 60),
            Some("renew it (`bao token renew`), or give a periodic token"),
        ),
        Ok(token) if token.policies.iter().any(|policy| policy == "root") => {
            finding("token", "accepted; it is a root token".to_owned(), None)
        }
        Ok(_) => finding("token", "accepted".to_owned(), None),
        Err(failed) => finding(
            "token",
            failed.to_string(),
            Some("give a valid token of the configured namespace; see whether it was revoked or has expired"),
        ),
    }
}

async fn capabilities_finding(client: &Client) -> Finding {
    let paths: Vec<_> = NEEDED.iter().map(|(path, _)| path.replace("{}", EXAMPLE)).collect();
    let body = json!({ "paths": paths });
    let call = Call::post("capabilities_read", "sys/capabilities-self").json(&body);
    match client.data::<BTreeMap<String, Vec<String>>>(call).await {
        Ok(held) => capabilities_compared(&held),
        Err(failed) => finding("capabilities", failed.to_string(), Some(GRANT)),
    }
}

const GRANT: &str = "grant the missing capabilities in the policy of the platform's token";

fn capabilities_compared(held: &BTreeMap<String, Vec<String>>) -> Finding {
    let mut missing = Vec::new();
    for (path, needed) in NEEDED {
        let held = held.get(&path.replace("{}", EXAMPLE)).map_or(&[][..], Vec::as_slice);
        let lacks = |needed: &&&str| !held.iter().any(|held| held == **needed || held == "root");
        let lacking: Vec<_> = needed.iter().filter(lacks).copied().collect();
        if !lacking.is_empty() {
            missing.push(format!("{} on {}", lacking.join(", "), path.replace("{}", "<tenant>")));
        }
    }
    if missing.is_empty() {
        finding("capabilities", "all that are needed".to_owned(), None)
    } else {
        finding("capabilities", format!("missing: {}", missing.join("; ")), Some(GRANT))
    }
}

fn finding(check: &'static str, found: String, remedy: Option<&str>) -> Finding {
    Finding { system: System::OpenBao, check, found, remedy: remedy.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_token_has_every_capability() {
        let held =
            NEEDED.iter().map(|(path, _)| (path.replace("{}", EXAMPLE), vec!["root".to_owned()])).collect();
        assert!(capabilities_compared(&held).passed());
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut held: BTreeMap<_, _> = NEEDED
            .iter()
            .map(|(path, needed)| {
                (path.replace("{}", EXAMPLE), needed.iter().map(|&word| word.to_owned()).collect())
            })
            .collect();
        held.insert("sys/namespaces/tenant-example".to_owned(), vec!["read".to_owned(), "deny".to_owned()]);
        held.remove("tenant-example/sys/mounts");
        let finding = capabilities_compared(&held);
        assert_eq!(
            finding.found,
            "missing: update, delete on sys/namespaces/<tenant>; read on <tenant>/sys/mounts"
        );
        assert!(!finding.passed());
    }

    #[test]
    fn a_sealed_node_says_what_to_do() {
        let findings =
            health_findings(&Health { initialized: true, sealed: true, version: "2.7.2<script>".into() });
        assert_eq!(findings[0].found, "version 2.7.2script");
        assert!(findings[1].remedy.as_ref().unwrap().contains("unseal"));
    }
}
