//! The collector: takes what tenants publish of their usage in their own NATS accounts, and has it counted.
//!
//! Every replica runs one. Which accounts have something is asked of the system account, so that a tenant
//! that publishes nothing costs no connection; a tenant that does is read by whichever replica has claimed
//! it. A message is acknowledged once what it holds is counted: where a replica dies between the two the
//! message is read again, and its events are duplicates. What is refused is told to the tenant as an event,
//! once or more often, and is acknowledged too. Where NATS is away, or the tenant is closed or uses all its
//! connections, the messages wait, and once the stream is full who publishes is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use integraci_api::tenants::TenantNames;
use integraci_api::usage::EventsTaken;
use integraci_api::{Problem, ProblemCode, Slug, TenantId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Meter;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::isolation::SystemError;
use crate::isolation::nats::{Nats, Unread};
use crate::source::Source;
use crate::store::{Store, StoreError};

/// How long a claim holds. A replica gives a tenant up well before.
const CLAIM: Duration = Duration::from_secs(30);
/// How many tenants are claimed at once, and how many of them are read at once.
const TENANTS: i64 = 64;
const SIDE_BY_SIDE: usize = 4;
/// How often there is a look, and how much longer than a look the pause after it is: with thousands of
/// accounts a look takes the servers a while.
const POLL: Duration = Duration::from_secs(1);
const PAUSE_TO_LOOK: u32 = 10;
/// How long a tenant is left alone after a failure, doubled by each that follows, up to the last.
const RETRY_S: f64 = 0.5;
const RETRY_MAX_S: f64 = 60.0;
/// How much of what was wrong with a message is told: it has to fit into the smallest message that a tenant
/// can be limited to.
const REJECTED_MAX: usize = 10;
const TEXT_MAX_CHARS: usize = 200;

/// Collects usage until told to stop.
pub struct Collector {
    store: Store,
    meter: Meter,
    source: Source,
    cells: BTreeMap<String, Nats>,
}

/// A tenant whose messages this replica reads for now.
#[derive(sqlx::FromRow)]
struct Claimed {
    tenant_id: Uuid,
    slug: String,
    /// Until when; the claim is another's where this has changed.
    usage_after: OffsetDateTime,
}

/// Why a tenant's messages wait.
#[derive(Debug, thiserror::Error)]
enum Waits {
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Later(Error),
    /// Another has read them, and may yet acknowledge them.
    #[error("another is at it")]
    Elsewhere,
}

impl Collector {
    /// Has what is published in these cells counted by the meter.
    #[must_use]
    pub const fn new(store: Store, meter: Meter, source: Source, cells: BTreeMap<String, Nats>) -> Self {
        Self { store, meter, source, cells }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        if self.cells.is_empty() {
            return;
        }
        loop {
            let began = Instant::now();
            for (cell, nats) in &self.cells {
                if let Err(failed) = self.round(cell, nats, &stop).await {
                    let error = &failed as &dyn std::error::Error;
                    tracing::warn!(error, %cell, "usage could not be collected; trying again");
                }
            }
            let pause = POLL.max(began.elapsed() * PAUSE_TO_LOOK).min(CLAIM);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads all that waits in a cell.
    async fn round(&self, cell: &str, nats: &Nats, stop: &CancellationToken) -> Result<(), Waits> {
        let accounts = nats.usage_unread().await?;
        if accounts.is_empty() || stop.is_cancelled() {
            return Ok(());
        }
        stream::iter(self.claim(cell, &accounts).await?)
            .for_each_concurrent(SIDE_BY_SIDE, |claimed| async move {
                let tenant = TenantId::from_uuid(claimed.tenant_id);
                let collected = match tokio::time::timeout(CLAIM, self.collect(&claimed, nats, stop)).await {
                    Ok(collected) => collected,
                    Err(_) => Err(Waits::Elsewhere),
                };
                if let Err(waits) = &collected {
                    tracing::info!(%tenant, error = %waits, "a tenant's usage waits");
                }
                if let Err(error) = self.let_go(&claimed, collected.is_err()).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a claim could not be given up; it runs out");
                }
            })
            .await;
        Ok(())
    }

    /// Claims tenants that have something in these accounts, and are open.
    async fn claim(&self, cell: &str, accounts: &BTreeSet<String>) -> Result<Vec<Claimed>, StoreError> {
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let mut tx = self.store.platform_tx().await?;
        let claimed = sqlx::query_as(
            "WITH due AS (
               SELECT s.tenant_id FROM tenant_system s
               WHERE s.system = 'nats' AND s.cell = $1 AND s.facts ->> 'account' = ANY($2)
                 AND s.state NOT IN ('pending', 'suspended') AND s.usage_after <= now()
               ORDER BY s.usage_after LIMIT $3 FOR UPDATE SKIP LOCKED)
             UPDATE tenant_system s SET usage_after = now() + $4 * interval '1 second'
             FROM due JOIN tenant t ON t.id = due.tenant_id
             WHERE s.tenant_id = due.tenant_id AND s.system = 'nats'
             RETURNING s.tenant_id, t.slug, s.usage_after",
        )
        .bind(cell)
        .bind(accounts)
        .bind(TENANTS)
        .bind(CLAIM.as_secs_f64())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim usage"))?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Reads a tenant's messages until there are none, or half of the claim is over.
    async fn collect(&self, claimed: &Claimed, nats: &Nats, stop: &CancellationToken) -> Result<(), Waits> {
        let began = Instant::now();
        let Ok(slug) = claimed.slug.parse::<Slug>() else { return Ok(()) };
        let reader = nats.usage_reader(&TenantNames::of(&slug)).await?;
        let mut is_first = true;
        while !stop.is_cancelled() && began.elapsed() < CLAIM / 2 {
            let mut messages = reader.read().await?.into_iter();
            if messages.len() == 0 {
                return if is_first { Err(Waits::Elsewhere) } else { Ok(()) };
            }
            is_first = false;
            while let Some(message) = messages.next() {
                if let Err(waits) = self.count(claimed, &message).await {
                    message.give_back().await;
                    for message in messages {
                        message.give_back().await;
                    }
                    return Err(waits);
                }
                message.done().await?;
            }
        }
        Ok(())
    }

    /// Has a message counted, and tells the tenant what of it was not.
    async fn count(&self, claimed: &Claimed, message: &Unread) -> Result<(), Waits> {
        let tenant = TenantId::from_uuid(claimed.tenant_id);
        let facts = match self.meter.ingest_message(tenant, &message.payload).await {
            Ok(taken) if taken.rejected.is_empty() => return Ok(()),
            Ok(taken) => some_rejected(message.sequence, &taken),
            // Only what is wrong with the message itself stays wrong.
            Err(Error::Refused(problem)) if !is_passing(problem.code) => {
                all_rejected(message.sequence, &problem)
            }
            Err(later) => return Err(Waits::Later(later)),
        };
        let mut tx = self.store.platform_tx().await?;
        let id = self.source.uuid();
        events::emit(&mut tx, id, tenant, Kind::UsageRejected, &tenant.to_string(), facts).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives the claim up, if it is still held, for now or for a pause.
    async fn let_go(&self, claimed: &Claimed, failed: bool) -> Result<(), StoreError> {
        let mut tx = self.store.platform_tx().await?;
        sqlx::query(
            "UPDATE tenant_system
             SET usage_tries = CASE WHEN $3 THEN least(usage_tries + 1, 20) ELSE 0 END,
               usage_after = now() + CASE WHEN $3 THEN least($5, $4 * 2 ^ usage_tries) ELSE 0 END * interval '1 second'
             WHERE tenant_id = $1 AND system = 'nats' AND usage_after = $2",
        )
        .bind(claimed.tenant_id)
        .bind(claimed.usage_after)
        .bind(failed)
        .bind(RETRY_S)
        .bind(RETRY_MAX_S)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("give up a claim of usage"))?;
        tx.commit().await
    }
}

/// Whether a refusal is one of the tenant's state, which passes.
const fn is_passing(code: ProblemCode) -> bool {
    matches!(code, ProblemCode::Busy | ProblemCode::Suspended | ProblemCode::NotFound)
}

fn some_rejected(sequence: u64, taken: &EventsTaken) -> Value {
    let rejected: Vec<_> = taken
        .rejected
        .iter()
        .take(REJECTED_MAX)
        .map(|rejected| {
            json!({
                "index": rejected.index,
                "pointer": cut(&rejected.pointer),
                "code": rejected.code,
                "detail": cut(&rejected.detail),
            })
        })
        .collect();
    json!({ "sequence": sequence, "count": taken.rejected.len(), "rejected": rejected })
}

/// Nothing of the message was looked at.
fn all_rejected(sequence: u64, problem: &Problem) -> Value {
    let pointer = problem.errors.first().map_or("", |fault| fault.pointer.as_str());
    let rejected = json!({ "pointer": cut(pointer), "code": problem.code, "detail": cut(&problem.detail) });
    json!({ "sequence": sequence, "rejected": [rejected] })
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX_CHARS).collect()
}
