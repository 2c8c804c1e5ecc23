//! `integraci_tenant`.

use std::collections::BTreeMap;

use integraci_api::tenants::{self, TenantCreate, TenantUpdate};
use integraci_api::{ProblemCode, TenantId};
use tfplugin::{
    Cx, Diagnostic, Diagnostics, ImportBy, Imported, Path, Plan, Planned, Resource, Saved, Schema, Text,
    Timeouts, Value,
};

use super::delete_wholly;
use crate::api::{Api, Error, IdempotencyKey};
use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose, sentence};
use crate::pointer::attribute_or_key;
use crate::preflight;
use crate::views::{Isolation, Names, labels, tenant_named, time};

/// A tenant: its own place in each system of the platform, under names that come from its slug.
///
/// Creating and deleting one takes the platform some seconds; an apply waits for it. A tenant is
/// protected from deletion until `delete_protection` is set to `false` and applied. Once deleted, its
/// slug is never given out again.
#[derive(Schema, Clone, Default)]
pub(crate) struct Tenant {
    /// Stable identifier, `ten_…`.
    #[attribute(computed, keeps_prior)]
    id: Value<Text<TenantId>>,
    /// DNS label that the names in every system come from: 2 to 40 lower-case letters, digits and
    /// single hyphens, beginning with a letter. It never changes, and is never given out again: a
    /// change replaces the tenant and all it has.
    #[attribute(required, replaces, validate = checks::slug)]
    slug: Value<String>,
    /// Name for people.
    #[attribute(required, validate = checks::tenant_name)]
    name: Value<String>,
    /// Name of the plan, which sets the limits that `integraci_quota` does not.
    #[attribute(required, validate = checks::plan)]
    plan: Value<String>,
    /// Email address of whoever answers for the tenant.
    #[attribute(required, validate = checks::email)]
    owner_email: Value<String>,
    /// Free labels, at most 32.
    #[attribute(optional)]
    labels: Value<BTreeMap<String, Value<String>>>,
    /// While `true`, deleting the tenant is refused, by the provider when it plans and by the
    /// platform itself. `true` when absent.
    #[attribute(optional, computed, default = true)]
    delete_protection: Value<bool>,
    /// A suspended tenant keeps everything and may change nothing. `false` when absent.
    #[attribute(optional, computed, default = false)]
    suspended: Value<bool>,
    /// What the tenant is called in each system.
    #[attribute(computed, keeps_prior)]
    names: Value<Names>,
    /// The tenant's place in each system, and how it is. Known from the plan on, but for a tenant that is
    /// made, suspended or resumed; a refresh brings it up to date.
    #[attribute(computed, keeps_prior)]
    isolation: Value<Isolation>,
    /// When it was asked for (RFC 3339).
    #[attribute(computed, keeps_prior)]
    created_at: Value<String>,
    #[attribute(timeouts(create, update, delete))]
    timeouts: Timeouts,
}

/// A tenant is told from all others by its id.
#[derive(Schema)]
pub(crate) struct TenantIdentity {
    /// Stable identifier, `ten_…`.
    #[attribute(required_for_import)]
    id: Text<TenantId>,
}

/// Under which the revision that was last seen is kept beside the state, for `If-Match`.
pub(super) const REVISION: &str = "revision";

impl Resource for Tenant {
    type Api = Connection;
    type Identity = TenantIdentity;
    const NAME: &'static str = "integraci_tenant";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        let Some(labels) = config.labels.as_known() else { return };
        if labels.len() > tenants::LABELS_MAX {
            let most = tenants::LABELS_MAX;
            diags.push(
                Diagnostic::error("Too many labels")
                    .detail(format!("A tenant has at most {most} labels."))
                    .at("labels"),
            );
        }
        for (key, value) in labels {
            let at = Path::root("labels").key(key);
            match value {
                Value::Unknown => {}
                Value::Null => diags.push(
                    Diagnostic::error("Invalid label")
                        .detail("A label has a value, which may be empty.")
                        .at(at),
                ),
                Value::Known(value) => {
                    if let Err(error) = tenants::label_check(key, value) {
                        diags.push(Diagnostic::error("Invalid label").detail(sentence(&error)).at(at));
                    }
                }
            }
        }
    }

    async fn plan(cx: &Cx<Connection>, plan: &mut Plan<Self>) -> Result<(), Diagnostics> {
        let Some(prior) = &plan.prior else { return Ok(()) };
        if prior.plan != plan.planned.plan {
            preflight::plan_changes(cx, &prior.id);
        }
        let moves = prior.slug.is_known() && plan.planned.slug.is_known() && prior.slug != plan.planned.slug;
        if moves && prior.is_protected() {
            return Err(prior
                .protected("Changing the slug replaces the tenant, which is protected")
                .at("slug")
                .into());
        }
        if prior.suspended != plan.planned.suspended {
            plan.planned.isolation = Value::Unknown;
        }
        Ok(())
    }

    async fn plan_destroy(_cx: &Cx<Connection>, prior: Self) -> Result<(), Diagnostics> {
        if prior.is_protected() {
            return Err(prior.protected("The tenant is protected from deletion").into());
        }
        Ok(())
    }

    async fn create(
        cx: &Cx<Connection>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        const DOING: &str = "Cannot create the tenant";
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let planned = plan.into_inner();
        let accepted = api
            .tenant_create(&planned.to_create(), &IdempotencyKey::fresh(), &patience)
            .await
            .map_err(|error| planned.create_refused(api, error))?;
        let id = accepted.tenant_id;
        saved.set(Self { id: Text(id).into(), delete_protection: false.into(), ..planned.clone() });
        let told = |error| diagnose(api, DOING, error, &attribute_or_key);
        api.operation_wait(accepted, &patience).await.map_err(told)?;
        let tenant = api.tenant_update(id, &planned.to_finish(), None, &patience).await.map_err(told)?;
        cx.private_set(REVISION, tenant.revision.to_string());
        saved.set(planned.clone().completed(tenant.clone()));
        if planned.suspended.as_known() == Some(&true) {
            saved.set(planned.completed(api.tenant_settled(tenant, &patience).await.map_err(told)?));
        }
        Ok(())
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let read = api.tenant_read(state.id()?, &patience(cx)).await;
        let found = read.map_err(|error| diagnose(api, "Cannot read the tenant", error, NOWHERE))?;
        Ok(found.map(|tenant| {
            cx.private_set(REVISION, tenant.revision.to_string());
            state.observed(tenant)
        }))
    }

    async fn update(
        cx: &Cx<Connection>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        let planned = plan.into_inner();
        let change = planned.to_update(&prior);
        if change == TenantUpdate::default() {
            saved.set(planned);
            return Ok(());
        }
        let (api, patience, id, seen) = (cx.api()?.api()?, patience(cx), prior.id()?, revision_seen(cx));
        let told = |error| diagnose(api, "Cannot change the tenant", error, &attribute_or_key);
        let tenant = api
            .once_free(&patience, || api.tenant_update(id, &change, seen, &patience))
            .await
            .map_err(told)?;
        cx.private_set(REVISION, tenant.revision.to_string());
        saved.set(planned.clone().completed(tenant.clone()));
        if change.suspended.is_some() || change.plan.is_some() {
            saved.set(planned.completed(api.tenant_settled(tenant, &patience).await.map_err(told)?));
        }
        Ok(())
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let (api, patience, id) = (cx.api()?.api()?, patience(cx), state.id()?);
        delete_wholly(api, &patience, || api.tenant_delete(id, &patience)).await.map_err(|error| {
            if error.code() == Some(ProblemCode::DeleteProtected) {
                state.protected("The tenant is protected from deletion").into()
            } else {
                diagnose(api, "Cannot delete the tenant", error, NOWHERE)
            }
        })
    }

    async fn import(cx: &Cx<Connection>, by: ImportBy<TenantIdentity>) -> Result<Vec<Imported>, Diagnostics> {
        let id = match by {
            ImportBy::Identity(identity) => identity.id.0,
            ImportBy::Id(text) => tenant_named(cx.api()?.api()?, text.trim(), &patience(cx)).await?,
        };
        Ok(vec![Imported::new(Self { id: Text(id).into(), ..Self::default() })])
    }

    fn identity(&self) -> Option<TenantIdentity> {
        self.id.as_known().map(|id| TenantIdentity { id: *id })
    }
}

impl Tenant {
    fn id(&self) -> Result<TenantId, Diagnostics> {
        self.id.as_known().map(|id| id.0).ok_or_else(|| no_id("tenant"))
    }

    fn is_protected(&self) -> bool {
        self.delete_protection.as_known() == Some(&true)
    }

    /// How to turn the protection off.
    fn protected(&self, summary: &str) -> Diagnostic {
        let slug = self.slug.as_deref().unwrap_or("…");
        Diagnostic::error(summary).detail(format!(
            "Deleting the tenant {slug} removes all it has, for good. If that is meant: set\n\n  \
             delete_protection = false\n\nin its resource \"integraci_tenant\", apply that, and then delete it. \
             (Where the block is gone from the configuration already, put it back for that.)"
        ))
    }

    /// The request, without what only counts for a tenant that is finished: if an apply ends before
    /// that is seen, the next one must be able to remove what was made.
    fn to_create(&self) -> TenantCreate {
        TenantCreate {
            slug: text(&self.slug),
            name: text(&self.name),
            plan: text(&self.plan),
            owner_email: text(&self.owner_email),
            labels: self.to_labels(),
            delete_protection: false,
        }
    }

    /// What [`Self::to_create`] leaves out.
    fn to_finish(&self) -> TenantUpdate {
        TenantUpdate {
            delete_protection: self.delete_protection.as_known().copied(),
            suspended: self.suspended.as_known().copied().filter(|suspended| *suspended),
            ..TenantUpdate::default()
        }
    }

    fn to_update(&self, prior: &Self) -> TenantUpdate {
        let changed = |new: &Value<String>, old: &Value<String>| {
            (new != old).then(|| new.as_known().cloned()).flatten()
        };
        let flipped =
            |new: &Value<bool>, old: &Value<bool>| (new != old).then(|| new.as_known().copied()).flatten();
        TenantUpdate {
            name: changed(&self.name, &prior.name),
            plan: changed(&self.plan, &prior.plan),
            owner_email: changed(&self.owner_email, &prior.owner_email),
            labels: (self.to_labels() != prior.to_labels()).then(|| self.to_labels()),
            delete_protection: flipped(&self.delete_protection, &prior.delete_protection),
            suspended: flipped(&self.suspended, &prior.suspended),
        }
    }

    fn to_labels(&self) -> BTreeMap<String, String> {
        let labels = self.labels.as_known().into_iter().flatten();
        labels.filter_map(|(key, value)| Some((key.clone(), value.as_known()?.clone()))).collect()
    }

    /// What was planned, and the rest from the server. A place that was planned to stay as it was known is
    /// told as that: that it differs by now is the next refresh's to tell.
    fn completed(self, tenant: tenants::Tenant) -> Self {
        let isolation = match self.isolation {
            Value::Unknown => Isolation::from(tenant.isolation).into(),
            planned => planned,
        };
        Self {
            isolation,
            id: Text(tenant.id).into(),
            names: Names::from(tenant.names).into(),
            created_at: time(tenant.created_at),
            ..self
        }
    }

    /// The tenant as the server has it. No labels and an empty map of labels are the same there.
    fn observed(self, tenant: tenants::Tenant) -> Self {
        let kept_null = tenant.labels.is_empty() && self.labels.is_null();
        let seen = Self { isolation: Value::Unknown, ..self };
        Self {
            slug: tenant.slug.to_string().into(),
            name: tenant.name.clone().into(),
            plan: tenant.plan.clone().into(),
            owner_email: tenant.owner_email.clone().into(),
            labels: if kept_null { Value::Null } else { labels(tenant.labels.clone()).into() },
            delete_protection: tenant.delete_protection.into(),
            suspended: tenant.suspended.into(),
            ..seen.completed(tenant)
        }
    }

    /// Why a tenant was not created; if one is in the way, how to take it over.
    fn create_refused(&self, api: &Api, error: Error) -> Diagnostics {
        const DOING: &str = "Cannot create the tenant";
        let slug = text(&self.slug);
        if let Error::Problem(problem) = &error
            && problem.code == ProblemCode::SlugTaken
        {
            let detail = match &problem.existing_id {
                Some(id) => format!(
                    "There is a tenant {slug} already, {id}. To manage that one here, import it:\n\n  \
                     import {{\n    to = integraci_tenant.{}\n    id = \"{id}\"\n  }}\n\nor on the command line:\n\n  \
                     terraform import integraci_tenant.{} {id}\n\nwith the name that your resource has. Otherwise \
                     choose another slug.",
                    label(&slug),
                    label(&slug)
                ),
                None => sentence(&problem.detail),
            };
            return Diagnostic::error(format!("{DOING}: the slug is taken")).detail(detail).at("slug").into();
        }
        diagnose(api, DOING, error, &attribute_or_key)
    }
}

/// A name for a resource in the user's configuration.
pub(super) fn label(name: &str) -> String {
    name.replace('-', "_")
}

pub(super) fn revision_seen(cx: &Cx<Connection>) -> Option<i64> {
    String::from_utf8(cx.private_get(REVISION)?).ok()?.parse().ok()
}

pub(super) fn text(value: &Value<String>) -> String {
    value.as_known().cloned().unwrap_or_default()
}

/// A state without an id cannot come from this provider.
pub(super) fn no_id(what: &str) -> Diagnostics {
    Diagnostic::error(format!("The state holds no id of the {what}"))
        .detail("Remove it with `terraform state rm` and import it again.")
        .into()
}
