//! What the four have in common: the lease.
//!
//! A lease is short, so that what a run leaves behind when it is killed ends by itself soon; it is
//! renewed at two thirds of its time, for as long as the platform renews it (an hour in all).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use integraci_api::credentials::{CredentialCreate, Lender, TTL_DEFAULT_S};
use integraci_api::{CredentialId, SecretText, TenantId};
use tfplugin::{Cx, Diagnostic, Diagnostics, Opened, Private, Renewed, Text, Value};

use crate::api::{Api, Error};
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};

/// When a lease is renewed: there is time left for some attempts.
const RENEW_AFTER: Duration = Duration::from_secs(TTL_DEFAULT_S as u64 * 2 / 3);

const TENANT: &str = "tenant";
const CREDENTIAL: &str = "credential";

/// What a credential is made of, by the names that the platform gives its parts.
pub(super) struct Parts {
    fields: BTreeMap<String, String>,
    secrets: BTreeMap<String, SecretText>,
    is_whole: bool,
}

impl Parts {
    /// A part that is not secret.
    pub(super) fn field(&mut self, name: &str) -> Value<String> {
        let part = self.fields.remove(name);
        self.is_whole &= part.is_some();
        part.into()
    }

    /// A part that is.
    pub(super) fn secret(&mut self, name: &str) -> Value<String> {
        let part = self.secrets.remove(name);
        self.is_whole &= part.is_some();
        part.map(|secret| secret.expose().to_owned()).into()
    }
}

/// Takes credentials of a tenant, which `fill` makes the resource of.
pub(super) async fn open<T>(
    cx: &Cx<Connection>,
    lender: Lender,
    tenant: &Value<Text<TenantId>>,
    fill: impl FnOnce(&mut Parts) -> T + Send,
) -> Result<Opened<T>, Diagnostics> {
    const DOING: &str = "Cannot take the credentials";
    let (api, patience) = (cx.api()?.api()?, patience(cx));
    let tenant = tenant
        .as_known()
        .map(|id| id.0)
        .ok_or_else(|| Diagnostic::error(DOING).detail("The tenant is not known yet.").at("tenant_id"))?;
    let issued = api
        .credential_issue(tenant, lender, &asked(), &patience)
        .await
        .map_err(|error| diagnose(api, DOING, error, NOWHERE))?;
    let id = issued.credential.id;
    let mut parts = Parts { fields: issued.credential.fields, secrets: issued.secrets, is_whole: true };
    let filled = fill(&mut parts);
    if !parts.is_whole {
        give_back(cx, api, lender, tenant, id).await;
        return Err(diagnose(api, DOING, Error::NotUnderstood { what: "credential" }, NOWHERE));
    }
    let lease = Opened::new(filled).lease(TENANT, tenant.to_string()).lease(CREDENTIAL, id.to_string());
    Ok(lease.renew_at(SystemTime::now() + RENEW_AFTER))
}

/// Gives credentials more time.
pub(super) async fn renew(
    cx: &Cx<Connection>,
    lender: Lender,
    lease: Private,
) -> Result<Renewed, Diagnostics> {
    let (api, patience) = (cx.api()?.api()?, patience(cx));
    let (tenant, id) = named(&lease)?;
    let renewed = api
        .credential_renew(tenant, lender, id, &asked(), &patience)
        .await
        .map_err(|error| diagnose(api, "Cannot renew the credentials", error, NOWHERE))?;
    // At the end of their life there is nothing left to renew.
    let again = renewed.expires_at < renewed.renewable_until;
    Ok(Renewed { renew_at: again.then(|| SystemTime::now() + RENEW_AFTER), lease })
}

/// Gives credentials back. What cannot be given back now ends by itself.
pub(super) async fn close(cx: &Cx<Connection>, lender: Lender, lease: Private) -> Result<(), Diagnostics> {
    let api = cx.api()?.api()?;
    let (tenant, id) = named(&lease)?;
    give_back(cx, api, lender, tenant, id).await;
    Ok(())
}

async fn give_back(cx: &Cx<Connection>, api: &Api, lender: Lender, tenant: TenantId, id: CredentialId) {
    if let Err(error) = api.credential_revoke(tenant, lender, id, &patience(cx)).await {
        let minutes = TTL_DEFAULT_S / 60;
        cx.warn(Diagnostic::warning("The credentials could not be given back").detail(format!(
            "{}: {error}. The credential {id} ends by itself, at the latest after {minutes} minutes.",
            api.endpoint()
        )));
    }
}

fn asked() -> CredentialCreate {
    CredentialCreate { ttl_s: Some(TTL_DEFAULT_S) }
}

fn named(lease: &Private) -> Result<(TenantId, CredentialId), Diagnostics> {
    let tenant = lease.get_str(TENANT).and_then(|text| text.parse().ok());
    let credential = lease.get_str(CREDENTIAL).and_then(|text| text.parse().ok());
    tenant.zip(credential).ok_or_else(|| {
        Diagnostic::error("The lease names no credentials")
            .detail("What was kept for it since it was opened is not from this provider.")
            .into()
    })
}
