//! Short-lived credentials: a client of the realm for as long as a lease lasts.
//!
//! Fact (Keycloak 26.7.3): a client's secret has no end of its own. The lease ends when the platform
//! deletes the client, at its end at the latest; a client whose lease is over and that is still there
//! is drift, and `ensure` deletes it. Its tokens are refused by the realm's endpoints from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::try_join;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};

use super::client::{By, Call, Client};
use super::clients::{ClientRep, LEASE, Secretive};
use super::place::Found;
use super::{ErrorClass, Issued, Keycloak, System, SystemError, Wanted, error};

/// The client of a lease: its name has the lease's id, and so has Keycloak's own id of it.
fn client_id(credential: CredentialId) -> String {
    format!("{LEASE}{}", credential.uuid().simple())
}

impl Keycloak {
    pub(super) async fn lease_make(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError> {
        const OPERATION: &str = "lease_create";
        if tenant.suspended {
            return Err(error(OPERATION, ErrorClass::Refused, "the tenant is suspended"));
        }
        let realm = &tenant.names.keycloak_realm;
        let by = self.manager(OPERATION, tenant).await?;
        let secret = self.fresh_secret();
        let client = self.lease(realm, credential, ttl);
        let body = Secretive { client: &client, secret: Some(&secret) };
        let path = format!("/admin/realms/{realm}/clients");
        match self.client.done(Call::post(OPERATION, &path, &by).json(&body)).await {
            Ok(_) => {}
            // Made before, by a call that was not answered: nobody knows that secret.
            Err(there) if there.status == Some(409) => {
                let path = format!("{path}/{}", credential.uuid());
                self.client.done(Call::put(OPERATION, &path, &by).json(&body)).await?;
            }
            Err(failed) => return Err(failed),
        }
        let base = self.client.issuer_base().await?;
        Ok(Issued {
            handle: None,
            fields: BTreeMap::from([
                ("issuer_url", format!("{base}/realms/{realm}")),
                ("token_url", format!("{base}{}", Client::oidc(realm, "token"))),
                ("client_id", client.client_id),
            ]),
            secrets: BTreeMap::from([("client_secret", SecretText::clone(&secret))]),
        })
    }

    pub(super) async fn lease_prolong(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<(), SystemError> {
        const OPERATION: &str = "lease_renew";
        let realm = &tenant.keycloak_realm;
        let Some(by) = self.manager_if_any(tenant).await? else {
            return Err(error(OPERATION, ErrorClass::Gone, "the tenant has no realm"));
        };
        let client = self.lease(realm, credential, ttl);
        let path = format!("/admin/realms/{realm}/clients/{}", credential.uuid());
        self.client.done(Call::put(OPERATION, &path, &by).json(&client)).await.map(drop)
    }

    pub(super) async fn lease_end(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
    ) -> Result<(), SystemError> {
        let Some(by) = self.manager_if_any(tenant).await? else { return Ok(()) };
        let path = format!("/admin/realms/{}/clients/{}", tenant.keycloak_realm, credential.uuid());
        self.client.remove(Call::delete("lease_delete", &path, &by)).await
    }

    /// Who may manage the realm; `None` where there is none of ours.
    async fn manager_if_any(&self, tenant: &TenantNames) -> Result<Option<By>, SystemError> {
        let (key, mark) = try_join!(self.keys.get(System::Keycloak, tenant), self.mark(tenant))?;
        match self.find(tenant, None, key.as_ref(), &mark).await? {
            Found::Ours(by) => Ok(Some(by)),
            Found::Nothing | Found::Theirs => Ok(None),
        }
    }

    fn lease(&self, realm: &str, credential: CredentialId, ttl: Duration) -> ClientRep {
        let ends_at = (self.source.now() + ttl).unix_timestamp();
        let mut client = ClientRep::lease(realm, client_id(credential), ends_at);
        client.id = Some(credential.uuid().to_string());
        client
    }
}
