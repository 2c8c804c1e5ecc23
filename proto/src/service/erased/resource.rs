//! Managed resources behind a trait object.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Of, typed_config};
use crate::attribute::{decode_set, encode_set, is_premature};
use crate::schema::ObjectSchema;
use crate::service::guard::{guard, guard_sync};
use crate::value::{Dynamic, ValueError};
use crate::{
    AttributeSet as _, Cx, Diagnostics, ImportBy, Imported, MoveSource, Path, Plan, Planned, Resource, Saved,
};

/// A resource's state, and its identity if it has one.
pub(in crate::service) struct State {
    pub(in crate::service) value: Dynamic,
    pub(in crate::service) identity: Option<Dynamic>,
}

/// What is planned, before and after the resource has seen it.
pub(in crate::service) struct Planning {
    pub(in crate::service) prior: Option<Dynamic>,
    pub(in crate::service) config: Dynamic,
    pub(in crate::service) planned: Dynamic,
    pub(in crate::service) changes: bool,
}

pub(in crate::service) struct PlanMade {
    pub(in crate::service) planned: State,
    pub(in crate::service) replaces: Vec<Path>,
    pub(in crate::service) forced: bool,
}

/// What is left by an operation that may have failed half-way.
pub(in crate::service) struct Applied {
    pub(in crate::service) saved: Option<State>,
    pub(in crate::service) outcome: Result<(), Diagnostics>,
}

/// A [`Resource`] whose type is not known here.
pub(in crate::service) trait AnyResource<Api>: Send + Sync {
    fn version(&self) -> i64;
    fn identity_version(&self) -> i64;
    fn timeout(&self) -> Duration;
    fn schema(&self) -> ObjectSchema;
    fn identity_schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn plan<'a>(&'a self, cx: &'a Cx<Api>, given: Planning) -> BoxFuture<'a, Result<PlanMade, Diagnostics>>;
    fn plan_destroy<'a>(&'a self, cx: &'a Cx<Api>, prior: Dynamic) -> BoxFuture<'a, Result<(), Diagnostics>>;
    fn create<'a>(&'a self, cx: &'a Cx<Api>, planned: Dynamic, config: Dynamic) -> BoxFuture<'a, Applied>;
    fn update<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        prior: Dynamic,
        planned: Dynamic,
        config: Dynamic,
    ) -> BoxFuture<'a, Applied>;
    fn delete<'a>(&'a self, cx: &'a Cx<Api>, state: Dynamic) -> BoxFuture<'a, Result<(), Diagnostics>>;
    fn read<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        state: Dynamic,
    ) -> BoxFuture<'a, Result<Option<State>, Diagnostics>>;
    fn import<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        by: ImportBy<Dynamic>,
    ) -> BoxFuture<'a, Result<Vec<Imported>, Diagnostics>>;
    fn upgrade(&self, from_version: i64, state: Dynamic) -> BoxFuture<'_, Result<Dynamic, Diagnostics>>;
    fn upgrade_identity(
        &self,
        from_version: i64,
        identity: Dynamic,
    ) -> BoxFuture<'_, Result<Dynamic, Diagnostics>>;
    fn move_from(&self, source: MoveSource) -> BoxFuture<'_, Result<Option<State>, Diagnostics>>;
}

fn typed_plan<R: Resource>(given: Planning) -> Result<Plan<R>, ValueError> {
    Ok(Plan {
        prior: given.prior.map(decode_set).transpose()?,
        config: decode_set(given.config)?,
        planned: decode_set(given.planned)?,
        replaces: Vec::new(),
        changes: given.changes,
        forced: false,
    })
}

fn state<R: Resource>(resource: R) -> State {
    let identity = resource.identity().map(encode_set);
    State { value: encode_set(resource), identity }
}

impl<R: Resource> AnyResource<R::Api> for Of<R> {
    fn version(&self) -> i64 {
        R::VERSION
    }

    fn identity_version(&self) -> i64 {
        R::IDENTITY_VERSION
    }

    fn timeout(&self) -> Duration {
        R::TIMEOUT
    }

    fn schema(&self) -> ObjectSchema {
        R::schema()
    }

    fn identity_schema(&self) -> ObjectSchema {
        R::Identity::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, R::validate, diags);
    }

    fn plan<'a>(
        &'a self,
        cx: &'a Cx<R::Api>,
        given: Planning,
    ) -> BoxFuture<'a, Result<PlanMade, Diagnostics>> {
        Box::pin(async move {
            let usual = given.planned.clone();
            let mut plan = match typed_plan::<R>(given) {
                Ok(plan) => plan,
                // Something is unknown that the resource needs to know. It is asked again in the
                // apply, when all is known; until then the usual plan stands.
                Err(error) if is_premature(&error) => {
                    let planned = State { value: usual, identity: None };
                    return Ok(PlanMade { planned, replaces: Vec::new(), forced: false });
                }
                Err(error) => return Err(error.into()),
            };
            R::plan(cx, &mut plan).await?;
            Ok(PlanMade { planned: state(plan.planned), replaces: plan.replaces, forced: plan.forced })
        })
    }

    fn plan_destroy<'a>(
        &'a self,
        cx: &'a Cx<R::Api>,
        prior: Dynamic,
    ) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(async move { R::plan_destroy(cx, decode_set(prior)?).await })
    }

    fn create<'a>(&'a self, cx: &'a Cx<R::Api>, planned: Dynamic, config: Dynamic) -> BoxFuture<'a, Applied> {
        Box::pin(async move {
            // Outside of what may panic, so that what is saved is not lost with it.
            let mut saved = Saved::new();
            let code = async {
                let plan = Planned { planned: decode_set::<R>(planned)?, config: decode_set(config)? };
                R::create(cx, plan, &mut saved).await
            };
            let outcome = guard(&format!("create {}", R::NAME), code).await;
            finish(saved, outcome)
        })
    }

    fn update<'a>(
        &'a self,
        cx: &'a Cx<R::Api>,
        prior: Dynamic,
        planned: Dynamic,
        config: Dynamic,
    ) -> BoxFuture<'a, Applied> {
        Box::pin(async move {
            let mut saved = Saved::new();
            let code = async {
                let plan = Planned { planned: decode_set::<R>(planned)?, config: decode_set(config)? };
                R::update(cx, decode_set(prior)?, plan, &mut saved).await
            };
            let outcome = guard(&format!("update {}", R::NAME), code).await;
            finish(saved, outcome)
        })
    }

    fn delete<'a>(&'a self, cx: &'a Cx<R::Api>, state: Dynamic) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(async move { R::delete(cx, decode_set(state)?).await })
    }

    fn read<'a>(
        &'a self,
        cx: &'a Cx<R::Api>,
        current: Dynamic,
    ) -> BoxFuture<'a, Result<Option<State>, Diagnostics>> {
        Box::pin(async move { Ok(R::read(cx, decode_set(current)?).await?.map(state)) })
    }

    fn import<'a>(
        &'a self,
        cx: &'a Cx<R::Api>,
        by: ImportBy<Dynamic>,
    ) -> BoxFuture<'a, Result<Vec<Imported>, Diagnostics>> {
        Box::pin(async move {
            let by = match by {
                ImportBy::Id(id) => ImportBy::Id(id),
                ImportBy::Identity(identity) => ImportBy::Identity(decode_set(identity)?),
            };
            R::import(cx, by).await
        })
    }

    fn upgrade(&self, from_version: i64, state: Dynamic) -> BoxFuture<'_, Result<Dynamic, Diagnostics>> {
        Box::pin(async move { R::upgrade(from_version, state).await.map(encode_set) })
    }

    fn upgrade_identity(
        &self,
        from_version: i64,
        identity: Dynamic,
    ) -> BoxFuture<'_, Result<Dynamic, Diagnostics>> {
        Box::pin(async move { R::upgrade_identity(from_version, identity).await.map(encode_set) })
    }

    fn move_from(&self, source: MoveSource) -> BoxFuture<'_, Result<Option<State>, Diagnostics>> {
        Box::pin(async move { Ok(R::move_from(source).await?.map(state)) })
    }
}

fn finish<R: Resource>(saved: Saved<R>, outcome: Result<(), Diagnostics>) -> Applied {
    let saved = saved.into_inner().map(|saved| guard_sync(&format!("store {}", R::NAME), || state(saved)));
    match saved {
        Some(Ok(saved)) => Applied { saved: Some(saved), outcome },
        Some(Err(fault)) => Applied { saved: None, outcome: outcome.and(Err(fault)) },
        None => Applied { saved: None, outcome },
    }
}
