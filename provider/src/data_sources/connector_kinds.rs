//! `integraci_connector_kinds`.

use integraci_api::catalogue::{self, KINDS};
use tfplugin::{Cx, DataSource, Diagnostics, Schema, Value};

use crate::connection::Connection;
use crate::views::kinds::{self, Keyless};

/// The kinds of connectors that this version of the provider knows, with what each takes and can do. Asks
/// nobody.
#[derive(Schema)]
pub(crate) struct ConnectorKinds {
    /// The kinds, by name.
    #[attribute(computed)]
    kinds: Value<Vec<Kind>>,
}

/// A kind of connector.
#[derive(Schema)]
pub(crate) struct Kind {
    /// Its name, which is that of its object in `integraci_connector`.
    #[attribute(computed)]
    name: Value<String>,
    /// Its name for people.
    #[attribute(computed)]
    title: Value<String>,
    /// What it connects to.
    #[attribute(computed)]
    summary: Value<String>,
    /// The readable configuration.
    #[attribute(computed)]
    fields: Value<Vec<Field>>,
    /// The secrets.
    #[attribute(computed)]
    secrets: Value<Vec<Secret>>,
    /// How it is verified.
    #[attribute(computed)]
    verified_by: Value<String>,
    /// What its verification is tested against.
    #[attribute(computed)]
    tested_against: Value<String>,
    /// Whether a connector can do without a secret: `always` does, `possible`, or `never`.
    #[attribute(computed)]
    keyless: Value<String>,
    /// Whether the platform can have the far system revoke the secret: `on_destroy = "revoke"`.
    #[attribute(computed)]
    revocable: Value<bool>,
    /// Whether the far system can make its own secrets: `rotate_every_days`.
    #[attribute(computed)]
    mints: Value<bool>,
    /// Whether the far system sends webhooks here: `inbound_url`.
    #[attribute(computed)]
    inbound: Value<bool>,
}

/// A field of a kind's configuration.
#[derive(Schema)]
pub(crate) struct Field {
    /// Its name.
    #[attribute(computed)]
    name: Value<String>,
    /// What it is.
    #[attribute(computed)]
    description: Value<String>,
    /// Whether it must be given.
    #[attribute(computed)]
    required: Value<bool>,
    /// `URL`, `text`, `integer`, `word`, `set of words` or `PEM certificates`.
    #[attribute(computed)]
    r#type: Value<String>,
    /// The words that it takes; none if it takes others.
    #[attribute(computed)]
    words: Value<Vec<Value<String>>>,
}

/// A secret of a kind.
#[derive(Schema)]
pub(crate) struct Secret {
    /// Its name.
    #[attribute(computed)]
    name: Value<String>,
    /// The name of its write-only attribute.
    #[attribute(computed)]
    attribute: Value<String>,
    /// What it is.
    #[attribute(computed)]
    description: Value<String>,
    /// Whether it must be given, whichever others are.
    #[attribute(computed)]
    required: Value<bool>,
}

impl DataSource for ConnectorKinds {
    type Api = Connection;
    const NAME: &'static str = "integraci_connector_kinds";

    async fn read(_: &Cx<Connection>, _: Self) -> Result<Self, Diagnostics> {
        Ok(Self { kinds: KINDS.iter().map(Kind::from).collect::<Vec<_>>().into() })
    }
}

impl From<&'static catalogue::Kind> for Kind {
    fn from(kind: &'static catalogue::Kind) -> Self {
        let secrets = kind.secrets.iter().map(|secret| Secret {
            name: word(secret.name),
            attribute: kinds::attribute_of(secret).into(),
            description: word(secret.description),
            required: kinds::is_required(kind, secret).into(),
        });
        let keyless = match kinds::keyless(kind) {
            Keyless::Always => "always",
            Keyless::Possible => "possible",
            Keyless::Never => "never",
        };
        Self {
            name: word(kind.name),
            title: word(kind.title),
            summary: word(kind.summary),
            fields: kind.fields.iter().map(Field::from).collect::<Vec<_>>().into(),
            secrets: secrets.collect::<Vec<_>>().into(),
            verified_by: word(kind.verified_by),
            tested_against: kinds::tested_against(kind).into(),
            keyless: word(keyless),
            revocable: kind.revoked_by.is_some().into(),
            mints: kind.minted_by.is_some().into(),
            inbound: kind.inbound.is_some().into(),
        }
    }
}

impl From<&'static catalogue::Field> for Field {
    fn from(field: &'static catalogue::Field) -> Self {
        let words = kinds::field_words(field.values).iter().map(|own| word(own));
        Self {
            name: word(field.name),
            description: word(field.description),
            required: field.required.into(),
            r#type: word(kinds::field_type(field.values)),
            words: words.collect::<Vec<_>>().into(),
        }
    }
}

fn word(text: &str) -> Value<String> {
    text.to_owned().into()
}
