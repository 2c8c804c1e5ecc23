//! Ephemeral resources: open, renew, close.

use super::catalogue::find;
use super::data_source::all_known;
use super::guard::guard;
use super::{Service, Told, convert, interruptible, timeout};
use crate::change::fill_defaults;
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostics, Private};

const KIND: &str = "ephemeral resource";

pub(super) async fn open<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::open_ephemeral_resource::Request,
) -> pb::open_ephemeral_resource::Response {
    let mut diags = Diagnostics::new();
    let opened = opened(service, &request, &mut diags).await.map_err(|errors| diags.append(errors));
    pb::open_ephemeral_resource::Response {
        diagnostics: convert::diagnostics(diags),
        ..opened.unwrap_or_default()
    }
}

/// Not interruptible: dropped half-way, it could leave something open that nobody would close.
async fn opened<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: &pb::open_ephemeral_resource::Request,
    diags: &mut Diagnostics,
) -> Result<pb::open_ephemeral_resource::Response, Diagnostics> {
    let entry = find(&service.catalogue().ephemeral, KIND, &request.type_name)?;
    let described = entry.described();
    let mut config = convert::decode(request.config.as_ref(), &described.ty)?;
    fill_defaults(&described.schema, &mut config);
    let allowed = timeout(&described.schema, &config, "open", entry.code.timeout());
    let cx = service.cx(allowed, Private::default());
    let outcome = guard(&format!("open a {}", request.type_name), entry.code.open(&cx, config)).await;
    let told = Told::new(&cx, outcome);
    diags.append(told.diags);
    let opened = told.made.ok_or_else(Diagnostics::new)?;
    all_known(&opened.result)?;
    Ok(pb::open_ephemeral_resource::Response {
        renew_at: opened.renew_at.map(convert::timestamp),
        result: Some(convert::encode(&opened.result, &described.ty)?),
        private: Some(opened.lease.to_wire()),
        ..pb::open_ephemeral_resource::Response::default()
    })
}

pub(super) async fn renew<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::renew_ephemeral_resource::Request,
) -> pb::renew_ephemeral_resource::Response {
    let mut diags = Diagnostics::new();
    let renewed = async {
        let entry = find(&service.catalogue().ephemeral, KIND, &request.type_name)?;
        let lease = Private::from_wire(request.private.as_deref().unwrap_or_default())?;
        let cx = service.cx(entry.code.timeout(), Private::default());
        let what = format!("renew a {}", request.type_name);
        let outcome = guard(&what, interruptible(&cx, entry.code.renew(&cx, lease))).await;
        Ok::<_, Diagnostics>(Told::new(&cx, outcome))
    };
    let renewed = match renewed.await {
        Ok(told) => {
            diags.append(told.diags);
            told.made
        }
        Err(errors) => {
            diags.append(errors);
            None
        }
    };
    pb::renew_ephemeral_resource::Response {
        diagnostics: convert::diagnostics(diags),
        renew_at: renewed.as_ref().and_then(|renewed| renewed.renew_at).map(convert::timestamp),
        private: renewed.map(|renewed| renewed.lease.to_wire()).or(request.private),
    }
}

pub(super) async fn close<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::close_ephemeral_resource::Request,
) -> pb::close_ephemeral_resource::Response {
    let closed = async {
        let entry = find(&service.catalogue().ephemeral, KIND, &request.type_name)?;
        let lease = Private::from_wire(request.private.as_deref().unwrap_or_default())?;
        let cx = service.cx(entry.code.timeout(), Private::default());
        let outcome = guard(&format!("close a {}", request.type_name), entry.code.close(&cx, lease)).await;
        Ok::<_, Diagnostics>(Told::new(&cx, outcome).diags)
    };
    let diags = closed.await.unwrap_or_else(|errors| errors);
    pb::close_ephemeral_resource::Response { diagnostics: convert::diagnostics(diags) }
}
