//! What `doctor` looks at in a cluster: whether it answers, takes the platform's token, and gives it all
//! that the platform needs and no more.

use axum::http::Request;
use serde::Deserialize;

use super::client::{Client, Made};
use super::{Finding, System, SystemError, rights};

/// `GET /version`, of which only the version is read.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git_version: String,
}

const SETUP: &str = "run `integraci-server setup` with an administrator's token";

/// Everything, in order; what cannot be looked at after a failure is left out.
pub(super) async fn check(client: &Client) -> Vec<Finding> {
    let version: Made =
        Request::get("/version").body(Vec::new()).map_err(kube::core::request::Error::BuildRequest);
    let mut findings = vec![match client.call::<Version>("version_read", version).await {
        Ok(version) => finding("reachable", format!("version {}", cleaned(&version.git_version)), None),
        Err(failed) => finding(
            "reachable",
            failed.to_string(),
            Some("start Kubernetes, or correct the address, the token, the CA certificate or the network"),
        ),
    }];
    if findings[0].passed() {
        findings.push(told("rights", rights::missing(client).await, "all that are needed", "missing: "));
        findings.push(told("excess rights", rights::excessive(client).await, "none", "more than needed: "));
        findings.push(match rights::is_fenced(client).await {
            Ok(true) => {
                finding("admission policies", "hold the server to tenants' namespaces".to_owned(), None)
            }
            Ok(false) => {
                let found = "the server could change namespaces that are no tenant's";
                finding("admission policies", found.to_owned(), Some(SETUP))
            }
            Err(failed) => finding("admission policies", failed.to_string(), Some(SETUP)),
        });
    }
    findings
}

/// A version is letters, digits, dots and a suffix; anything else in its place is not repeated.
fn cleaned(version: &str) -> String {
    let is_usual = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    version.chars().filter(is_usual).take(32).collect()
}

fn told(
    check: &'static str,
    found: Result<Vec<rights::Right>, SystemError>,
    none: &str,
    some: &str,
) -> Finding {
    match found {
        Ok(rights) if rights.is_empty() => finding(check, none.to_owned(), None),
        Ok(rights) => {
            let words: Vec<_> = rights.iter().map(ToString::to_string).collect();
            finding(check, format!("{some}{}", words.join(", ")), Some(SETUP))
        }
        Err(failed) => finding(check, failed.to_string(), Some("give a token that is valid and not revoked")),
    }
}

fn finding(check: &'static str, found: String, remedy: Option<&str>) -> Finding {
    Finding { system: System::Kubernetes, check, found, remedy: remedy.map(str::to_owned) }
}
