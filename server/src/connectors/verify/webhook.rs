//! Webhooks: a signed ping. The receiver takes the secret by answering 2xx.

use async_trait::async_trait;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::far_side::{Asked, FarSide};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::webhook;

const KEY_POINTER: &str = "/secrets/hmac_key";
const RECEIVER: &str = "the receiver";

pub(super) struct Webhook;

#[async_trait]
impl Protocol for Webhook {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let subject = far_side.subject;
        let body = json!({
            "type": "integraci.ping",
            "timestamp": subject.now.format(&Rfc3339).unwrap_or_default(),
            "data": { "connector_id": subject.connector },
        })
        .to_string();
        let (url, key) = (far_side.address("url", "")?, far_side.secret("hmac_key")?);
        let request = webhook::message(url, key, subject.attempt, subject.now, body)
            .map_err(|error| VerifyError::refused(KEY_POINTER, error.to_string()))?;
        let asked = Asked { who: RECEIVER, secret: KEY_POINTER, place: URL_POINTER };
        let answer = far_side.send(asked, request).await?;
        if let Some(busy) = far_side.busy(&answer) {
            return Err(busy);
        }
        let status = answer.status.as_u16();
        match status {
            200..=299 => Ok(Verified::default()),
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
}
