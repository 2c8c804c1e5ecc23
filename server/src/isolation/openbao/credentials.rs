//! Credentials for the tenant's own use: a token by a login of its AppRole, and for a workload a secret
//! id to log in with, wrapped so that it can be taken out once.
//!
//! The token cannot renew itself, and the secret id lasts no longer than the token was first given; so
//! both end by themselves if the platform is away. A token that a workload logged in for with the
//! secret id is that workload's own: it lasts an hour and outlives these credentials by no more.
//!
//! Facts (seen with OpenBao 2.7.2): the time of a token made by a login is its role's, and a renewal
//! may shorten it; a renewal past the role's longest time is cut, not refused; revoking an accessor
//! that is not there succeeds, and destroying a secret id that is not there answers 500.

use std::collections::BTreeMap;
use std::time::Duration;

use integraci_api::{CredentialId, SecretText};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize as _};
use serde_json::json;
use zeroize::Zeroizing;

use super::place::{LOGIN_MOUNT, Place, TENANT};
use super::{Call, Client, ErrorClass, SystemError, TenantNames, Wanted, error, unreadable};
use crate::isolation::Issued;

/// How long a secret id may wait for the login that it is made for.
const LOGIN_WAIT: Duration = Duration::from_secs(60);

/// A token that was just logged in for.
#[derive(Deserialize)]
pub(super) struct Session {
    #[serde(rename = "client_token")]
    pub(super) token: SecretText,
    pub(super) accessor: String,
    /// Every policy it holds, wherever from.
    pub(super) policies: Vec<String>,
    /// Seconds.
    lease_duration: u64,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Session,
}

#[derive(Deserialize)]
pub(super) struct SecretId {
    pub(super) secret_id: SecretText,
}

#[derive(Deserialize)]
struct Wrapped {
    wrap_info: WrapInfo,
}

#[derive(Deserialize)]
struct WrapInfo {
    token: SecretText,
    wrapped_accessor: String,
}

#[derive(Deserialize)]
struct Renewed {
    auth: RenewedAuth,
}

#[derive(Deserialize)]
struct RenewedAuth {
    /// Seconds.
    lease_duration: u64,
}

/// What is needed to revoke: the accessors of the token and of the secret id.
struct Handle<'a> {
    token: &'a str,
    secret_id: &'a str,
}

impl<'a> Handle<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (token, secret_id) = text.split_once(',')?;
        Some(Self { token, secret_id })
    }
}

impl std::fmt::Display for Handle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.token, self.secret_id)
    }
}

/// Logs in as the tenant, by a secret id that is good for this once.
pub(super) async fn log_in(client: &Client, tenant: &Wanted) -> Result<Session, SystemError> {
    let secret_id = secret_id(client, &tenant.names).await?;
    log_in_at(client, tenant, &tenant.names, &secret_id).await
}

/// A secret id of the tenant that is good for one login.
pub(super) async fn secret_id(client: &Client, tenant: &TenantNames) -> Result<SecretId, SystemError> {
    let body = json!({ "num_uses": 1, "ttl": seconds(LOGIN_WAIT) });
    let path = secret_id_path("");
    client.data(Call::post("secret_id_create", &path).namespace(&tenant.openbao_namespace).json(&body)).await
}

/// Logs in with the tenant's secret id, in a namespace that may be another's.
pub(super) async fn log_in_at(
    client: &Client,
    tenant: &Wanted,
    at: &TenantNames,
    secret_id: &SecretId,
) -> Result<Session, SystemError> {
    const OPERATION: &str = "login";
    let path = format!("auth/{LOGIN_MOUNT}/login");
    let role_id = Place::new(client, tenant).role_id();
    let body = login_body(&role_id, &secret_id.secret_id).ok_or_else(|| unreadable(OPERATION))?;
    let call = Call::post(OPERATION, &path).namespace(&at.openbao_namespace).anonymous().body(body);
    match client.parsed::<LoggedIn>(call).await {
        Ok(logged_in) => Ok(logged_in.auth),
        Err(refused) if refused.status == Some(400) => {
            Err(SystemError { reason: "the login was refused; is the tenant suspended?", ..refused })
        }
        Err(failed) => Err(failed),
    }
}

pub(super) async fn issue(
    client: &Client,
    tenant: &Wanted,
    credential: CredentialId,
    ttl: Duration,
) -> Result<Issued, SystemError> {
    if tenant.suspended {
        return Err(error("credentials_issue", ErrorClass::Refused, "the tenant is suspended"));
    }
    let names = &tenant.names;
    let (wrapped, session) =
        tokio::try_join!(wrapped_secret_id(client, names, credential, ttl), log_in(client, tenant))?;
    // By a login it lasts as long as its role says.
    if ttl.as_secs() != session.lease_duration {
        lengthen(client, names, &session.accessor, ttl).await?;
    }
    let handle = Handle { token: &session.accessor, secret_id: &wrapped.wrapped_accessor };
    Ok(Issued {
        handle: Some(handle.to_string()),
        fields: BTreeMap::from([
            ("address", client.address().to_owned()),
            ("namespace", client.namespace_path(&names.openbao_namespace)),
            ("role_id", Place::new(client, tenant).role_id()),
        ]),
        secrets: BTreeMap::from([("token", session.token), ("wrapped_secret_id", wrapped.token)]),
    })
}

async fn wrapped_secret_id(
    client: &Client,
    tenant: &TenantNames,
    credential: CredentialId,
    ttl: Duration,
) -> Result<WrapInfo, SystemError> {
    let metadata = json!({ "credential": credential.to_string() }).to_string();
    let body = json!({ "num_uses": 0, "ttl": seconds(ttl), "metadata": metadata });
    let path = secret_id_path("");
    let call = Call::post("secret_id_create", &path).namespace(&tenant.openbao_namespace);
    client.parsed::<Wrapped>(call.wrapped(ttl).json(&body)).await.map(|wrapped| wrapped.wrap_info)
}

pub(super) async fn renew(
    client: &Client,
    tenant: &TenantNames,
    handle: Option<&str>,
    ttl: Duration,
) -> Result<(), SystemError> {
    let unknown = || error("credentials_renew", ErrorClass::Refused, "the credentials were never made whole");
    let handle = handle.and_then(Handle::parse).ok_or_else(unknown)?;
    lengthen(client, tenant, handle.token, ttl).await
}

/// Makes a token last for `ttl` from now.
async fn lengthen(
    client: &Client,
    tenant: &TenantNames,
    accessor: &str,
    ttl: Duration,
) -> Result<(), SystemError> {
    const OPERATION: &str = "credentials_renew";
    let body = json!({ "accessor": accessor, "increment": seconds(ttl) });
    let call = Call::post(OPERATION, "auth/token/renew-accessor");
    match client.parsed::<Renewed>(call.namespace(&tenant.openbao_namespace).json(&body)).await {
        Ok(renewed) if renewed.auth.lease_duration < ttl.as_secs() => {
            Err(error(OPERATION, ErrorClass::Refused, "the credentials are as old as they may become"))
        }
        Ok(_) => Ok(()),
        Err(refused) if refused.status == Some(400) => {
            Err(SystemError { reason: "the credentials are revoked, or have run out", ..refused })
        }
        Err(failed) => Err(failed),
    }
}

pub(super) async fn revoke(
    client: &Client,
    tenant: &TenantNames,
    handle: Option<&str>,
) -> Result<(), SystemError> {
    // Without one they were never given out, and end by themselves.
    let Some(handle) = handle.and_then(Handle::parse) else { return Ok(()) };
    let revoked = tokio::join!(
        revoke_token(client, tenant, handle.token),
        destroy_secret_id(client, tenant, handle.secret_id)
    );
    revoked.0.and(revoked.1)
}

/// Revokes a token. One that is not there is success, as is one whose namespace is gone.
pub(super) async fn revoke_token(
    client: &Client,
    tenant: &TenantNames,
    accessor: &str,
) -> Result<(), SystemError> {
    let body = json!({ "accessor": accessor });
    let call = Call::post("token_revoke", "auth/token/revoke-accessor");
    gone_is_success(client.send(call.namespace(&tenant.openbao_namespace).json(&body)).await.map(drop))
}

async fn destroy_secret_id(client: &Client, tenant: &TenantNames, accessor: &str) -> Result<(), SystemError> {
    let body = json!({ "secret_id_accessor": accessor });
    let call = |operation, path| Call::post(operation, path).namespace(&tenant.openbao_namespace).json(&body);
    let (lookup, destroy) = (secret_id_path("-accessor/lookup"), secret_id_path("-accessor/destroy"));
    let found = client.found::<IgnoredAny>(call("secret_id_read", &lookup)).await;
    match found {
        Ok(Some(_)) => gone_is_success(client.send(call("secret_id_destroy", &destroy)).await.map(drop)),
        Ok(None) => Ok(()),
        Err(failed) => gone_is_success(Err(failed)),
    }
}

fn gone_is_success(done: Result<(), SystemError>) -> Result<(), SystemError> {
    match done {
        Err(gone) if gone.class == ErrorClass::Gone => Ok(()),
        done => done,
    }
}

fn secret_id_path(what: &str) -> String {
    format!("auth/{LOGIN_MOUNT}/role/{TENANT}/secret-id{what}")
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// The body of a login, made in memory that is wiped.
fn login_body(role_id: &str, secret_id: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::with_capacity(role_id.len() + secret_id.expose().len() * 2 + 64));
    body.extend_from_slice(br#"{"role_id":"#);
    role_id.serialize(&mut serde_json::Serializer::new(&mut *body)).ok()?;
    body.extend_from_slice(br#","secret_id":"#);
    secret_id.expose().serialize(&mut serde_json::Serializer::new(&mut *body)).ok()?;
    body.push(b'}');
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back() {
        let text = Handle { token: "a.ns", secret_id: "b" }.to_string();
        let handle = Handle::parse(&text).unwrap();
        assert_eq!((handle.token, handle.secret_id), ("a.ns", "b"));
        assert!(Handle::parse("a.ns").is_none());
    }

    #[test]
    fn a_login_is_json_whatever_the_secret_holds() {
        let body = login_body("ten_1", &SecretText::new("q\"uo\\te".to_owned())).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read, json!({ "role_id": "ten_1", "secret_id": "q\"uo\\te" }));
    }
}
