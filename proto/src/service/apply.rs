//! ApplyResourceChange.

use super::catalogue::{Entry, find};
use super::erased::{AnyResource, Applied, State};
use super::guard::guard;
use super::resource::{KIND, identity_for_core};
use super::{Service, convert, timeout};
use crate::change::{null_unknowns, null_write_only, unknown_paths};
use crate::value::Dynamic;
use crate::wire::tfplugin6 as pb;
use crate::{Cx, Diagnostic, Diagnostics, Private};

pub(super) async fn apply<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::apply_resource_change::Request,
) -> pb::apply_resource_change::Response {
    service.calls().set_applying(true);
    let failed = |diags| pb::apply_resource_change::Response {
        // Nothing was done: what is stored stays.
        new_state: request.prior_state.clone(),
        private: request.planned_private.clone(),
        diagnostics: convert::diagnostics(diags),
        ..pb::apply_resource_change::Response::default()
    };
    let prepare = || {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let ty = &entry.described().ty;
        let prior = convert::decode(request.prior_state.as_ref(), ty)?;
        let planned = convert::decode(request.planned_state.as_ref(), ty)?;
        let config = convert::decode(request.config.as_ref(), ty)?;
        Ok::<_, Diagnostic>((entry, prior, planned, config, Private::from_wire(&request.planned_private)?))
    };
    let (entry, prior, planned, config, private) = match prepare() {
        Ok(prepared) => prepared,
        Err(fault) => return failed(fault.into()),
    };
    let schema = &entry.described().schema;
    let (operation, timeouts) = match (prior.is_null(), planned.is_null()) {
        (true, _) => ("create", &planned),
        (false, false) => ("update", &planned),
        (false, true) => ("delete", &prior),
    };
    let cx = service.cx(timeout(schema, timeouts, operation, entry.code.timeout()), private);
    let change = Change { prior, planned, config, planned_identity: request.planned_identity };
    change.carry_out(entry, &cx, &request.type_name).await
}

struct Change {
    prior: Dynamic,
    planned: Dynamic,
    config: Dynamic,
    planned_identity: Option<pb::ResourceIdentityData>,
}

impl Change {
    async fn carry_out<Api: Send + Sync + 'static>(
        self,
        entry: &Entry<dyn AnyResource<Api>>,
        cx: &Cx<Api>,
        type_name: &str,
    ) -> pb::apply_resource_change::Response {
        let Self { prior, planned, config, planned_identity } = self;
        let described = entry.described();
        let mut diags = Diagnostics::new();
        let (mut state, identity) = if planned.is_null() {
            let what = format!("delete a {type_name}");
            match guard(&what, entry.code.delete(cx, prior.clone())).await {
                Ok(()) => (Dynamic::Null, None),
                Err(errors) => {
                    diags.append(errors);
                    (prior, None)
                }
            }
        } else {
            let applied = if prior.is_null() {
                entry.code.create(cx, planned.clone(), config).await
            } else {
                entry.code.update(cx, prior.clone(), planned.clone(), config).await
            };
            settle(applied, prior, planned, &mut diags)
        };
        null_write_only(&described.schema, &mut state);
        let mut told = cx.take_warnings();
        told.append(diags);
        let new_state = convert::encode_or_tell(&state, &described.ty, &mut told);
        pb::apply_resource_change::Response {
            new_state,
            private: cx.private_wire(),
            new_identity: identity_for_core(entry.identity().map(|own| &own.ty), identity, &mut told)
                .or(planned_identity),
            diagnostics: convert::diagnostics(told),
            ..pb::apply_resource_change::Response::default()
        }
    }
}

/// The state that a create or an update leaves behind, however it ended.
fn settle(
    applied: Applied,
    prior: Dynamic,
    planned: Dynamic,
    diags: &mut Diagnostics,
) -> (Dynamic, Option<Dynamic>) {
    let failed = applied.outcome.is_err();
    if let Err(errors) = applied.outcome {
        diags.append(errors);
    }
    match applied.saved {
        Some(State { mut value, identity }) => {
            // After a failure it is natural that something is not known; core wants null there.
            for path in unknown_paths(&value).into_iter().filter(|_| !failed) {
                diags.push(
                    Diagnostic::error("The provider left a value unknown after apply")
                        .detail("This is a fault of the provider.")
                        .at(path),
                );
            }
            null_unknowns(&mut value);
            (value, identity)
        }
        None if failed => (prior, None),
        None => {
            diags.push(
                Diagnostic::error("The provider saved no state")
                    .detail("This is a fault of the provider. What was planned is stored instead."),
            );
            let mut planned = planned;
            null_unknowns(&mut planned);
            (planned, None)
        }
    }
}
