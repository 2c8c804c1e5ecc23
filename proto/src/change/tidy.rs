//! Bringing values into the form that core takes.

use crate::Path;
use crate::schema::{AttributeSchema, ObjectSchema, Shape};
use crate::value::{Dynamic, DynamicSet, Fields, PathStep};

/// Makes every write-only value null. Where there is none in the schema, this costs nothing.
pub(crate) fn null_write_only(schema: &ObjectSchema, value: &mut Dynamic) {
    if super::any_attribute(schema, &|own| own.write_only) {
        each_attribute(schema, value, &mut |own, value| {
            if own.write_only {
                *value = Dynamic::Null;
            }
        });
    }
}

/// Sets what is not configured and has a default.
pub(crate) fn fill_defaults(schema: &ObjectSchema, value: &mut Dynamic) {
    if super::any_attribute(schema, &|own| own.default.is_some()) {
        each_attribute(schema, value, &mut |own, value| {
            if let Some(default) = own.default.as_ref().filter(|_| value.is_null()) {
                *value = default.clone();
            }
        });
    }
}

/// A configuration that would have led to this state: what only the provider sets is left out.
pub(crate) fn config_of_state(schema: &ObjectSchema, state: &mut Dynamic) {
    each_attribute(schema, state, &mut |own, value| {
        if !(own.required || own.optional) || own.write_only || own.deprecated.is_some() || own.timeouts {
            *value = Dynamic::Null;
        }
    });
}

/// Visits the attributes of an object, those of nested objects after those around them.
fn each_attribute(
    schema: &ObjectSchema,
    value: &mut Dynamic,
    visit: &mut impl FnMut(&AttributeSchema, &mut Dynamic),
) {
    match value {
        Dynamic::Object(fields) => {
            for own in &schema.attributes {
                let Some(value) = fields.get_mut(&own.name) else { continue };
                visit(own, value);
                if let Shape::Nested(_, inner) = &own.shape {
                    each_attribute(inner, value, visit);
                }
            }
        }
        Dynamic::List(elements) => {
            for element in elements {
                each_attribute(schema, element, visit);
            }
        }
        Dynamic::Map(elements) => {
            for (_, element) in elements.iter_mut() {
                each_attribute(schema, element, visit);
            }
        }
        Dynamic::Set(elements) => rebuild(elements, |element| each_attribute(schema, element, visit)),
        _ => {}
    }
}

/// Changes the elements of a set: their order is by their value, so it is built anew.
fn rebuild(elements: &mut DynamicSet, mut change: impl FnMut(&mut Dynamic)) {
    let mut changed: Vec<_> = std::mem::take(elements).into_iter().collect();
    changed.iter_mut().for_each(&mut change);
    *elements = changed.into();
}

/// Makes everything unknown null.
pub(crate) fn null_unknowns(value: &mut Dynamic) {
    match value {
        Dynamic::Unknown(_) => *value = Dynamic::Null,
        Dynamic::List(elements) | Dynamic::Tuple(elements) => elements.iter_mut().for_each(null_unknowns),
        Dynamic::Set(elements) => rebuild(elements, null_unknowns),
        Dynamic::Map(fields) | Dynamic::Object(fields) => {
            fields.iter_mut().for_each(|(_, value)| null_unknowns(value));
        }
        Dynamic::Typed(typed) if typed.value().is_unknown() => *value = Dynamic::Null,
        Dynamic::Null | Dynamic::Bool(_) | Dynamic::Number(_) | Dynamic::String(_) | Dynamic::Typed(_) => {}
    }
}

/// Where a value is unknown; of a set, only that it is somewhere in it.
pub(crate) fn unknown_paths(value: &Dynamic) -> Vec<Path> {
    fn walk(value: &Dynamic, path: &mut Path, found: &mut Vec<Path>) {
        let mut inside = |step, value: &Dynamic, found: &mut Vec<Path>| {
            path.push(step);
            walk(value, path, found);
            path.pop();
        };
        match value {
            Dynamic::List(elements) | Dynamic::Tuple(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    inside(PathStep::Index(at), element, found);
                }
            }
            Dynamic::Map(fields) => {
                fields.iter().for_each(|(key, value)| inside(PathStep::Key(key.clone()), value, found));
            }
            Dynamic::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(name, value)| inside(PathStep::Attribute(name.clone()), value, found));
            }
            other if !other.is_wholly_known() => found.push(path.clone()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if !value.is_wholly_known() {
        walk(value, &mut Path::empty(), &mut found);
    }
    found
}

/// Gives back to unknown values what was promised of them: a typed value holds only that it is
/// unknown, and core compares more than that with what is configured.
pub(crate) fn restore_unknowns(value: &mut Dynamic, before: &Dynamic) {
    match (value, before) {
        (value @ Dynamic::Unknown(_), Dynamic::Unknown(_)) => *value = before.clone(),
        (Dynamic::List(values), Dynamic::List(befores))
        | (Dynamic::Tuple(values), Dynamic::Tuple(befores)) => {
            values.iter_mut().zip(befores).for_each(|(value, before)| restore_unknowns(value, before));
        }
        (Dynamic::Map(values), Dynamic::Map(befores))
        | (Dynamic::Object(values), Dynamic::Object(befores)) => {
            restore_fields(values, befores);
        }
        // Where nothing but the promises can differ, the set is the one it was.
        (Dynamic::Set(values), Dynamic::Set(befores)) if values.len() == befores.len() => {
            let mut plain = Dynamic::Set(befores.clone());
            forget_promises(&mut plain);
            if matches!(&plain, Dynamic::Set(plain) if plain == values) {
                values.clone_from(befores);
            }
        }
        _ => {}
    }
}

fn restore_fields(values: &mut Fields, befores: &Fields) {
    for (name, value) in values.iter_mut() {
        if let Some(before) = befores.get(name) {
            restore_unknowns(value, before);
        }
    }
}

fn forget_promises(value: &mut Dynamic) {
    match value {
        Dynamic::Unknown(promises) if !promises.is_none() => *value = Dynamic::UNKNOWN,
        Dynamic::List(elements) | Dynamic::Tuple(elements) => elements.iter_mut().for_each(forget_promises),
        Dynamic::Set(elements) => rebuild(elements, forget_promises),
        Dynamic::Map(fields) | Dynamic::Object(fields) => {
            fields.iter_mut().for_each(|(_, value)| forget_promises(value));
        }
        _ => {}
    }
}
