//! Calls about credentials.

use integraci_api::credentials::{Credential, CredentialCreate, CredentialIssued, Lender};
use integraci_api::isolation::System;
use integraci_api::{CredentialId, ProblemCode, TenantId};
use reqwest::Method;

use super::send::{Call, json, none_if_not_found};
use super::{Api, Error, IdempotencyKey, Patience};

/// Where a tenant's credentials for a system are.
fn path(tenant: TenantId, lender: Lender) -> String {
    format!("tenants/{tenant}/credentials/{}", System::from(lender).as_str())
}

impl Api {
    /// Takes credentials for the tenant's place in a system.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn credential_issue(
        &self,
        tenant: TenantId,
        lender: Lender,
        asked: &CredentialCreate,
        patience: &Patience,
    ) -> Result<CredentialIssued, Error> {
        let issue = async || {
            let call = Call::new(Method::POST, path(tenant, lender))
                .body(json(asked)?)
                .key(&IdempotencyKey::fresh());
            self.fetch(&call, "credential", patience).await
        };
        match issue().await {
            Err(Error::Problem(problem)) if problem.code == ProblemCode::IdempotencyKeyReused => {
                // The answer to an earlier attempt was lost, and the secrets with it.
                if let Some(lost) = problem.existing_id.as_deref().and_then(|id| id.parse().ok()) {
                    self.credential_revoke(tenant, lender, lost, patience).await?;
                }
                issue().await
            }
            answer => answer,
        }
    }

    /// Gives credentials more time.
    ///
    /// # Errors
    /// Any of [`Error`]; "not found" once they have run out.
    pub async fn credential_renew(
        &self,
        tenant: TenantId,
        lender: Lender,
        id: CredentialId,
        asked: &CredentialCreate,
        patience: &Patience,
    ) -> Result<Credential, Error> {
        let call = Call::new(Method::POST, format!("{}/{id}/renewals", path(tenant, lender)))
            .body(json(asked)?)
            .repeatable_if(true);
        self.fetch(&call, "credential", patience).await
    }

    /// Gives credentials back; also when they are gone already.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn credential_revoke(
        &self,
        tenant: TenantId,
        lender: Lender,
        id: CredentialId,
        patience: &Patience,
    ) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, format!("{}/{id}", path(tenant, lender)));
        none_if_not_found(self.send(&call, patience).await).map(drop)
    }
}
