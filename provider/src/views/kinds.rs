//! The catalogue of connector kinds in words, for the data source and for the documentation.

use integraci_api::catalogue::{
    Field, FieldValues, Kind, SECRET_MAX_BYTES, Secret, SecretFormat, SecretRule, TEXT_MAX_CHARS, Tested,
};

/// Whether a connector can do without a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyless {
    Always,
    Possible,
    Never,
}

pub(crate) fn keyless(kind: &Kind) -> Keyless {
    match kind.keyless {
        None => Keyless::Never,
        Some(_) if kind.secrets.is_empty() => Keyless::Always,
        Some(_) => Keyless::Possible,
    }
}

/// What a field's values are, in a word or two.
pub(crate) fn field_type(values: FieldValues) -> &'static str {
    match values {
        FieldValues::Url => "URL",
        FieldValues::Text => "text",
        FieldValues::Integer => "integer",
        FieldValues::OneOf(_) => "word",
        FieldValues::Words(_) => "set of words",
        FieldValues::Certificates => "PEM certificates",
    }
}

/// The words that a field takes, if it takes no others.
pub(crate) fn field_words(values: FieldValues) -> &'static [&'static str] {
    match values {
        FieldValues::OneOf(words) | FieldValues::Words(words) => words,
        _ => &[],
    }
}

/// What a field's value must be beyond its type.
pub(crate) fn field_limits(field: &Field) -> String {
    match field.values {
        FieldValues::Url => format!(
            "`https://` with a host, without credentials and fragment, at most {TEXT_MAX_CHARS} characters"
        ),
        FieldValues::Text => format!("1 to {TEXT_MAX_CHARS} characters, none of them a control character"),
        FieldValues::Integer => "positive".to_owned(),
        FieldValues::OneOf(words) => format!("one of {}", quoted(words)),
        FieldValues::Words(words) => format!("at least one of {}", quoted(words)),
        FieldValues::Certificates => {
            format!("one or more certificates and nothing else, at most {SECRET_MAX_BYTES} bytes")
        }
    }
}

/// What a secret must be.
pub(crate) fn secret_limits(secret: &Secret) -> String {
    let bytes = format!("{} to {SECRET_MAX_BYTES} bytes", secret.min_bytes);
    match secret.format {
        SecretFormat::Text => bytes,
        SecretFormat::WebhookKey => format!("{bytes}, also of what is base64 behind `whsec_`"),
        SecretFormat::PrivateKey => format!("one private key in PEM and nothing else, {bytes}"),
    }
}

/// Whether the secret must be given whatever else is.
pub(crate) fn is_required(kind: &Kind, secret: &Secret) -> bool {
    kind.secret_rule == SecretRule::Each && secret.required
}

/// Which of the kind's secrets are to be given, where that is not each for itself.
pub(crate) fn secret_rule(kind: &Kind) -> Option<&'static str> {
    match kind.secret_rule {
        SecretRule::Each => None,
        SecretRule::ExactlyOne => Some("exactly one"),
        SecretRule::AtMostOne => Some("one or none"),
    }
}

/// What the kind's verification is tested against.
pub(crate) fn tested_against(kind: &Kind) -> String {
    match kind.tested {
        Tested::Real(system) => format!("the real system: {system}"),
        Tested::Double(documentation) => format!("a double after its documentation: {documentation}"),
    }
}

/// The name that the secret has in Terraform: what is write-only ends with `_wo`.
pub(crate) fn attribute_of(secret: &Secret) -> String {
    format!("{}_wo", secret.name)
}

pub(crate) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
