//! How what is sent to a webhook is signed: Standard Webhooks 1.0.0.
//!
//! The signature is HMAC-SHA256 over `<id>.<timestamp>.<body>`, in base64 behind `v1,`. The key is the
//! secret's own bytes, or, written `whsec_<base64>` as that specification has it, what the base64
//! stands for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use integraci_api::SecretText;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use sha2::Sha256;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::outbound::Request;

/// A secret that says that it is base64 and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that begins with `whsec_` goes on with base64")]
pub(super) struct NotAKey;

/// A message to a webhook, signed. Every try of one message has the same id.
pub(super) fn message(
    url: Url,
    secret: &SecretText,
    id: Uuid,
    now: OffsetDateTime,
    body: String,
) -> Result<Request, NotAKey> {
    let key = key_bytes(secret)?;
    let (id, timestamp) = (format!("msg_{}", id.simple()), now.unix_timestamp());
    let signature = signature(&key, &id, timestamp, &body);
    let (Ok(id), Ok(signature)) = (HeaderValue::from_str(&id), HeaderValue::from_str(&signature)) else {
        // Characters that are all ours: it cannot be.
        return Err(NotAKey);
    };
    Ok(Request::post(url, body.into())
        .header(CONTENT_TYPE.as_str(), HeaderValue::from_static("application/json"))
        .header("webhook-id", id)
        .header("webhook-timestamp", HeaderValue::from(timestamp))
        .header("webhook-signature", signature))
}

fn key_bytes(secret: &SecretText) -> Result<Zeroizing<Vec<u8>>, NotAKey> {
    match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| NotAKey),
        None => Ok(Zeroizing::new(secret.expose().as_bytes().to_vec())),
    }
}

/// The value of `webhook-signature`.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `openssl dgst -sha256 -hmac`, which knows nothing of this code.
    #[test]
    fn the_signature_covers_id_time_and_body() {
        let key = b"0123456789abcdef";
        let signed = signature(key, "msg_1", 1_700_000_000, "{}");
        assert_eq!(signed, "v1,3uojc/2kvL+KpJkw4ZNrA/5YjEs9cdfKdc3lXIvRjkk=");
        assert_ne!(signature(key, "msg_2", 1_700_000_000, "{}"), signed);
        assert_ne!(signature(key, "msg_1", 1, "{}"), signed);
        assert_ne!(signature(key, "msg_1", 1_700_000_000, "[]"), signed);
    }

    #[test]
    fn a_key_is_its_own_bytes_or_base64_that_says_so() {
        let key = |text: &str| key_bytes(&SecretText::new(text.to_owned())).map(|bytes| bytes.to_vec());
        assert_eq!(key("c2VjcmV0").unwrap(), b"c2VjcmV0");
        assert_eq!(key("whsec_c2VjcmV0").unwrap(), b"secret");
        assert_eq!(key("whsec_not base64"), Err(NotAKey));
    }
}
