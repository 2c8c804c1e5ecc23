//! What the tenant resource and the tenant data sources have in common.

mod connector;
mod isolation;
pub(crate) mod kinds;

use std::collections::BTreeMap;

use integraci_api::tenants::TenantNames;
use integraci_api::{Slug, TenantId};
use tfplugin::{Diagnostic, Diagnostics, Schema, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::{Api, Patience};
use crate::diagnose::{NOWHERE, diagnose};

pub(crate) use connector::{ConnectorFacts, moment};
pub(crate) use isolation::Isolation;

/// What the tenant is called in each system.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// OpenBao namespace, below the platform's own.
    #[attribute(computed)]
    openbao_namespace: Value<String>,
    /// Keycloak realm.
    #[attribute(computed)]
    keycloak_realm: Value<String>,
    /// NATS account.
    #[attribute(computed)]
    nats_account: Value<String>,
    /// NATS subject prefix, without the trailing `.>`.
    #[attribute(computed)]
    nats_subject_prefix: Value<String>,
    /// Kubernetes namespace.
    #[attribute(computed)]
    kubernetes_namespace: Value<String>,
}

impl From<TenantNames> for Names {
    fn from(names: TenantNames) -> Self {
        Self {
            openbao_namespace: names.openbao_namespace.into(),
            keycloak_realm: names.keycloak_realm.into(),
            nats_account: names.nats_account.into(),
            nats_subject_prefix: names.nats_subject_prefix.into(),
            kubernetes_namespace: names.kubernetes_namespace.into(),
        }
    }
}

/// A time as RFC 3339.
pub(crate) fn time(at: OffsetDateTime) -> Value<String> {
    at.format(&Rfc3339).ok().into()
}

/// A map of labels in which every value is there.
pub(crate) fn labels(labels: BTreeMap<String, String>) -> BTreeMap<String, Value<String>> {
    labels.into_iter().map(|(key, value)| (key, Value::Known(value))).collect()
}

/// The tenant that a user has named by its id or its slug.
pub(crate) async fn tenant_named(
    api: &Api,
    text: &str,
    patience: &Patience,
) -> Result<TenantId, Diagnostics> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if text.parse::<Slug>().is_err() {
        return Err(Diagnostic::error("This names no tenant")
            .detail("Expected the id of a tenant (`ten_…`) or its slug, such as acme.")
            .into());
    }
    let found = api.tenant_of_slug(text, patience).await;
    match found.map_err(|error| diagnose(api, "Cannot look the tenant up", error, NOWHERE))? {
        Some(tenant) => Ok(tenant.id),
        None => Err(Diagnostic::error("There is no such tenant")
            .detail(format!("No tenant that the token may see has the slug {text}."))
            .into()),
    }
}
