//! Which changes replace the resource.

use super::{any_attribute, as_object, field};
use crate::Path;
use crate::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::{Dynamic, Fields, PathStep};

/// The attributes marked `replaces` that differ between the prior and the planned state.
pub(crate) fn replaces(
    schema: &ObjectSchema,
    prior: &Fields,
    planned: &Fields,
    config: &Fields,
) -> Vec<Path> {
    let mut found = Vec::new();
    object(schema, prior, planned, Some(config), &mut Path::empty(), &mut found);
    found
}

fn object(
    schema: &ObjectSchema,
    prior: &Fields,
    planned: &Fields,
    config: Option<&Fields>,
    path: &mut Path,
    found: &mut Vec<Path>,
) {
    for own in &schema.attributes {
        let config = config.map(|config| field(config, own));
        path.push(PathStep::Attribute(own.name.clone()));
        attribute(own, field(prior, own), field(planned, own), config, path, found);
        path.pop();
    }
}

fn attribute(
    own: &AttributeSchema,
    prior: &Dynamic,
    planned: &Dynamic,
    config: Option<&Dynamic>,
    path: &mut Path,
    found: &mut Vec<Path>,
) {
    if prior == planned || own.write_only {
        return;
    }
    // What the provider is going to compute again is not a change that anybody has asked for.
    let asked = !planned.is_unknown() || !own.computed || config.is_some_and(|config| !config.is_null());
    if !asked {
        return;
    }
    if own.replaces {
        found.push(path.clone());
        return;
    }
    let Shape::Nested(nesting, inner) = &own.shape else {
        return;
    };
    if !any_attribute(inner, &|own| own.replaces) {
        return;
    }
    match (nesting, prior, planned) {
        (Nesting::Single, Dynamic::Object(prior), Dynamic::Object(planned)) => {
            object(inner, prior, planned, config.and_then(as_object), path, found);
        }
        (Nesting::List, Dynamic::List(prior), Dynamic::List(planned)) => {
            for (at, (prior, planned)) in prior.iter().zip(planned).enumerate() {
                let config = match config {
                    Some(Dynamic::List(config)) => config.get(at),
                    _ => None,
                };
                path.push(PathStep::Index(at));
                element(inner, prior, planned, config, path, found);
                path.pop();
            }
        }
        (Nesting::Map, Dynamic::Map(prior), Dynamic::Map(planned)) => {
            for (key, planned) in planned.iter() {
                let Some(prior) = prior.get(key) else { continue };
                let config = match config {
                    Some(Dynamic::Map(config)) => config.get(key),
                    _ => None,
                };
                path.push(PathStep::Key(key.clone()));
                element(inner, prior, planned, config, path, found);
                path.pop();
            }
        }
        // The whole has appeared or gone, or its elements have no names: then it is the whole that
        // replaces, if a value in it is one that does.
        (_, before, after) if holds_replacing(inner, before) || holds_replacing(inner, after) => {
            found.push(path.clone());
        }
        _ => {}
    }
}

fn element(
    schema: &ObjectSchema,
    prior: &Dynamic,
    planned: &Dynamic,
    config: Option<&Dynamic>,
    path: &mut Path,
    found: &mut Vec<Path>,
) {
    if let (Some(prior), Some(planned)) = (as_object(prior), as_object(planned)) {
        object(schema, prior, planned, config.and_then(as_object), path, found);
    }
}

/// Whether there is a value at an attribute marked `replaces`.
fn holds_replacing(schema: &ObjectSchema, value: &Dynamic) -> bool {
    match value {
        Dynamic::Object(fields) => schema.attributes.iter().any(|own| {
            let value = field(fields, own);
            let inside = matches!(&own.shape, Shape::Nested(_, inner) if holds_replacing(inner, value));
            inside || own.replaces && !value.is_null() && !(own.computed && value.is_unknown())
        }),
        Dynamic::List(elements) => elements.iter().any(|element| holds_replacing(schema, element)),
        Dynamic::Set(elements) => elements.iter().any(|element| holds_replacing(schema, element)),
        Dynamic::Map(elements) => elements.iter().any(|(_, element)| holds_replacing(schema, element)),
        _ => false,
    }
}
