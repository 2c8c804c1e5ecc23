//! Calls about tenants.

use integraci_api::operations::Operation;
use integraci_api::tenants::{Tenant, TenantCreate, TenantFilter, TenantUpdate};
use integraci_api::{Page, TenantId, page};
use reqwest::Method;

use super::send::{Call, json, none_if_not_found};
use super::{Api, Error, IdempotencyKey, Patience};

impl Api {
    /// Asks for a tenant; its id is the operation's `tenant_id`.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing was accepted then, unless the answer was lost.
    pub async fn tenant_create(
        &self,
        wanted: &TenantCreate,
        key: &IdempotencyKey,
        patience: &Patience,
    ) -> Result<Operation, Error> {
        let call = Call::new(Method::POST, "tenants").body(json(wanted)?).key(key);
        self.fetch(&call, "operation", patience).await
    }

    /// The tenant, if there is one.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn tenant_read(&self, id: TenantId, patience: &Patience) -> Result<Option<Tenant>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{id}"));
        none_if_not_found(self.fetch(&call, "tenant", patience).await)
    }

    /// The tenant of a slug, if there is one.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn tenant_of_slug(&self, slug: &str, patience: &Patience) -> Result<Option<Tenant>, Error> {
        let filter = TenantFilter { slug: Some(slug.to_owned()), ..TenantFilter::default() };
        Ok(self.tenant_list(&filter, patience).await?.into_iter().find(|tenant| tenant.slug.as_str() == slug))
    }

    /// Every tenant that the filter lets through, oldest first.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn tenant_list(
        &self,
        filter: &TenantFilter,
        patience: &Patience,
    ) -> Result<Vec<Tenant>, Error> {
        let mut tenants = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let call = Call::new(Method::GET, "tenants")
                .query("limit", Some(page::MAX_LIMIT))
                .query("cursor", cursor.as_ref())
                .query("slug", filter.slug.as_ref())
                .query("plan", filter.plan.as_ref())
                .query("suspended", filter.suspended)
                .query("label", filter.label.as_ref());
            let page: Page<Tenant> = self.fetch(&call, "page of tenants", patience).await?;
            tenants.extend(page.items);
            match page.next_cursor {
                None => return Ok(tenants),
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(Error::NotUnderstood { what: "page of tenants" });
                }
                next => cursor = next,
            }
        }
    }

    /// Changes the tenant, if it is still at `revision` where one is given.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn tenant_update(
        &self,
        id: TenantId,
        change: &TenantUpdate,
        revision: Option<i64>,
        patience: &Patience,
    ) -> Result<Tenant, Error> {
        let call = Call::new(Method::PATCH, format!("tenants/{id}"))
            .body(json(change)?)
            .if_match(revision)
            .repeatable_if(revision.is_none());
        self.fetch(&call, "tenant", patience).await
    }

    /// Waits until the tenant's places are what a change of it asked for; the tenant as it is then.
    ///
    /// # Errors
    /// Those of [`Api::operation_wait`]; "not found" when it is removed meanwhile.
    pub async fn tenant_settled(&self, tenant: Tenant, patience: &Patience) -> Result<Tenant, Error> {
        let id = tenant.id;
        let read =
            async || self.fetch(&Call::new(Method::GET, format!("tenants/{id}")), "tenant", patience).await;
        self.settled(tenant, |tenant| tenant.operation_id, read, patience).await
    }

    /// Asks for the tenant to be removed; `None` when it is gone already.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn tenant_delete(&self, id: TenantId, patience: &Patience) -> Result<Option<Operation>, Error> {
        let call = Call::new(Method::DELETE, format!("tenants/{id}"));
        none_if_not_found(self.fetch(&call, "operation", patience).await)
    }
}
