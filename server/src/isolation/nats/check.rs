//! What `doctor` looks at in NATS: whether it answers, takes the platform's credentials, and hears what
//! the operator's key signs.

use super::{Finding, Nats, System};

/// Everything, in order; what cannot be looked at after a failure is left out.
pub(super) async fn check(nats: &Nats) -> Vec<Finding> {
    let client = match nats.system.client("connect").await {
        Ok(client) => client,
        Err(failed) => {
            let remedy = "start NATS, or correct the servers, the system account's credentials file, the CA certificate or the network";
            return vec![finding("reachable", failed.to_string(), Some(remedy))];
        }
    };
    // A version is digits, dots and a suffix; anything else in its place is not repeated.
    let info = client.server_info();
    let version: String = info
        .version
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
        .take(32)
        .collect();
    let mut findings = vec![finding("reachable", format!("version {version}"), None)];
    findings.push(match info.jetstream {
        true => finding("JetStream", "on".to_owned(), None),
        false => {
            finding("JetStream", "off".to_owned(), Some("turn JetStream on in the servers' configuration"))
        }
    });
    findings.push(resolvers(nats).await);
    if findings.iter().all(Finding::passed) {
        findings.push(operator(nats).await);
    }
    findings
}

async fn resolvers(nats: &Nats) -> Finding {
    const CHECK: &str = "resolver nodes";
    let expected = nats.config.resolvers;
    match nats.system.count("accounts_list", "$SYS.REQ.CLAIMS.LIST").await {
        Ok(found) if found == expected => finding(CHECK, format!("{found}, as configured"), None),
        Ok(0) => finding(
            CHECK,
            "none answers".to_owned(),
            Some("set `resolver: { type: full, … }` on the servers, and give a user of the system account"),
        ),
        Ok(found) => finding(
            CHECK,
            format!("{found} answer, {expected} are configured"),
            Some("set nats.resolvers to how many servers keep accounts, and see that all are up"),
        ),
        Err(failed) => finding(CHECK, failed.to_string(), Some("see whether the servers are up")),
    }
}

async fn operator(nats: &Nats) -> Finding {
    const CHECK: &str = "operator's signing key";
    match nats.operator_check().await {
        Ok(()) => finding(CHECK, "accepted, also for deletions".to_owned(), None),
        Err(failed) => finding(
            CHECK,
            failed.to_string(),
            Some("correct nats.operator_signing_seed, and the resolver in the servers' configuration"),
        ),
    }
}

fn finding(check: &'static str, found: String, remedy: Option<&str>) -> Finding {
    Finding { system: System::Nats, check, found, remedy: remedy.map(str::to_owned) }
}
