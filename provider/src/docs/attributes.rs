//! The attributes of a schema, by how they are set; nested objects after them.

use std::fmt::Write as _;

use tfplugin::Type;
use tfplugin::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};

const WRITE_ONLY: &str =
    "[Write-only](https://developer.hashicorp.com/terraform/language/resources/ephemeral/write-only)";

/// Writes the section `Schema`.
pub(super) fn write(text: &mut String, schema: &ObjectSchema) {
    text.push_str("## Schema\n");
    let mut nested = Vec::new();
    groups(text, schema, "", &|title| format!("\n### {title}\n\n"), &mut nested);
    while !nested.is_empty() {
        for (path, object) in std::mem::take(&mut nested) {
            _ = writeln!(text, "\n<a id=\"{}\"></a>\n### Nested Schema for `{path}`", anchor(&path));
            groups(text, &object, &path, &|title| format!("\n{title}:\n\n"), &mut nested);
        }
    }
}

/// The attributes in the order in which a reader needs them.
fn groups(
    text: &mut String,
    schema: &ObjectSchema,
    path: &str,
    title: &dyn Fn(&str) -> String,
    nested: &mut Vec<(String, ObjectSchema)>,
) {
    type Belongs = fn(&AttributeSchema) -> bool;
    let groups: [(&str, Belongs); 3] = [
        ("Required", |attribute| attribute.is_required()),
        ("Optional", |attribute| attribute.is_optional()),
        ("Read-Only", |attribute| !attribute.is_required() && !attribute.is_optional()),
    ];
    for (name, belongs) in groups {
        let attributes: Vec<_> = schema.attributes().iter().filter(|attribute| belongs(attribute)).collect();
        if attributes.is_empty() {
            continue;
        }
        text.push_str(&title(name));
        for attribute in attributes {
            let path = if path.is_empty() {
                attribute.name().to_owned()
            } else {
                format!("{path}.{}", attribute.name())
            };
            line(text, attribute, &path);
            if let Shape::Nested(_, object) = attribute.shape() {
                nested.push((path, ObjectSchema::clone(object)));
            }
        }
    }
}

fn line(text: &mut String, attribute: &AttributeSchema, path: &str) {
    let mut words = vec![shape(attribute.shape())];
    if attribute.is_sensitive() {
        words.push("Sensitive".to_owned());
    }
    if attribute.is_write_only() {
        words.push(WRITE_ONLY.to_owned());
    }
    if attribute.deprecation().is_some() {
        words.push("Deprecated".to_owned());
    }
    let description = attribute.description().replace('\n', " ");
    _ = write!(text, "- `{}` ({}) {description}", attribute.name(), words.join(", "));
    if let Some(instead) = attribute.deprecation() {
        _ = write!(text, " {instead}");
    }
    if matches!(attribute.shape(), Shape::Nested(..)) {
        _ = write!(text, " (see [below for nested schema](#{}))", anchor(path));
    }
    text.push('\n');
}

fn anchor(path: &str) -> String {
    format!("nestedatt--{}", path.replace('.', "--"))
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Plain(ty) => type_name(ty),
        Shape::Nested(Nesting::Single, _) => "Attributes".to_owned(),
        Shape::Nested(Nesting::List, _) => "Attributes List".to_owned(),
        Shape::Nested(Nesting::Set, _) => "Attributes Set".to_owned(),
        Shape::Nested(Nesting::Map, _) => "Attributes Map".to_owned(),
    }
}

fn type_name(ty: &Type) -> String {
    match ty {
        Type::Bool => "Boolean".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::String => "String".to_owned(),
        Type::Dynamic => "Dynamic".to_owned(),
        Type::List(element) => format!("List of {}", type_name(element)),
        Type::Set(element) => format!("Set of {}", type_name(element)),
        Type::Map(element) => format!("Map of {}", type_name(element)),
        Type::Object(_) => "Object".to_owned(),
        Type::Tuple(_) => "Tuple".to_owned(),
    }
}
