//! The public keys, as the platform publishes them: a JWK Set (RFC 7517) of Ed25519 keys (RFC 8037,
//! section 2). Keys of other kinds are passed over, as section 5 of RFC 7517 asks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::keys::{Jwk, KeySet};

use crate::{Distrust, What, json};

/// The length of an Ed25519 public key, in bytes.
pub const KEY_BYTES: usize = 32;

/// The keys to check by, each under the name that signatures call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, [u8; KEY_BYTES]>);

impl Keys {
    /// Reads a published key set.
    ///
    /// # Errors
    /// It is not one, two of its keys have one name, or none of them is an Ed25519 key.
    pub fn parse(bytes: &[u8]) -> Result<Self, Distrust> {
        let value = json::parse(bytes).map_err(|_| Distrust::NotJson(What::KeySet))?;
        let set: KeySet = json::typed(value).map_err(|_| Distrust::Malformed(What::KeySet))?;
        let mut keys = BTreeMap::new();
        for jwk in set.keys.iter().filter(|jwk| jwk.kty == "OKP" && jwk.crv == "Ed25519") {
            let key = URL_SAFE_NO_PAD.decode(&jwk.x).map_err(|_| Distrust::NotBase64(What::KeySet))?;
            let key = key.try_into().map_err(|_| Distrust::Malformed(What::KeySet))?;
            if keys.insert(jwk.kid.clone(), key).is_some() {
                return Err(Distrust::AmbiguousKeys);
            }
        }
        if keys.is_empty() { Err(Distrust::NoKeys) } else { Ok(Self(keys)) }
    }

    /// The key of a name.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&[u8; KEY_BYTES]> {
        self.0.get(kid)
    }
}

/// A key as it is published.
#[must_use]
pub fn jwk(kid: &str, key: &[u8; KEY_BYTES]) -> Jwk {
    Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        kid: kid.to_owned(),
        usage: Some("sig".to_owned()),
        alg: Some("EdDSA".to_owned()),
        x: URL_SAFE_NO_PAD.encode(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_set_reads_back() {
        let set = KeySet { keys: vec![jwk("attestation-v1", &[1; 32]), jwk("attestation-v2", &[2; 32])] };
        let keys = Keys::parse(&serde_json::to_vec(&set).unwrap()).unwrap();
        assert_eq!(keys.get("attestation-v2"), Some(&[2; 32]));
        assert_eq!(keys.get("attestation-v3"), None);
    }

    #[test]
    fn other_kinds_of_keys_are_passed_over() {
        let set = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","x":"AA"}]}"#;
        assert_eq!(Keys::parse(set.as_bytes()), Err(Distrust::NoKeys));
    }

    #[test]
    fn a_set_that_cannot_be_relied_on_is_refused() {
        let twice = KeySet { keys: vec![jwk("a", &[1; 32]), jwk("a", &[2; 32])] };
        assert_eq!(Keys::parse(&serde_json::to_vec(&twice).unwrap()), Err(Distrust::AmbiguousKeys));
        for (set, why) in [
            ("", Distrust::NotJson(What::KeySet)),
            (r#"{"keys":1}"#, Distrust::Malformed(What::KeySet)),
            (
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}"#,
                Distrust::Malformed(What::KeySet),
            ),
            (
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"A!"}]}"#,
                Distrust::NotBase64(What::KeySet),
            ),
        ] {
            assert_eq!(Keys::parse(set.as_bytes()), Err(why), "{set}");
        }
    }
}
