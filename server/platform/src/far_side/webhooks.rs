//! A receiver of webhooks that checks who sent them.
//!
//! Rules: the Standard Webhooks specification 1.0. `webhook-signature` holds, separated by spaces,
//! signatures `v1,BASE64`, each an HMAC-SHA256 over `ID.TIMESTAMP.BODY`; one of them must be right,
//! and `webhook-timestamp` (seconds since 1970) may be five minutes off.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::Shared;

/// The specification's own advice.
const TOLERANCE_S: u64 = 5 * 60;

/// A message that was taken: its signature was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `webhook-id`: the same for every attempt to deliver one message.
    pub id: String,
    /// `webhook-timestamp`, in seconds since 1970.
    pub timestamp_s: u64,
    /// The body as it came.
    pub body: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Webhooks {
    keys: BTreeMap<String, SecretString>,
    deliveries: BTreeMap<String, Vec<Delivery>>,
}

impl Webhooks {
    pub(super) fn key(&mut self, name: &str, key: SecretString) {
        self.keys.insert(name.to_owned(), key);
    }

    pub(super) fn deliveries(&self, name: &str) -> Vec<Delivery> {
        self.deliveries.get(name).cloned().unwrap_or_default()
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/webhooks/{name}", post(receive))
}

async fn receive(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut inner = shared.lock();
    let Some(key) = inner.webhooks.keys.get(&name) else { return StatusCode::NOT_FOUND };
    let Some(delivery) = verify(key, &headers, body, now_s) else { return StatusCode::UNAUTHORIZED };
    inner.webhooks.deliveries.entry(name).or_default().push(delivery);
    StatusCode::NO_CONTENT
}

/// The message, if it was signed with the key a short while before `now_s`.
fn verify(key: &SecretString, headers: &HeaderMap, body: Bytes, now_s: u64) -> Option<Delivery> {
    let header = |name| headers.get(name)?.to_str().ok();
    let id = header("webhook-id")?;
    let timestamp = header("webhook-timestamp")?;
    let timestamp_s: u64 = timestamp.parse().ok()?;
    if now_s.abs_diff(timestamp_s) > TOLERANCE_S {
        return None;
    }
    let key = key.expose_secret();
    let key = match key.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => key.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    header("webhook-signature")?
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .find(|signature| mac.clone().verify_slice(signature).is_ok())?;
    Some(Delivery { id: id.to_owned(), timestamp_s, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP_S: u64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", TIMESTAMP_S.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    fn is_taken(headers: &HeaderMap, body: &'static str, now_s: u64) -> bool {
        verify(&KEY.into(), headers, Bytes::from_static(body.as_bytes()), now_s).is_some()
    }

    #[test]
    fn the_example_of_the_specification_is_taken() {
        assert!(is_taken(&headers(SIGNATURE), BODY, TIMESTAMP_S));
        assert!(is_taken(&headers(&format!("v1,AAAA v2,x {SIGNATURE}")), BODY, TIMESTAMP_S));
    }

    #[test]
    fn what_was_changed_or_signed_by_another_is_refused() {
        assert!(!is_taken(&headers(SIGNATURE), r#"{"test": 1}"#, TIMESTAMP_S));
        assert!(!is_taken(&headers("v1,AAAA"), BODY, TIMESTAMP_S));
        assert!(!is_taken(&headers(&SIGNATURE.replace("v1,", "v2,")), BODY, TIMESTAMP_S));
        let mut other_id = headers(SIGNATURE);
        other_id.insert("webhook-id", "msg_other".parse().unwrap());
        assert!(!is_taken(&other_id, BODY, TIMESTAMP_S));
    }

    #[test]
    fn five_minutes_is_the_limit_either_way() {
        let headers = headers(SIGNATURE);
        assert!(is_taken(&headers, BODY, TIMESTAMP_S + TOLERANCE_S));
        assert!(is_taken(&headers, BODY, TIMESTAMP_S - TOLERANCE_S));
        assert!(!is_taken(&headers, BODY, TIMESTAMP_S + TOLERANCE_S + 1));
        assert!(!is_taken(&headers, BODY, TIMESTAMP_S - TOLERANCE_S - 1));
    }

    #[test]
    fn a_key_without_the_prefix_is_taken_as_it_is() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"plain key").unwrap();
        mac.update(format!("{ID}.{TIMESTAMP_S}.{BODY}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let taken = verify(&"plain key".into(), &headers(&signature), BODY.into(), TIMESTAMP_S);
        assert_eq!(taken.unwrap().id, ID);
    }
}
