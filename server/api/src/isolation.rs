//! The systems that a tenant has a place in, and how its place in each is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A system that a tenant has a place in. Words are never renamed: they are in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum System {
    /// Postgres: rows under row-level security.
    Postgres,
    /// OpenBao: a namespace with a key-value store of its own.
    #[serde(rename = "openbao")]
    OpenBao,
    /// Keycloak: a realm.
    Keycloak,
    /// NATS: an account.
    Nats,
    /// Kubernetes: a namespace.
    Kubernetes,
}

impl System {
    /// Every system, in the order in which they are told.
    pub const ALL: &[Self] = &[Self::Postgres, Self::OpenBao, Self::Keycloak, Self::Nats, Self::Kubernetes];

    /// The word on the wire, in logs and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::OpenBao => "openbao",
            Self::Keycloak => "keycloak",
            Self::Nats => "nats",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The system of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|system| system.as_str() == word)
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::OpenBao => "OpenBao",
            Self::Keycloak => "Keycloak",
            Self::Nats => "NATS",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// How a tenant's place in a system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PlaceState {
    /// The platform does not use the system, so the tenant has no place in it.
    #[default]
    Off,
    /// It is being made, changed or removed.
    Pending,
    /// It is as it should be.
    Ready,
    /// It is closed, as it should be: the tenant is suspended.
    Suspended,
    /// It was found to differ from what it should be; it is being mended.
    Drifted,
    /// The system did not answer when it was last asked.
    Unknown,
}

impl PlaceState {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Suspended => "suspended",
            Self::Drifted => "drifted",
            Self::Unknown => "unknown",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Off, Self::Pending, Self::Ready, Self::Suspended, Self::Drifted, Self::Unknown]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A tenant's place in every system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantIsolation {
    /// Its rows.
    pub postgres: Place,
    /// Its namespace in OpenBao.
    pub openbao: OpenBaoPlace,
    /// Its realm.
    pub keycloak: KeycloakPlace,
    /// Its account.
    pub nats: NatsPlace,
    /// Its namespace in Kubernetes.
    pub kubernetes: KubernetesPlace,
}

/// What is told of a place in any system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Place {
    /// How it is.
    pub state: PlaceState,
    /// Which instance of the system it is in; absent where the system is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// In what it differs from what it should be, in words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// When it was last looked at.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<OffsetDateTime>,
}

/// A tenant's place in OpenBao.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenBaoPlace {
    /// How it is.
    #[serde(flatten)]
    pub place: Place,
    /// Address of the OpenBao.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Path of the tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A tenant's place in Keycloak.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeycloakPlace {
    /// How it is.
    #[serde(flatten)]
    pub place: Place,
    /// The issuer of the realm's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
}

/// A tenant's place in NATS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NatsPlace {
    /// How it is.
    #[serde(flatten)]
    pub place: Place,
    /// Address of the NATS servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Public key of the tenant's account, `A…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the tenant's subjects begin with, without the trailing `.>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_prefix: Option<String>,
}

/// A tenant's place in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KubernetesPlace {
    /// How it is.
    #[serde(flatten)]
    pub place: Place,
    /// Address of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
