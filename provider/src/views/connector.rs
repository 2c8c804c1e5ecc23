//! What the connector data sources have in common.

use std::collections::BTreeMap;

use integraci_api::connectors::{self, Connector};
use serde_json::Value as Json;
use tfplugin::{Schema, Value};
use time::OffsetDateTime;

use super::time;

/// What is told of a connector to those who do not manage it.
#[derive(Schema)]
pub(crate) struct ConnectorFacts {
    /// Its kind, one of those that `integraci_connector_kinds` lists.
    #[attribute(computed)]
    kind: Value<String>,
    /// The kind's readable configuration, field by field as text: a number in decimal, a list as JSON for
    /// `jsondecode`. What is not set is left out.
    #[attribute(computed)]
    config: Value<BTreeMap<String, Value<String>>>,
    /// Where it is in its life: `installing`, `active`, `updating` or `deleting`.
    #[attribute(computed)]
    status: Value<String>,
    /// Counts the secrets that were put in force; 0 for a connector that does without.
    #[attribute(computed)]
    secret_version: Value<i64>,
    /// When the secret in force was stored (RFC 3339).
    #[attribute(computed)]
    secret_set_at: Value<String>,
    /// When the secret in force expires (RFC 3339), where the far system tells.
    #[attribute(computed)]
    secret_expires_at: Value<String>,
    /// Whether somebody has changed the secret in the vault by hand.
    #[attribute(computed)]
    secret_drifted: Value<bool>,
    /// The secret before the one in force, while it is kept beside it after a rotation.
    #[attribute(computed)]
    retiring: Value<Retiring>,
    /// Whether the far system is asked before something is put in force: `required`, `optional` or `off`.
    #[attribute(computed)]
    verify: Value<String>,
    /// What the far system said when it was last asked: `verified`, `refused`, `unreachable`, or
    /// `unverified` if it was not asked.
    #[attribute(computed)]
    verification_status: Value<String>,
    /// Why it is not verified.
    #[attribute(computed)]
    verification_reason: Value<String>,
    /// When the far system last accepted configuration and secret (RFC 3339).
    #[attribute(computed)]
    last_verified_at: Value<String>,
    /// When the far system was last asked (RFC 3339).
    #[attribute(computed)]
    last_checked_at: Value<String>,
    /// How often the far system makes a new secret, in days.
    #[attribute(computed)]
    rotate_every_days: Value<i64>,
    /// Where the far system is to send its webhooks, for kinds that send some.
    #[attribute(computed)]
    inbound_url: Value<String>,
    /// When it was asked for (RFC 3339).
    #[attribute(computed)]
    created_at: Value<String>,
    /// When it last changed (RFC 3339).
    #[attribute(computed)]
    updated_at: Value<String>,
}

/// A secret that is kept for a while after another took its place.
#[derive(Schema)]
pub(crate) struct Retiring {
    /// Its version.
    #[attribute(computed)]
    secret_version: Value<i64>,
    /// When it is destroyed (RFC 3339).
    #[attribute(computed)]
    at: Value<String>,
}

impl From<Connector> for ConnectorFacts {
    fn from(connector: Connector) -> Self {
        let config =
            connector.config.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?.into())));
        Self {
            config: config.collect::<BTreeMap<_, _>>().into(),
            status: connector.status.as_str().to_owned().into(),
            secret_version: connector.secret_version.into(),
            secret_set_at: moment(connector.secret_set_at),
            secret_expires_at: moment(connector.secret_expires_at),
            secret_drifted: connector.secret_drifted.into(),
            retiring: connector.retiring.map(Retiring::from).into(),
            verify: connector.verify.as_str().to_owned().into(),
            verification_status: connector.verification_status.as_str().to_owned().into(),
            verification_reason: connector.verification_reason.into(),
            last_verified_at: moment(connector.last_verified_at),
            last_checked_at: moment(connector.last_checked_at),
            rotate_every_days: connector.rotate_every_days.map(i64::from).into(),
            inbound_url: connector.inbound_url.into(),
            created_at: time(connector.created_at),
            updated_at: time(connector.updated_at),
            kind: connector.kind.into(),
        }
    }
}

impl From<connectors::Retiring> for Retiring {
    fn from(retiring: connectors::Retiring) -> Self {
        Self { secret_version: retiring.secret_version.into(), at: time(retiring.at) }
    }
}

/// A time as RFC 3339, if there is one.
pub(crate) fn moment(at: Option<OffsetDateTime>) -> Value<String> {
    at.map_or(Value::Null, time)
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_shown_as_texts() {
        assert_eq!(text(&json!("a \"b\"")).as_deref(), Some("a \"b\""));
        assert_eq!(text(&json!(12345)).as_deref(), Some("12345"));
        assert_eq!(text(&json!(["quota.set"])).as_deref(), Some("[\"quota.set\"]"));
        assert_eq!(text(&json!(null)), None);
    }
}
