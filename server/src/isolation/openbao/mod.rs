//! OpenBao: a namespace for each tenant, with a key-value store and a policy in it.
//!
//! | what | where |
//! |---|---|
//! | namespace | `tenant-<slug>`, below the platform's own, marked as ours in its metadata |
//! | store | kv version 2 at `secret/`, every write with check-and-set |
//! | policy | `tenant`: what the tenant's own token may do |
//!
//! Facts (seen with OpenBao 2.7.2): creating a namespace that exists replaces its metadata, so it is
//! read first; a store goes on setting itself up after its mount is answered, and refuses everything
//! with 400 until it is done; a deletion goes on after it is answered, and until it is over the
//! namespace reads as `tainted`; a deletion may be asked for again at any time.

mod check;
mod client;
mod keys;
mod kv;
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
use serde_json::json;
use url::Url;

pub(crate) use self::client::Call;
pub use self::client::{Client, ClientError};
pub use self::keys::{KEYS_MOUNT, TenantKeys};
use self::kv::Mount;
pub use self::renewal::renewal;
pub use self::signer::{ATTESTATION_KEY, PublicKey, SIGNING_MOUNT, Signature, Signer};
use super::{Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Wanted};

/// Where a tenant's key-value store is mounted in its namespace.
pub const KV_MOUNT: &str = "secret";

/// The name of the tenant's policy in its namespace.
const POLICY: &str = "tenant";

/// What the tenant's own token may do: all of its store, except that the secrets of its connectors,
/// which the platform keeps there, show their versions and never their values.
const POLICY_TEXT: &str = r#"
path "secret/data/*" { capabilities = ["create", "read", "update", "patch", "delete"] }
path "secret/delete/*" { capabilities = ["update"] }
path "secret/undelete/*" { capabilities = ["update"] }
path "secret/destroy/*" { capabilities = ["update"] }
path "secret/metadata/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
path "secret/data/connectors/*" { capabilities = ["deny"] }
path "secret/subkeys/connectors/*" { capabilities = ["deny"] }
path "secret/delete/connectors/*" { capabilities = ["deny"] }
path "secret/undelete/connectors/*" { capabilities = ["deny"] }
path "secret/destroy/connectors/*" { capabilities = ["deny"] }
path "secret/metadata/connectors/*" { capabilities = ["read", "list"] }
"#;

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

    async fn ensure_namespace(&self, name: &str) -> Result<(), SystemError> {
        const OPERATION: &str = "namespace_create";
        match self.namespace(name).await? {
            Some(found) if !found.is_ours() => Err(error(
                OPERATION,
                ErrorClass::Refused,
                "a namespace of this name exists and is not managed by IntegraCI; it is left alone",
            )),
            Some(found) if found.tainted => {
                Err(error(OPERATION, busy(DELETION_POLL), "a namespace of this name is still being deleted"))
            }
            Some(_) => Ok(()),
            None => {
                let body = json!({ "custom_metadata": { OWNER_KEY: OWNER } });
                self.client
                    .send(Call::post(OPERATION, &format!("sys/namespaces/{name}")).json(&body))
                    .await
                    .map(drop)
            }
        }
    }

    async fn ensure_kv(&self, namespace: &str) -> Result<(), SystemError> {
        let mounts: Option<BTreeMap<String, Mount>> =
            self.client.read("mounts_read", Some(namespace), "sys/mounts").await?;
        let mounts = mounts.unwrap_or_default();
        match mounts.get(&format!("{KV_MOUNT}/")) {
            Some(mount) if mount.is_kv_2() => {}
            Some(_) => {
                return Err(error(
                    "kv_mount",
                    ErrorClass::Refused,
                    "something else than a version 2 key-value store is mounted at `secret/` in the tenant's \
                     namespace; remove it",
                ));
            }
            None => {
                let body = json!({ "type": "kv", "options": { "version": "2" } });
                let path = format!("sys/mounts/{KV_MOUNT}");
                let call = Call::post("kv_mount", &path).namespace(namespace).json(&body);
                self.client.send(call).await?;
            }
        }
        Ok(())
    }

    async fn ensure_policy(&self, namespace: &str) -> Result<(), SystemError> {
        let body = json!({ "policy": POLICY_TEXT });
        let path = format!("sys/policies/acl/{POLICY}");
        let call = Call::put("policy_write", &path).namespace(namespace).json(&body);
        self.client.send(call).await.map(drop)
    }
}

#[async_trait]
impl Isolation for OpenBao {
    fn system(&self) -> System {
        System::OpenBao
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        let namespace = &wanted.names.openbao_namespace;
        self.ensure_namespace(namespace).await?;
        self.ensure_kv(namespace).await?;
        // Before the store's configuration, so that the store has some time to set itself up.
        self.ensure_policy(namespace).await?;
        kv::configure(&self.client, Some(namespace), KV_MOUNT).await?;
        Ok(Facts::from([
            ("address", self.client.address().to_owned()),
            ("namespace", self.client.namespace_path(namespace)),
        ]))
    }

    async fn ensure_none(&self, tenant: &TenantNames) -> Result<(), SystemError> {
        const OPERATION: &str = "namespace_delete";
        let name = &tenant.openbao_namespace;
        if !self.namespace(name).await?.is_some_and(|found| found.is_ours()) {
            return Ok(());
        }
        // Asked for again even while it is under way: a deletion that a restart of OpenBao cut off
        // goes on only when it is asked for again.
        match self.client.send(Call::delete(OPERATION, &format!("sys/namespaces/{name}"))).await {
            Ok(_) => {}
            Err(gone) if gone.class == ErrorClass::Gone => {}
            Err(failed) => return Err(failed),
        }
        match self.namespace(name).await? {
            None => Ok(()),
            Some(_) => Err(error(OPERATION, busy(DELETION_POLL), "the namespace is being deleted")),
        }
    }

    async fn remains(&self, tenant: &TenantNames) -> Result<Vec<Remnant>, SystemError> {
        let name = &tenant.openbao_namespace;
        match self.namespace(name).await? {
            // Store, policies and secrets live inside the namespace and cannot outlast it.
            Some(found) if found.is_ours() => {
                Ok(vec![Remnant { class: "namespace", name: self.client.namespace_path(name) }])
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn drift(&self, _wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        Ok(Vec::new())
    }

    async fn attest(&self, _own: &Wanted, _canary: &Wanted) -> Vec<Check> {
        Vec::new()
    }

    async fn credentials_issue(
        &self,
        _tenant: &Wanted,
        _credential: CredentialId,
        _ttl: Duration,
    ) -> Result<Issued, SystemError> {
        Err(error("credentials_issue", ErrorClass::Refused, "not made yet"))
    }

    async fn credentials_renew(
        &self,
        _tenant: &TenantNames,
        _credential: CredentialId,
        _handle: Option<&str>,
        _ttl: Duration,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    async fn credentials_revoke(
        &self,
        _tenant: &TenantNames,
        _credential: CredentialId,
        _handle: Option<&str>,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.client).await
    }
}

const fn busy(after: Duration) -> ErrorClass {
    ErrorClass::Busy { retry_after: Some(after) }
}

const fn error(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::OpenBao, operation, class, reason, status: None }
}
