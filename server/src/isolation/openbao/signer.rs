//! Signatures by keys that never leave OpenBao: Ed25519 and RSA in the platform's own transit engine,
//! which outlives every tenant.
//!
//! A key is rotated in OpenBao (`keys/<key>/rotate`): new signatures take the newest version, or the one
//! that is asked for, and the public halves of all versions stay readable, so that what was signed before
//! can still be checked. A version is withdrawn by `min_encryption_version`, below which nothing is signed,
//! and `min_decryption_version`, below which nothing is told either.
//!
//! Facts (seen with OpenBao 2.7.2): making a key that exists changes nothing; a signature reads
//! `vault:v<version>:<base64>`; a signature by a key that does not exist is refused with 400; an RSA key is
//! told as a PEM of its SubjectPublicKeyInfo, an Ed25519 key as its 32 bytes in base64.

use std::collections::BTreeMap;

use aws_lc_rs::rsa;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Call, Client, error};
use crate::isolation::{ErrorClass, SystemError};

/// Where the platform's signing keys are mounted. Not `transit/`: in a namespace that the platform
/// shares with others, that is likely theirs.
pub const SIGNING_MOUNT: &str = "integraci-transit";

/// The key that attestations are signed with.
pub const ATTESTATION_KEY: &str = "attestation";

/// The key that the tokens of the platform's OIDC issuers are signed with.
pub const TOKEN_KEY: &str = "oidc-token";

const SIGN: &str = "sign";
const READ: &str = "signing_key_read";

/// What OpenBao makes a key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Ed25519,
    /// The least that every cloud takes, and enough for what is good for minutes.
    Rsa2048,
}

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

/// The public half of one version of an RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaKey {
    /// `<key>-v<version>`; never given to another key.
    pub kid: String,
    /// What to ask for to have it sign.
    pub version: u32,
    /// The modulus, big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// The public exponent, likewise.
    pub exponent: Vec<u8>,
    /// When this version was made.
    pub created_at: OffsetDateTime,
    /// Whether it still signs.
    pub signs: bool,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    /// Versions below it sign no more.
    min_encryption_version: u32,
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

    /// Signs with the newest version of an Ed25519 key.
    ///
    /// # Errors
    /// OpenBao did not sign. [`ErrorClass::Refused`] also where there is no such key.
    pub async fn sign(&self, key: &str, message: &[u8]) -> Result<Signature, SystemError> {
        let (version, bytes) = self.signed(key, &json!({ "input": STANDARD.encode(message) })).await?;
        let bytes = bytes.try_into().map_err(|_| no_signature())?;
        Ok(Signature { kid: kid(key, version), bytes })
    }

    /// Signs with one version of an RSA key: RS256, which is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518,
    /// section 3.3).
    ///
    /// # Errors
    /// OpenBao did not sign. [`ErrorClass::Refused`] also where there is no such key, or it was withdrawn.
    pub async fn sign_rs256(&self, key: &str, version: u32, message: &[u8]) -> Result<Vec<u8>, SystemError> {
        let body = json!({
            "input": STANDARD.encode(message),
            "key_version": version,
            "hash_algorithm": "sha2-256",
            "signature_algorithm": "pkcs1v15",
        });
        let (by, bytes) = self.signed(key, &body).await?;
        if by == version { Ok(bytes) } else { Err(no_signature()) }
    }

    /// A signature, and the version of the key that made it.
    async fn signed(&self, key: &str, body: &Value) -> Result<(u32, Vec<u8>), SystemError> {
        let path = format!("{SIGNING_MOUNT}/sign/{key}");
        match self.client.data::<Signed>(Call::post(SIGN, &path).json(body)).await {
            Ok(signed) => parsed(&signed.signature).ok_or_else(no_signature),
            Err(refused) if refused.status == Some(400) => {
                Err(SystemError { reason: "there is no such signing key; run setup", ..refused })
            }
            Err(failed) => Err(failed),
        }
    }

    /// Every version of an Ed25519 key, the oldest first.
    ///
    /// # Errors
    /// OpenBao could not be asked. [`ErrorClass::Gone`] where there is no such key.
    pub async fn public_keys(&self, key: &str) -> Result<Vec<PublicKey>, SystemError> {
        let found = self.read(key).await?;
        if found.kind != KeyKind::Ed25519.as_str() {
            return Err(error(READ, ErrorClass::Refused, "the signing key is not an Ed25519 key"));
        }
        let public = |(version, found): (u32, KeyVersion)| {
            let bytes = STANDARD.decode(&found.public_key).ok()?.try_into().ok()?;
            Some(PublicKey { kid: kid(key, version), key: bytes, created_at: found.creation_time })
        };
        let keys: Option<Vec<_>> = found.keys.into_iter().map(public).collect();
        keys.ok_or_else(no_public_key)
    }

    /// Every version of an RSA key, the oldest first.
    ///
    /// # Errors
    /// OpenBao could not be asked. [`ErrorClass::Gone`] where there is no such key.
    pub async fn rsa_keys(&self, key: &str) -> Result<Vec<RsaKey>, SystemError> {
        let found = self.read(key).await?;
        if found.kind != KeyKind::Rsa2048.as_str() {
            return Err(error(READ, ErrorClass::Refused, "the signing key is not an RSA key of 2048 bits"));
        }
        let least = found.min_encryption_version;
        let public = |(version, found): (u32, KeyVersion)| {
            let public = rsa::PublicKey::from_der(&pem_body(&found.public_key)?).ok()?;
            Some(RsaKey {
                kid: kid(key, version),
                version,
                modulus: public.modulus().big_endian_without_leading_zero().to_vec(),
                exponent: public.exponent().big_endian_without_leading_zero().to_vec(),
                created_at: found.creation_time,
                signs: version >= least,
            })
        };
        let keys: Option<Vec<_>> = found.keys.into_iter().map(public).collect();
        keys.ok_or_else(no_public_key)
    }

    async fn read(&self, key: &str) -> Result<Key, SystemError> {
        let found = self.client.read(READ, None, &format!("{SIGNING_MOUNT}/keys/{key}")).await?;
        found.ok_or_else(|| error(READ, ErrorClass::Gone, "there is no such signing key; run setup"))
    }
}

impl KeyKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
        }
    }
}

fn no_signature() -> SystemError {
    error(SIGN, ErrorClass::Broken, "the answer is not a signature")
}

fn no_public_key() -> SystemError {
    error(READ, ErrorClass::Broken, "the answer is not a public key")
}

fn kid(key: &str, version: u32) -> String {
    format!("{key}-v{version}")
}

fn parsed(signature: &str) -> Option<(u32, Vec<u8>)> {
    let (version, encoded) = signature.strip_prefix("vault:v")?.split_once(':')?;
    Some((version.parse().ok()?, STANDARD.decode(encoded).ok()?))
}

/// What is in a PEM of one public key.
fn pem_body(pem: &str) -> Option<Vec<u8>> {
    let body =
        pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// Makes a key. One that is there is left as it is. Needs more rights than the server has.
pub(super) async fn ensure_key(client: &Client, key: &str, kind: KeyKind) -> Result<(), SystemError> {
    let path = format!("{SIGNING_MOUNT}/keys/{key}");
    let body = json!({ "type": kind.as_str() });
    client.send(Call::post("signing_key_create", &path).json(&body)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_its_version() {
        let text = format!("vault:v12:{}", STANDARD.encode([7; 64]));
        assert_eq!(parsed(&text), Some((12, vec![7; 64])));
        for wrong in ["", "vault:v1", "vault:v1:*", "vault:vx:AAAA", "vault:v:AAAA", "hmac:v1:AAAA"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_public_key_is_one_pem_and_nothing_else() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAEC\nAwQF\n-----END PUBLIC KEY-----\n";
        assert_eq!(pem_body(pem), Some(vec![0, 1, 2, 3, 4, 5]));
        for wrong in ["", "AAEC", &pem.replace("PUBLIC", "PRIVATE"), &pem.replace("AAEC", "A*EC"), &pem[1..]]
        {
            assert_eq!(pem_body(wrong), None, "{wrong}");
        }
    }
}
