//! The Validate methods: one for each kind of configuration, and all alike.

use super::catalogue::{Described, find};
use super::guard::guard_sync;
use super::{Service, convert};
use crate::schema::WriteOnly;
use crate::value::Dynamic;
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics};

/// Checks a configuration against its schema, and then as a whole.
fn check(
    described: &Described,
    config: Option<&pb::DynamicValue>,
    write_only: WriteOnly,
    whole: impl FnOnce(Dynamic, &mut Diagnostics),
) -> Result<Diagnostics, Diagnostic> {
    let config = convert::decode(config, &described.ty)?;
    let mut diags = Diagnostics::new();
    described.schema.validate(&config, write_only, &mut diags);
    // What is wrong with one attribute is said once, and not again by what looks at them all.
    if !diags.has_errors() && !config.is_null() {
        let told = guard_sync("check the configuration", || {
            let mut told = Diagnostics::new();
            whole(config, &mut told);
            told
        });
        diags.append(told.unwrap_or_else(|fault| fault));
    }
    Ok(diags)
}

fn tell(checked: Result<Diagnostics, Diagnostic>) -> Vec<pb::Diagnostic> {
    convert::diagnostics(checked.unwrap_or_else(Diagnostics::from))
}

pub(super) fn provider<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: &pb::validate_provider_config::Request,
) -> pb::validate_provider_config::Response {
    let entry = &service.catalogue().provider;
    let checked = check(entry.described(), request.config.as_ref(), WriteOnly::Refused, |config, diags| {
        entry.code.validate(config, diags);
    });
    pb::validate_provider_config::Response { diagnostics: tell(checked) }
}

pub(super) fn resource<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: &pb::validate_resource_config::Request,
) -> pb::validate_resource_config::Response {
    let allowed = request.client_capabilities.is_some_and(|client| client.write_only_attributes_allowed);
    let write_only = if allowed { WriteOnly::Allowed } else { WriteOnly::Refused };
    let checked = find(&service.catalogue().resources, "resource", &request.type_name).and_then(|entry| {
        check(entry.described(), request.config.as_ref(), write_only, |config, diags| {
            entry.code.validate(config, diags);
        })
    });
    pb::validate_resource_config::Response { diagnostics: tell(checked) }
}

/// The kinds for which nothing is stored, so that nothing can be write-only.
macro_rules! unstored {
    ($($method:ident: $message:ident, $entries:ident, $kind:literal;)+) => {$(
        pub(super) fn $method<Api: Send + Sync + 'static>(
            service: &Service<Api>,
            request: &pb::$message::Request,
        ) -> pb::$message::Response {
            let checked = find(&service.catalogue().$entries, $kind, &request.type_name).and_then(|entry| {
                check(entry.described(), request.config.as_ref(), WriteOnly::Refused, |config, diags| {
                    entry.code.validate(config, diags);
                })
            });
            pb::$message::Response { diagnostics: tell(checked) }
        }
    )+};
}

unstored! {
    data_source: validate_data_resource_config, data_sources, "data source";
    ephemeral: validate_ephemeral_resource_config, ephemeral, "ephemeral resource";
    list: validate_list_resource_config, lists, "list resource";
    action: validate_action_config, actions, "action";
}
