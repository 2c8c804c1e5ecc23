//! The publisher: takes events from the outbox into their tenants' streams.
//!
//! Every replica runs one; a tenant's events are told by whichever has claimed the tenant, so that they
//! are told in order. What a stream has acknowledged is removed. A replica that dies between the two is
//! replaced once its claim has run out, and tells the same events again under the same ids, which the
//! stream takes for what they are. Where NATS is away, or the tenant is closed, the events wait. One
//! that is larger than the tenant's account allows is not told: it would hold up all after it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use integraci_api::tenants::TenantNames;
use integraci_api::{Slug, TenantId};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Event;
use crate::isolation::nats::{Nats, Told};
use crate::store::{Changes, Store, StoreError};

/// How long a claim holds. A replica gives its events up well before.
const CLAIM: Duration = Duration::from_secs(30);
/// How many tenants are claimed at once, and how many of them are told at once.
const TENANTS: i64 = 16;
const SIDE_BY_SIDE: usize = 4;
/// How many events are told in one go: a second's worth.
const EVENTS: i64 = 200;
/// How often there is a look for events of which no notice came, and how often at most.
const POLL: Duration = Duration::from_secs(1);
const POLL_MIN: Duration = Duration::from_millis(50);
/// How long a tenant is left alone after a failure, doubled by each that follows, up to the last.
const PAUSE_S: f64 = 0.5;
const PAUSE_MAX_S: f64 = 60.0;

/// Tells events until told to stop.
pub struct Publisher {
    store: Store,
    changes: Changes,
    cells: BTreeMap<String, Nats>,
}

/// A tenant whose events this replica tells for now.
#[derive(sqlx::FromRow)]
struct Claimed {
    tenant_id: Uuid,
    slug: String,
    cell: String,
    /// Until when; the claim is another's where this has changed.
    events_after: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    object_id: String,
    facts: Value,
    at: OffsetDateTime,
}

impl Publisher {
    /// Tells what is in the store to tenants in these cells.
    #[must_use]
    pub const fn new(store: Store, changes: Changes, cells: BTreeMap<String, Nats>) -> Self {
        Self { store, changes, cells }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        if self.cells.is_empty() {
            return;
        }
        // Most events come with a change of an operation.
        let mut changes = self.changes.watch();
        loop {
            if let Err(error) = self.round(&stop).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "events could not be told; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = async { tokio::time::sleep(POLL_MIN).await; changes.any_changed(POLL).await } => {}
            }
        }
    }

    /// Tells all that can be told.
    async fn round(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        loop {
            let claimed = self.claim().await?;
            if claimed.is_empty() || stop.is_cancelled() {
                return Ok(());
            }
            stream::iter(claimed)
                .for_each_concurrent(SIDE_BY_SIDE, |claimed| async move {
                    if let Err(error) = self.tell(&claimed).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "what was told could not be noted; it will be told again");
                    }
                })
                .await;
        }
    }

    /// Claims tenants that have events and an account that is open.
    async fn claim(&self) -> Result<Vec<Claimed>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let cells: Vec<&str> = self.cells.keys().map(String::as_str).collect();
        let claimed = sqlx::query_as(
            "WITH due AS (
               SELECT s.tenant_id FROM tenant_system s
               WHERE s.system = 'nats' AND s.cell = ANY($1) AND s.state NOT IN ('pending', 'suspended')
                 AND s.events_after <= now() AND s.tenant_id IN (SELECT o.tenant_id FROM event_outbox o)
               ORDER BY s.events_after LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE tenant_system s SET events_after = now() + $3 * interval '1 second'
             FROM due JOIN tenant t ON t.id = due.tenant_id
             WHERE s.tenant_id = due.tenant_id AND s.system = 'nats'
             RETURNING s.tenant_id, t.slug, s.cell, s.events_after",
        )
        .bind(cells)
        .bind(TENANTS)
        .bind(CLAIM.as_secs_f64())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim events"))?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Tells the first of a tenant's events, and lets it go.
    async fn tell(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let tenant = TenantId::from_uuid(claimed.tenant_id);
        let (Some(nats), Ok(slug)) = (self.cells.get(&claimed.cell), claimed.slug.parse::<Slug>()) else {
            return Ok(());
        };
        let rows = self.first(tenant).await?;
        let events: Vec<_> = rows.iter().filter_map(|row| told(tenant, row)).collect();
        let names = TenantNames::of(&slug);
        let (acknowledged, failure) = nats.events_tell(&names, &events, CLAIM / 2).await;
        if let Some(failure) = &failure {
            tracing::info!(%tenant, error = %failure, "a tenant's events wait");
        }
        let mut done: Vec<Uuid> = events[..acknowledged].iter().map(|event| event.id).collect();
        metrics::counter!("integraci_events_published_total").increment(done.len() as u64);
        if let (Some(_), Some(event)) = (&failure, events.get(acknowledged))
            && nats.event_fits(&names, event).await == Ok(false)
        {
            let Told { id, kind, .. } = event;
            tracing::error!(%tenant, %id, %kind, "an event is larger than the tenant's account allows; it is not told");
            metrics::counter!("integraci_events_set_aside_total").increment(1);
            done.push(*id);
        }
        self.let_go(claimed, &done, failure.is_some()).await
    }

    async fn first(&self, tenant: TenantId) -> Result<Vec<Row>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        sqlx::query_as(
            "SELECT id, kind, object_id, facts, at FROM event_outbox WHERE tenant_id = $1 ORDER BY position LIMIT $2",
        )
        .bind(tenant.uuid())
        .bind(EVENTS)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("read events"))
    }

    /// Removes what was told, and gives the claim up, if it is still held, for now or for a pause.
    async fn let_go(&self, claimed: &Claimed, done: &[Uuid], failed: bool) -> Result<(), StoreError> {
        let on = || StoreError::on("note what was told");
        let mut tx = self.store.platform_tx().await?;
        sqlx::query("DELETE FROM event_outbox WHERE id = ANY($1)")
            .bind(done)
            .execute(tx.conn())
            .await
            .map_err(on())?;
        sqlx::query(
            "UPDATE tenant_system
             SET events_tries = CASE WHEN $3 THEN least(events_tries + 1, 20) ELSE 0 END,
               events_after = now() + CASE WHEN $3 THEN least($5, $4 * 2 ^ events_tries) ELSE 0 END * interval '1 second'
             WHERE tenant_id = $1 AND system = 'nats' AND events_after = $2",
        )
        .bind(claimed.tenant_id)
        .bind(claimed.events_after)
        .bind(failed)
        .bind(PAUSE_S)
        .bind(PAUSE_MAX_S)
        .execute(tx.conn())
        .await
        .map_err(on())?;
        tx.commit().await
    }
}

/// An event as it is told. One that cannot be written as JSON does not exist: it was read from such.
fn told(tenant_id: TenantId, row: &Row) -> Option<Told> {
    let Row { id, kind, object_id, facts, at } = row;
    let event = Event { id: *id, kind, tenant_id, object_id, at: *at, data: facts };
    Some(Told { id: *id, kind: kind.clone(), body: serde_json::to_vec(&event).ok()? })
}
