//! Webhooks: a signed ping, as Standard Webhooks 1.0.0 says events are signed.
//!
//! The signature is HMAC-SHA256 over `<id>.<timestamp>.<body>`, in base64 behind `v1,`. The key is the
//! secret's own bytes, or, written `whsec_<base64>` as that specification has it, what the base64
//! stands for. The receiver takes the secret by answering 2xx.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use integraci_api::SecretText;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;
use sha2::Sha256;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::far_side::{Asked, FarSide};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::Request;

const KEY_POINTER: &str = "/secrets/hmac_key";
const RECEIVER: &str = "the receiver";

pub(super) struct Webhook;

#[async_trait]
impl Protocol for Webhook {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        ping(far_side).await.map(|()| Verified::default())
    }
}

async fn ping(far_side: &FarSide<'_>) -> Result<(), VerifyError> {
    let subject = far_side.subject;
    let key = key_bytes(far_side.secret("hmac_key")?).ok_or_else(|| {
        VerifyError::refused(KEY_POINTER, "a key that begins with `whsec_` goes on with base64")
    })?;
    let id = format!("msg_{}", subject.attempt.simple());
    let timestamp = subject.now.unix_timestamp();
    let body = json!({
        "type": "integraci.ping",
        "timestamp": subject.now.format(&Rfc3339).unwrap_or_default(),
        "data": { "connector_id": subject.connector },
    })
    .to_string();
    let signature = signature(&key, &id, timestamp, &body);
    let request = Request::post(far_side.address("url", "")?, body.into())
        .header(CONTENT_TYPE.as_str(), HeaderValue::from_static("application/json"))
        .header("webhook-id", header(&id)?)
        .header("webhook-timestamp", HeaderValue::from(timestamp))
        .header("webhook-signature", header(&signature)?);
    let asked = Asked { who: RECEIVER, secret: KEY_POINTER, place: URL_POINTER };
    let answer = far_side.send(asked, request).await?;
    if let Some(busy) = far_side.busy(&answer) {
        return Err(busy);
    }
    let status = answer.status.as_u16();
    match status {
        200..=299 => Ok(()),
        401 | 403 => Err(VerifyError::refused(
            KEY_POINTER,
            format!("{RECEIVER} refused the signature (status {status}); give the key that it expects"),
        )),
        300..=399 => Err(VerifyError::refused(
            URL_POINTER,
            format!("{RECEIVER} redirects (status {status}); give the address that it redirects to"),
        )),
        _ => Err(VerifyError::refused(
            URL_POINTER,
            format!("{RECEIVER} answered the signed ping with status {status}; it must answer 2xx"),
        )),
    }
}

/// A header of characters that are all ours; the error cannot happen.
fn header(text: &str) -> Result<HeaderValue, VerifyError> {
    HeaderValue::from_str(text).map_err(|_| VerifyError::refused(URL_POINTER, "the ping cannot be sent"))
}

/// The key that a secret stands for; `None` when it says that it is base64 and is not.
fn key_bytes(secret: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
    match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok().map(Zeroizing::new),
        None => Some(Zeroizing::new(secret.expose().as_bytes().to_vec())),
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
        assert_eq!(key("whsec_not base64"), None);
    }
}
