//! Types and values of every kind, for proptest.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::value::unknown::Promises;
use crate::value::{Dynamic, Number, NumberBound, Refinements, Type};

/// Whether unknown values are among those made; JSON has none.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unknowns {
    Some,
    None,
}

/// A type, and a value of it as a decoder would make it.
pub(super) fn typed_value(unknowns: Unknowns) -> impl Strategy<Value = (Type, Dynamic)> {
    any_type().prop_flat_map(move |ty| {
        let value = value(ty.clone(), unknowns, 3);
        (Just(ty), value)
    })
}

pub(super) fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        3 => Just(Type::String),
        2 => Just(Type::Number),
        2 => Just(Type::Bool),
        1 => Just(Type::Dynamic),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            btree_map(text(), inner, 0..4).prop_map(Type::object),
        ]
    })
}

pub(super) fn number() -> impl Strategy<Value = Number> {
    let written = |pattern| {
        proptest::string::string_regex(pattern).unwrap().prop_filter_map("a number", |text| text.parse().ok())
    };
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-9..9i64).prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        written(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?"),
        written(r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?[eE][+-]?[0-9]{1,4}"),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{0,8}", "\\PC{0,12}", any::<String>().prop_map(|text| text.chars().take(40).collect())]
}

fn refinements() -> impl Strategy<Value = Refinements> {
    let bound = || {
        option::of((number(), any::<bool>()).prop_map(|(limit, inclusive)| NumberBound { limit, inclusive }))
    };
    let promises = (any::<bool>(), option::of("[a-z]{1,20}"), bound(), bound(), option::of(1..9u64));
    promises.prop_map(|(not_null, prefix, number_min, number_max, length_max)| {
        let length_min = length_max.filter(|&length| length > 2);
        let promises = Promises { not_null, prefix, number_min, number_max, length_min, length_max };
        Refinements::from_promises(promises)
    })
}

fn value(ty: Type, unknowns: Unknowns, depth: u32) -> BoxedStrategy<Dynamic> {
    let own = ty.clone();
    let unknown = refinements().prop_map(move |promised| Dynamic::Unknown(promised.fitting(&own)));
    let unknown_weight = u32::from(unknowns == Unknowns::Some);
    let known = known(ty, unknowns, depth);
    prop_oneof![1 => Just(Dynamic::Null), unknown_weight => unknown, 7 => known].boxed()
}

fn known(ty: Type, unknowns: Unknowns, depth: u32) -> BoxedStrategy<Dynamic> {
    let elements = |ty: Box<Type>| vec(value(*ty, unknowns, depth), 0..4);
    match ty {
        Type::Bool => any::<bool>().prop_map(Dynamic::Bool).boxed(),
        Type::Number => number().prop_map(Dynamic::Number).boxed(),
        Type::String => text().prop_map(Dynamic::String).boxed(),
        Type::Dynamic if depth == 0 => Just(Dynamic::Null).boxed(),
        Type::Dynamic => any_type()
            .prop_flat_map(move |ty| {
                value(ty.clone(), unknowns, depth - 1)
                    .prop_map(move |value| Dynamic::typed(ty.clone(), value))
            })
            .boxed(),
        Type::List(ty) => elements(ty).prop_map(Dynamic::List).boxed(),
        Type::Set(ty) => elements(ty).prop_map(|elements| Dynamic::Set(elements.into())).boxed(),
        Type::Map(ty) => btree_map(text(), value(*ty, unknowns, depth), 0..4)
            .prop_map(|entries| Dynamic::Map(entries.into_iter().collect()))
            .boxed(),
        Type::Object(attributes) => {
            let (names, values): (Vec<_>, Vec<_>) = attributes
                .iter()
                .map(|(name, ty)| (name.clone(), value(ty.clone(), unknowns, depth)))
                .unzip();
            values
                .prop_map(move |values| Dynamic::Object(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
        Type::Tuple(types) => types
            .into_iter()
            .map(|ty| value(ty, unknowns, depth))
            .collect::<Vec<_>>()
            .prop_map(Dynamic::Tuple)
            .boxed(),
    }
}
