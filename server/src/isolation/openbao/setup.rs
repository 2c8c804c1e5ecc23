//! What an administrator does once in OpenBao before the server can work there: the platform's own
//! namespace, store and signing keys, and a token for the server that may do what `policy.hcl` says and
//! nothing else. `integraci-server setup` calls it.
//!
//! Facts (seen with OpenBao 2.7.2): rate limits are taken in the root namespace only, so policy and
//! token are made there, by an administrator of it; a token of the root namespace is good in those
//! below as far as its policy's paths reach; the name of a policy may hold slashes.

use std::time::Duration;

use integraci_api::SecretText;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kv::{self, Mount};
use super::signer::{ATTESTATION_KEY, KeyKind, SIGNING_MOUNT, TOKEN_KEY, ensure_key};
use super::{Call, Client, ErrorClass, KEYS_MOUNT, OpenBaoConfig, SystemError, error};
use crate::config::CellConfig;
use crate::setup::SetupError;

/// The policy of the server's token.
const POLICY_TEXT: &str = include_str!("../../../openbao/policy.hcl");

/// What the name of that policy begins with; the path of the platform's namespace follows.
const POLICY: &str = "integraci-server";

/// How long the server's token lasts unless the server renews it, which it does every third of this:
/// long enough for a night's outage, short enough that one left over from a setup run again is soon gone.
const TOKEN_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct Created {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: SecretText,
}

/// Prepares the platform's namespace, and makes a token for the server. Safe to repeat: each time
/// makes another token, and those made before go on working.
///
/// # Errors
/// OpenBao refused, or did not answer.
pub async fn prepare(cell: &CellConfig<OpenBaoConfig>) -> Result<SecretText, SetupError> {
    let token = cell.admin.as_ref().map_or(&cell.system.token, |admin| &admin.secret);
    let admin = Client::new(&OpenBaoConfig { token: token.clone(), ..cell.system.clone() })?;
    Ok(prepare_as(&admin).await.map_err(as_administrator)?)
}

async fn prepare_as(admin: &Client) -> Result<SecretText, SystemError> {
    ensure_namespaces(admin).await?;
    let ((), (), token) = tokio::try_join!(store(admin), signing(admin), token(admin))?;
    Ok(token)
}

/// The platform's namespace, and those it is in.
async fn ensure_namespaces(admin: &Client) -> Result<(), SystemError> {
    let mut outer = admin.at_root();
    for name in admin.parent().into_iter().flat_map(|path| path.split('/')) {
        let path = format!("sys/namespaces/{name}");
        let there: Option<serde::de::IgnoredAny> = outer.read("namespace_read", None, &path).await?;
        if there.is_none() {
            outer.send(Call::post("namespace_create", &path).json(&json!({}))).await?;
        }
        outer = outer.inside(name);
    }
    Ok(())
}

async fn store(admin: &Client) -> Result<(), SystemError> {
    let body = json!({ "type": "kv", "options": { "version": "2" }, "description": "IntegraCI's own keys" });
    ensure_mount(admin, KEYS_MOUNT, Mount::is_kv_2, &body).await?;
    kv::configure(admin, None, KEYS_MOUNT).await
}

async fn signing(admin: &Client) -> Result<(), SystemError> {
    let body = json!({ "type": "transit", "description": "IntegraCI's signing keys" });
    ensure_mount(admin, SIGNING_MOUNT, |mount| mount.kind == "transit", &body).await?;
    let attestation = ensure_key(admin, ATTESTATION_KEY, KeyKind::Ed25519);
    let token = ensure_key(admin, TOKEN_KEY, KeyKind::Rsa2048);
    tokio::try_join!(attestation, token).map(drop)
}

async fn ensure_mount(
    admin: &Client,
    name: &str,
    is_right: impl Fn(&Mount) -> bool,
    body: &Value,
) -> Result<(), SystemError> {
    const OPERATION: &str = "mount_create";
    let path = format!("sys/mounts/{name}");
    let there: Option<Mount> = admin.read("mount_read", None, &path).await.or_else(|failed| {
        // OpenBao answers 400 for a mount that is not there.
        if failed.status == Some(400) { Ok(None) } else { Err(failed) }
    })?;
    match there {
        Some(mount) if is_right(&mount) => Ok(()),
        Some(_) => Err(error(
            OPERATION,
            ErrorClass::Refused,
            "something else is mounted at `integraci/` or `integraci-transit/`; give the platform a \
             namespace of its own",
        )),
        None => admin.send(Call::post(OPERATION, &path).json(body)).await.map(drop),
    }
}

/// A token for the server. An orphan, so that it outlives the administrator's.
async fn token(admin: &Client) -> Result<SecretText, SystemError> {
    let name = policy_name(admin);
    let path = format!("sys/policies/acl/{name}");
    let body = json!({ "policy": policy_text(admin) });
    admin.send(Call::put("policy_write", &path).root().json(&body)).await?;
    let body = json!({
        "policies": [name],
        "no_default_policy": true,
        "period": format!("{}s", TOKEN_PERIOD.as_secs()),
        "display_name": POLICY,
    });
    let call = Call::post("token_create", "auth/token/create-orphan").root().json(&body);
    admin.parsed::<Created>(call).await.map(|created| created.auth.client_token)
}

/// One for each installation: several may share an OpenBao, each in a namespace of its own.
fn policy_name(client: &Client) -> String {
    match client.parent() {
        Some(path) => format!("{POLICY}/{path}"),
        None => POLICY.to_owned(),
    }
}

fn policy_text(client: &Client) -> String {
    POLICY_TEXT.replace("PLATFORM/", &client.namespace_path("")).replace("QUOTAS", &client.quota_name(""))
}

/// The same error in words for who runs setup.
fn as_administrator(failed: SystemError) -> SystemError {
    match failed.status {
        Some(403) => SystemError {
            reason: "the administrator's token may not do this; it must be one of the root namespace, \
                     with the rights to mount engines and to write policies",
            ..failed
        },
        _ => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(namespace: Option<&str>) -> Client {
        Client::new(&OpenBaoConfig {
            address: "https://openbao.example:8200/".parse().unwrap(),
            token: SecretText::new("s.none".to_owned()),
            namespace: namespace.map(str::to_owned),
            ca_certificate: None,
            timeout: Duration::from_secs(1),
        })
        .unwrap()
    }

    fn paths(policy: &str) -> Vec<&str> {
        policy.lines().filter_map(|line| line.strip_prefix("path \"")?.strip_suffix("\" {")).collect()
    }

    #[test]
    fn the_policy_reaches_into_the_platforms_namespace_and_no_other() {
        let text = policy_text(&client(Some("a/b")));
        let paths = paths(&text);
        assert_eq!(paths.len(), 10);
        for path in paths {
            let is_own = path.ends_with("-self");
            let is_quota = path == "sys/quotas/rate-limit/integraci.a.b.tenant-*";
            assert!(is_own || is_quota || path.starts_with("a/b/"), "{path}");
        }
        assert_eq!(policy_name(&client(Some("a/b"))), "integraci-server/a/b");
    }

    #[test]
    fn in_the_root_namespace_nothing_stands_before_a_path() {
        let text = policy_text(&client(None));
        let paths = paths(&text);
        assert!(paths.contains(&"sys/namespaces/tenant-*"));
        assert!(paths.contains(&"tenant-*"));
        assert!(paths.contains(&"sys/quotas/rate-limit/integraci.tenant-*"));
        assert_eq!(policy_name(&client(None)), "integraci-server");
    }
}
