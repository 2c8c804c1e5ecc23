//! Keycloak: a realm for each tenant.
//!
//! | what | where |
//! |---|---|
//! | realm | `tenant-<slug>`, made whole in one request, marked as ours in its attributes |
//! | roles | `owner`, `admin`, `member`, `viewer` |
//! | the tenant's API | client `tenant-<slug>-api`: what the realm's tokens are for |
//! | what the tenant runs | client `workload`, with a service account |
//! | who manages it | client `integraci-management`, with the role `realm-admin` in its own realm |
//!
//! The platform's own client lives in the realm `master` and holds `create-realm` alone. A realm is
//! made by it, and managed by the realm's own management client, whose secret is made here and kept in
//! OpenBao before the realm is made.
//!
//! A realm is ours if its management client takes the secret that is kept for it, or if its mark is the
//! one that only this installation can make (an HMAC of its name by a key in OpenBao), or if it names
//! the tenant by its id. The last is how installations that share a Keycloak and a client in it share
//! the one canary; of the realm of another that happens to have the same name it is never true.
//!
//! Facts (seen with Keycloak 26.7.3):
//! - Whoever creates a realm gets every right in it (the roles of the client `<realm>-realm` in
//!   `master`). So the platform's client can read, open and delete the realms that it made, and those
//!   alone; this is the way in where the management client has none: it cannot log in to a disabled
//!   realm, nor to one where somebody changed it.
//! - Those rights are in the creator's tokens, some hundred bytes a realm, and a token from before a
//!   realm was made does not have them. Both are avoided by lightweight tokens, whose roles are looked
//!   up at each call; `setup` makes the client so.
//! - A client without rights in a realm that exists is answered 200 with little more than its name, and
//!   404 if there is none.
//! - A disabled realm refuses logins and introspection, and goes on taking tokens at its userinfo
//!   endpoint and its admin API. So its `notBefore` is set past every token, too. Put back, the tokens
//!   that have not run out work again.
//! - Making a realm walks through all the creator's roles; a realm that is deleted meanwhile can make
//!   that fail with 500, and then nothing is made.
//! - Introspection tells a client about tokens whose audience it is, and says of others that they are
//!   not active.
//! - Changing a client replaces its mappers by those given, and leaves its scopes as they are; a
//!   service account brings the scope `service_account` with it.

mod attest;
mod check;
mod client;
mod clients;
mod credentials;
mod drift;
mod mend;
mod place;
mod representation;
pub mod setup;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use tokio::sync::OnceCell;
use url::Url;

pub use self::client::Client;
use super::openbao::TenantKeys;
use super::{Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Wanted};
use crate::source::Source;

/// How to reach one Keycloak. Its `Debug` does not show the secret.
#[derive(Debug, Clone)]
pub struct KeycloakConfig {
    /// Its address, such as `https://keycloak.example`.
    pub url: Url,
    /// The platform's client in the realm `master`: it may create realms and nothing else. Each
    /// installation has one of its own.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretText,
    /// A PEM file with the certificate authorities to trust instead of the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// The tenants' realms in one Keycloak.
pub struct Keycloak {
    client: Client,
    keys: TenantKeys,
    source: Source,
    marking_key: OnceCell<SecretText>,
}

impl Keycloak {
    /// The tenants' realms in the Keycloak that the client talks to; the keys to them are kept in
    /// OpenBao.
    #[must_use]
    pub fn new(client: Client, keys: TenantKeys, source: Source) -> Self {
        Self { client, keys, source, marking_key: OnceCell::new() }
    }

    /// A secret that nobody knows yet: 256 random bits.
    fn fresh_secret(&self) -> SecretText {
        SecretText::new(hex::encode(self.source.bytes()))
    }
}

#[async_trait]
impl Isolation for Keycloak {
    fn system(&self) -> System {
        System::Keycloak
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        self.place_ensure(wanted).await
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        let tenant = &wanted.names;
        self.place_remove(tenant).await
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        let tenant = &wanted.names;
        self.place_remains(tenant).await
    }

    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        self.place_drift(wanted).await
    }

    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        self.isolation_attest(own, canary).await
    }

    async fn credentials_issue(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError> {
        self.lease_make(tenant, credential, ttl).await
    }

    async fn credentials_renew(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        _handle: Option<&str>,
        ttl: Duration,
    ) -> Result<(), SystemError> {
        self.lease_prolong(tenant, credential, ttl).await
    }

    async fn credentials_revoke(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        _handle: Option<&str>,
    ) -> Result<(), SystemError> {
        self.lease_end(tenant, credential).await
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.client).await
    }
}

const fn error(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::Keycloak, operation, class, reason, status: None }
}
