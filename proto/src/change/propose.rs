//! The state that a change would lead to, as far as it can be known before apply.

use std::collections::HashMap;

use super::{any_attribute, as_object, field};
use crate::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::{Dynamic, DynamicSet, Fields};

/// What becomes of an attribute that is computed and not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It stays: to find out whether anything changes at all.
    Keep,
    /// It becomes unknown, unless it keeps its prior value: something does change.
    Change,
}

/// The planned object for a configuration. Without a prior one it is to be created.
pub(crate) fn propose(schema: &ObjectSchema, prior: Option<&Fields>, config: &Fields, mode: Mode) -> Fields {
    let attributes = schema.attributes.iter().map(|own| {
        let prior = prior.map(|prior| field(prior, own));
        (own.name.clone(), attribute(own, prior, field(config, own), mode))
    });
    attributes.collect()
}

fn attribute(own: &AttributeSchema, prior: Option<&Dynamic>, config: &Dynamic, mode: Mode) -> Dynamic {
    if own.write_only {
        return Dynamic::Null;
    }
    if config.is_null() {
        return match (&own.default, own.computed) {
            (Some(default), _) => default.clone(),
            (None, true) => computed(own, prior, mode),
            // As it came: a null may carry a type.
            (None, false) => config.clone(),
        };
    }
    match &own.shape {
        Shape::Nested(nesting, object) if !config.is_unknown() => {
            nested(*nesting, object, prior, config, mode)
        }
        _ => config.clone(),
    }
}

fn computed(own: &AttributeSchema, prior: Option<&Dynamic>, mode: Mode) -> Dynamic {
    match (prior, mode) {
        (None, _) => Dynamic::UNKNOWN,
        (Some(prior), Mode::Keep) => prior.clone(),
        // A null that was stored before the attribute existed, or by an import, is not yet a value
        // to hold on to.
        (Some(prior), Mode::Change) if own.keeps_prior && !prior.is_null() => prior.clone(),
        (Some(_), Mode::Change) => Dynamic::UNKNOWN,
    }
}

fn nested(
    nesting: Nesting,
    object: &ObjectSchema,
    prior: Option<&Dynamic>,
    config: &Dynamic,
    mode: Mode,
) -> Dynamic {
    match (nesting, config) {
        (Nesting::Single, config) => element(object, prior, config, mode),
        (Nesting::List, Dynamic::List(elements)) => {
            let prior = match prior {
                Some(Dynamic::List(prior)) => prior.as_slice(),
                _ => &[],
            };
            let elements = elements.iter().enumerate();
            Dynamic::List(elements.map(|(at, config)| element(object, prior.get(at), config, mode)).collect())
        }
        (Nesting::Map, Dynamic::Map(elements)) => {
            let prior = match prior {
                Some(Dynamic::Map(prior)) => Some(prior),
                _ => None,
            };
            let elements = elements.iter().map(|(key, config)| {
                (key.clone(), element(object, prior.and_then(|prior| prior.get(key)), config, mode))
            });
            Dynamic::Map(elements.collect())
        }
        (Nesting::Set, Dynamic::Set(elements)) => set(object, prior, elements, mode),
        // Not what the schema says; encoding will say so.
        (_, other) => other.clone(),
    }
}

fn element(object: &ObjectSchema, prior: Option<&Dynamic>, config: &Dynamic, mode: Mode) -> Dynamic {
    match as_object(config) {
        Some(config) => Dynamic::Object(propose(object, prior.and_then(as_object), config, mode)),
        None => config.clone(),
    }
}

/// The elements of a set have no names by which to find what each was before: it is the one that
/// is left as it is by what is configured.
fn set(object: &ObjectSchema, prior: Option<&Dynamic>, elements: &DynamicSet, mode: Mode) -> Dynamic {
    let free = |own: &AttributeSchema| own.computed || own.write_only;
    let prior = match prior {
        Some(Dynamic::Set(prior)) if any_attribute(object, &free) => prior,
        // Where everything is configured there is nothing to take over.
        _ => &DynamicSet::default(),
    };
    // Only those that agree on all that is never computed are looked at, so that a thousand
    // elements take a thousand comparisons and not a million.
    let fixed: Vec<_> = object.attributes.iter().filter(|own| !any_free(own)).collect();
    let key = |fields: &Fields| fixed.iter().map(|own| field(fields, own).clone()).collect::<Vec<_>>();
    let mut candidates: HashMap<Vec<Dynamic>, Vec<&Fields>> = HashMap::new();
    for fields in prior.iter().filter_map(as_object) {
        candidates.entry(key(fields)).or_default().push(fields);
    }
    let elements = elements.iter().map(|config| {
        let Some(config) = as_object(config) else {
            return config.clone();
        };
        let candidates = candidates.get_mut(&key(config));
        let prior = candidates.and_then(|candidates| {
            let same = |prior: &&Fields| propose(object, Some(prior), config, Mode::Keep) == **prior;
            let at = candidates.iter().position(same)?;
            Some(candidates.swap_remove(at))
        });
        Dynamic::Object(propose(object, prior, config, mode))
    });
    Dynamic::Set(elements.collect())
}

fn any_free(own: &AttributeSchema) -> bool {
    let free = |own: &AttributeSchema| own.computed || own.write_only;
    free(own) || matches!(&own.shape, Shape::Nested(_, inner) if any_attribute(inner, &free))
}
