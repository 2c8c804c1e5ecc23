//! ImportResourceState and MoveResourceState.

use super::catalogue::find;
use super::erased::State;
use super::guard::guard;
use super::resource::{KIND, identity_for_core, raw, unreadable};
use super::{Service, Told, convert, interruptible};
use crate::change::{null_unknowns, null_write_only};
use crate::value::Dynamic;
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics, ImportBy, Imported, MoveSource, Private};

pub(super) async fn import<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::import_resource_state::Request,
) -> pb::import_resource_state::Response {
    let mut diags = Diagnostics::new();
    let mut imported_resources = Vec::new();
    match find_imports(service, request, &mut diags).await {
        Ok(found) => {
            for imported in found {
                match imported_for_core(service, imported, &mut diags) {
                    Ok(imported) => imported_resources.push(imported),
                    Err(fault) => diags.push(fault),
                }
            }
        }
        Err(errors) => diags.append(errors),
    }
    pb::import_resource_state::Response {
        imported_resources,
        diagnostics: convert::diagnostics(diags),
        deferred: None,
    }
}

async fn find_imports<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::import_resource_state::Request,
    diags: &mut Diagnostics,
) -> Result<Vec<Imported>, Diagnostics> {
    let entry = find(&service.catalogue().resources, KIND, &request.type_name)?;
    let identity = request.identity.and_then(|identity| identity.identity_data);
    let by = match (identity, entry.identity()) {
        (Some(identity), Some(described)) => {
            ImportBy::Identity(convert::decode(Some(&identity), &described.ty)?)
        }
        _ => ImportBy::Id(request.id),
    };
    let cx = service.cx(entry.code.timeout(), Private::default());
    let what = format!("import a {}", request.type_name);
    let outcome = guard(&what, interruptible(&cx, entry.code.import(&cx, by))).await;
    let told = Told::new(&cx, outcome);
    diags.append(told.diags);
    match told.made {
        Some(found) if found.is_empty() => Err(Diagnostic::error("There is nothing to import")
            .detail("Nothing was found under that name.")
            .into()),
        found => Ok(found.unwrap_or_default()),
    }
}

fn imported_for_core<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    imported: Imported,
    diags: &mut Diagnostics,
) -> Result<pb::import_resource_state::ImportedResource, Diagnostic> {
    let entry = find(&service.catalogue().resources, KIND, imported.type_name)?;
    let described = entry.described();
    let mut state = imported.state;
    null_write_only(&described.schema, &mut state);
    null_unknowns(&mut state);
    Ok(pb::import_resource_state::ImportedResource {
        type_name: imported.type_name.to_owned(),
        state: Some(convert::encode(&state, &described.ty)?),
        private: imported.private.to_wire(),
        identity: identity_for_core(entry.identity().map(|own| &own.ty), imported.identity, diags),
    })
}

pub(super) async fn move_state<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::move_resource_state::Request,
) -> pb::move_resource_state::Response {
    let mut diags = Diagnostics::new();
    match moved(service, request, &mut diags).await {
        Ok(response) => {
            pb::move_resource_state::Response { diagnostics: convert::diagnostics(diags), ..response }
        }
        Err(errors) => {
            diags.append(errors);
            pb::move_resource_state::Response {
                diagnostics: convert::diagnostics(diags),
                ..pb::move_resource_state::Response::default()
            }
        }
    }
}

async fn moved<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::move_resource_state::Request,
    diags: &mut Diagnostics,
) -> Result<pb::move_resource_state::Response, Diagnostics> {
    let target = request.target_type_name;
    let entry = find(&service.catalogue().resources, KIND, &target)?;
    let described = entry.described();
    let untyped = |bytes: &[u8]| Dynamic::from_json_untyped(bytes).map_err(|error| unreadable(&error));
    let identity = request.source_identity.filter(|identity| !identity.json.is_empty());
    let from = request.source_type_name.clone();
    let source = MoveSource {
        provider_address: request.source_provider_address,
        type_name: request.source_type_name,
        schema_version: request.source_schema_version,
        state: untyped(raw(request.source_state.as_ref())?)?,
        identity: identity.map(|identity| untyped(&identity.json)).transpose()?,
        private: request.source_private.to_vec(),
    };
    let made = guard(&format!("move a {from} to a {target}"), entry.code.move_from(source)).await?;
    let Some(State { value: mut state, identity }) = made else {
        return Err(Diagnostic::error(format!("A {from} cannot be moved to a {target}"))
            .detail("This provider does not know how to make one of the other. Remove the `moved` block, or `removed` the old one and `import` the new one.")
            .into());
    };
    null_write_only(&described.schema, &mut state);
    null_unknowns(&mut state);
    Ok(pb::move_resource_state::Response {
        target_state: Some(convert::encode(&state, &described.ty)?),
        target_identity: identity_for_core(entry.identity().map(|own| &own.ty), identity, diags),
        ..pb::move_resource_state::Response::default()
    })
}
