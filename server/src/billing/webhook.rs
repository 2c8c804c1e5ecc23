//! What Stripe sends: a hint that something happened to a customer, and nothing more. Its subscription is
//! looked at soon after (`standing`); nothing of the event is believed or kept but its id.
//!
//! Facts: "Receive Stripe events in your webhook endpoint" and "Verify webhook signatures manually":
//! `Stripe-Signature: t=…,v1=…`, HMAC-SHA256 over `t.body`; several `v1` while the secret is rolled; Stripe
//! signs every delivery anew, so one that is older than five minutes is somebody else's.

use hmac::{Hmac, KeyInit as _, Mac as _};
use integraci_api::{Problem, ProblemCode, SecretText};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use sha2::Sha256;
use time::OffsetDateTime;

use super::Billing;
use crate::error::Error;
use crate::store::{Store, StoreError};

/// How far the time of a signature may be from ours: what Stripe's own libraries take.
const TOLERANCE_S: u64 = 5 * 60;
/// The longest id that is kept, in characters: Stripe's have about thirty.
const ID_MAX_CHARS: usize = 255;
/// How long an event is known: Stripe sends one for three days, and lists it for thirty.
const KNOWN_FOR: time::Duration = time::Duration::days(31);

impl Billing {
    /// Takes what was sent to the platform's address for Stripe. False if it came before.
    ///
    /// # Errors
    /// `unauthenticated`, the same whatever is wrong, or the store's.
    pub async fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<bool, Error> {
        let now = self.source.now();
        let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
        let is_signed = match (&self.stripe, signature) {
            (Some(stripe), Some(signature)) => is_signed(stripe.webhook_secret(), signature, body, now),
            _ => false,
        };
        if !is_signed {
            return Err(refused());
        }
        // What is signed and not understood is not sent again for that.
        let Ok(event) = serde_json::from_slice::<Event>(body) else { return Ok(true) };
        if event.id.is_empty() || event.id.chars().count() > ID_MAX_CHARS {
            return Ok(true);
        }
        let mut tx = self.store.platform_tx().await?;
        let first =
            sqlx::query("INSERT INTO stripe_event (id, received_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(&event.id)
                .bind(now)
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("remember an event of Stripe's"))?;
        let is_first = first.rows_affected() == 1;
        if is_first && let Some(customer) = event.customer() {
            sqlx::query("UPDATE billing_account SET look_after = $2 WHERE customer = $1")
                .bind(customer)
                .bind(now)
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("note a hint of Stripe's"))?;
        }
        tx.commit().await?;
        let outcome = if is_first { "taken" } else { "replayed" };
        metrics::counter!("integraci_stripe_events_total", "outcome" => outcome).increment(1);
        Ok(is_first)
    }
}

/// The one answer to whatever is wrong.
pub(crate) fn refused() -> Error {
    metrics::counter!("integraci_stripe_events_total", "outcome" => "refused").increment(1);
    let detail = "this is not taken: it is not signed with the secret that this address was given, or its time is not right";
    Problem::new(ProblemCode::Unauthenticated, detail).into()
}

/// Forgets the events that nobody sends any more.
pub(super) async fn forget(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    sqlx::query("DELETE FROM stripe_event WHERE received_at < $1")
        .bind(now - KNOWN_FOR)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("forget old events of Stripe's"))?;
    tx.commit().await
}

/// As much of an event as is read.
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    object: Object,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    object: String,
    id: String,
    /// An id; of another shape where nobody asked for that.
    customer: serde_json::Value,
}

impl Event {
    /// The customer that it is about.
    fn customer(&self) -> Option<&str> {
        let object = &self.data.object;
        if object.object == "customer" { Some(&object.id) } else { object.customer.as_str() }
    }
}

fn is_signed(secret: &SecretText, signature: &str, body: &[u8], now: OffsetDateTime) -> bool {
    let parts = || signature.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t").map(|(_, time)| time);
    let (Some(time), None) = (times.next(), times.next()) else { return false };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    for part in [time.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signatures = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| hex::decode(hex).ok());
    let is_ours = signatures.fold(false, |found, one| mac.clone().verify_slice(&one).is_ok() | found);
    is_ours && time.parse().is_ok_and(|time: i64| now.unix_timestamp().abs_diff(time) <= TOLERANCE_S)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    fn signature(secret: &str, time: OffsetDateTime, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.", time.unix_timestamp()).as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn header(secret: &str, time: OffsetDateTime) -> String {
        format!("t={},v1={}", time.unix_timestamp(), signature(secret, time, BODY))
    }

    #[test]
    fn what_the_secret_signed_a_moment_ago_is_taken() {
        let ours = secret("whsec_a");
        assert!(is_signed(&ours, &header("whsec_a", NOW), BODY, NOW));
        let while_rolled =
            format!("{},v1={},v0=00", header("whsec_old", NOW), signature("whsec_a", NOW, BODY));
        assert!(is_signed(&ours, &while_rolled, BODY, NOW));
        for seconds in [-300, 300] {
            let time = NOW + time::Duration::seconds(seconds);
            assert!(is_signed(&ours, &header("whsec_a", time), BODY, NOW), "{seconds}");
        }
    }

    #[test]
    fn whatever_else_comes_is_not() {
        let ours = secret("whsec_a");
        let good = header("whsec_a", NOW);
        let (time, v1) = good.split_once(',').unwrap();
        let stale = NOW - time::Duration::seconds(301);
        let early = NOW + time::Duration::seconds(301);
        for bad in [
            header("whsec_b", NOW),
            header("whsec_a", stale),
            header("whsec_a", early),
            format!("t={},{v1}", NOW.unix_timestamp() + 1),
            format!("{time},t={},{v1}", NOW.unix_timestamp()),
            format!("{time},{}", v1.replace("v1", "v0")),
            time.to_owned(),
            v1.to_owned(),
            format!("t=x,{v1}"),
            format!("{time},v1="),
            format!("{time},v1=zz"),
            String::new(),
        ] {
            assert!(!is_signed(&ours, &bad, BODY, NOW), "{bad}");
        }
        assert!(!is_signed(&ours, &good, b"{}", NOW));
    }

    #[test]
    fn an_event_is_about_a_customer() {
        let customer =
            |body: &str| serde_json::from_str::<Event>(body).unwrap().customer().map(str::to_owned);
        let about = Some("cus_1".to_owned());
        assert_eq!(
            customer(
                r#"{"id":"e","data":{"object":{"object":"subscription","id":"sub_1","customer":"cus_1"}}}"#
            ),
            about
        );
        assert_eq!(customer(r#"{"id":"e","data":{"object":{"object":"customer","id":"cus_1"}}}"#), about);
        assert_eq!(customer(r#"{"id":"e","data":{"object":{"object":"price","id":"price_1"}}}"#), None);
        assert_eq!(customer(r#"{"id":"e","data":{"object":{"object":"x","customer":{"id":7}}}}"#), None);
        assert_eq!(customer(r#"{"id":"e"}"#), None);
    }
}
