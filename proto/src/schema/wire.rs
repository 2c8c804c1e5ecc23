//! Schemas as the protocol's messages.

use bytes::Bytes;

use super::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::Type;
use crate::wire::tfplugin6 as pb;

impl ObjectSchema {
    pub(crate) fn to_schema(&self, version: i64) -> pb::Schema {
        let block = pb::schema::Block {
            version,
            attributes: self.to_attributes(),
            description: described(&self.description, self.deprecated.as_deref()),
            description_kind: pb::StringKind::Markdown.into(),
            deprecated: self.deprecated.is_some(),
            ..pb::schema::Block::default()
        };
        pb::Schema { version, block: Some(block) }
    }

    fn to_attributes(&self) -> Vec<pb::schema::Attribute> {
        self.attributes.iter().map(AttributeSchema::to_attribute).collect()
    }

    pub(crate) fn to_identity(&self, version: i64) -> pb::ResourceIdentitySchema {
        let attributes =
            self.attributes.iter().map(|attribute| pb::resource_identity_schema::IdentityAttribute {
                name: attribute.name.to_string(),
                r#type: type_json(&attribute.shape.ty()),
                required_for_import: attribute.required_for_import,
                optional_for_import: attribute.optional_for_import,
                description: attribute.description.clone(),
            });
        pb::ResourceIdentitySchema { version, identity_attributes: attributes.collect() }
    }
}

impl AttributeSchema {
    fn to_attribute(&self) -> pb::schema::Attribute {
        let (ty, nested) = match &self.shape {
            Shape::Plain(ty) => (type_json(ty), None),
            Shape::Nested(nesting, object) => (Bytes::new(), Some(to_object(*nesting, object))),
        };
        pb::schema::Attribute {
            name: self.name.to_string(),
            r#type: ty,
            nested_type: nested,
            description: described(&self.description, self.deprecated.as_deref()),
            description_kind: pb::StringKind::Markdown.into(),
            required: self.required,
            optional: self.optional,
            computed: self.computed,
            sensitive: self.sensitive,
            deprecated: self.deprecated.is_some(),
            write_only: self.write_only,
        }
    }

    pub(crate) fn to_parameter(&self) -> pb::function::Parameter {
        // A variadic parameter is declared as the list that it arrives as, and described as one
        // element of it.
        let ty = match self.shape.ty() {
            Type::List(element) if self.variadic => *element,
            ty => ty,
        };
        pb::function::Parameter {
            name: self.name.to_string(),
            r#type: type_json(&ty),
            allow_null_value: self.holds_absent,
            allow_unknown_values: self.holds_absent,
            description: self.description.clone(),
            description_kind: pb::StringKind::Markdown.into(),
        }
    }
}

fn to_object(nesting: Nesting, object: &ObjectSchema) -> pb::schema::Object {
    use pb::schema::object::NestingMode;
    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    pb::schema::Object { attributes: object.to_attributes(), nesting: nesting.into() }
}

pub(crate) fn type_json(ty: &Type) -> Bytes {
    ty.to_json().into()
}

/// The protocol has only a flag for "deprecated"; what to use instead goes where people read.
fn described(description: &str, deprecated: Option<&str>) -> String {
    match deprecated {
        None => description.to_owned(),
        Some(instead) => format!("**Deprecated.** {instead}\n\n{description}").trim_end().to_owned(),
    }
}
