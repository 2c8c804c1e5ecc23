//! The public keys that the platform's documents are checked by: `/.well-known/integraci-keys.json`.

use serde::{Deserialize, Serialize};

/// A set of public keys (JWK Set, RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeySet {
    /// The keys. Those that signed before and no longer do stay in it.
    pub keys: Vec<Jwk>,
}

/// A public key (RFC 8037 section 2: an Ed25519 key is of type `OKP`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// The type of the key: `OKP`.
    pub kty: String,
    /// The curve: `Ed25519`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub crv: String,
    /// What signatures call it; never given to another key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kid: String,
    /// What it is for: `sig`.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// The algorithm: `EdDSA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The key itself: 32 bytes in base64url without padding.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub x: String,
}
