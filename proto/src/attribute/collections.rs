//! Attributes of many values: lists, sets and maps.
//!
//! Of elements that are structs with a schema, each becomes a nested attribute; of others, a plain
//! type. Elements may be bare, as in `Value<Vec<String>>`: a null among them is then an error, and
//! `validate` and `plan` are not asked before they are all known. Elements that are `Value`s, as in
//! `Value<Vec<Value<String>>>`, can be null and unknown by themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::scalars::bare_attribute;
use super::{Attribute, AttributeType, expected};
use crate::schema::{Nesting, Shape};
use crate::value::{Dynamic, Fields, PathStep, Type, ValueError};

bare_attribute!((E: Attribute) Vec<E>, (E: Attribute + Ord) BTreeSet<E>, (E: Attribute) BTreeMap<String, E>);

/// The protocol nests objects one collection deep; beyond that an object is a plain type.
fn collection<E: Attribute>(nesting: Nesting, plain: impl FnOnce(Box<Type>) -> Type) -> Shape {
    match E::shape() {
        Shape::Nested(Nesting::Single, object) => Shape::Nested(nesting, object),
        other => Shape::Plain(plain(Box::new(other.ty()))),
    }
}

impl<E: Attribute> AttributeType for Vec<E> {
    fn shape() -> Shape {
        collection::<E>(Nesting::List, Type::List)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let (Dynamic::List(elements) | Dynamic::Tuple(elements)) = value else {
            return Err(expected("a list"));
        };
        let elements = elements.into_iter().enumerate();
        elements
            .map(|(at, element)| E::from_dynamic(element).map_err(|error| error.under(PathStep::Index(at))))
            .collect()
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::List(self.into_iter().map(Attribute::into_dynamic).collect())
    }
}

impl<E: Attribute + Ord> AttributeType for BTreeSet<E> {
    fn shape() -> Shape {
        collection::<E>(Nesting::Set, Type::Set)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let Dynamic::Set(elements) = value else {
            return Err(expected("a set"));
        };
        // The elements of a set have no names: the path ends at the set.
        let element = |element| E::from_dynamic(element).map_err(|error| error.problem().clone().into());
        elements.into_iter().map(element).collect()
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::Set(self.into_iter().map(Attribute::into_dynamic).collect())
    }
}

impl<E: Attribute> AttributeType for BTreeMap<String, E> {
    fn shape() -> Shape {
        collection::<E>(Nesting::Map, Type::Map)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let (Dynamic::Map(fields) | Dynamic::Object(fields)) = value else {
            return Err(expected("a map"));
        };
        let entries = fields.into_iter().map(|(key, element)| {
            let element = E::from_dynamic(element);
            Ok((key.to_string(), element.map_err(|error| error.under(PathStep::Key(key)))?))
        });
        entries.collect()
    }

    fn into_dynamic(self) -> Dynamic {
        let entries = self.into_iter().map(|(key, element)| (key, element.into_dynamic()));
        Dynamic::Map(entries.collect::<Fields>())
    }
}
