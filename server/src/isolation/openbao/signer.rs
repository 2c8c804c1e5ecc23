//! Signatures by keys that never leave OpenBao: Ed25519 in the platform's own transit engine, which
//! outlives every tenant.
//!
//! A key is rotated in OpenBao (`keys/<key>/rotate`): new signatures take the newest version, and the
//! public halves of all versions stay readable, so that what was signed before can still be checked.
//!
//! Facts (seen with OpenBao 2.7.2): making a key that exists changes nothing; a signature reads
//! `vault:v<version>:<base64>`; a signature by a key that does not exist is refused with 400.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::{Call, Client, error};
use crate::isolation::{ErrorClass, SystemError};

/// Where the platform's signing keys are mounted. Not `transit/`: in a namespace that the platform
/// shares with others, that is likely theirs.
pub const SIGNING_MOUNT: &str = "integraci-transit";

/// The key that attestations are signed with.
pub const ATTESTATION_KEY: &str = "attestation";

/// Signs, and tells the keys to check by.
#[derive(Debug, Clone)]
pub struct Signer {
    client: Client,
}

/// A signature, and what to check it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The version of the key that made it: `<key>-v<version>`.
    pub kid: String,
    /// Ed25519 over the message as it was given.
    pub bytes: [u8; 64],
}

/// The public half of one version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `<key>-v<version>`; never given to another key.
    pub kid: String,
    /// Ed25519.
    pub key: [u8; 32],
    /// When this version was made.
    pub created_at: OffsetDateTime,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    keys: BTreeMap<u32, KeyVersion>,
}

#[derive(Deserialize)]
struct KeyVersion {
    public_key: String,
    #[serde(with = "time::serde::rfc3339")]
    creation_time: OffsetDateTime,
}

impl Signer {
    /// The keys in the OpenBao that the client talks to.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Signs with the newest version of a key.
    ///
    /// # Errors
    /// OpenBao did not sign. [`ErrorClass::Refused`] also where there is no such key.
    pub async fn sign(&self, key: &str, message: &[u8]) -> Result<Signature, SystemError> {
        const OPERATION: &str = "sign";
        let path = format!("{SIGNING_MOUNT}/sign/{key}");
        let body = json!({ "input": STANDARD.encode(message) });
        match self.client.data::<Signed>(Call::post(OPERATION, &path).json(&body)).await {
            Ok(signed) => parsed(key, &signed.signature)
                .ok_or_else(|| error(OPERATION, ErrorClass::Broken, "the answer is not a signature")),
            Err(refused) if refused.status == Some(400) => {
                Err(SystemError { reason: "there is no such signing key; run setup", ..refused })
            }
            Err(failed) => Err(failed),
        }
    }

    /// Every version of a key, the oldest first.
    ///
    /// # Errors
    /// OpenBao could not be asked. [`ErrorClass::Gone`] where there is no such key.
    pub async fn public_keys(&self, key: &str) -> Result<Vec<PublicKey>, SystemError> {
        const OPERATION: &str = "signing_key_read";
        let found: Key =
            self.client.read(OPERATION, None, &format!("{SIGNING_MOUNT}/keys/{key}")).await?.ok_or_else(
                || error(OPERATION, ErrorClass::Gone, "there is no such signing key; run setup"),
            )?;
        if found.kind != "ed25519" {
            return Err(error(OPERATION, ErrorClass::Refused, "the signing key is not an Ed25519 key"));
        }
        let public = |(version, found): (u32, KeyVersion)| {
            let bytes = STANDARD.decode(&found.public_key).ok()?.try_into().ok()?;
            Some(PublicKey { kid: kid(key, version), key: bytes, created_at: found.creation_time })
        };
        let keys: Option<Vec<_>> = found.keys.into_iter().map(public).collect();
        keys.ok_or_else(|| error(OPERATION, ErrorClass::Broken, "the answer is not a public key"))
    }
}

fn kid(key: &str, version: u32) -> String {
    format!("{key}-v{version}")
}

fn parsed(key: &str, signature: &str) -> Option<Signature> {
    let (version, encoded) = signature.strip_prefix("vault:v")?.split_once(':')?;
    let bytes = STANDARD.decode(encoded).ok()?.try_into().ok()?;
    Some(Signature { kid: kid(key, version.parse().ok()?), bytes })
}

/// Makes a key. One that is there is left as it is. Needs more rights than the server has.
pub(super) async fn ensure_key(client: &Client, key: &str) -> Result<(), SystemError> {
    let path = format!("{SIGNING_MOUNT}/keys/{key}");
    let body = json!({ "type": "ed25519" });
    client.send(Call::post("signing_key_create", &path).json(&body)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_its_version() {
        let text = format!("vault:v12:{}", STANDARD.encode([7; 64]));
        assert_eq!(
            parsed("attestation", &text),
            Some(Signature { kid: "attestation-v12".to_owned(), bytes: [7; 64] })
        );
        for wrong in ["", "vault:v1", "vault:v1:", "vault:vx:AAAA", "vault:v1:AAAA", "hmac:v1:AAAA"] {
            assert_eq!(parsed("attestation", wrong), None, "{wrong}");
        }
    }
}
