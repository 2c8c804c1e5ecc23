//! What a change makes of a resource: the rules that core holds every provider to.
//!
//! Pure functions over a schema and untyped values; knows no resource and no gRPC. The rules, as
//! Terraform checks them: a planned value is the configured one or the prior one, and only what is
//! computed and not configured is free; write-only values appear in a configuration and nowhere
//! else; nothing is unknown after apply.

mod propose;
mod replace;
#[cfg(test)]
mod tests;
mod tidy;

pub(crate) use propose::{Mode, propose};
pub(crate) use replace::replaces;
pub(crate) use tidy::{
    config_of_state, fill_defaults, null_unknowns, null_write_only, restore_unknowns, unknown_paths,
};

use crate::schema::{AttributeSchema, ObjectSchema, Shape};
use crate::value::{Dynamic, Fields};

static NULL: Dynamic = Dynamic::Null;

/// The value of an attribute in an object; null in what is no object.
fn field<'a>(fields: &'a Fields, attribute: &AttributeSchema) -> &'a Dynamic {
    fields.get(&attribute.name).unwrap_or(&NULL)
}

fn as_object(value: &Dynamic) -> Option<&Fields> {
    match value {
        Dynamic::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Whether something holds for an attribute, or for one inside it.
fn any_attribute(object: &ObjectSchema, holds: &impl Fn(&AttributeSchema) -> bool) -> bool {
    object.attributes.iter().any(|attribute| {
        holds(attribute) || matches!(&attribute.shape, Shape::Nested(_, inner) if any_attribute(inner, holds))
    })
}
