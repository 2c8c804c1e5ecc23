//! Connectors: what ties a tenant to a system outside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{ConnectorId, FieldProblem, SecretText, TenantId, catalogue};

/// Where a connector is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ConnectorStatus {
    /// Its secret is being stored and verified.
    Installing,
    /// In use.
    Active,
    /// A change is being verified; what was there before stays in force until then.
    Updating,
    /// It is being removed.
    Deleting,
}

impl ConnectorStatus {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installing => "installing",
            Self::Active => "active",
            Self::Updating => "updating",
            Self::Deleting => "deleting",
        }
    }
}

/// A connector as the API shows it. Its secret is never part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Connector {
    /// Stable identifier.
    pub id: ConnectorId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// One of the catalogue's kinds.
    pub kind: String,
    /// The kind's readable configuration.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Map<String, Value>,
    /// The version of the secret in force; counts up with every change.
    pub secret_version: i64,
    /// When that version was stored.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub secret_set_at: Option<OffsetDateTime>,
    /// Where it is in its life.
    pub status: ConnectorStatus,
    /// When the far system last accepted configuration and secret.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<OffsetDateTime>,
    /// Counts changes; the ETag is this number in quotes.
    pub revision: i64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Asks for a connector. Not `Serialize`: see [`crate::wire`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorCreate {
    /// 1 to 63 lower-case letters, digits, `-` and `_`; unique in the tenant.
    pub name: String,
    /// One of the catalogue's kinds.
    pub kind: String,
    /// The kind's configuration.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Map<String, Value>,
    /// The kind's secrets by name.
    pub secrets: BTreeMap<String, SecretText>,
}

/// Changes a connector; what is absent stays. `config` replaces the whole configuration and
/// `secrets` all secrets. Not `Serialize`: see [`crate::wire`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorUpdate {
    /// A new name.
    #[serde(default)]
    pub name: Option<String>,
    /// The kind's configuration, all of it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub config: Option<Map<String, Value>>,
    /// The kind's secrets, all of them.
    #[serde(default)]
    pub secrets: Option<BTreeMap<String, SecretText>>,
}

/// Asks whether secrets differ from the stored ones. The answer names secrets, never values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretComparison {
    /// The kind's secrets by name.
    pub secrets: BTreeMap<String, SecretText>,
}

/// The answer to a [`SecretComparison`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretDifference {
    /// Whether any secret differs from the one in force, is missing there, or is missing here.
    pub differs: bool,
    /// The version compared with.
    pub secret_version: i64,
}

/// Whether a text can be a connector's name.
///
/// # Errors
/// What is wrong and what to do.
pub fn name_check(name: &str) -> Result<(), String> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if fits {
        Ok(())
    } else {
        Err("a connector's name has 1 to 63 lower-case letters, digits, `-` or `_`".to_owned())
    }
}

impl ConnectorCreate {
    /// Every fault of the request that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self) -> Result<&'static catalogue::Kind, Vec<FieldProblem>> {
        let mut faults: Vec<_> =
            name_check(&self.name).err().map(|d| FieldProblem::new("/name", d)).into_iter().collect();
        let Some(kind) = catalogue::kind(&self.kind) else {
            let known: Vec<_> = catalogue::KINDS.iter().map(|kind| kind.name).collect();
            faults.push(FieldProblem::new("/kind", format!("unknown kind; there are: {}", known.join(", "))));
            return Err(faults);
        };
        faults.extend(kind.check_config(&self.config, "/config").err().into_iter().flatten());
        faults.extend(kind.check_secrets(&self.secrets, "/secrets").err().into_iter().flatten());
        if faults.is_empty() { Ok(kind) } else { Err(faults) }
    }
}

impl ConnectorUpdate {
    /// Every fault of the request for a connector of this kind that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self, kind: &catalogue::Kind) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        if let Some(name) = &self.name {
            faults.extend(name_check(name).err().map(|detail| FieldProblem::new("/name", detail)));
        }
        if let Some(config) = &self.config {
            faults.extend(kind.check_config(config, "/config").err().into_iter().flatten());
        }
        if let Some(secrets) = &self.secrets {
            faults.extend(kind.check_secrets(secrets, "/secrets").err().into_iter().flatten());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
