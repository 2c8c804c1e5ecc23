//! PlanResourceChange.

use super::catalogue::{Described, Entry, find};
use super::erased::{AnyResource, PlanMade, Planning, State};
use super::guard::guard;
use super::resource::{KIND, identity_for_core};
use super::{Service, Told, convert, interruptible, timeout};
use crate::change::{Mode, null_write_only, propose, replaces, restore_unknowns};
use crate::value::{Dynamic, Fields};
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Path, Private};

pub(super) async fn plan<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::plan_resource_change::Request,
) -> pb::plan_resource_change::Response {
    let failed = |diags| pb::plan_resource_change::Response {
        // Core wants a value of the right type even beside errors.
        planned_state: request.prior_state.clone(),
        diagnostics: convert::diagnostics(diags),
        ..pb::plan_resource_change::Response::default()
    };
    let prepare = || {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let ty = &entry.described().ty;
        let prior = convert::decode(request.prior_state.as_ref(), ty)?;
        let config = convert::decode(request.config.as_ref(), ty)?;
        Ok::<_, Diagnostic>((entry, prior, config, Private::from_wire(&request.prior_private)?))
    };
    let (entry, prior, config, private) = match prepare() {
        Ok(prepared) => prepared,
        Err(fault) => return failed(fault.into()),
    };
    let described = entry.described();
    // Of core's own proposal only this matters: the rest follows from the other two, and it holds
    // the write-only values.
    if convert::is_null(request.proposed_new_state.as_ref()) {
        return destroy(service, entry, prior, private, request).await;
    }
    let operation = if prior.is_null() { "create" } else { "update" };
    let allowed = timeout(&described.schema, &config, operation, entry.code.timeout());
    let cx = service.cx(allowed, private);
    let (prior, config) = match (prior, config) {
        (Dynamic::Object(prior), Dynamic::Object(config)) => (Some(prior), config),
        (_, Dynamic::Object(config)) => (None, config),
        _ => return failed(Diagnostic::error("There is nothing to plan with").into()),
    };

    let usual = Usual::of(described, prior, config);
    let what = format!("plan a {}", request.type_name);
    let code = interruptible(&cx, entry.code.plan(&cx, usual.planning()));
    let Told { made, mut diags } = Told::new(&cx, guard(&what, code).await);
    let Some(PlanMade { planned: State { value, identity }, replaces, forced }) = made else {
        return failed(diags);
    };
    let (planned, replaces) = usual.settle(described, value, replaces, forced);
    let Some(planned_state) = convert::encode_or_tell(&planned, &described.ty, &mut diags) else {
        return failed(diags);
    };
    pb::plan_resource_change::Response {
        planned_state: Some(planned_state),
        requires_replace: replaces.iter().map(convert::path).collect(),
        planned_private: cx.private_wire(),
        // An identity is for good: that of what exists stays.
        planned_identity: request
            .prior_identity
            .or_else(|| identity_for_core(entry.identity().map(|own| &own.ty), identity, &mut diags)),
        diagnostics: convert::diagnostics(diags),
        ..pb::plan_resource_change::Response::default()
    }
}

async fn destroy<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    entry: &Entry<dyn AnyResource<Api>>,
    prior: Dynamic,
    private: Private,
    request: pb::plan_resource_change::Request,
) -> pb::plan_resource_change::Response {
    let cx = service.cx(timeout(&entry.described().schema, &prior, "delete", entry.code.timeout()), private);
    let what = format!("plan to destroy a {}", request.type_name);
    let outcome = guard(&what, interruptible(&cx, entry.code.plan_destroy(&cx, prior))).await;
    let Told { made, mut diags } = Told::new(&cx, outcome);
    let planned_state = match made {
        Some(()) => convert::encode_or_tell(&Dynamic::Null, &entry.described().ty, &mut diags),
        None => request.prior_state,
    };
    pb::plan_resource_change::Response {
        planned_state,
        planned_private: cx.private_wire(),
        planned_identity: request.prior_identity,
        diagnostics: convert::diagnostics(diags),
        ..pb::plan_resource_change::Response::default()
    }
}

/// What is planned without the resource's having a say.
struct Usual {
    prior: Option<Fields>,
    config: Fields,
    planned: Dynamic,
    changes: bool,
}

impl Usual {
    fn of(described: &Described, prior: Option<Fields>, config: Fields) -> Self {
        let schema = &described.schema;
        let kept = propose(schema, prior.as_ref(), &config, Mode::Keep);
        let changes = prior.as_ref() != Some(&kept);
        let planned = if changes && prior.is_some() {
            propose(schema, prior.as_ref(), &config, Mode::Change)
        } else {
            kept
        };
        Self { prior, config, planned: Dynamic::Object(planned), changes }
    }

    fn planning(&self) -> Planning {
        Planning {
            prior: self.prior.clone().map(Dynamic::Object),
            config: Dynamic::Object(self.config.clone()),
            planned: self.planned.clone(),
            changes: self.changes,
        }
    }

    /// Brings together what the resource has made of the plan and what core insists on.
    fn settle(
        self,
        described: &Described,
        mut made: Dynamic,
        mut because: Vec<Path>,
        forced: bool,
    ) -> (Dynamic, Vec<Path>) {
        let schema = &described.schema;
        null_write_only(schema, &mut made);
        restore_unknowns(&mut made, &self.planned);
        if let (true, false, Some(prior), Dynamic::Object(made), Dynamic::Object(usual)) =
            (forced, self.changes, &self.prior, &mut made, &self.planned)
        {
            let changed = propose(schema, Some(prior), &self.config, Mode::Change);
            for (name, value) in made.iter_mut() {
                // What the resource has set itself it has set.
                if usual.get(name) == Some(&*value)
                    && let Some(changed) = changed.get(name)
                {
                    value.clone_from(changed);
                }
            }
        }
        if let (Some(prior), Dynamic::Object(made)) = (&self.prior, &made) {
            for path in replaces(schema, prior, made, &self.config) {
                if !because.contains(&path) {
                    because.push(path);
                }
            }
        }
        (made, because)
    }
}
