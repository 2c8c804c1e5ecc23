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

/// Whether, and how firmly, the far side is asked before something is put in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VerifyMode {
    /// What the far side does not take is not put in force.
    #[default]
    Required,
    /// It is asked, and what it said is told; what was sent is in force either way.
    Optional,
    /// It is not asked, now or later.
    Off,
}

impl VerifyMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::Required, Self::Optional, Self::Off];

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Off => "off",
        }
    }
}

/// What the far side last said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VerificationStatus {
    /// It was not asked.
    #[default]
    Unverified,
    /// It takes configuration and secret.
    Verified,
    /// It refuses them.
    Refused,
    /// It could not be asked.
    Unreachable,
}

impl VerificationStatus {
    /// Every status.
    pub const ALL: &[Self] = &[Self::Unverified, Self::Verified, Self::Refused, Self::Unreachable];

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What becomes of a secret at the far side that is not needed any more. In the platform's vault it is
/// destroyed in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OldSecret {
    /// It stays good there.
    #[default]
    Forget,
    /// It is revoked there first; only for kinds that can.
    Revoke,
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
    /// When the secret in force expires, where the far system tells.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub secret_expires_at: Option<OffsetDateTime>,
    /// Whether the secret in OpenBao was last seen to be another than the one in force: somebody changed
    /// it by hand. The next update or rotation mends it.
    #[serde(default)]
    pub secret_drifted: bool,
    /// Whether the far side is asked before a change is put in force.
    #[serde(default)]
    pub verify: VerifyMode,
    /// What the far side last said.
    #[serde(default)]
    pub verification_status: VerificationStatus,
    /// Why it is not verified, in words for people; never the far side's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_reason: Option<String>,
    /// When the far system last accepted configuration and secret.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<OffsetDateTime>,
    /// When it was last asked.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_checked_at: Option<OffsetDateTime>,
    /// How often a new secret is made by the far side, in days; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every_days: Option<u32>,
    /// The secret before the one in force, while it is kept beside it after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Retiring>,
    /// Where the far side sends its webhooks, for kinds that send some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound_url: Option<String>,
    /// Counts changes; the ETag is this number in quotes.
    pub revision: i64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A secret that is kept for a while after another took its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retiring {
    /// Its version.
    pub secret_version: i64,
    /// When it is destroyed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
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
    /// The kind's secrets by name; none for a kind that does without.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretText>,
    /// Whether the far side is asked first.
    #[serde(default)]
    pub verify: VerifyMode,
    /// How often a new secret is made by the far side, in days: 1 to 365, for kinds that can.
    #[serde(default)]
    pub rotate_every_days: Option<u32>,
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
    /// Whether the far side is asked first, now and from now on.
    #[serde(default)]
    pub verify: Option<VerifyMode>,
    /// How often a new secret is made by the far side, in days; 0 for never.
    #[serde(default)]
    pub rotate_every_days: Option<u32>,
}

/// The longest that the old secret is kept after a rotation, in seconds: 30 days.
pub const OVERLAP_MAX_S: u64 = 30 * 24 * 60 * 60;
/// How long it is kept if not said, in seconds: an hour.
pub const OVERLAP_S: u64 = 60 * 60;
/// The fewest days between rotations.
pub const ROTATE_EVERY_DAYS_MIN: u32 = 1;
/// The most days between rotations.
pub const ROTATE_EVERY_DAYS_MAX: u32 = 365;

/// Puts a new secret in the place of the one in force: it is stored beside it, verified, and put in
/// force; the old one is kept for a while for those who still work with it, and then destroyed.
/// Not `Serialize`: see [`crate::wire`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotationCreate {
    /// The new secrets, all of them. Absent: the far side makes one, for kinds that can.
    #[serde(default)]
    pub secrets: Option<BTreeMap<String, SecretText>>,
    /// How long the old secret is kept, in seconds: 0 to 2592000; an hour if not said.
    #[serde(default)]
    pub overlap_s: Option<u64>,
    /// What becomes of the old secret at the far side.
    #[serde(default)]
    pub old_secret: OldSecret,
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
        faults.extend(self.rotate_every_days.and_then(|days| rotate_every_check(kind, days).err()));
        if faults.is_empty() { Ok(kind) } else { Err(faults) }
    }
}

fn rotate_every_check(kind: &catalogue::Kind, days: u32) -> Result<(), FieldProblem> {
    const POINTER: &str = "/rotate_every_days";
    if kind.minted_by.is_none() {
        let detail = format!("a {} cannot make its own secrets; rotate it with a new secret", kind.name);
        return Err(FieldProblem::new(POINTER, detail));
    }
    if (ROTATE_EVERY_DAYS_MIN..=ROTATE_EVERY_DAYS_MAX).contains(&days) {
        Ok(())
    } else {
        let detail = format!("expected {ROTATE_EVERY_DAYS_MIN} to {ROTATE_EVERY_DAYS_MAX} days");
        Err(FieldProblem::new(POINTER, detail))
    }
}

impl RotationCreate {
    /// Every fault of the request for a connector of this kind that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self, kind: &catalogue::Kind) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        match &self.secrets {
            Some(secrets) if secrets.is_empty() => faults.push(FieldProblem::new(
                "/secrets",
                "give the new secret, or leave `secrets` out to have the far side make one",
            )),
            Some(secrets) => {
                faults.extend(kind.check_secrets(secrets, "/secrets").err().into_iter().flatten());
            }
            None if kind.minted_by.is_none() => faults.push(FieldProblem::new(
                "/secrets",
                format!("a {} cannot make its own secrets; give the new one", kind.name),
            )),
            None => {}
        }
        if self.overlap_s.is_some_and(|overlap_s| overlap_s > OVERLAP_MAX_S) {
            faults.push(FieldProblem::new("/overlap_s", format!("expected 0 to {OVERLAP_MAX_S} seconds")));
        }
        if self.old_secret == OldSecret::Revoke && kind.revoked_by.is_none() {
            faults.push(FieldProblem::new(
                "/old_secret",
                format!(
                    "a secret of a {} cannot be revoked from here; say `forget` and revoke it there",
                    kind.name
                ),
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
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
        let every = self.rotate_every_days.filter(|days| *days != 0);
        faults.extend(every.and_then(|days| rotate_every_check(kind, days).err()));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
