//! `integraci_tenant`, the data source.

use std::collections::BTreeMap;

use integraci_api::{TenantId, tenants};
use tfplugin::{Cx, DataSource, Diagnostic, Diagnostics, Schema, Text, Value};

use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::{Isolation, Names, labels, time};

/// A tenant that exists, by its id or its slug.
#[derive(Schema)]
pub(crate) struct Tenant {
    /// Stable identifier, `ten_…`. Set this or `slug`.
    #[attribute(optional, computed)]
    id: Value<Text<TenantId>>,
    /// Its slug. Set this or `id`.
    #[attribute(optional, computed, validate = checks::slug)]
    slug: Value<String>,
    /// Name for people.
    #[attribute(computed)]
    name: Value<String>,
    /// Name of the plan.
    #[attribute(computed)]
    plan: Value<String>,
    /// Email address of whoever answers for the tenant.
    #[attribute(computed)]
    owner_email: Value<String>,
    /// Free labels.
    #[attribute(computed)]
    labels: Value<BTreeMap<String, Value<String>>>,
    /// Whether deleting it is refused.
    #[attribute(computed)]
    delete_protection: Value<bool>,
    /// Whether it is suspended.
    #[attribute(computed)]
    suspended: Value<bool>,
    /// Where it is in its life: `creating`, `active` or `deleting`.
    #[attribute(computed)]
    status: Value<String>,
    /// What the tenant is called in each system.
    #[attribute(computed)]
    names: Value<Names>,
    /// The tenant's place in each system, and how it is.
    #[attribute(computed)]
    isolation: Value<Isolation>,
    /// When it was asked for (RFC 3339).
    #[attribute(computed)]
    created_at: Value<String>,
}

impl DataSource for Tenant {
    type Api = Connection;
    const NAME: &'static str = "integraci_tenant";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        if config.id.is_null() && config.slug.is_null() {
            diags.push(
                Diagnostic::error("Which tenant is not said")
                    .detail("Set `id` or `slug` of the data source."),
            );
        }
        if config.id.is_known() && config.slug.is_known() {
            diags.push(
                Diagnostic::error("The tenant is named twice")
                    .detail("Set `id` or `slug` of the data source, not both.")
                    .at("slug"),
            );
        }
    }

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let (found, asked, at) = match (config.id.as_known(), config.slug.as_known()) {
            (Some(id), _) => (api.tenant_read(id.0, &patience).await, id.to_string(), "id"),
            (None, slug) => {
                let slug = slug.cloned().unwrap_or_default();
                (api.tenant_of_slug(&slug, &patience).await, slug, "slug")
            }
        };
        match found.map_err(|error| diagnose(api, "Cannot read the tenant", error, NOWHERE))? {
            Some(tenant) => Ok(tenant.into()),
            None => Err(Diagnostic::error("There is no such tenant")
                .detail(format!("No tenant that the token may see is {asked}."))
                .at(at)
                .into()),
        }
    }
}

impl From<tenants::Tenant> for Tenant {
    fn from(tenant: tenants::Tenant) -> Self {
        Self {
            id: Text(tenant.id).into(),
            slug: tenant.slug.to_string().into(),
            name: tenant.name.into(),
            plan: tenant.plan.into(),
            owner_email: tenant.owner_email.into(),
            labels: labels(tenant.labels).into(),
            delete_protection: tenant.delete_protection.into(),
            suspended: tenant.suspended.into(),
            status: tenant.status.as_str().to_owned().into(),
            names: Names::from(tenant.names).into(),
            isolation: Isolation::from(tenant.isolation).into(),
            created_at: time(tenant.created_at),
        }
    }
}
