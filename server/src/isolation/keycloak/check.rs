//! What `doctor` looks at in Keycloak: whether it answers, and takes the platform's client, which can
//! make realms and nothing else.

use reqwest::StatusCode;
use serde_json::json;

use super::client::{By, Call, Client};
use super::{Finding, System};

/// Everything, in order; what cannot be looked at after a failure is left out.
pub(super) async fn check(client: &Client) -> Vec<Finding> {
    let reachable = match client.issuer_base().await {
        Ok(_) => finding("reachable", "answers".to_owned(), None),
        Err(failed) => finding(
            "reachable",
            failed.to_string(),
            Some("start Keycloak, or correct the address, the CA certificate or the network"),
        ),
    };
    let mut findings = vec![reachable];
    if findings.iter().all(Finding::passed) {
        findings.push(credential(client).await);
    }
    if findings.iter().all(Finding::passed) {
        findings.push(right_to_create(client).await);
        findings.push(nothing_else(client).await);
    }
    findings
}

async fn credential(client: &Client) -> Finding {
    const REMEDY: &str = "correct client_id and client_secret_file, or run `integraci-server setup`";
    match client.platform_token_is_light().await {
        Ok(true) => finding("credential", "accepted".to_owned(), None),
        Ok(false) => finding(
            "credential",
            "accepted; its tokens tell of every realm that it made, and grow with them".to_owned(),
            Some("run `integraci-server setup`: it has the client use lightweight access tokens"),
        ),
        Err(failed) => finding("credential", failed.to_string(), Some(REMEDY)),
    }
}

/// A realm without a name is asked for: who may make realms is told that it needs one.
async fn right_to_create(client: &Client) -> Finding {
    let call = Call::post("realm_create", "/admin/realms", &By::Platform).json(&json!({ "realm": "" }));
    match client.send(call).await {
        Ok(answer) if answer.status == StatusCode::BAD_REQUEST => {
            finding("rights", "may create realms".to_owned(), None)
        }
        Ok(answer) => finding(
            "rights",
            client.refusal("realm_create", &answer).to_string(),
            Some("give the client's service account the role create-realm, or run `integraci-server setup`"),
        ),
        Err(failed) => finding("rights", failed.to_string(), Some("see Keycloak's own log")),
    }
}

/// Whoever may read the users of `master` may do more than the platform needs.
async fn nothing_else(client: &Client) -> Finding {
    const CHECK: &str = "nothing more";
    let path = "/admin/realms/master/users?max=1";
    match client.send(Call::get("users_read", path, &By::Platform)).await {
        Ok(answer) if answer.status == StatusCode::FORBIDDEN => {
            finding(CHECK, "may not read the realm master".to_owned(), None)
        }
        Ok(answer) if answer.status.is_success() => finding(
            CHECK,
            "may read the realm master".to_owned(),
            Some("take every role but create-realm from it, or run `integraci-server setup`"),
        ),
        Ok(answer) => {
            let failed = client.refusal("users_read", &answer).to_string();
            finding(CHECK, failed, Some("see Keycloak's own log"))
        }
        Err(failed) => finding(CHECK, failed.to_string(), Some("see Keycloak's own log")),
    }
}

fn finding(check: &'static str, found: String, remedy: Option<&str>) -> Finding {
    Finding { system: System::Keycloak, check, found, remedy: remedy.map(str::to_owned) }
}
