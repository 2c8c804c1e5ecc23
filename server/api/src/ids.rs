//! Identifiers: a prefix that says what it names, and a UUIDv7 inside (32 lower-case hex digits).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}_` followed by 32 hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every identifier of this kind begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The identifier around a UUID, as the store keeps it.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside, as the store keeps it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                uuid_after_prefix(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-f]{32}$")))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

id!(
    /// A tenant, `ten_…`.
    TenantId, "ten"
);
id!(
    /// A connector, `con_…`.
    ConnectorId, "con"
);
id!(
    /// An operation, `op_…`.
    OperationId, "op"
);
id!(
    /// An attestation, `att_…`.
    AttestationId, "att"
);
id!(
    /// A short-lived credential (the record of it, never its value), `crd_…`.
    CredentialId, "crd"
);
id!(
    /// An API token (the record of it, never its value), `tok_…`.
    TokenId, "tok"
);

/// Only the canonical form is taken, so that one thing has one name.
fn uuid_after_prefix(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let wrong = IdError { prefix };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(wrong.clone())?;
    let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { Uuid::try_parse(digits).map_err(|_| wrong) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written() {
        let id = TenantId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "ten_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "ten",
            "ten_",
            "con_00000000000000000000000000000007",
            "ten_0000000000000000000000000000000G",
            "ten_0000000000000000000000000000000A",
            "ten_00000000-0000-0000-0000-000000000007",
        ] {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
    }
}
