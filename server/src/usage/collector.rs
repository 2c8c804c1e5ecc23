//! The collector: takes what tenants publish of their usage in their own NATS accounts, and has it counted.
//!
//! Every replica runs one. Which accounts have something is asked of the system account, so that a tenant
//! that publishes nothing costs no connection; a tenant that does is read by whichever replica has claimed
//! it. A message is acknowledged once what it holds is counted: where a replica dies between the two the
//! message is read again, and its events are duplicates. What is refused of the messages that were read in one go is
//! told to the tenant as one event, once or more often, and they are acknowledged too. Where NATS is away, or the tenant is
//! closed or uses all its connections, the messages wait, and once the stream is full who publishes is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use integraci_api::tenants::TenantNames;
use integraci_api::usage::{EventsTaken, RejectedEvent};
use integraci_api::{Problem, ProblemCode, Slug, TenantId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
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
/// How many tenants of a cell are read at once.
const SIDE_BY_SIDE: usize = 4;
/// How often there is a look, and how much longer than a look the pause after it is: with thousands of
/// accounts a look takes the servers a while.
const POLL: Duration = Duration::from_secs(1);
const PAUSE_TO_LOOK: u32 = 10;
/// How long a tenant is left alone after a failure, doubled by each that follows, up to the last.
const RETRY_S: f64 = 0.5;
const RETRY_MAX_S: f64 = 60.0;
/// A tenant that has so many events to be told waits, lest what is wrong with its messages fills the database.
const UNTOLD_MAX: i64 = 1_000;
/// How much of what was wrong with messages is told: it has to fit, with what else is in an event, into the
/// smallest message that a tenant can be limited to, which is 8 KiB.
const TOLD_MAX: usize = 10;
const TOLD_MAX_BYTES: usize = 4 << 10;
const TEXT_MAX_CHARS: usize = 200;
/// What is told of a message that Postgres does not take.
const UNTELLABLE: &str = "a value in it cannot be kept";

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
    account: String,
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
    #[error("it did not come to an end while it was claimed")]
    Slow,
}

impl Collector {
    /// Has what is published in these cells counted by the meter.
    #[must_use]
    pub const fn new(store: Store, meter: Meter, source: Source, cells: BTreeMap<String, Nats>) -> Self {
        Self { store, meter, source, cells }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let collector = Arc::new(self);
        let cells = collector.cells.iter().map(|(cell, nats)| collector.run_cell(cell, nats, &stop));
        join_all(cells).await;
    }

    async fn run_cell(self: &Arc<Self>, cell: &str, nats: &Nats, stop: &CancellationToken) {
        let mut reading = JoinSet::new();
        loop {
            let began = Instant::now();
            let unread = nats.usage_unread().await;
            let pause = POLL.max(began.elapsed() * PAUSE_TO_LOOK).min(CLAIM);
            let begun = async {
                self.begin(cell, nats, unread?, &mut reading, stop).await?;
                Ok::<_, Waits>(())
            };
            if let Some(Err(failed)) = stop.run_until_cancelled(begun).await {
                let error = &failed as &dyn std::error::Error;
                tracing::warn!(error, %cell, "usage could not be collected; trying again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        reading.join_all().await;
    }

    /// Begins to read all that waits in a cell. Each tenant is claimed when there is a place free in which
    /// it is read at once; who is slow keeps its own place and no other.
    async fn begin(
        self: &Arc<Self>,
        cell: &str,
        nats: &Nats,
        mut accounts: BTreeSet<String>,
        reading: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        while !accounts.is_empty() {
            while reading.try_join_next().is_some() {}
            if reading.len() == SIDE_BY_SIDE {
                reading.join_next().await;
            }
            let began = Instant::now();
            let claimed = self.claim(cell, &accounts, SIDE_BY_SIDE - reading.len()).await?;
            if claimed.is_empty() {
                break;
            }
            for claimed in claimed {
                accounts.remove(&claimed.account);
                let (collector, nats, stop) = (self.clone(), nats.clone(), stop.clone());
                reading.spawn(async move { collector.read(&claimed, began, &nats, &stop).await });
            }
        }
        Ok(())
    }

    /// Reads a tenant that was claimed then, and gives it up.
    async fn read(&self, claimed: &Claimed, began: Instant, nats: &Nats, stop: &CancellationToken) {
        let tenant = TenantId::from_uuid(claimed.tenant_id);
        let collected = match timeout_at(began + CLAIM, self.collect(claimed, began, nats, stop)).await {
            Ok(collected) => collected,
            Err(_) => Err(Waits::Slow),
        };
        if let Err(waits) = &collected {
            tracing::info!(%tenant, error = %waits, "a tenant's usage waits");
        }
        if let Err(error) = self.let_go(claimed, collected.is_err()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a claim could not be given up; it runs out");
        }
    }

    /// Claims tenants that have something in these accounts, are open, and have been told what they were to
    /// be told of it so far.
    async fn claim(
        &self,
        cell: &str,
        accounts: &BTreeSet<String>,
        most: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let mut tx = self.store.platform_tx().await?;
        let claimed = sqlx::query_as(
            "WITH due AS (
               SELECT s.tenant_id FROM tenant_system s
               WHERE s.system = 'nats' AND s.cell = $1 AND s.facts ->> 'account' = ANY($2)
                 AND s.state NOT IN ('pending', 'suspended') AND s.usage_after <= now()
                 AND (SELECT count(*) FROM
                   (SELECT FROM event_outbox o WHERE o.tenant_id = s.tenant_id LIMIT $5) untold) < $5
               ORDER BY s.usage_after LIMIT $3 FOR UPDATE SKIP LOCKED)
             UPDATE tenant_system s SET usage_after = now() + $4 * interval '1 second'
             FROM due JOIN tenant t ON t.id = due.tenant_id
             WHERE s.tenant_id = due.tenant_id AND s.system = 'nats'
             RETURNING s.tenant_id, t.slug, s.facts ->> 'account' AS account, s.usage_after",
        )
        .bind(cell)
        .bind(accounts)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(CLAIM.as_secs_f64())
        .bind(UNTOLD_MAX)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim usage"))?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Reads a tenant's messages until there are none, or half of the claim is over.
    async fn collect(
        &self,
        claimed: &Claimed,
        began: Instant,
        nats: &Nats,
        stop: &CancellationToken,
    ) -> Result<(), Waits> {
        let tenant = TenantId::from_uuid(claimed.tenant_id);
        let Ok(slug) = claimed.slug.parse::<Slug>() else { return Ok(()) };
        let reader = nats.usage_reader(&TenantNames::of(&slug)).await?;
        let mut is_first = true;
        while !stop.is_cancelled() && began.elapsed() < CLAIM / 2 {
            let messages = reader.read().await?;
            if messages.is_empty() {
                return if is_first { Err(Waits::Elsewhere) } else { Ok(()) };
            }
            is_first = false;
            let (mut rejections, mut counted) = (Rejections::default(), 0);
            let mut outcome = Ok(());
            for message in &messages {
                outcome = self.count(tenant, message, &mut rejections).await;
                if outcome.is_err() {
                    break;
                }
                counted += 1;
            }
            if let Err(error) = self.tell(tenant, &rejections).await {
                (outcome, counted) = (Err(error.into()), 0);
            }
            for (n, message) in messages.into_iter().enumerate() {
                if n < counted {
                    message.done().await?;
                } else {
                    message.give_back().await;
                }
            }
            outcome?;
        }
        Ok(())
    }

    /// Has a message counted, and notes what of it was not.
    async fn count(
        &self,
        tenant: TenantId,
        message: &Unread,
        rejections: &mut Rejections,
    ) -> Result<(), Waits> {
        match self.meter.ingest_message(tenant, &message.payload).await {
            Ok(taken) => rejections.some_of(message.sequence, &taken),
            // Only what is wrong with the message itself stays wrong.
            Err(Error::Refused(problem)) if !is_passing(problem.code) => {
                rejections.all_of(message.sequence, &problem);
            }
            Err(Error::Store(error)) if error.is_of_data() => {
                rejections.all_of(message.sequence, &Problem::new(ProblemCode::InvalidRequest, UNTELLABLE));
            }
            Err(later) => return Err(Waits::Later(later)),
        }
        Ok(())
    }

    /// Tells the tenant what was not counted; where it cannot be told, that there was something.
    async fn tell(&self, tenant: TenantId, rejections: &Rejections) -> Result<(), StoreError> {
        if rejections.count == 0 {
            return Ok(());
        }
        match self.emit(tenant, rejections.facts()).await {
            Err(error) if error.is_of_data() => {
                self.emit(tenant, json!({ "count": rejections.count, "rejected": [] })).await
            }
            told => told,
        }
    }

    async fn emit(&self, tenant: TenantId, facts: Value) -> Result<(), StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let id = self.source.uuid();
        events::emit(&mut tx, id, tenant, Kind::UsageRejected, &tenant.to_string(), facts).await?;
        tx.commit().await
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

/// What of some messages was not counted: how much, and what was wrong with the first, as far as it is told.
#[derive(Debug, Default)]
struct Rejections {
    count: usize,
    told: Vec<Value>,
    bytes: usize,
}

impl Rejections {
    fn some_of(&mut self, sequence: u64, taken: &EventsTaken) {
        for RejectedEvent { index, pointer, code, detail } in &taken.rejected {
            let (pointer, detail) = (tellable(pointer), tellable(detail));
            self.add(json!({ "sequence": sequence, "index": index, "pointer": pointer, "code": code, "detail": detail }));
        }
    }

    /// Nothing of the message was looked at.
    fn all_of(&mut self, sequence: u64, problem: &Problem) {
        let pointer = problem.errors.first().map_or("", |fault| fault.pointer.as_str());
        let (pointer, detail) = (tellable(pointer), tellable(&problem.detail));
        self.add(json!({ "sequence": sequence, "pointer": pointer, "code": problem.code, "detail": detail }));
    }

    fn add(&mut self, rejected: Value) {
        self.count += 1;
        let bytes = rejected.to_string().len() + 1;
        if self.told.len() < TOLD_MAX && self.bytes + bytes <= TOLD_MAX_BYTES {
            self.bytes += bytes;
            self.told.push(rejected);
        }
    }

    fn facts(&self) -> Value {
        json!({ "count": self.count, "rejected": self.told })
    }
}

/// The beginning of a text in which a tenant may have put anything, without what Postgres does not keep.
fn tellable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(TEXT_MAX_CHARS).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use integraci_api::FieldProblem;

    use super::*;

    #[test]
    fn what_is_told_fits_into_the_smallest_message_and_can_be_kept() {
        let mut rejections = Rejections::default();
        for text in ["\u{0}\u{1f}\"\\", "\u{10348}", "plain"] {
            let mut problem = Problem::new(ProblemCode::InvalidRequest, text.repeat(1_000));
            problem.errors = vec![FieldProblem::new(text.repeat(1_000), "")];
            for sequence in 0..20 {
                rejections.all_of(sequence, &problem);
            }
        }
        let facts = rejections.facts();
        let told = facts["rejected"].as_array().unwrap().len();
        assert_eq!(facts["count"], 60);
        assert!((1..=TOLD_MAX).contains(&told), "{told}");
        let text = facts.to_string();
        assert!(text.len() <= TOLD_MAX_BYTES + 100 && !text.contains("\\u00"), "{text}");
    }
}
