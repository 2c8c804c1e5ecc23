//! What is planned: new tenants, the same in either provider.

use anyhow::{Context as _, Result, ensure};
use tfplugin::value::{Dynamic, Type};

use crate::subject::Subject;
use crate::wire;

/// A resource's type, and how its values are encoded.
pub(crate) struct Workload {
    pub(crate) resource: &'static str,
    ty: Type,
    computed: Vec<String>,
    provider_config: wire::DynamicValue,
}

impl Workload {
    pub(crate) fn new(subject: &Subject, schema: &wire::ProviderSchema) -> Result<Self> {
        let resource = schema.resources.get(subject.resource).context("the schema lacks the resource")?;
        let attributes = attributes(resource);
        let computed = attributes.iter().filter(|attribute| attribute.computed);
        let provider =
            schema.provider.as_ref().map(attributes_type).context("the schema lacks the provider")??;
        let setting = |name: &str| {
            let found = subject.settings.iter().find(|(known, _)| *known == name);
            found.map_or(Dynamic::Null, |(_, value)| Dynamic::from(*value))
        };
        Ok(Self {
            resource: subject.resource,
            ty: attributes_type(resource)?,
            computed: computed.map(|attribute| attribute.name.clone()).collect(),
            provider_config: encode(&object(&provider, setting)?, &provider)?,
        })
    }

    pub(crate) fn configure(&self) -> wire::Configure {
        wire::Configure { terraform_version: "1.11.4".into(), config: Some(self.provider_config.clone()) }
    }

    /// The two questions that core asks about one new resource.
    pub(crate) fn questions(&self, index: u32) -> Result<(wire::Validate, wire::Plan)> {
        let config = object(&self.ty, |name| tenant(index, name))?;
        let proposed = object(&self.ty, |name| match tenant(index, name) {
            Dynamic::Null if self.computed.iter().any(|computed| computed == name) => Dynamic::UNKNOWN,
            configured => configured,
        })?;
        let config = encode(&config, &self.ty)?;
        let validate = wire::Validate {
            type_name: self.resource.into(),
            config: Some(config.clone()),
            client_capabilities: Some(wire::ClientCapabilities { write_only_attributes_allowed: true }),
        };
        let plan = wire::Plan {
            type_name: self.resource.into(),
            prior_state: Some(encode(&Dynamic::Null, &self.ty)?),
            proposed_new_state: Some(encode(&proposed, &self.ty)?),
            config: Some(config),
        };
        Ok((validate, plan))
    }

    /// That the answer is the plan of that resource, and not merely an answer.
    pub(crate) fn check(&self, index: u32, planned: &wire::Planned) -> Result<()> {
        let state = planned.planned_state.as_ref().context("the plan is empty")?;
        let Dynamic::Object(state) = Dynamic::from_msgpack(&state.msgpack, &self.ty)? else {
            anyhow::bail!("the plan is no object");
        };
        for (name, wanted) in [("slug", tenant(index, "slug")), ("delete_protection", Dynamic::Bool(true))] {
            ensure!(state.get(name) == Some(&wanted), "{name} is not planned as configured");
        }
        ensure!(state.get("id").is_some_and(Dynamic::is_unknown), "the id is not planned as unknown");
        Ok(())
    }
}

/// What a configuration says of the tenant of that number; `terraform.rs` writes the same.
fn tenant(index: u32, attribute: &str) -> Dynamic {
    match attribute {
        "slug" => format!("tenant-{index}").into(),
        "name" => format!("Tenant {index}").into(),
        "plan" => "team".into(),
        "owner_email" => format!("owner-{index}@example.test").into(),
        "labels" => {
            Dynamic::Map([("cost_centre", "42".into()), ("region", "north".into())].into_iter().collect())
        }
        _ => Dynamic::Null,
    }
}

fn attributes(schema: &wire::Schema) -> &[wire::Attribute] {
    schema.block.as_ref().map_or(&[], |block| &block.attributes)
}

fn attributes_type(schema: &wire::Schema) -> Result<Type> {
    object_type(attributes(schema))
}

fn object_type(attributes: &[wire::Attribute]) -> Result<Type> {
    let types = attributes.iter().map(|attribute| Ok((attribute.name.as_str(), attribute_type(attribute)?)));
    Ok(Type::object(types.collect::<Result<Vec<_>>>()?))
}

fn attribute_type(attribute: &wire::Attribute) -> Result<Type> {
    let Some(nested) = &attribute.nested_type else {
        return Ok(Type::from_json(&attribute.r#type)?);
    };
    let object = object_type(&nested.attributes)?;
    Ok(match nested.nesting {
        1 => object,
        2 => Type::list(object),
        3 => Type::set(object),
        4 => Type::map(object),
        other => anyhow::bail!("{}: nesting {other} is none", attribute.name),
    })
}

fn object(ty: &Type, value: impl Fn(&str) -> Dynamic) -> Result<Dynamic> {
    let Type::Object(attributes) = ty else { anyhow::bail!("a schema is an object") };
    Ok(Dynamic::Object(attributes.iter().map(|(name, _)| (name.clone(), value(name))).collect()))
}

fn encode(value: &Dynamic, ty: &Type) -> Result<wire::DynamicValue> {
    Ok(wire::DynamicValue { msgpack: value.to_msgpack(ty)? })
}
