//! `integraci_tenants`, the data source.

use std::collections::BTreeMap;

use integraci_api::TenantId;
use integraci_api::tenants::{self, TenantFilter};
use tfplugin::{Cx, DataSource, Diagnostics, Schema, Text, Value};

use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::{Names, labels, time};

/// All tenants that the token may see, oldest first, or those that every given filter lets through.
#[derive(Schema)]
pub(crate) struct Tenants {
    /// Only tenants of this plan.
    #[attribute(optional, validate = checks::plan)]
    plan: Value<String>,
    /// Only suspended tenants (`true`), or only others (`false`).
    #[attribute(optional)]
    suspended: Value<bool>,
    /// Only tenants with this label, as `key=value`.
    #[attribute(optional, validate = checks::label_filter)]
    label: Value<String>,
    /// The tenants.
    #[attribute(computed)]
    tenants: Value<Vec<Listed>>,
}

/// One of the tenants.
#[derive(Schema)]
pub(crate) struct Listed {
    /// Stable identifier, `ten_…`.
    #[attribute(computed)]
    id: Value<Text<TenantId>>,
    /// Its slug.
    #[attribute(computed)]
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
    /// When it was asked for (RFC 3339).
    #[attribute(computed)]
    created_at: Value<String>,
}

impl DataSource for Tenants {
    type Api = Connection;
    const NAME: &'static str = "integraci_tenants";

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let filter = TenantFilter {
            slug: None,
            plan: config.plan.as_known().cloned(),
            suspended: config.suspended.as_known().copied(),
            label: config.label.as_known().cloned(),
        };
        let tenants = api
            .tenant_list(&filter, &patience(cx))
            .await
            .map_err(|error| diagnose(api, "Cannot list the tenants", error, NOWHERE))?;
        let tenants: Vec<Listed> = tenants.into_iter().map(Listed::from).collect();
        Ok(Self { tenants: tenants.into(), ..config })
    }
}

impl From<tenants::Tenant> for Listed {
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
            created_at: time(tenant.created_at),
        }
    }
}
