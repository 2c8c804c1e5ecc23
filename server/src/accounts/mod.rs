//! Who calls: API tokens, and the authority that each gives.
//!
//! A token is `ici_` and 256 random bits with a checksum; the store keeps its SHA-256. Authority is a
//! value that only this module can build: who holds a [`PlatformAuthority`] or [`TenantAuthority`]
//! has been let in for that, and what needs one cannot be called without.

mod secret;
mod tokens;

use integraci_api::tokens::Scope;
use integraci_api::{Problem, ProblemCode, TenantId, TokenId};

use crate::error::Error;

pub use secret::TokenSecret;
pub use tokens::{Made, Tokens};
pub(crate) use tokens::{tokens_of, unauthenticated};

/// A caller whose token was accepted.
#[derive(Debug, Clone)]
pub struct Caller {
    token: TokenId,
    tenant: Option<TenantId>,
    scopes: Vec<Scope>,
    requests_per_minute: Option<i64>,
}

/// May do one thing anywhere on the platform.
#[derive(Debug, Clone, Copy)]
pub struct PlatformAuthority {
    token: TokenId,
}

/// May do one thing inside one tenant.
#[derive(Debug, Clone, Copy)]
pub struct TenantAuthority {
    token: TokenId,
    tenant: TenantId,
    of_platform: bool,
}

impl Caller {
    /// The token's record.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// The tenant that the token is bound to.
    #[must_use]
    pub const fn bound_to(&self) -> Option<TenantId> {
        self.tenant
    }

    /// The most requests in a minute of the tenant that the token is bound to, if there is a limit.
    #[must_use]
    pub const fn requests_per_minute(&self) -> Option<i64> {
        self.requests_per_minute
    }

    /// What the token may do.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Lets the caller do one thing on the platform.
    ///
    /// # Errors
    /// `forbidden`: the scope is missing, or the token is bound to a tenant.
    pub fn platform(&self, scope: Scope) -> Result<PlatformAuthority, Error> {
        if self.tenant.is_some() {
            return Err(Problem::new(
                ProblemCode::Forbidden,
                "this needs a platform token; this one is bound to a tenant",
            )
            .into());
        }
        self.allow(scope)?;
        Ok(PlatformAuthority { token: self.token })
    }

    /// Lets the caller do one thing inside a tenant.
    ///
    /// # Errors
    /// `not_found` for another tenant than the token's own, whether there is one or not; `forbidden`
    /// when the scope is missing.
    pub fn tenant(&self, tenant: TenantId, scope: Scope) -> Result<TenantAuthority, Error> {
        if self.tenant.is_some_and(|own| own != tenant) {
            return Err(Error::not_found());
        }
        self.allow(scope)?;
        Ok(TenantAuthority { token: self.token, tenant, of_platform: self.tenant.is_none() })
    }

    /// Lets the caller do what the scope says, for as much as it can see.
    ///
    /// # Errors
    /// `forbidden`: the scope is missing.
    pub fn allow(&self, scope: Scope) -> Result<(), Error> {
        self.allow_any(&[scope])
    }

    /// Lets the caller do what any of the scopes says.
    ///
    /// # Errors
    /// `forbidden`: all of them are missing.
    pub fn allow_any(&self, scopes: &[Scope]) -> Result<(), Error> {
        if scopes.iter().any(|scope| self.scopes.contains(scope)) {
            return Ok(());
        }
        let words: Vec<_> = scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
        Err(Problem::new(ProblemCode::Forbidden, format!("the token lacks the scope {}", words.join(" or ")))
            .into())
    }
}

impl PlatformAuthority {
    /// The token that it came of.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }
}

impl TenantAuthority {
    /// The token that it came of.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// The tenant it is for.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Whether a platform token is behind it, which may also change what the platform decides.
    #[must_use]
    pub const fn of_platform(&self) -> bool {
        self.of_platform
    }
}
