//! Calls about quotas.

use integraci_api::TenantId;
use integraci_api::quotas::{Quota, QuotaSet};
use reqwest::Method;

use super::send::{Call, json, none_if_not_found};
use super::{Api, Error, Patience};

impl Api {
    /// The tenant's quota, if there is such a tenant.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn quota_read(&self, tenant: TenantId, patience: &Patience) -> Result<Option<Quota>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/quota"));
        none_if_not_found(self.fetch(&call, "quota", patience).await)
    }

    /// Sets all of the tenant's limits.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn quota_set(
        &self,
        tenant: TenantId,
        limits: &QuotaSet,
        patience: &Patience,
    ) -> Result<Quota, Error> {
        let call = Call::new(Method::PUT, format!("tenants/{tenant}/quota")).body(json(limits)?);
        self.fetch(&call, "quota", patience).await
    }

    /// Goes back to the limits of the tenant's plan; also when the tenant is gone.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn quota_reset(&self, tenant: TenantId, patience: &Patience) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, format!("tenants/{tenant}/quota"));
        none_if_not_found(self.send(&call, patience).await).map(drop)
    }
}
