//! ConfigureProvider.

use std::sync::Arc;

use super::guard::guard;
use super::{Service, convert};
use crate::change::fill_defaults;
use crate::wire::tfplugin6 as pb;
use crate::{Client, Diagnostics};

pub(super) async fn configure<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::configure_provider::Request,
) -> pb::configure_provider::Response {
    let entry = &service.catalogue().provider;
    let described = entry.described();
    let client = Client {
        version: request.terraform_version,
        deferral_allowed: request.client_capabilities.is_some_and(|client| client.deferral_allowed),
    };
    let mut diags = Diagnostics::new();
    let mut told = Diagnostics::new();
    let outcome = match convert::decode(request.config.as_ref(), &described.ty) {
        Ok(mut config) => {
            fill_defaults(&described.schema, &mut config);
            guard("configure itself", entry.code.configure(config, &client, &mut told)).await
        }
        Err(fault) => Err(fault.into()),
    };
    diags.append(told);
    match outcome {
        // With errors there is nothing to work with, whatever was returned beside them.
        Ok(api) => service.configure(api.filter(|_| !diags.has_errors()).map(Arc::new), client),
        Err(errors) => diags.append(errors),
    }
    pb::configure_provider::Response { diagnostics: convert::diagnostics(diags) }
}
