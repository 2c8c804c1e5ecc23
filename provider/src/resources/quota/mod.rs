//! `integraci_quota`.

mod limits;

use integraci_api::quotas::{OnExceed, QuotaSet};
use integraci_api::{ProblemCode, TenantId};
use tfplugin::{
    Cx, Diagnostic, Diagnostics, ImportBy, Imported, Path, Plan, Planned, Resource, Saved, Schema, Text,
    Timeouts, Value,
};

pub(crate) use self::limits::{Limits, written};
use self::limits::{amounts, check, observed};
use super::tenant::{REVISION, no_id, revision_seen};
use crate::api::Error;
use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose, sentence};
use crate::pointer::attribute_or_key;
use crate::preflight;
use crate::views::tenant_named;

/// How much a tenant may have. There is one quota a tenant; what it does not limit is limited by the
/// tenant's plan. An apply waits until the limits are in force in every system; destroying the quota goes
/// back to the plan's.
///
/// A limit is written in the units that people use: a number (`20`), processors (`8`, `0.5`, `500m`) or bytes
/// (`"2Gi"`, `"512Mi"`, `"10G"`). It stays as it is written and is compared by what it comes to: `"2048Mi"` where
/// `"2Gi"` is in force is no change.
///
/// The dimensions are: `connectors`, `secrets`, `api_tokens`, `api_requests_per_minute`,
/// `pipeline_runs_per_month`, `deploys_per_month`, `pods`, `cpu`, `memory`, `storage`, `nats_connections`,
/// `nats_stream_bytes`, `nats_payload_bytes` and `openbao_requests_per_second`. What a system counts that the
/// platform does not use is taken, and limits nothing.
#[derive(Schema, Clone, Default)]
pub(crate) struct Quota {
    /// The tenant. A change replaces the quota.
    #[attribute(required, replaces)]
    tenant_id: Value<Text<TenantId>>,
    /// Limits of this tenant's own, by dimension: `{ connectors = 20, memory = "16Gi" }`.
    #[attribute(required)]
    limits: Value<Limits>,
    /// What becomes of events past the limit of a month: `allow` counts them on, `refuse` does not take them.
    /// As the tenant's plan has it when absent.
    #[attribute(optional, validate = checks::on_exceed)]
    on_exceed: Value<String>,
    /// The limits in force, by dimension: these, and the plan's where there is none. Each is written in one
    /// way only, such as `2Gi`.
    #[attribute(computed)]
    effective: Value<Limits>,
    #[attribute(timeouts(create, update, delete))]
    timeouts: Timeouts,
}

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

    async fn plan(cx: &Cx<Connection>, plan: &mut Plan<Self>) -> Result<(), Diagnostics> {
        let before = plan.prior.as_ref().map(|prior| &prior.limits);
        preflight::limits(cx, &plan.planned.tenant_id, before, Some(&plan.planned.limits));
        let Some(prior) = &plan.prior else { return Ok(()) };
        if !plan.planned.sets_what(prior) {
            return Ok(());
        }
        // Core takes the limits as they are configured or as they were, and no mixture of the two.
        plan.planned.limits.clone_from(&prior.limits);
        plan.planned.effective.clone_from(&prior.effective);
        Ok(())
    }

    async fn plan_destroy(cx: &Cx<Connection>, prior: Self) -> Result<(), Diagnostics> {
        preflight::limits(cx, &prior.tenant_id, Some(&prior.limits), None);
        Ok(())
    }

    async fn create(
        cx: &Cx<Connection>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        let (api, patience, planned) = (cx.api()?.api()?, patience(cx), plan.into_inner());
        let found = api.quota_read(planned.tenant()?, &patience).await;
        let found = found.map_err(|error| diagnose(api, SETTING, error, NOWHERE))?;
        let found = found.ok_or_else(no_such_tenant)?;
        if !found.limits.is_empty() || found.on_exceed.is_some() {
            return Err(planned.set_already());
        }
        match planned.clone().set(cx, Some(found.revision), saved).await? {
            Set::Done => Ok(()),
            Set::Changed(_) => Err(planned.set_already()),
        }
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let found = api.quota_read(state.tenant()?, &patience(cx)).await;
        let found = found.map_err(|error| diagnose(api, "Cannot read the quota", error, NOWHERE))?;
        Ok(found.map(|quota| {
            cx.private_set(REVISION, quota.revision.to_string());
            Self {
                limits: observed(&quota.limits, &state.limits).into(),
                on_exceed: quota.on_exceed.map(|word| word.as_str().to_owned()).into(),
                effective: written(&quota.effective).into(),
                ..state
            }
        }))
    }

    async fn update(
        cx: &Cx<Connection>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        let planned = plan.into_inner();
        if planned.sets_what(&prior) {
            saved.set(planned);
            return Ok(());
        }
        match planned.set(cx, revision_seen(cx), saved).await? {
            Set::Done => Ok(()),
            Set::Changed(error) => Err(diagnose(cx.api()?.api()?, SETTING, error, NOWHERE)),
        }
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let reset = api.quota_reset(state.tenant()?, &patience).await;
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

    /// Whether it sets what another does.
    fn sets_what(&self, other: &Self) -> bool {
        self.tenant_id == other.tenant_id
            && self.on_exceed == other.on_exceed
            && amounts(&self.limits).is_some_and(|own| Some(own) == amounts(&other.limits))
    }

    /// Puts the planned limits in force, if the quota is still at `revision` where one is given.
    async fn set(
        self,
        cx: &Cx<Connection>,
        revision: Option<i64>,
        saved: &mut Saved<Self>,
    ) -> Result<Set, Diagnostics> {
        let (api, patience, tenant, wanted) =
            (cx.api()?.api()?, patience(cx), self.tenant()?, self.to_request());
        let put = api.once_free(&patience, || api.quota_set(tenant, &wanted, revision, &patience)).await;
        let quota = match put {
            Ok(quota) => quota,
            Err(error) if error.code() == Some(ProblemCode::PreconditionFailed) => {
                return Ok(Set::Changed(error));
            }
            Err(error) if error.code() == Some(ProblemCode::NotFound) => return Err(no_such_tenant()),
            Err(error) => return Err(diagnose(api, SETTING, error, &attribute_or_key)),
        };
        cx.private_set(REVISION, quota.revision.to_string());
        saved.set(Self { effective: written(&quota.effective).into(), ..self });
        let told = |error| diagnose(api, "Cannot bring the systems to the quota", error, NOWHERE);
        api.quota_settled(quota, &patience).await.map(|_| Set::Done).map_err(told)
    }

    fn to_request(&self) -> QuotaSet {
        QuotaSet {
            limits: amounts(&self.limits).unwrap_or_default(),
            on_exceed: self.on_exceed.as_deref().and_then(OnExceed::from_word),
        }
    }

    /// How to take over the quota that is in the way.
    fn set_already(&self) -> Diagnostics {
        let tenant = self.tenant_id.as_known().map(ToString::to_string).unwrap_or_default();
        Diagnostic::error(format!("{SETTING}: the tenant has one already"))
            .detail(format!(
                "Limits are set for the tenant {tenant} already, by another resource \"integraci_quota\" or outside of \
                 Terraform, and there is one quota a tenant. To manage that one here, import it:\n\n  \
                 import {{\n    to = integraci_quota.acme\n    id = \"{tenant}\"\n  }}\n\nor on the command line:\n\n  \
                 terraform import integraci_quota.acme {tenant}\n\nwith the name that your resource has. Where \
                 another resource sets it, put all limits into that one instead."
            ))
            .at("tenant_id")
            .into()
    }
}

const SETTING: &str = "Cannot set the quota";

/// What became of a change.
enum Set {
    /// It is in force.
    Done,
    /// Nothing: the quota is not what it was.
    Changed(Error),
}

fn no_such_tenant() -> Diagnostics {
    Diagnostic::error(format!("{SETTING}: there is no such tenant"))
        .detail("No tenant that the token may see has this id.")
        .at("tenant_id")
        .into()
}

#[cfg(test)]
mod tests {
    use integraci_api::quotas::DIMENSIONS;

    use super::*;

    #[test]
    fn the_description_names_every_dimension() {
        let schema = <Quota as tfplugin::AttributeSet>::schema();
        for dimension in DIMENSIONS {
            assert!(schema.description().contains(&format!("`{}`", dimension.name)), "{}", dimension.name);
        }
    }

    #[test]
    fn quotas_are_the_same_by_what_they_set() {
        let quota = |memory: &str, on_exceed: Option<&str>| Quota {
            limits: Limits::from([("memory".to_owned(), memory.to_owned().into())]).into(),
            on_exceed: on_exceed.map(ToOwned::to_owned).into(),
            ..Quota::default()
        };
        assert!(quota("2Gi", None).sets_what(&quota("2048Mi", None)));
        assert!(!quota("2Gi", None).sets_what(&quota("2G", None)));
        assert!(!quota("2Gi", None).sets_what(&quota("2Gi", Some("allow"))));
        let unknown = Quota { limits: Value::Unknown, ..quota("2Gi", None) };
        assert!(!unknown.sets_what(&unknown));
    }
}
