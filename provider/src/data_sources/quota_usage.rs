//! `integraci_quota_usage`.

use std::collections::BTreeMap;

use integraci_api::TenantId;
use integraci_api::quotas::DimensionUsage;
use tfplugin::{Cx, DataSource, Diagnostic, Diagnostics, Schema, Text, Value};

use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};

/// How much of its quota a tenant uses. Reading it asks every system that the tenant has a place in: what one
/// of them does not tell is null, with the reason, and is no error.
#[derive(Schema)]
pub(crate) struct QuotaUsage {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Every dimension, by its name in `integraci_quota`.
    #[attribute(computed)]
    dimensions: Value<BTreeMap<String, Dimension>>,
}

/// How much of one dimension is used, in base units.
#[derive(Schema)]
pub(crate) struct Dimension {
    /// The limit in force.
    #[attribute(computed)]
    limit: Value<i64>,
    /// How much there is; null when it is not known.
    #[attribute(computed)]
    used: Value<i64>,
    /// How much is held for what is still being made.
    #[attribute(computed)]
    reserved: Value<i64>,
    /// What is left: 0 where there is more than the limit, null when it is not known.
    #[attribute(computed)]
    remaining: Value<i64>,
    /// The base unit: `ones`, `thousandths of a processor` or `bytes`.
    #[attribute(computed)]
    unit: Value<String>,
    /// Who refuses what is too much: `server`, or the name of a system.
    #[attribute(computed)]
    enforced_by: Value<String>,
    /// Why it is not known how much there is; null when it is.
    #[attribute(computed)]
    unknown: Value<String>,
}

impl DataSource for QuotaUsage {
    type Api = Connection;
    const NAME: &'static str = "integraci_quota_usage";

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let Some(tenant) = config.tenant_id.as_known().map(|id| id.0) else { return Ok(config) };
        let usage = api.quota_usage(tenant, &patience(cx)).await;
        let usage =
            usage.map_err(|error| diagnose(api, "Cannot read the use of the quota", error, NOWHERE))?;
        let usage = usage.ok_or_else(|| {
            Diagnostic::error("There is no such tenant")
                .detail(format!("No tenant that the token may see is {tenant}."))
                .at("tenant_id")
        })?;
        let dimensions = usage.dimensions.into_iter().map(|(name, usage)| (name, usage.into()));
        Ok(Self { dimensions: dimensions.collect::<BTreeMap<_, _>>().into(), ..config })
    }
}

impl From<DimensionUsage> for Dimension {
    fn from(usage: DimensionUsage) -> Self {
        Self {
            limit: usage.limit.into(),
            used: usage.used.into(),
            reserved: usage.reserved.into(),
            remaining: usage.remaining.into(),
            unit: usage.unit.into(),
            enforced_by: usage.enforced_by.into(),
            unknown: usage.unknown.into(),
        }
    }
}
