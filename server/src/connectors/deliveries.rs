//! Deliveries: what became of a tenant, told to its webhooks.
//!
//! An event is written down for each webhook that asks for it, in the transaction of the change that it
//! tells of (`events::emit`), and sent from there, signed, until the receiver answers 2xx: at least once,
//! under an id that does not change, and not in order. A receiver that does not answer is tried for about
//! three days, with longer and longer pauses. Every replica delivers; a message is sent by whichever
//! claims it.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, SecretText, Slug, TenantId};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::outbound::Outbound;
use super::secrets::{ConnectorSecrets, SecretError};
use super::webhook;
use crate::source::Source;
use crate::store::{Store, StoreError};

/// How many receivers are told something at once.
const SIDE_BY_SIDE: usize = 8;
/// How many messages are claimed at once: no more than are sent at once, and one for each receiver, so
/// that a slow one holds up no other.
const CLAIM: i64 = SIDE_BY_SIDE as i64;
/// How often there is a look for messages.
const POLL: Duration = Duration::from_secs(1);
/// How long whoever claims a message has it: longer than a call may take.
const CLAIMED_FOR_S: i64 = 60;
/// The pauses between tries, in seconds; after the last the message is dropped.
const PAUSES_S: &[i64] = &[5, 30, 2 * 60, 10 * 60, 60 * 60, 6 * 60 * 60, 24 * 60 * 60, 36 * 60 * 60];

/// Delivers messages until told to stop.
pub struct Deliveries {
    store: Store,
    secrets: ConnectorSecrets,
    outbound: Outbound,
    source: Source,
}

#[derive(sqlx::FromRow)]
struct Message {
    event_id: Uuid,
    connector_id: Uuid,
    tenant_id: Uuid,
    slug: String,
    kind: String,
    object_id: String,
    facts: Json<Value>,
    created_at: OffsetDateTime,
    tries: i32,
    config: Json<Map<String, Value>>,
    secret_version: i64,
}

/// What came of a try.
enum Came {
    Delivered,
    Refused,
    /// OpenBao is away: no try of the receiver's.
    NotTried,
}

impl Deliveries {
    /// Delivers what is in this store, with secrets from that OpenBao.
    #[must_use]
    pub const fn new(store: Store, secrets: ConnectorSecrets, outbound: Outbound, source: Source) -> Self {
        Self { store, secrets, outbound, source }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.round(&stop).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "webhooks could not be told; trying again"
                );
            }
            if stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
                return;
            }
        }
    }

    async fn round(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        loop {
            let due = self.claim().await?;
            if due.is_empty() || stop.is_cancelled() {
                return Ok(());
            }
            stream::iter(due)
                .for_each_concurrent(SIDE_BY_SIDE, |message| async move {
                    let came = self.send(&message).await;
                    if let Err(error) = self.keep(&message, came).await {
                        tracing::warn!(%error, "what came of a delivery is not kept; it is tried again");
                    }
                })
                .await;
        }
    }

    /// Claims messages that are due, of tenants that are open.
    async fn claim(&self) -> Result<Vec<Message>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let due = sqlx::query_as(
            "WITH due AS (
               SELECT o.event_id, o.connector_id
               FROM connector c JOIN tenant t ON t.id = c.tenant_id
               CROSS JOIN LATERAL (
                 SELECT event_id, connector_id, try_after FROM webhook_outbox
                 WHERE connector_id = c.id AND try_after <= now()
                 ORDER BY try_after LIMIT 1 FOR UPDATE SKIP LOCKED) o
               WHERE c.kind = 'webhook' AND c.status IN ('active', 'updating') AND NOT t.closed
                 AND c.id IN (SELECT connector_id FROM webhook_outbox WHERE try_after <= now())
               ORDER BY o.try_after LIMIT $1)
             UPDATE webhook_outbox o SET try_after = now() + $2 * interval '1 second'
             FROM due, connector c, tenant t
             WHERE o.event_id = due.event_id AND o.connector_id = due.connector_id
               AND c.id = o.connector_id AND t.id = o.tenant_id
             RETURNING o.event_id, o.connector_id, o.tenant_id, t.slug, o.kind, o.object_id, o.facts, o.created_at,
               o.tries, c.config, c.secret_version",
        )
        .bind(CLAIM)
        .bind(CLAIMED_FOR_S)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim messages to webhooks"))?;
        tx.commit().await?;
        Ok(due)
    }

    async fn send(&self, message: &Message) -> Came {
        let secret = match self.secret(message).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Came::Refused,
            Err(_) => return Came::NotTried,
        };
        let Some(url) = message.url() else { return Came::Refused };
        let body = message.body();
        let Ok(request) = webhook::message(url, &secret, message.event_id, self.source.now(), body) else {
            return Came::Refused;
        };
        let outbound = match message.config.0.get("ca_certificate").and_then(Value::as_str) {
            None => Some(self.outbound.clone()),
            authorities => self.outbound.for_far_side(authorities, None),
        };
        let Some(outbound) = outbound else { return Came::Refused };
        match outbound.send(request).await {
            Ok(answer) if answer.status.is_success() => Came::Delivered,
            Ok(_) | Err(_) => Came::Refused,
        }
    }

    /// The key in force; none where it is not in OpenBao any more.
    async fn secret(&self, message: &Message) -> Result<Option<SecretText>, SecretError> {
        let Ok(slug) = message.slug.parse::<Slug>() else { return Ok(None) };
        let connector = ConnectorId::from_uuid(message.connector_id);
        match self.secrets.get(&TenantNames::of(&slug), connector, message.secret_version).await {
            Ok(mut secrets) => Ok(secrets.remove("hmac_key")),
            Err(SecretError::Missing { .. }) => Ok(None),
            Err(error) => {
                tracing::warn!(%error, %connector, "a webhook's key could not be read");
                Err(error)
            }
        }
    }

    async fn keep(&self, message: &Message, came: Came) -> Result<(), StoreError> {
        let pause_s = match came {
            Came::Delivered => None,
            Came::Refused => next_pause_s(message.tries),
            Came::NotTried => return Ok(()),
        };
        let word = match (&came, pause_s) {
            (Came::Delivered, _) => "delivered",
            (_, Some(_)) => "refused",
            (_, None) => "dropped",
        };
        if word == "dropped" {
            let (connector, event) = (ConnectorId::from_uuid(message.connector_id), message.event_id);
            tracing::warn!(%connector, %event, "a webhook did not answer for days: it is not told of this event");
        }
        metrics::counter!("integraci_webhook_deliveries_total", "outcome" => word).increment(1);
        let mut tx = self.store.platform_tx().await?;
        let statement = match pause_s {
            None => sqlx::query("DELETE FROM webhook_outbox WHERE event_id = $1 AND connector_id = $2"),
            Some(_) => sqlx::query(
                "UPDATE webhook_outbox SET tries = tries + 1, try_after = now() + $3 * interval '1 second'
                 WHERE event_id = $1 AND connector_id = $2",
            ),
        };
        let statement = statement.bind(message.event_id).bind(message.connector_id);
        let statement = if let Some(pause_s) = pause_s { statement.bind(pause_s) } else { statement };
        statement.execute(tx.conn()).await.map_err(StoreError::on("keep what came of a delivery"))?;
        tx.commit().await
    }
}

/// How long to wait after this many tries and one more; nothing, when that was the last.
fn next_pause_s(tries: i32) -> Option<i64> {
    PAUSES_S.get(usize::try_from(tries).unwrap_or(usize::MAX)).copied()
}

impl Message {
    fn url(&self) -> Option<Url> {
        Url::parse(self.config.0.get("url")?.as_str()?).ok()
    }

    fn body(&self) -> String {
        json!({
            "type": self.kind,
            "timestamp": self.created_at.format(&Rfc3339).unwrap_or_default(),
            "data": {
                "tenant_id": TenantId::from_uuid(self.tenant_id),
                "object_id": self.object_id,
                "facts": self.facts.0,
            },
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_tried_for_about_three_days() {
        let pauses: Vec<_> = (0..).map_while(next_pause_s).collect();
        assert_eq!(pauses.len(), PAUSES_S.len());
        assert!(pauses.is_sorted());
        let days = pauses.iter().sum::<i64>() / (24 * 60 * 60);
        assert_eq!(days, 2, "and a try on the third");
        assert_eq!(next_pause_s(-1), None);
    }
}
