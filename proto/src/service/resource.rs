//! Managed resources: upgrade, reading, and what a configuration would look like.

use super::catalogue::find;
use super::erased::State;
use super::guard::guard;
use super::{Service, Told, convert, interruptible, timeout};
use crate::change::{config_of_state, null_unknowns, null_write_only};
use crate::value::{Dynamic, Type};
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics, Private};

pub(super) const KIND: &str = "resource";

pub(super) async fn upgrade<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::upgrade_resource_state::Request,
) -> pb::upgrade_resource_state::Response {
    let upgraded = async {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let described = entry.described();
        let stored = raw(request.raw_state.as_ref())?;
        let (own, given) = (entry.code.version(), request.version);
        let mut state = if given == own {
            Dynamic::from_stored_json(stored, &described.ty).map_err(|error| unreadable(&error))?
        } else if given > own {
            return Err(newer(&request.type_name, given, own).into());
        } else {
            let stored = Dynamic::from_json_untyped(stored).map_err(|error| unreadable(&error))?;
            let what = format!("upgrade a {}", request.type_name);
            guard(&what, entry.code.upgrade(given, stored)).await?
        };
        null_write_only(&described.schema, &mut state);
        null_unknowns(&mut state);
        Ok::<_, Diagnostics>(convert::encode(&state, &described.ty)?)
    };
    match upgraded.await {
        Ok(state) => {
            pb::upgrade_resource_state::Response { upgraded_state: Some(state), diagnostics: Vec::new() }
        }
        Err(errors) => pb::upgrade_resource_state::Response {
            upgraded_state: None,
            diagnostics: convert::diagnostics(errors),
        },
    }
}

pub(super) async fn upgrade_identity<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::upgrade_resource_identity::Request,
) -> pb::upgrade_resource_identity::Response {
    let upgraded = async {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let described = entry.identity().ok_or_else(|| {
            Diagnostic::error(format!("A {} has no identity", request.type_name))
                .detail("The state was written by a different version of the provider.")
        })?;
        let stored = raw(request.raw_identity.as_ref())?;
        let (own, given) = (entry.code.identity_version(), request.version);
        let identity = if given == own {
            Dynamic::from_stored_json(stored, &described.ty).map_err(|error| unreadable(&error))?
        } else if given > own {
            return Err(newer(&request.type_name, given, own).into());
        } else {
            let stored = Dynamic::from_json_untyped(stored).map_err(|error| unreadable(&error))?;
            let what = format!("upgrade the identity of a {}", request.type_name);
            guard(&what, entry.code.upgrade_identity(given, stored)).await?
        };
        Ok::<_, Diagnostics>(convert::encode(&identity, &described.ty)?)
    };
    let (upgraded_identity, diags) = match upgraded.await {
        Ok(identity) => {
            (Some(pb::ResourceIdentityData { identity_data: Some(identity) }), Diagnostics::new())
        }
        Err(errors) => (None, errors),
    };
    pb::upgrade_resource_identity::Response { upgraded_identity, diagnostics: convert::diagnostics(diags) }
}

pub(super) async fn read<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::read_resource::Request,
) -> pb::read_resource::Response {
    // Whatever goes wrong, what is stored stays as it is.
    let failed = |diags| pb::read_resource::Response {
        new_state: request.current_state.clone(),
        diagnostics: convert::diagnostics(diags),
        private: request.private.clone(),
        deferred: None,
        new_identity: request.current_identity.clone(),
    };
    let prepare = || {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let state = convert::decode(request.current_state.as_ref(), &entry.described().ty)?;
        Ok::<_, Diagnostic>((entry, state, Private::from_wire(&request.private)?))
    };
    let (entry, current, private) = match prepare() {
        Ok(prepared) => prepared,
        Err(fault) => return failed(fault.into()),
    };
    let described = entry.described();
    let cx = service.cx(timeout(&described.schema, &current, "read", entry.code.timeout()), private);
    let what = format!("read a {}", request.type_name);
    let outcome = guard(&what, interruptible(&cx, entry.code.read(&cx, current))).await;
    let Told { made, mut diags } = Told::new(&cx, outcome);
    let (state, identity) = match made {
        None => return failed(diags),
        // Gone: null, and no error, so that core plans to create it again.
        Some(None) => (Dynamic::Null, None),
        Some(Some(State { mut value, identity })) => {
            null_write_only(&described.schema, &mut value);
            null_unknowns(&mut value);
            (value, identity)
        }
    };
    match convert::encode_or_tell(&state, &described.ty, &mut diags) {
        None => failed(diags),
        Some(new_state) => pb::read_resource::Response {
            new_state: Some(new_state),
            private: cx.private_wire(),
            deferred: None,
            new_identity: identity_for_core(entry.identity().map(|own| &own.ty), identity, &mut diags)
                .or(request.current_identity),
            diagnostics: convert::diagnostics(diags),
        },
    }
}

pub(super) fn generate_config<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: &pb::generate_resource_config::Request,
) -> pb::generate_resource_config::Response {
    let generate = || {
        let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
        let described = entry.described();
        let mut state = convert::decode(request.state.as_ref(), &described.ty)?;
        config_of_state(&described.schema, &mut state);
        convert::encode(&state, &described.ty)
    };
    let (config, diags) = match generate() {
        Ok(config) => (Some(config), Diagnostics::new()),
        Err(fault) => (None, fault.into()),
    };
    pb::generate_resource_config::Response { config, diagnostics: convert::diagnostics(diags) }
}

/// An identity in the form that core takes: only of a resource that has one, and all known.
pub(super) fn identity_for_core(
    ty: Option<&Type>,
    identity: Option<Dynamic>,
    diags: &mut Diagnostics,
) -> Option<pb::ResourceIdentityData> {
    let (ty, identity) = (ty?, identity?);
    if !identity.is_wholly_known() {
        return None;
    }
    let data = convert::encode_or_tell(&identity, ty, diags)?;
    Some(pb::ResourceIdentityData { identity_data: Some(data) })
}

/// What lies in a state file.
pub(super) fn raw(state: Option<&pb::RawState>) -> Result<&[u8], Diagnostic> {
    match state {
        Some(state) if !state.json.is_empty() => Ok(&state.json),
        Some(state) if !state.flatmap.is_empty() => Err(Diagnostic::error("The state is too old")
            .detail("It was written before Terraform 0.12. Refresh it with Terraform 0.12 or 0.13 first.")),
        _ => Err(Diagnostic::error("The state is empty")),
    }
}

pub(super) fn unreadable(error: &crate::value::ValueError) -> Diagnostic {
    Diagnostic::error("The stored state cannot be read")
        .detail(format!("It does not fit the schema of this provider: {error}."))
        .at(error)
}

fn newer(type_name: &str, given: i64, own: i64) -> Diagnostic {
    Diagnostic::error("The state was written by a newer version of the provider").detail(format!(
        "It holds a {type_name} of schema version {given}, and this version of the provider knows up to {own}. \
         Upgrade the provider.",
    ))
}
