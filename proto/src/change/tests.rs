//! Plans of a made-up resource, as JSON in and JSON out. `"?"` stands for an unknown value, and nulls
//! are left out.

use expect_test::{Expect, expect};

use super::{Mode, fill_defaults, null_unknowns, null_write_only, propose, replaces, restore_unknowns};
use crate::attribute::{Attribute, Value};
use crate::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::{Dynamic, Fields, Refinements};

fn text(name: &str) -> AttributeSchema {
    AttributeSchema::new::<Value<String>>(name)
}

fn nested(name: &str, nesting: Nesting, object: ObjectSchema) -> AttributeSchema {
    AttributeSchema::with_shape(name, Shape::Nested(nesting, object.into())).optional()
}

fn part() -> ObjectSchema {
    let mut part = ObjectSchema::new("");
    part.add(text("name").optional());
    part.add(text("kind").optional().computed().default_value::<Value<String>>("plain"));
    part.add(text("serial").computed().keeps_prior());
    part.add(text("stamp").computed());
    part.add(text("colour").optional().replaces());
    part
}

fn thing() -> ObjectSchema {
    let mut secret = part();
    secret.add(text("secret").optional().write_only());
    let mut thing = ObjectSchema::new("");
    thing.add(text("id").computed().keeps_prior());
    thing.add(text("name").optional());
    thing.add(text("zone").optional().computed().replaces());
    thing.add(text("stamp").computed());
    thing.add(text("secret").optional().write_only().replaces());
    thing.add(nested("one", Nesting::Single, secret.clone()));
    thing.add(nested("list", Nesting::List, secret.clone()));
    thing.add(nested("map", Nesting::Map, secret));
    thing.add(nested("set", Nesting::Set, part()));
    thing.add(nested("auto", Nesting::List, part()).computed());
    thing
}

fn read(json: &str) -> Dynamic {
    let mut value = Dynamic::from_json(json.as_bytes(), &thing().ty()).expect("a thing");
    unknowns(&mut value);
    value
}

fn unknowns(value: &mut Dynamic) {
    match value {
        Dynamic::String(text) if text == "?" => *value = Dynamic::UNKNOWN,
        Dynamic::List(elements) => elements.iter_mut().for_each(unknowns),
        Dynamic::Map(fields) | Dynamic::Object(fields) => {
            fields.iter_mut().for_each(|(_, value)| unknowns(value));
        }
        Dynamic::Set(elements) => {
            let mut own: Vec<_> = elements.iter().cloned().collect();
            own.iter_mut().for_each(unknowns);
            *elements = own.into();
        }
        _ => {}
    }
}

fn object(value: &Dynamic) -> &Fields {
    match value {
        Dynamic::Object(fields) => fields,
        other => unreachable!("{other:?} is no object"),
    }
}

fn write(value: &Dynamic) -> String {
    let entries = |fields: &Fields| {
        let present = fields.iter().filter(|(_, value)| !value.is_null());
        present.map(|(name, value)| format!("{name}: {}", write(value))).collect::<Vec<_>>().join(", ")
    };
    let elements =
        |elements: &mut dyn Iterator<Item = &Dynamic>| elements.map(write).collect::<Vec<_>>().join(", ");
    match value {
        Dynamic::Null => "null".to_owned(),
        Dynamic::Unknown(_) => "?".to_owned(),
        Dynamic::String(text) => text.clone(),
        Dynamic::List(own) => format!("[{}]", elements(&mut own.iter())),
        Dynamic::Set(own) => format!("<{}>", elements(&mut own.iter())),
        Dynamic::Map(fields) | Dynamic::Object(fields) => format!("{{{}}}", entries(fields)),
        other => format!("{other:?}"),
    }
}

/// Plans as the service does, and says what would replace the thing.
fn plan(prior: Option<&str>, config: &str) -> String {
    let (schema, prior, config) = (thing(), prior.map(read), read(config));
    let prior = prior.as_ref().map(object);
    let kept = propose(&schema, prior, object(&config), Mode::Keep);
    if prior == Some(&kept) {
        return "no change".to_owned();
    }
    let planned = propose(&schema, prior, object(&config), Mode::Change);
    let because = prior.map(|prior| replaces(&schema, prior, &planned, object(&config))).unwrap_or_default();
    let because = because.iter().map(|path| format!("\nreplaces: {path}")).collect::<String>();
    write(&Dynamic::Object(planned)) + &because
}

fn check(prior: Option<&str>, config: &str, expected: &Expect) {
    expected.assert_eq(&plan(prior, config));
}

#[test]
fn a_new_thing() {
    check(
        None,
        r#"{"name":"n","secret":"s","one":{"secret":"s"},"set":[{"name":"a"}]}"#,
        &expect![
            "{auto: ?, id: ?, name: n, one: {kind: plain, serial: ?, stamp: ?}, set: <{kind: plain, name: a, serial: ?, stamp: ?}>, stamp: ?, zone: ?}"
        ],
    );
}

const STORED: &str = r#"{"id":"1","name":"n","zone":"z","stamp":"then",
    "one":{"name":"o","kind":"plain","serial":"s1","stamp":"then"},
    "list":[{"name":"a","kind":"plain","serial":"s2","stamp":"then"}],
    "map":{"k":{"name":"m","kind":"round","serial":"s3","stamp":"then"}},
    "set":[{"name":"x","kind":"plain","serial":"s4","stamp":"then"},
           {"name":"y","kind":"plain","serial":"s5","stamp":"then"}],
    "auto":[{"name":"made","kind":"plain","serial":"s6","stamp":"then"}]}"#;
const CONFIGURED: &str = r#"{"name":"n","secret":"s","one":{"name":"o","secret":"s"},
    "list":[{"name":"a","secret":"s"}],"map":{"k":{"name":"m","kind":"round"}},
    "set":[{"name":"y"},{"name":"x"}]}"#;

#[test]
fn an_unchanged_thing() {
    check(Some(STORED), CONFIGURED, &expect!["no change"]);
}

#[test]
fn a_change_reaches_what_is_computed_but_not_what_is_kept() {
    check(
        Some(STORED),
        &CONFIGURED.replace(r#""name":"n""#, r#""name":"other""#),
        &expect![
            "{auto: ?, id: 1, list: [{kind: plain, name: a, serial: s2, stamp: ?}], map: {k: {kind: round, name: m, serial: s3, stamp: ?}}, name: other, one: {kind: plain, name: o, serial: s1, stamp: ?}, set: <{kind: plain, name: x, serial: s4, stamp: ?}, {kind: plain, name: y, serial: s5, stamp: ?}>, stamp: ?, zone: ?}"
        ],
    );
}

#[test]
fn elements_come_and_go() {
    // A second element of the list is new, one of the set has gone, the map's key is another.
    check(
        Some(STORED),
        r#"{"name":"n","list":[{"name":"a"},{"name":"b"}],"map":{"l":{"name":"m"}},"set":[{"name":"y"}]}"#,
        &expect![
            "{auto: ?, id: 1, list: [{kind: plain, name: a, serial: s2, stamp: ?}, {kind: plain, name: b, serial: ?, stamp: ?}], map: {l: {kind: plain, name: m, serial: ?, stamp: ?}}, name: n, set: <{kind: plain, name: y, serial: s5, stamp: ?}>, stamp: ?, zone: ?}"
        ],
    );
}

#[test]
fn what_is_unknown_stays_unknown() {
    check(
        Some(STORED),
        r#"{"name":"?","one":{"name":"?"},"list":[{"name":"?"}],"set":[{"name":"?"},{"name":"x"}]}"#,
        &expect![
            "{auto: ?, id: 1, list: [{kind: plain, name: ?, serial: s2, stamp: ?}], name: ?, one: {kind: plain, name: ?, serial: s1, stamp: ?}, set: <{kind: plain, name: ?, serial: ?, stamp: ?}, {kind: plain, name: x, serial: s4, stamp: ?}>, stamp: ?, zone: ?}"
        ],
    );
}

#[test]
fn changes_that_replace_are_named_exactly() {
    let coloured = STORED.replace(r#""kind":"#, r#""colour":"red","kind":"#);
    let config = r#"{"name":"n","zone":"other","one":{"name":"o","colour":"blue"},
        "list":[{"name":"a","colour":"blue"}],"map":{"k":{"name":"m","kind":"round","colour":"blue"}},
        "set":[{"name":"x","colour":"blue"},{"name":"y","colour":"red"}]}"#;
    let planned = plan(Some(&coloured), config);
    let because = planned.lines().skip(1).collect::<Vec<_>>().join("\n");
    expect![[r#"
        replaces: zone
        replaces: one.colour
        replaces: list[0].colour
        replaces: map["k"].colour
        replaces: set"#]]
    .assert_eq(&because);
}

#[test]
fn what_the_provider_will_compute_again_replaces_nothing() {
    assert!(!plan(Some(STORED), r#"{"name":"other"}"#).contains("replaces"));
}

#[test]
fn a_set_of_a_thousand_is_planned_at_once() {
    let elements = |known: &str| {
        let elements = (0..1000).map(|at| format!(r#"{{"name":"n{at}"{known}}}"#)).collect::<Vec<_>>();
        format!(r#"{{"id":"1","zone":"z","stamp":"then","set":[{}]}}"#, elements.join(","))
    };
    let prior = read(&elements(r#","kind":"plain","serial":"s","stamp":"then""#));
    let config = read(&elements("").replace(r#""id":"1","zone":"z","stamp":"then","#, ""));
    let kept = propose(&thing(), Some(object(&prior)), object(&config), Mode::Keep);
    assert!(kept == *object(&prior));
}

#[test]
fn what_is_write_only_is_nulled_wherever_it_is() {
    let mut value = read(
        r#"{"name":"n","secret":"s","one":{"secret":"s"},"list":[{"secret":"s"}],"map":{"k":{"secret":"s"}}}"#,
    );
    null_write_only(&thing(), &mut value);
    expect!["{list: [{}], map: {k: {}}, name: n, one: {}}"].assert_eq(&write(&value));
}

#[test]
fn defaults_are_filled_in_wherever_they_are() {
    let mut value = read(r#"{"one":{},"list":[{"kind":"own"}],"set":[{"name":"a"}]}"#);
    fill_defaults(&thing(), &mut value);
    expect!["{list: [{kind: own}], one: {kind: plain}, set: <{kind: plain, name: a}>}"]
        .assert_eq(&write(&value));
}

#[test]
fn unknowns_become_null() {
    let mut value = read(r#"{"id":"?","list":[{"name":"?"}],"set":[{"name":"?"},{"name":"a"}]}"#);
    null_unknowns(&mut value);
    expect!["{list: [{}], set: <{}, {name: a}>}"].assert_eq(&write(&value));
}

#[test]
fn what_was_promised_of_an_unknown_value_is_kept() {
    let promised = Dynamic::Unknown(Refinements::NONE.prefix("not_"));
    let before = Dynamic::List(vec![promised.clone(), Dynamic::from("a"), promised.clone()]);
    // Through a typed value and back, an unknown is an unknown.
    let typed: Vec<Value<String>> = Attribute::from_dynamic(before.clone()).expect("a list");
    let mut after = Attribute::into_dynamic(typed);
    assert!(after != before);
    restore_unknowns(&mut after, &before);
    assert!(after == before);
    let before = Dynamic::Set([promised, Dynamic::from("a")].into_iter().collect());
    let mut after = Dynamic::Set([Dynamic::UNKNOWN, Dynamic::from("a")].into_iter().collect());
    restore_unknowns(&mut after, &before);
    assert!(after == before);
}
