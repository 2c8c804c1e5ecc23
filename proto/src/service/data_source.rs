//! ReadDataSource.

use super::catalogue::find;
use super::guard::guard;
use super::{Service, Told, convert, interruptible, timeout};
use crate::change::{fill_defaults, unknown_paths};
use crate::value::Dynamic;
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics, Path, Private};

pub(super) async fn read<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::read_data_source::Request,
) -> pb::read_data_source::Response {
    let mut diags = Diagnostics::new();
    let state = state(service, &request, &mut diags).await.map_err(|errors| diags.append(errors)).ok();
    pb::read_data_source::Response { state, diagnostics: convert::diagnostics(diags), deferred: None }
}

async fn state<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: &pb::read_data_source::Request,
    diags: &mut Diagnostics,
) -> Result<pb::DynamicValue, Diagnostics> {
    let entry = find(&service.catalogue().data_sources, "data source", &request.type_name)?;
    let described = entry.described();
    let mut config = convert::decode(request.config.as_ref(), &described.ty)?;
    fill_defaults(&described.schema, &mut config);
    let allowed = timeout(&described.schema, &config, "read", entry.code.timeout());
    let cx = service.cx(allowed, Private::default());
    let what = format!("read the data source {}", request.type_name);
    let outcome = guard(&what, interruptible(&cx, entry.code.read(&cx, config))).await;
    let told = Told::new(&cx, outcome);
    diags.append(told.diags);
    let state = told.made.ok_or_else(Diagnostics::new)?;
    all_known(&state)?;
    Ok(convert::encode(&state, &described.ty)?)
}

/// What is read is read: there is no later moment at which more could be known.
pub(super) fn all_known(value: &Dynamic) -> Result<(), Diagnostics> {
    let unknown = |path: Path| {
        Diagnostic::error("The provider left a value unknown")
            .detail("This is a fault of the provider.")
            .at(path)
    };
    unknown_paths(value).into_iter().map(unknown).collect::<Diagnostics>().into_result(())
}
