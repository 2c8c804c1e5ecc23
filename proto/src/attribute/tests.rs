//! Typed values and untyped ones, there and back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attribute, Text, Value, is_premature};
use crate::schema::Shape;
use crate::value::{Dynamic, DynamicSet, Fields, Number, Type};

fn there_and_back<A: Attribute + Clone + PartialEq + std::fmt::Debug>(ty: &Type, typed: A, untyped: Dynamic) {
    assert_eq!(A::shape().ty(), *ty);
    assert!(typed.clone().into_dynamic() == untyped);
    assert_eq!(A::from_dynamic(untyped), Ok(typed));
}

fn refused<A: Attribute>(untyped: Dynamic) -> String {
    A::from_dynamic(untyped).err().expect("not of that type").to_string()
}

#[test]
fn scalars() {
    there_and_back(&Type::Bool, Value::Known(true), Dynamic::Bool(true));
    there_and_back(&Type::String, Value::<String>::known("text"), Dynamic::from("text"));
    there_and_back(&Type::Number, Value::Known(-7_i64), Dynamic::from(-7));
    there_and_back(&Type::Number, Value::Known(7_u16), Dynamic::from(7));
    there_and_back(&Type::String, Value::<String>::Null, Dynamic::Null);
    there_and_back(&Type::String, Value::<String>::Unknown, Dynamic::UNKNOWN);
    let exact: Number = "0.1".parse().expect("a number");
    there_and_back(&Type::Number, Value::Known(exact.clone()), Dynamic::Number(exact));
}

#[test]
fn what_does_not_fit_is_refused_and_never_rounded_or_quoted() {
    let number = |text: &str| Dynamic::Number(text.parse().expect("a number"));
    assert_eq!(refused::<Value<u16>>(number("65536")), "a whole number from 0 to 65535 is required");
    assert_eq!(refused::<Value<i64>>(number("1.5")), "a whole number of at most 64 bits is required");
    assert_eq!(refused::<Value<u64>>(number("-1")), "a whole number from 0, of at most 64 bits is required");
    assert_eq!(refused::<Value<bool>>(Dynamic::from("s3cret")), "true or false is required");
    assert_eq!(
        refused::<Value<Vec<Value<String>>>>(Dynamic::List(vec![Dynamic::from("a"), Dynamic::from(1)])),
        "[1]: a string is required",
    );
}

#[test]
fn collections() {
    let ab = || vec![Dynamic::from("a"), Dynamic::from("b")];
    there_and_back(
        &Type::list(Type::String),
        Value::Known(vec![Value::known("a"), Value::<String>::Null, Value::Unknown]),
        Dynamic::List(vec![Dynamic::from("a"), Dynamic::Null, Dynamic::UNKNOWN]),
    );
    there_and_back(
        &Type::set(Type::String),
        Value::Known(BTreeSet::from(["b".to_owned(), "a".to_owned()])),
        Dynamic::Set(DynamicSet::from(ab())),
    );
    there_and_back(
        &Type::map(Type::list(Type::String)),
        Value::Known(BTreeMap::from([("k".to_owned(), vec!["a".to_owned(), "b".to_owned()])])),
        Dynamic::Map(Fields::from_iter([("k", Dynamic::List(ab()))])),
    );
}

#[test]
fn a_bare_type_holds_known_values_only_and_says_which_kind_of_other_it_was_given() {
    let list = |element: Dynamic| Dynamic::List(vec![element]);
    let error = Vec::<String>::from_dynamic(list(Dynamic::Null)).expect_err("null is none");
    assert_eq!(error.to_string(), "[0]: a value is required here, and null is none");
    assert!(!is_premature(&error));
    let error = Vec::<String>::from_dynamic(list(Dynamic::UNKNOWN)).expect_err("not yet");
    assert!(is_premature(&error), "it may be fine once it is known");
}

#[test]
fn text_of_a_type_of_ones_own() {
    let address: std::net::IpAddr = "::1".parse().expect("an address");
    there_and_back(&Type::String, Value::Known(Text(address)), Dynamic::from("::1"));
    assert_eq!(
        refused::<Value<Text<std::net::IpAddr>>>(Dynamic::from("s3cret")),
        "invalid IP address syntax"
    );
}

#[test]
fn an_attribute_of_any_type_is_kept_as_it_is() {
    let typed = Dynamic::typed(Type::list(Type::String), Dynamic::List(Vec::new()));
    assert!(Dynamic::from_dynamic(typed.clone()).expect("anything") == typed);
    assert!(matches!(<Dynamic as Attribute>::shape(), Shape::Plain(Type::Dynamic)));
}
