//! Short-lived credentials for a tenant's own place in a system.
//!
//! A credential is a lease: it works until `expires_at`, may be renewed up to `renewable_until`, and is
//! revoked when it is given back, runs out, or the tenant is suspended. Its secrets are in the answer that
//! makes it and nowhere else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::isolation::System;
use crate::{CredentialId, FieldProblem, SecretText, TenantId};

/// The shortest lease, in seconds.
pub const TTL_MIN_S: u32 = 60;
/// The longest lease, in seconds.
pub const TTL_MAX_S: u32 = 3600;
/// The lease that is given when none is asked for, in seconds.
pub const TTL_DEFAULT_S: u32 = 600;

/// How long after it was made a lease can be renewed, in seconds.
pub const RENEWABLE_S: u32 = 3600;

/// A system that gives tenants credentials. The database is none: nobody but the platform works there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Lender {
    /// A token of the tenant's namespace in OpenBao.
    #[serde(rename = "openbao")]
    OpenBao,
    /// A client of the tenant's realm.
    Keycloak,
    /// A user of the tenant's account.
    Nats,
    /// A token of a service account in the tenant's namespace in Kubernetes.
    Kubernetes,
}

impl From<Lender> for System {
    fn from(lender: Lender) -> Self {
        match lender {
            Lender::OpenBao => Self::OpenBao,
            Lender::Keycloak => Self::Keycloak,
            Lender::Nats => Self::Nats,
            Lender::Kubernetes => Self::Kubernetes,
        }
    }
}

/// Asks for credentials, or for more time for those there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialCreate {
    /// How long they work unless renewed, in seconds: 60 to 3600; 600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

impl CredentialCreate {
    /// The lease that is asked for, in seconds.
    ///
    /// # Errors
    /// It is out of range.
    pub fn ttl_s(&self) -> Result<u32, FieldProblem> {
        let ttl_s = self.ttl_s.unwrap_or(TTL_DEFAULT_S);
        if (TTL_MIN_S..=TTL_MAX_S).contains(&ttl_s) {
            return Ok(ttl_s);
        }
        Err(FieldProblem::new("/ttl_s", format!("a lease lasts {TTL_MIN_S} to {TTL_MAX_S} seconds")))
    }
}

/// A credential without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// For which system.
    pub system: System,
    /// What is not secret of it, such as an address; the names depend on the system.
    pub fields: BTreeMap<String, String>,
    /// When it stops to work unless it is renewed.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it stops to work in any case.
    #[serde(with = "time::serde::rfc3339")]
    pub renewable_until: OffsetDateTime,
}

/// A credential just made, with its secrets. What it is written with: [`CredentialIssued::to_body`].
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialIssued {
    /// What is not secret.
    pub credential: Credential,
    /// What is; the names depend on the system.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, String>))]
    pub secrets: BTreeMap<String, SecretText>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_its_bounds() {
        let asked = |ttl_s| CredentialCreate { ttl_s }.ttl_s();
        assert_eq!(asked(None), Ok(TTL_DEFAULT_S));
        assert_eq!(asked(Some(60)), Ok(60));
        assert_eq!(asked(Some(59)).unwrap_err().pointer, "/ttl_s");
        assert_eq!(asked(Some(3601)).unwrap_err().pointer, "/ttl_s");
    }
}
