//! One nested object for each kind of connector, made from the catalogue of `integraci-api`: a new
//! kind there is a new attribute here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use integraci_api::SecretText;
use integraci_api::catalogue::{Field, FieldValues, KINDS, Kind, Secret, SecretRule};
use serde_json::{Map, Value as Json};
use tfplugin::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use tfplugin::value::{DynamicSet, Fields, ValueError};
use tfplugin::{AttributeSet, Diagnostic, Diagnostics, Dynamic, ObjectReader, ObjectWriter, Path, Value};
use url::Url;

use crate::views::kinds::{attribute_of, is_required, quoted};

/// What stands under the name of each kind, in the order of the catalogue.
#[derive(Clone, Default)]
pub(super) struct Kinds(Vec<Dynamic>);

/// The kind that is set, with what is set in it.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) kind: &'static Kind,
    fields: &'a Fields,
}

impl AttributeSet for Kinds {
    fn schema() -> ObjectSchema {
        let mut object = ObjectSchema::new("");
        for kind in KINDS {
            object.add(kind_attribute(kind));
        }
        object
    }

    fn decode(object: &mut ObjectReader) -> Result<Self, ValueError> {
        Ok(Self(KINDS.iter().map(|kind| object.take_dynamic(kind.name)).collect()))
    }

    fn encode(self, object: &mut ObjectWriter) {
        let mut values = self.0.into_iter();
        for kind in KINDS {
            object.put_dynamic(kind.name, values.next().unwrap_or_default());
        }
    }
}

impl Kinds {
    /// The object of one kind, and of no other.
    pub(super) fn of(kind: &'static Kind, fields: Fields) -> Self {
        let mut fields = Some(fields);
        let object = |own: &Kind| match own.name == kind.name {
            true => fields.take().map(Dynamic::Object).unwrap_or_default(),
            false => Dynamic::Null,
        };
        Self(KINDS.iter().map(object).collect())
    }

    /// The kind that is set, if it is known.
    pub(super) fn chosen(&self) -> Option<Chosen<'_>> {
        self.named().find_map(|(kind, value)| match value.untyped() {
            Dynamic::Object(fields) => Some(Chosen { kind, fields }),
            _ => None,
        })
    }

    /// The kind that it must be, also where its object is not known yet.
    pub(super) fn kind(&self) -> Option<&'static Kind> {
        let mut set = self.named().filter(|(_, value)| !value.is_null());
        match (self.chosen(), set.next(), set.next()) {
            (Some(chosen), ..) => Some(chosen.kind),
            (None, Some((kind, _)), None) => Some(kind),
            _ => None,
        }
    }

    fn named(&self) -> impl Iterator<Item = (&'static Kind, &Dynamic)> {
        KINDS.iter().zip(&self.0)
    }

    /// Exactly one kind, with the secrets that it needs.
    pub(super) fn validate(&self, diags: &mut Diagnostics) {
        let set: Vec<_> =
            self.named().filter(|(_, value)| matches!(value.untyped(), Dynamic::Object(_))).collect();
        let undecided = self.named().any(|(_, value)| value.is_unknown());
        if set.is_empty() && !undecided {
            diags.push(Diagnostic::error("The connector has no kind").detail(format!(
                "Set exactly one of: {}.",
                KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
            )));
        }
        if set.len() > 1 {
            let names: Vec<_> = set.iter().map(|(kind, _)| kind.name).collect();
            for (kind, _) in &set {
                diags.push(
                    Diagnostic::error("The connector has more than one kind")
                        .detail(format!(
                            "A connector is of exactly one kind, and {} are set. Make another connector of the other.",
                            names.join(" and ")
                        ))
                        .at(kind.name),
                );
            }
        }
        if let (1, Some(chosen)) = (set.len(), self.chosen()) {
            chosen.validate_secrets(diags);
        }
    }
}

/// How many secrets a connector of a kind can have.
pub(super) fn secrets_at_most(kind: &Kind) -> usize {
    match kind.secret_rule {
        SecretRule::Each => kind.secrets.len(),
        SecretRule::ExactlyOne | SecretRule::AtMostOne => 1,
    }
}

impl Chosen<'_> {
    /// The readable configuration, as the API takes it.
    pub(super) fn config(&self) -> Map<String, Json> {
        let known = self.kind.fields.iter().filter_map(|field| {
            let value = to_json(self.fields.get(field.name)?)?;
            Some((field.name.to_owned(), value))
        });
        known.collect()
    }

    /// The secrets by name; none if one of them is not known yet. Only a configuration has them.
    pub(super) fn secrets(&self) -> Option<BTreeMap<String, SecretText>> {
        let mut secrets = BTreeMap::new();
        for secret in self.kind.secrets {
            match self.fields.get(&attribute_of(secret)).map(Dynamic::untyped) {
                Some(Dynamic::String(text)) => {
                    secrets.insert(secret.name.to_owned(), SecretText::new(text.clone()));
                }
                Some(Dynamic::Unknown(_)) => return None,
                _ => {}
            }
        }
        Some(secrets)
    }

    /// How many secrets are configured. One that is not known yet is taken to be one.
    pub(super) fn secret_count(&self) -> usize {
        let values = self.kind.secrets.iter().filter_map(|secret| self.fields.get(&attribute_of(secret)));
        values.filter(|value| !value.is_null()).count().min(secrets_at_most(self.kind))
    }

    fn validate_secrets(&self, diags: &mut Diagnostics) {
        let most = match self.kind.secret_rule {
            // The schema says so already.
            SecretRule::Each => return,
            SecretRule::ExactlyOne | SecretRule::AtMostOne => 1,
        };
        let least = usize::from(self.kind.secret_rule == SecretRule::ExactlyOne);
        let value = |secret: &Secret| self.fields.get(&attribute_of(secret));
        let given =
            self.kind.secrets.iter().filter(|secret| value(secret).is_some_and(|value| !value.is_null()));
        let undecided = self.kind.secrets.iter().any(|secret| value(secret).is_some_and(Dynamic::is_unknown));
        if !undecided && !(least..=most).contains(&given.count()) {
            let words = if least == 1 { "exactly one" } else { "at most one" };
            let names: Vec<_> =
                self.kind.secrets.iter().map(|secret| format!("`{}`", attribute_of(secret))).collect();
            diags.push(
                Diagnostic::error(format!("Give {words} secret"))
                    .detail(format!("A {} has {words} of {}.", self.kind.name, names.join(", ")))
                    .at(self.kind.name),
            );
        }
    }

    /// Whether the readable configuration is the same to the far system; not where something in it is
    /// not known yet.
    pub(super) fn has_config_of(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.kind.fields.iter().all(|field| same(field.values, self.value(field), other.value(field)))
    }

    /// Whether the far system, or what it is trusted by, is another than with `other` where the configuration
    /// is sent; also where that is not known yet. Another way of writing counts, as it does to the server.
    pub(super) fn leads_elsewhere(&self, other: &Self) -> bool {
        let leads = |field: &&Field| {
            matches!(field.values, FieldValues::Url | FieldValues::OneOf(_) | FieldValues::Certificates)
        };
        let is_written_alike = |field: &Field| {
            let own = self.value(field).untyped();
            own.is_wholly_known() && own == other.value(field).untyped()
        };
        !self.has_config_of(other)
            && (self.kind != other.kind || !self.kind.fields.iter().filter(leads).all(is_written_alike))
    }

    fn value(&self, field: &Field) -> &Dynamic {
        self.fields.get(field.name).unwrap_or(&Dynamic::Null)
    }

    /// What the state keeps of a configuration that the server has. Where it only writes something in
    /// another way than the user did, the user's stays.
    pub(super) fn observed(kind: &'static Kind, config: &Map<String, Json>, before: Option<Self>) -> Fields {
        let fields = kind.fields.iter().map(|field| {
            let theirs = from_json(field.values, config.get(field.name));
            let own = before.as_ref().and_then(|before| before.fields.get(field.name));
            let kept = own.filter(|own| same(field.values, own, &theirs)).cloned();
            (field.name.to_owned(), kept.unwrap_or(theirs))
        });
        let secrets = kind.secrets.iter().map(|secret| (attribute_of(secret), Dynamic::Null));
        fields.chain(secrets).collect()
    }
}

/// Where in a connector of this kind a problem's pointer points.
pub(super) fn locate(kind: &Kind, parts: &[String]) -> Option<Path> {
    let (first, rest) = parts.split_first()?;
    let object = Path::root(kind.name);
    match (first.as_str(), rest.first()) {
        ("config" | "secrets" | "kind", None) => Some(object),
        ("config", Some(field)) if kind.fields.iter().any(|own| own.name == field) => {
            Some(object.attr(field))
        }
        ("secrets", Some(name)) => {
            let secret = kind.secrets.iter().find(|own| own.name == name);
            Some(secret.map_or(object.clone(), |secret| object.attr(&attribute_of(secret))))
        }
        ("config", Some(_)) => Some(object),
        ("old_secret", None) => Some(Path::root("on_destroy")),
        (attribute, None) => Some(Path::root(attribute)),
        _ => None,
    }
}

fn kind_attribute(kind: &'static Kind) -> AttributeSchema {
    let described = format!("{} Verification: {}", kind.summary, kind.verified_by);
    let mut object = ObjectSchema::new(&described);
    for field in kind.fields {
        object.add(field_attribute(field));
    }
    for secret in kind.secrets {
        object.add(secret_attribute(kind, secret));
    }
    AttributeSchema::with_shape(kind.name, Shape::Nested(Nesting::Single, Arc::new(object)))
        .optional()
        .described(&described)
}

fn field_attribute(field: &'static Field) -> AttributeSchema {
    type Words = Value<BTreeSet<Value<String>>>;
    let values = field.values;
    let attribute = match values {
        FieldValues::Url | FieldValues::Text | FieldValues::OneOf(_) | FieldValues::Certificates => {
            AttributeSchema::new::<Value<String>>(field.name)
                .validate::<Value<String>>(move |text: &String| values.check(&Json::from(text.as_str())))
        }
        FieldValues::Integer => AttributeSchema::new::<Value<i64>>(field.name)
            .validate::<Value<i64>>(move |number: &i64| values.check(&Json::from(*number))),
        FieldValues::Words(_) => AttributeSchema::new::<Words>(field.name).validate::<Words>(
            move |words: &BTreeSet<Value<String>>| {
                if words.iter().any(Value::is_unknown) {
                    return Ok(());
                }
                values.check(&words.iter().map(|word| word.as_deref().map(Json::from)).collect())
            },
        ),
    };
    let described = match values {
        FieldValues::OneOf(words) => {
            format!("{} One of: {}.", field.description, quoted(words))
        }
        FieldValues::Words(words) => {
            format!("{} At least one of: {}.", field.description, quoted(words))
        }
        _ => field.description.to_owned(),
    };
    let attribute = attribute.described(&described);
    if field.required { attribute.required() } else { attribute.optional() }
}

fn secret_attribute(kind: &Kind, secret: &'static Secret) -> AttributeSchema {
    let described = match kind.secret_rule {
        SecretRule::Each => secret.description.to_owned(),
        SecretRule::ExactlyOne => format!("{} Give exactly one of the secrets.", secret.description),
        SecretRule::AtMostOne => format!("{} Give one of the secrets or none.", secret.description),
    };
    let attribute = AttributeSchema::new::<Value<String>>(&attribute_of(secret))
        .described(&described)
        .write_only()
        .sensitive()
        .validate::<Value<String>>(move |text: &String| secret.check(text));
    if is_required(kind, secret) { attribute.required() } else { attribute.optional() }
}

fn to_json(value: &Dynamic) -> Option<Json> {
    match value.untyped() {
        Dynamic::String(text) => Some(Json::from(text.as_str())),
        Dynamic::Number(number) => number.to_i64().map(Json::from),
        Dynamic::Set(words) => Some(words.iter().filter_map(to_json).collect()),
        _ => None,
    }
}

fn from_json(values: FieldValues, json: Option<&Json>) -> Dynamic {
    match (values, json) {
        (
            FieldValues::Url | FieldValues::Text | FieldValues::OneOf(_) | FieldValues::Certificates,
            Some(Json::String(text)),
        ) => Dynamic::from(text.as_str()),
        (FieldValues::Integer, Some(Json::Number(number))) => {
            number.as_i64().map(Dynamic::from).unwrap_or_default()
        }
        (FieldValues::Words(_), Some(Json::Array(words))) => {
            Dynamic::Set(words.iter().filter_map(Json::as_str).map(Dynamic::from).collect::<DynamicSet>())
        }
        _ => Dynamic::Null,
    }
}

/// Whether both are known, and the same to the far system.
fn same(values: FieldValues, own: &Dynamic, other: &Dynamic) -> bool {
    match (values, own.untyped(), other.untyped()) {
        (FieldValues::Url, Dynamic::String(own), Dynamic::String(other)) => {
            own == other
                || matches!((Url::parse(own), Url::parse(other)), (Ok(own), Ok(other)) if own == other)
        }
        (FieldValues::Certificates, Dynamic::String(own), Dynamic::String(other)) => {
            pem_lines(own).eq(pem_lines(other))
        }
        (_, own, other) => own.is_wholly_known() && own == other,
    }
}

/// The lines of a PEM, whatever ends them and surrounds them (RFC 7468, section 3: parsers do not care).
fn pem_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}
