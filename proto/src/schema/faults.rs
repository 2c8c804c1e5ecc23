//! Faults in schemas, found when core asks for them: better told to the provider's author by name
//! than to a user by a core that gives up.

use super::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::Type;

/// The names that have a meaning of their own in every block of that kind.
const RESERVED: [&str; 7] =
    ["connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"];
const RESERVED_IN_PROVIDERS: [&str; 3] = ["alias", "source", "version"];

pub(crate) fn provider(schema: &ObjectSchema) -> Vec<String> {
    let mut found = reserved("provider", schema, &RESERVED_IN_PROVIDERS);
    found.extend(without_storage_anywhere("provider", schema));
    found
}

pub(crate) fn resource(name: &str, schema: &ObjectSchema) -> Vec<String> {
    let mut found = reserved(name, schema, &RESERVED);
    object(name, schema, Inside::Nothing, &mut found);
    found
}

/// Data sources, ephemeral resources and actions.
pub(crate) fn without_storage(name: &str, schema: &ObjectSchema) -> Vec<String> {
    let mut found = reserved(name, schema, &RESERVED);
    found.extend(without_storage_anywhere(name, schema));
    found
}

pub(crate) fn identity(name: &str, schema: &ObjectSchema) -> Vec<String> {
    let mut found = Vec::new();
    for own in &schema.attributes {
        let ty = own.shape.ty();
        let element = match &ty {
            Type::List(element) => element,
            other => other,
        };
        if !matches!(element, Type::Bool | Type::Number | Type::String) {
            found.push(format!(
                "{name}: the identity's `{}` is neither a scalar nor a list of scalars",
                own.name
            ));
        }
    }
    found
}

pub(crate) fn function(name: &str, schema: &ObjectSchema) -> Vec<String> {
    let mut found = Vec::new();
    for (at, own) in schema.attributes.iter().enumerate() {
        if own.variadic && at + 1 != schema.attributes.len() {
            found.push(format!("{name}: only the last parameter can be variadic, and `{}` is not", own.name));
        }
        if own.variadic && !matches!(own.shape.ty(), Type::List(_)) {
            found.push(format!("{name}: the variadic parameter `{}` has to be a `Vec`", own.name));
        }
    }
    found
}

fn without_storage_anywhere(name: &str, schema: &ObjectSchema) -> Vec<String> {
    let mut found = Vec::new();
    object(name, schema, Inside::Unstored, &mut found);
    found
}

fn reserved(name: &str, schema: &ObjectSchema, names: &[&str]) -> Vec<String> {
    let taken = schema.attributes.iter().filter(|own| names.contains(&&*own.name));
    taken.map(|own| format!("{name}: the name `{}` is reserved", own.name)).collect()
}

#[derive(Clone, Copy)]
enum Inside {
    Nothing,
    Set,
    Unstored,
}

fn object(name: &str, schema: &ObjectSchema, inside: Inside, found: &mut Vec<String>) {
    for (at, own) in schema.attributes.iter().enumerate() {
        if schema.attributes[..at].iter().any(|earlier| earlier.name == own.name) {
            found.push(format!("{name}: there are two attributes `{}`", own.name));
        }
        attribute(&format!("{name}.{}", own.name), own, inside, found);
    }
}

fn attribute(name: &str, own: &AttributeSchema, inside: Inside, found: &mut Vec<String>) {
    if !(own.required || own.optional || own.computed) {
        found.push(format!("{name}: it is neither required nor optional nor computed"));
    }
    if own.required && (own.optional || own.computed) {
        found.push(format!("{name}: what is required is neither optional nor computed"));
    }
    if own.write_only {
        match inside {
            Inside::Set => found.push(format!("{name}: what is in a set cannot be write-only")),
            Inside::Unstored => found.push(format!("{name}: only resources have write-only attributes")),
            Inside::Nothing if own.computed => {
                found.push(format!("{name}: write-only and computed exclude each other"));
            }
            Inside::Nothing => {}
        }
    }
    if let Shape::Nested(nesting, inner) = &own.shape {
        let inside = match (inside, nesting) {
            (Inside::Unstored, _) => Inside::Unstored,
            (_, Nesting::Set) => Inside::Set,
            (inside, _) => inside,
        };
        object(name, inner, inside, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn text(name: &str) -> AttributeSchema {
        AttributeSchema::new::<Value<String>>(name)
    }

    #[test]
    fn what_core_would_not_take_is_named() {
        let mut inner = ObjectSchema::new("");
        inner.add(text("secret").optional().write_only());
        let mut schema = ObjectSchema::new("");
        schema.add(text("count").optional());
        schema.add(text("twice").optional());
        schema.add(text("twice").optional());
        schema.add(text("nothing"));
        schema.add(text("torn").required().computed());
        schema.add(AttributeSchema::with_shape("set", Shape::Nested(Nesting::Set, inner.into())).optional());
        assert_eq!(
            resource("a_thing", &schema),
            [
                "a_thing: the name `count` is reserved",
                "a_thing: there are two attributes `twice`",
                "a_thing.nothing: it is neither required nor optional nor computed",
                "a_thing.torn: what is required is neither optional nor computed",
                "a_thing.set.secret: what is in a set cannot be write-only",
            ],
        );
        let mut data = ObjectSchema::new("");
        data.add(text("secret").optional().write_only());
        assert_eq!(
            without_storage("a_thing", &data),
            ["a_thing.secret: only resources have write-only attributes"]
        );
        let mut parameters = ObjectSchema::new("");
        parameters.add(AttributeSchema::new::<Vec<String>>("rest").required().variadic());
        parameters.add(AttributeSchema::new::<String>("last").required());
        assert_eq!(
            function("f", &parameters),
            ["f: only the last parameter can be variadic, and `rest` is not"],
        );
    }
}
