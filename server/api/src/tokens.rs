//! API tokens: for the platform, or bound to one tenant.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{FieldProblem, TenantId, TokenId};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Read tenants and operations.
    #[serde(rename = "tenants:read")]
    TenantsRead,
    /// Create, change and delete tenants.
    #[serde(rename = "tenants:write")]
    TenantsWrite,
    /// Read connectors and compare their secrets.
    #[serde(rename = "connectors:read")]
    ConnectorsRead,
    /// Create, change and delete connectors.
    #[serde(rename = "connectors:write")]
    ConnectorsWrite,
    /// Read quotas.
    #[serde(rename = "quotas:read")]
    QuotasRead,
    /// Set quotas.
    #[serde(rename = "quotas:write")]
    QuotasWrite,
    /// Read what is metered: usage and statements.
    #[serde(rename = "usage:read")]
    UsageRead,
    /// Send events to be metered.
    #[serde(rename = "usage:write")]
    UsageWrite,
    /// Make attestations of a tenant's isolation. Reading them takes `tenants:read`.
    #[serde(rename = "attestations:write")]
    AttestationsWrite,
    /// Take, renew and give back credentials for a tenant's own systems.
    #[serde(rename = "credentials:write")]
    CredentialsWrite,
    /// Make, list and revoke tokens.
    #[serde(rename = "tokens:write")]
    TokensWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: &[Self] = &[
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::ConnectorsRead,
        Self::ConnectorsWrite,
        Self::QuotasRead,
        Self::QuotasWrite,
        Self::UsageRead,
        Self::UsageWrite,
        Self::AttestationsWrite,
        Self::CredentialsWrite,
        Self::TokensWrite,
    ];

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantsRead => "tenants:read",
            Self::TenantsWrite => "tenants:write",
            Self::ConnectorsRead => "connectors:read",
            Self::ConnectorsWrite => "connectors:write",
            Self::QuotasRead => "quotas:read",
            Self::QuotasWrite => "quotas:write",
            Self::UsageRead => "usage:read",
            Self::UsageWrite => "usage:write",
            Self::AttestationsWrite => "attestations:write",
            Self::CredentialsWrite => "credentials:write",
            Self::TokensWrite => "tokens:write",
        }
    }

    /// The scope of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == word)
    }
}

/// The record of a token. Its value is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Stable identifier.
    pub id: TokenId,
    /// Name for people.
    pub name: String,
    /// The one tenant it is for; absent for a platform token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it stops working; absent: never.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// Asks for a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenCreate {
    /// Name for people, 1 to 120 characters.
    pub name: String,
    /// The one tenant it is for; absent for a platform token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// What it may do; at least one, none that the caller lacks.
    pub scopes: Vec<Scope>,
    /// When it stops working; absent: never.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
}

impl TokenCreate {
    /// Every fault of the request that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self, now: OffsetDateTime) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        faults.extend(
            crate::tenants::name_check(&self.name).err().map(|detail| FieldProblem::new("/name", detail)),
        );
        if self.scopes.is_empty() {
            faults.push(FieldProblem::new("/scopes", "give at least one scope"));
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            faults.push(FieldProblem::new("/expires_at", "expected a time in the future"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
