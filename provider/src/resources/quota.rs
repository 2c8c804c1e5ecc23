//! `integraci_quota`.

use std::collections::BTreeMap;

use integraci_api::quotas::{QuotaSet, dimension, unknown_dimension};
use integraci_api::{ProblemCode, TenantId};
use tfplugin::{
    Cx, Diagnostic, Diagnostics, ImportBy, Imported, Path, Planned, Resource, Saved, Schema, Text, Value,
};

use super::tenant::no_id;
use crate::api::{Api, Error};
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose, sentence};
use crate::pointer::attribute_or_key;
use crate::views::tenant_named;

/// How much a tenant may have. There is one quota a tenant; what it does not limit is limited by the
/// tenant's plan. Destroying it goes back to the plan's limits.
///
/// The dimensions are: `connectors`, `secrets`, `api_tokens`, `api_requests_per_minute`,
/// `pipeline_runs_per_month`, `deploys_per_month`, `pods`, `cpu`, `memory`, `storage`, `nats_connections`,
/// `nats_stream_bytes`, `nats_payload_bytes` and `openbao_requests_per_second`.
#[derive(Schema, Clone, Default)]
pub(crate) struct Quota {
    /// The tenant. A change replaces the quota.
    #[attribute(required, replaces)]
    tenant_id: Value<Text<TenantId>>,
    /// Limits of this tenant's own, by dimension: `{ connectors = 20 }`.
    #[attribute(required)]
    limits: Value<Limits>,
    /// The limits in force, by dimension: these, and the plan's where there is none.
    #[attribute(computed)]
    effective: Value<Limits>,
}

/// Limits by dimension. A map, because Terraform would pass over a misspelt attribute of an object;
/// of texts, because there are dimensions that are no plain number (`16Gi`).
type Limits = BTreeMap<String, Value<String>>;

/// A quota is told from all others by its tenant.
#[derive(Schema)]
pub(crate) struct QuotaIdentity {
    /// The tenant.
    #[attribute(required_for_import)]
    tenant_id: Text<TenantId>,
}

impl Resource for Quota {
    type Api = Connection;
    type Identity = QuotaIdentity;
    const NAME: &'static str = "integraci_quota";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        for (name, limit) in config.limits.as_known().into_iter().flatten() {
            if let Err(error) = check(name, limit) {
                let at = Path::root("limits").key(name);
                diags.push(Diagnostic::error("Invalid limit").detail(sentence(&error)).at(at));
            }
        }
    }

    async fn create(
        cx: &Cx<Connection>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        saved.set(plan.into_inner().set(cx).await?);
        Ok(())
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let found = api.quota_read(state.tenant()?, &patience(cx)).await;
        let found = found.map_err(|error| diagnose(api, "Cannot read the quota", error, NOWHERE))?;
        Ok(found.map(|quota| Self {
            tenant_id: state.tenant_id,
            limits: observed(&quota.limits, state.limits.into_option()).into(),
            effective: observed(&quota.effective, None).into(),
        }))
    }

    async fn update(
        cx: &Cx<Connection>,
        _prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        saved.set(plan.into_inner().set(cx).await?);
        Ok(())
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let api = cx.api()?.api()?;
        let reset = api.quota_reset(state.tenant()?, &patience(cx)).await;
        reset.map_err(|error| diagnose(api, "Cannot go back to the plan's limits", error, NOWHERE))
    }

    async fn import(cx: &Cx<Connection>, by: ImportBy<QuotaIdentity>) -> Result<Vec<Imported>, Diagnostics> {
        let tenant = match by {
            ImportBy::Identity(identity) => identity.tenant_id.0,
            ImportBy::Id(text) => tenant_named(cx.api()?.api()?, text.trim(), &patience(cx)).await?,
        };
        Ok(vec![Imported::new(Self { tenant_id: Text(tenant).into(), ..Self::default() })])
    }

    fn identity(&self) -> Option<QuotaIdentity> {
        self.tenant_id.as_known().map(|tenant_id| QuotaIdentity { tenant_id: *tenant_id })
    }
}

impl Quota {
    fn tenant(&self) -> Result<TenantId, Diagnostics> {
        self.tenant_id.as_known().map(|id| id.0).ok_or_else(|| no_id("tenant"))
    }

    /// Puts the planned limits in force.
    async fn set(self, cx: &Cx<Connection>) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let quota = api
            .quota_set(self.tenant()?, &self.to_request(), &patience(cx))
            .await
            .map_err(|error| set_refused(api, error))?;
        Ok(Self { effective: observed(&quota.effective, None).into(), ..self })
    }

    fn to_request(&self) -> QuotaSet {
        let limits = self.limits.as_known().into_iter().flatten();
        let numbers = limits.filter_map(|(name, limit)| {
            Some((name.clone(), dimension(name)?.parse(limit.as_deref()?).ok()?))
        });
        QuotaSet { limits: numbers.collect(), on_exceed: None }
    }
}

/// Whether there is such a dimension, and the limit is written as the server writes it.
fn check(name: &str, limit: &Value<String>) -> Result<(), String> {
    let Some(dimension) = dimension(name) else { return Err(unknown_dimension()) };
    limit.as_deref().map_or(Ok(()), |text| dimension.parse(text).map(drop))
}

/// The limits that the server has. A dimension that the user sets to null has none there.
fn observed(numbers: &BTreeMap<String, i64>, before: Option<Limits>) -> Limits {
    let nulls = before.into_iter().flatten().filter(|(_, limit)| limit.is_null());
    let write = |name: &str, number: i64| {
        dimension(name).map_or_else(|| number.to_string(), |dimension| dimension.write(number))
    };
    let texts = numbers.iter().map(|(name, number)| (name.clone(), write(name, *number).into()));
    nulls.chain(texts).collect()
}

fn set_refused(api: &Api, error: Error) -> Diagnostics {
    const DOING: &str = "Cannot set the quota";
    if error.code() == Some(ProblemCode::NotFound) {
        return Diagnostic::error(format!("{DOING}: there is no such tenant"))
            .detail("No tenant that the token may see has this id.")
            .at("tenant_id")
            .into();
    }
    diagnose(api, DOING, error, &attribute_or_key)
}

#[cfg(test)]
mod tests {
    use integraci_api::quotas::DIMENSIONS;

    use super::*;

    #[test]
    fn limits_are_whole_numbers_of_known_dimensions() {
        let limit = |text: &str| Value::Known(text.to_owned());
        for good in [limit("0"), limit("20"), Value::Unknown, Value::Null] {
            assert!(check("connectors", &good).is_ok(), "{good:?}");
        }
        for bad in ["", "-1", "1.5", "020", "+1", "many", "9007199254740992"] {
            assert!(check("connectors", &limit(bad)).is_err(), "{bad}");
        }
        assert!(check("conectors", &limit("1")).unwrap_err().contains("connectors"));
    }

    #[test]
    fn the_description_names_every_dimension() {
        let schema = <Quota as tfplugin::AttributeSet>::schema();
        for dimension in DIMENSIONS {
            assert!(schema.description().contains(&format!("`{}`", dimension.name)), "{}", dimension.name);
        }
    }

    #[test]
    fn a_limit_set_to_null_stays_null() {
        let before: Limits = [("connectors".to_owned(), Value::Null)].into();
        assert_eq!(observed(&BTreeMap::new(), Some(before.clone())), before);
        let there = BTreeMap::from([("connectors".to_owned(), 7)]);
        assert_eq!(observed(&there, Some(before))["connectors"], Value::Known("7".to_owned()));
    }
}
