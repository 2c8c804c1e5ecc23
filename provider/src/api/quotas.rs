//! Calls about quotas, and the plans they go back to.

use integraci_api::plans::Plan;
use integraci_api::quotas::{Quota, QuotaSet, QuotaUsage};
use integraci_api::{Page, TenantId};
use reqwest::Method;

use super::send::{Call, json, none_if_not_found};
use super::{Api, Error, Patience};

impl Api {
    /// The tenant's quota, if there is such a tenant.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn quota_read(&self, tenant: TenantId, patience: &Patience) -> Result<Option<Quota>, Error> {
        let call = Call::new(Method::GET, path(tenant));
        none_if_not_found(self.fetch(&call, "quota", patience).await)
    }

    /// Sets all of the tenant's limits, if the quota is still at `revision` where one is given.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn quota_set(
        &self,
        tenant: TenantId,
        wanted: &QuotaSet,
        revision: Option<i64>,
        patience: &Patience,
    ) -> Result<Quota, Error> {
        let call = Call::new(Method::PUT, path(tenant)).body(json(wanted)?).if_match(revision);
        match (self.fetch(&call, "quota", patience).await, revision) {
            (Err(error), Some(seen)) if error.is_outage() => {
                // It may have been done, and would not be done a second time: so it is looked up.
                match self.quota_read(tenant, patience).await? {
                    Some(quota) if quota.revision == seen + 1 && is_what(&quota, wanted) => Ok(quota),
                    _ => Err(error),
                }
            }
            (answer, _) => answer,
        }
    }

    /// Waits until the systems are brought to the limits; the quota as it is then.
    ///
    /// # Errors
    /// Those of [`Api::operation_wait`]; "not found" when the tenant is removed meanwhile.
    pub async fn quota_settled(&self, quota: Quota, patience: &Patience) -> Result<Quota, Error> {
        let tenant = quota.tenant_id;
        let read = async || self.fetch(&Call::new(Method::GET, path(tenant)), "quota", patience).await;
        self.settled(quota, |quota| quota.operation_id, read, patience).await
    }

    /// Goes back to the limits of the tenant's plan, and waits until the systems are brought to them; also
    /// when the tenant is gone.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn quota_reset(&self, tenant: TenantId, patience: &Patience) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, path(tenant));
        if none_if_not_found(self.send(&call, patience).await)?.is_none() {
            return Ok(());
        }
        let Some(quota) = self.quota_read(tenant, patience).await? else { return Ok(()) };
        none_if_not_found(self.quota_settled(quota, patience).await).map(drop)
    }

    /// How much of its quota the tenant uses, if there is such a tenant. The systems are asked.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn quota_usage(
        &self,
        tenant: TenantId,
        patience: &Patience,
    ) -> Result<Option<QuotaUsage>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/quota/usage"));
        none_if_not_found(self.fetch(&call, "use of a quota", patience).await)
    }

    /// The plans there are.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn plan_list(&self, patience: &Patience) -> Result<Vec<Plan>, Error> {
        let page: Page<Plan> =
            self.fetch(&Call::new(Method::GET, "plans"), "page of plans", patience).await?;
        Ok(page.items)
    }
}

fn path(tenant: TenantId) -> String {
    format!("tenants/{tenant}/quota")
}

/// Whether a quota is what was wanted.
fn is_what(quota: &Quota, wanted: &QuotaSet) -> bool {
    quota.limits == wanted.limits && quota.on_exceed == wanted.on_exceed
}
