//! Attestations: what was tried against a tenant's isolation, what was expected, and what was seen.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::isolation::System;
use crate::{AttestationId, Slug, TenantId};

/// What a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CheckKind {
    /// Something that must not succeed: reaching another tenant.
    Attempt,
    /// Something that must succeed: the same, by its rightful owner. Without it a system that is down
    /// would look like one that is isolated.
    Control,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Where.
    pub system: System,
    /// Its name, such as `read_rows_of_another_tenant`; never renamed.
    pub check: String,
    /// What it is for.
    pub kind: CheckKind,
    /// What was tried, in words.
    pub attempted: String,
    /// What had to happen, in words.
    pub expected: String,
    /// What happened, in words of ours: nothing that a system said is repeated.
    pub observed: String,
    /// Whether it was as expected.
    pub passed: bool,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statement {
    /// Its id.
    pub id: AttestationId,
    /// Whose isolation was tried.
    pub tenant_id: TenantId,
    /// The slug of that tenant.
    pub slug: Slug,
    /// When the checks were over.
    #[serde(with = "time::serde::rfc3339")]
    pub issued_at: OffsetDateTime,
    /// The systems that the tenant has no place in, because the platform does not use them.
    pub off: Vec<System>,
    /// Everything that was tried.
    pub checks: Vec<Check>,
    /// Whether every check passed.
    pub passed: bool,
}

/// A signed document (DSSE 1.0, <https://github.com/secure-systems-lab/dsse>): the signature covers
/// the type and the bytes of the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Envelope {
    /// What the payload is, as a media type.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload in base64: the JSON of a [`Statement`].
    pub payload: String,
    /// The signatures.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvelopeSignature {
    /// The key, by its `kid` in `/.well-known/integraci-keys.json`.
    pub keyid: String,
    /// The signature in base64: Ed25519.
    pub sig: String,
}

/// The media type of an attestation's payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.integraci.attestation.v1+json";

/// An attestation as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attestation {
    /// What was tried and seen.
    #[serde(flatten)]
    pub statement: Statement,
    /// The same, signed: what `integraci-verify attestation` checks.
    pub envelope: Envelope,
}
