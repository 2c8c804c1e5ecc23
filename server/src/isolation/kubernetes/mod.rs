//! Kubernetes: a namespace for each tenant.
//!
//! | what | where |
//! |---|---|
//! | namespace | `tenant-<slug>`, marked as ours by a label and by an annotation with the tenant's id; pods are held to the `restricted` Pod Security Standard |
//! | quota and limits | ResourceQuota and LimitRange `tenant` |
//! | network | NetworkPolicies `default-deny`, `allow-dns`, `allow-within-namespace` |
//! | access | ServiceAccount `tenant`, bound to the Role `tenant` and to nothing else |
//!
//! Facts (seen with Kubernetes 1.37): a namespace that is deleted is left alone for five seconds before
//! its contents go; admission goes by a quota's status, which its controller fills in after it is
//! written; a token that is bound to a Secret is refused once the Secret is gone, and an API server
//! remembers an accepted token for ten seconds; network policies are stored by every cluster, and
//! enforced by its network plugin or by nobody.

mod attest;
mod check;
mod client;
mod drift;
mod grants;
mod leases;
mod network;
mod objects;
mod place;
mod probes;
mod quantity;
mod rights;
pub mod setup;
mod token;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use url::Url;

pub use self::client::{Client, ClientError};
use self::token::Token;
use super::{
    Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Usage, Wanted,
};
use crate::config::CellConfig;
use crate::source::Source;

/// How to reach one cluster. Its `Debug` does not show the token.
#[derive(Debug, Clone)]
pub struct KubernetesConfig {
    /// The address of its API server, such as `https://kubernetes.example:6443`.
    pub server: Url,
    /// The bearer token of the platform's service account.
    pub token: SecretText,
    /// A PEM file with the certificate authorities to trust instead of the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// The tenants' places in one cluster.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    source: Source,
}

impl Kubernetes {
    /// The tenants' places in the cluster that the client talks to.
    #[must_use]
    pub const fn new(client: Client, source: Source) -> Self {
        Self { client, source }
    }

    /// The tenants' places in the cluster of a cell, by a token that is read again from the cell's file:
    /// inside the cluster, somebody else renews it there.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn of_cell(cell: &CellConfig<KubernetesConfig>, source: Source) -> Result<Self, ClientError> {
        let token = Token::kept_in(&cell.system.token, cell.credential_file.clone());
        let client = Client::new(&cell.system)?.acting_by(token.ok_or(ClientError::TokenInvalid)?);
        Ok(Self::new(client, source))
    }
}

#[async_trait]
impl Isolation for Kubernetes {
    fn system(&self) -> System {
        System::Kubernetes
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        place::ensure(&self.client, wanted).await?;
        Ok(Facts::from([
            ("server", self.client.server().to_owned()),
            ("namespace", wanted.names.kubernetes_namespace.clone()),
        ]))
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        place::ensure_none(&self.client, wanted).await
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        place::remains(&self.client, wanted).await
    }

    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        let found = drift::look(&self.client, wanted).await?;
        Ok(found.into_iter().map(|(_, drift)| drift).collect())
    }

    async fn usage(&self, wanted: &Wanted) -> Result<Usage, SystemError> {
        usage::usage(&self.client, wanted).await
    }

    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        attest::attest(&self.client, &self.source, own, canary).await
    }

    async fn credentials_issue(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError> {
        leases::issue(&self.client, tenant, credential, ttl).await
    }

    async fn credentials_renew(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        _handle: Option<&str>,
        _ttl: Duration,
    ) -> Result<(), SystemError> {
        leases::renew(&self.client, tenant, credential).await
    }

    async fn credentials_revoke(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        _handle: Option<&str>,
    ) -> Result<(), SystemError> {
        leases::revoke(&self.client, tenant, credential).await
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.client).await
    }
}
