//! OpenBao: a namespace for each tenant, with a key-value store, a policy and a login in it.
//!
//! | what | where |
//! |---|---|
//! | namespace | `tenant-<slug>`, below the platform's own, marked as ours in its metadata |
//! | store | kv version 2 at `secret/`, every write with check-and-set |
//! | policy | `tenant`: what the tenant's own tokens may do (`tenant.hcl`) |
//! | login | AppRole at `approle/`, role `tenant`, its role id being the tenant's id |
//! | rate limit | calls a second to the namespace, from each address |
//!
//! The namespace is ours alone: other policies, roles and auth methods in it are removed. Further engines
//! may be mounted there by hand; the tenant's policy does not reach them.
//!
//! Facts (seen with OpenBao 2.7.2): creating a namespace that exists replaces its metadata, so it is
//! read first; a store goes on setting itself up after its mount is answered, and refuses everything
//! with 400 until it is done; a deletion goes on after it is answered, and until it is over the
//! namespace reads as `tainted`, as does one that is still being made; a deletion may be asked for
//! again at any time.

mod answer;
mod attest;
mod call;
mod check;
mod client;
mod credentials;
mod keys;
pub(crate) mod kv;
mod place;
mod renewal;
pub mod setup;
mod signer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use url::Url;

pub(crate) use self::call::Call;
pub use self::client::{Client, ClientError};
pub use self::keys::{KEYS_MOUNT, TenantKeys};
use self::place::{Difference, Place};
pub use self::renewal::renewal;
pub use self::signer::{ATTESTATION_KEY, PublicKey, RsaKey, SIGNING_MOUNT, Signature, Signer, TOKEN_KEY};
use super::{Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Wanted};

/// Where a tenant's key-value store is mounted in its namespace.
pub const KV_MOUNT: &str = "secret";

/// The mark in a namespace's metadata that says it is ours.
const OWNER_KEY: &str = "managed-by";
const OWNER: &str = "integraci";

/// How long a saga waits before it asks whether a deletion is over: an empty namespace takes
/// milliseconds, one with many secrets some seconds.
const DELETION_POLL: Duration = Duration::from_millis(500);

/// How to reach OpenBao. Its `Debug` does not show the token.
#[derive(Debug, Clone)]
pub struct OpenBaoConfig {
    /// Its address, such as `https://openbao.example:8200`.
    pub address: Url,
    /// The platform's token.
    pub token: SecretText,
    /// The namespace below which tenants' namespaces are made; the root namespace when absent.
    pub namespace: Option<String>,
    /// A PEM file with the certificate authorities to trust instead of the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// The tenants' places in one OpenBao.
#[derive(Debug, Clone)]
pub struct OpenBao {
    client: Client,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(default)]
    custom_metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    tainted: bool,
}

impl Namespace {
    fn usable(&self, operation: &'static str) -> Result<(), SystemError> {
        if !self.is_ours() {
            return Err(error(
                operation,
                ErrorClass::Refused,
                "a namespace of this name exists and is not managed by IntegraCI; it is left alone",
            ));
        }
        if self.tainted {
            return Err(error(
                operation,
                busy(DELETION_POLL),
                "a namespace of this name is just being made or deleted",
            ));
        }
        Ok(())
    }

    fn is_ours(&self) -> bool {
        self.custom_metadata.as_ref().is_some_and(|known| known.get(OWNER_KEY).is_some_and(|v| v == OWNER))
    }
}

impl OpenBao {
    /// The tenants' places in the OpenBao that the client talks to.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    async fn namespace(&self, name: &str) -> Result<Option<Namespace>, SystemError> {
        self.client.read("namespace_read", None, &format!("sys/namespaces/{name}")).await
    }

    /// Makes the namespace if it is not there. Whether it did.
    async fn ensure_namespace(&self, name: &str) -> Result<bool, SystemError> {
        const OPERATION: &str = "namespace_create";
        if let Some(found) = self.namespace(name).await? {
            return found.usable(OPERATION).map(|()| false);
        }
        let body = json!({ "custom_metadata": { OWNER_KEY: OWNER } });
        let path = format!("sys/namespaces/{name}");
        match self.client.send(Call::post(OPERATION, &path).json(&body)).await {
            Ok(_) => Ok(true),
            // Another replica may be making it just now.
            Err(refused) if refused.status == Some(400) => match self.namespace(name).await? {
                Some(found) => found.usable(OPERATION).map(|()| false),
                None => Err(refused),
            },
            Err(failed) => Err(failed),
        }
    }

    fn rate_limit_path(&self, name: &str) -> String {
        format!("sys/quotas/rate-limit/{}", self.client.quota_name(name))
    }
}

#[async_trait]
impl Isolation for OpenBao {
    fn system(&self) -> System {
        System::OpenBao
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        let namespace = &wanted.names.openbao_namespace;
        let is_new = self.ensure_namespace(namespace).await?;
        let place = Place::new(&self.client, wanted);
        let differences = if is_new { place.all_differences() } else { place.differences().await? };
        place.mend(&differences).await?;
        Ok(Facts::from([
            ("address", self.client.address().to_owned()),
            ("namespace", self.client.namespace_path(namespace)),
        ]))
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        let tenant = &wanted.names;
        const OPERATION: &str = "namespace_delete";
        let name = &tenant.openbao_namespace;
        match self.namespace(name).await? {
            Some(found) if !found.is_ours() => return Ok(()),
            // Asked for again even while it is under way: a deletion that a restart of OpenBao cut off
            // goes on only when it is asked for again.
            Some(_) => {
                match self.client.send(Call::delete(OPERATION, &format!("sys/namespaces/{name}"))).await {
                    Ok(_) => {}
                    Err(gone) if gone.class == ErrorClass::Gone => {}
                    Err(failed) => return Err(failed),
                }
            }
            None => {}
        }
        if self.namespace(name).await?.is_some() {
            return Err(error(OPERATION, busy(DELETION_POLL), "the namespace is being deleted"));
        }
        // It goes with the namespace; asked for nevertheless, since it stands outside of it.
        let path = self.rate_limit_path(name);
        self.client.send(Call::delete("rate_limit_delete", &path).root()).await.map(drop)
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        let tenant = &wanted.names;
        let name = &tenant.openbao_namespace;
        let path = self.rate_limit_path(name);
        let (namespace, rate_limit) = tokio::try_join!(
            self.namespace(name),
            self.client.found::<IgnoredAny>(Call::get("rate_limit_read", &path).root())
        )?;
        // Store, policies, logins and secrets live inside the namespace and cannot outlast it.
        let namespace = namespace.filter(Namespace::is_ours);
        let namespace =
            namespace.map(|_| Remnant { class: "namespace", name: self.client.namespace_path(name) });
        let rate_limit =
            rate_limit.map(|_| Remnant { class: "rate_limit", name: self.client.quota_name(name) });
        Ok(namespace.into_iter().chain(rate_limit).collect())
    }

    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        match self.namespace(&wanted.names.openbao_namespace).await? {
            None => Ok(vec![Drift("the namespace is not there")]),
            Some(found) if !found.is_ours() => Ok(vec![Drift("the namespace is no longer marked as ours")]),
            Some(_) => {
                let differences = Place::new(&self.client, wanted).differences().await?;
                Ok(differences.iter().map(Difference::drift).collect())
            }
        }
    }

    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        attest::attest(&self.client, own, canary).await
    }

    async fn credentials_issue(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError> {
        credentials::issue(&self.client, tenant, credential, ttl).await
    }

    async fn credentials_renew(
        &self,
        tenant: &TenantNames,
        _credential: CredentialId,
        handle: Option<&str>,
        ttl: Duration,
    ) -> Result<(), SystemError> {
        credentials::renew(&self.client, tenant, handle, ttl).await
    }

    async fn credentials_revoke(
        &self,
        tenant: &TenantNames,
        _credential: CredentialId,
        handle: Option<&str>,
    ) -> Result<(), SystemError> {
        credentials::revoke(&self.client, tenant, handle).await
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.client).await
    }
}

const fn busy(after: Duration) -> ErrorClass {
    ErrorClass::Busy { retry_after: Some(after) }
}

const fn too_late(operation: &'static str) -> SystemError {
    error(operation, ErrorClass::Broken, "no answer in time")
}

const fn unreadable(operation: &'static str) -> SystemError {
    error(operation, ErrorClass::Broken, "the answer is not what OpenBao sends")
}

const fn error(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::OpenBao, operation, class, reason, status: None }
}
