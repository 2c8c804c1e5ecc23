//! What there is: metadata, schemas, identity schemas, functions.

use super::catalogue::Entry;
use super::erased::AnyFunction;
use super::{Service, convert};
use crate::schema::{ObjectSchema, type_json};
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics};

fn capabilities() -> pb::ServerCapabilities {
    pb::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: true,
    }
}

pub(super) fn metadata<Api: Send + Sync + 'static>(service: &Service<Api>) -> pb::get_metadata::Response {
    use pb::get_metadata as of;
    let own = service.catalogue();
    let names = |name: &&'static str| (*name).to_owned();
    of::Response {
        server_capabilities: Some(capabilities()),
        diagnostics: Vec::new(),
        data_sources: own
            .data_sources
            .keys()
            .map(names)
            .map(|type_name| of::DataSourceMetadata { type_name })
            .collect(),
        resources: own
            .resources
            .keys()
            .map(names)
            .map(|type_name| of::ResourceMetadata { type_name })
            .collect(),
        functions: own.functions.keys().map(names).map(|name| of::FunctionMetadata { name }).collect(),
        ephemeral_resources: own
            .ephemeral
            .keys()
            .map(names)
            .map(|type_name| of::EphemeralMetadata { type_name })
            .collect(),
        list_resources: own
            .lists
            .keys()
            .map(names)
            .map(|type_name| of::ListResourceMetadata { type_name })
            .collect(),
        state_stores: Vec::new(),
        actions: own.actions.keys().map(names).map(|type_name| of::ActionMetadata { type_name }).collect(),
    }
}

/// Core asks once a process, and a provider's author wants to know at the first try what is wrong
/// with a schema; so this is where it is looked for.
pub(super) fn schemas<Api: Send + Sync + 'static>(
    service: &Service<Api>,
) -> pb::get_provider_schema::Response {
    let own = service.catalogue();
    let faults = own.faults().into_iter().map(|fault| {
        Diagnostic::error("A schema of the provider is not valid")
            .detail(format!("This is a fault of the provider. {fault}."))
    });
    let configured = |schema: &ObjectSchema| schema.configured_only().to_schema(0);
    pb::get_provider_schema::Response {
        provider: Some(configured(&own.provider.described().schema)),
        resource_schemas: own
            .resources
            .iter()
            .map(|(name, entry)| {
                ((*name).to_owned(), entry.described().schema.to_schema(entry.code.version()))
            })
            .collect(),
        data_source_schemas: own
            .data_sources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.described().schema.to_schema(0)))
            .collect(),
        ephemeral_resource_schemas: own
            .ephemeral
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.described().schema.to_schema(0)))
            .collect(),
        list_resource_schemas: own
            .lists
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), configured(&entry.described().schema)))
            .collect(),
        action_schemas: own
            .actions
            .iter()
            .map(|(name, entry)| {
                let schema = Some(configured(&entry.described().schema));
                ((*name).to_owned(), pb::ActionSchema { schema })
            })
            .collect(),
        functions: functions(service).functions,
        server_capabilities: Some(capabilities()),
        diagnostics: convert::diagnostics(faults.collect::<Diagnostics>()),
        ..pb::get_provider_schema::Response::default()
    }
}

pub(super) fn identities<Api: Send + Sync + 'static>(
    service: &Service<Api>,
) -> pb::get_resource_identity_schemas::Response {
    let identities = service.catalogue().resources.iter().filter_map(|(name, entry)| {
        let schema = entry.identity()?.schema.to_identity(entry.code.identity_version());
        Some(((*name).to_owned(), schema))
    });
    pb::get_resource_identity_schemas::Response {
        identity_schemas: identities.collect(),
        diagnostics: Vec::new(),
    }
}

pub(super) fn functions<Api: Send + Sync + 'static>(service: &Service<Api>) -> pb::get_functions::Response {
    let functions =
        service.catalogue().functions.iter().map(|(name, entry)| ((*name).to_owned(), function(entry)));
    pb::get_functions::Response { functions: functions.collect(), diagnostics: Vec::new() }
}

fn function(entry: &Entry<dyn AnyFunction>) -> pb::Function {
    let schema = &entry.described().schema;
    let (variadic, parameters): (Vec<_>, Vec<_>) = schema.attributes.iter().partition(|own| own.variadic);
    pb::Function {
        parameters: parameters.into_iter().map(|own| own.to_parameter()).collect(),
        variadic_parameter: variadic.first().map(|own| own.to_parameter()),
        r#return: Some(pb::function::Return { r#type: type_json(&entry.code.output().ty()) }),
        summary: schema.description.lines().next().unwrap_or_default().to_owned(),
        description: schema.description.clone(),
        description_kind: pb::StringKind::Markdown.into(),
        deprecation_message: schema.deprecated.clone().unwrap_or_default(),
    }
}
