//! A tenant's slug: the name that every system's own name for it is derived from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::TenantId;

/// The longest slug, in characters. `tenant-` before it must still fit a DNS label (63), and room is
/// left for the suffixes that systems add to names of their own.
pub const MAX_LEN: usize = 40;

/// Words that are never a tenant: they name parts of the platform, or would mislead in a URL.
/// Sorted, for the binary search.
pub const RESERVED: &[&str] = &[
    "account",
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "audit",
    "auth",
    "billing",
    "canary",
    "console",
    "dashboard",
    "default",
    "dev",
    "docs",
    "help",
    "identity",
    "integraci",
    "internal",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "kubernetes",
    "local",
    "localhost",
    "login",
    "logout",
    "mail",
    "master",
    "metrics",
    "nats",
    "null",
    "openbao",
    "operator",
    "platform",
    "postgres",
    "prod",
    "production",
    "public",
    "root",
    "security",
    "shared",
    "signup",
    "staging",
    "static",
    "status",
    "support",
    "sys",
    "system",
    "tenant",
    "tenants",
    "test",
    "true",
    "undefined",
    "vault",
    "well-known",
    "www",
];

/// A DNS label of 2 to 40 characters that is not reserved: `[a-z]([a-z0-9-]*[a-z0-9])?`, with no two
/// hyphens in a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Slug(String);

/// Why a text is not a slug; the text of each says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    /// Shorter than 2 or longer than [`MAX_LEN`].
    #[error("a slug has 2 to 40 characters")]
    Length,
    /// Something else than a DNS label.
    #[error(
        "a slug is made of lower-case letters, digits and single hyphens, begins with a letter and does not end with a hyphen"
    )]
    Form,
    /// One of [`RESERVED`], or a canary's.
    #[error("this slug is reserved for the platform itself; choose another")]
    Reserved,
}

/// What the slugs of canaries begin with: tenants of a platform's own, whose places the attestations of
/// others try to reach. Reserved, so that nobody else has one.
const CANARY: &str = "integraci-canary";
/// How many hexadecimal digits of their ids tell them apart.
const CANARY_DIGITS: usize = 8;

impl Slug {
    /// That of the canary of an id. Platforms that share a system each have their own there.
    #[must_use]
    pub fn canary(id: TenantId) -> Self {
        let id = id.uuid().simple().to_string();
        // The end of a UUIDv7 is random, its beginning the time.
        Self(format!("{CANARY}-{}", &id[id.len() - CANARY_DIGITS..]))
    }

    /// The slug as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Self, SlugError> {
        if !(2..=MAX_LEN).contains(&text.len()) {
            return Err(SlugError::Length);
        }
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let starts = text.as_bytes()[0].is_ascii_lowercase();
        if !plain || !starts || text.ends_with('-') || text.contains("--") {
            return Err(SlugError::Form);
        }
        if RESERVED.binary_search(&text).is_ok() || text.starts_with(CANARY) {
            return Err(SlugError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Slug {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[a-z]([a-z0-9-]*[a-z0-9])?$"))
            .min_length(Some(2))
            .max_length(Some(MAX_LEN))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Slug {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn what_is_and_is_not_a_slug() {
        for good in ["acme", "a1", "north-wind-2", &"a".repeat(MAX_LEN)] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", SlugError::Length),
            ("a", SlugError::Length),
            (&"a".repeat(MAX_LEN + 1), SlugError::Length),
            ("Acme", SlugError::Form),
            ("1acme", SlugError::Form),
            ("-acme", SlugError::Form),
            ("acme-", SlugError::Form),
            ("ac--me", SlugError::Form),
            ("ac_me", SlugError::Form),
            ("acmé", SlugError::Form),
            ("ac me", SlugError::Form),
            ("ac.me", SlugError::Form),
            ("admin", SlugError::Reserved),
            ("kube-system", SlugError::Reserved),
            (CANARY, SlugError::Reserved),
            (Slug::canary(TenantId::from_uuid(uuid::Uuid::nil())).as_str(), SlugError::Reserved),
        ] {
            assert_eq!(bad.parse::<Slug>(), Err(why), "{bad}");
        }
    }
}
