//! Usage: takes events, counts each once, and tells what they add up to.
//!
//! A batch is one transaction: the events, what they add to their hours and months, and the notice that a
//! month's limit is nearly used up are there together or not at all. So a batch whose answer was lost, or
//! whose server died, is sent again, and what was counted then is a duplicate now. The transaction holds
//! the tenant's row: batches of one tenant come one after another, which is what lets exactly as many in as
//! a limit allows, and keeps two of them from waiting for each other.
//!
//! Events come by the API, of which this knows nothing, and over the tenant's own NATS account
//! (`collector.rs`).

mod collector;
mod items;
mod rows;
mod turns;

use std::ops::RangeInclusive;
use std::time::Duration;

use integraci_api::usage::{
    AHEAD_MAX, EventType, EventsTaken, Granularity, HOURS_MAX_DAYS, MONTHS_MAX, Usage,
};
use integraci_api::{FieldProblem, TenantId};
use serde_json::json;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants::{self, usable_tenant};
use items::Checked;
use rows::Counted;
use turns::Turns;

pub use collector::Collector;
pub use items::Batch;

/// How long after it happened an event is still counted, if the configuration does not say.
pub const LATE: Duration = Duration::from_hours(7 * 24);
/// The longest that the configuration may say.
pub const LATE_MAX: Duration = Duration::from_hours(14 * 24);
/// How long a counted event is known: longer than any that is still taken, whatever the configuration says
/// now and said before, and by a day, which no two servers' clocks differ.
const KNOWN_FOR: Duration = Duration::from_hours(15 * 24);
/// The years that may be asked for: long before the first event, and until after what anybody plans. In UTC
/// and in any other offset they are years that every system can write.
const YEARS: RangeInclusive<i32> = 1970..=9998;
/// How often old events are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Counts events.
#[derive(Clone)]
pub struct Meter {
    store: Store,
    source: Source,
    late: Duration,
    turns: Turns,
}

impl Meter {
    /// Counts in this store what is at most `late` old.
    #[must_use]
    pub fn new(store: Store, source: Source, late: Duration) -> Self {
        Self { store, source, late, turns: Turns::default() }
    }

    /// Counts a batch.
    ///
    /// # Errors
    /// `invalid_request` at `/events` where there are none or too many, `not_found`, `busy` while the tenant
    /// is being made or removed, `suspended`, `rate_limited` while many of the tenant's wait, or the store's.
    pub async fn ingest(&self, by: &TenantAuthority, batch: &Batch) -> Result<EventsTaken, Error> {
        self.count(by.tenant(), batch).await
    }

    /// Counts what is in a message that was published in a tenant's own account: a batch, or one event.
    /// Who calls this has read it there.
    ///
    /// # Errors
    /// As [`Meter::ingest`], and `malformed_json`. What was refused once is refused again: only where the
    /// database failed is there a point in giving the same message another time.
    pub async fn ingest_message(&self, account: TenantId, message: &[u8]) -> Result<EventsTaken, Error> {
        self.count(account, &Batch::of_message(message)?).await
    }

    async fn count(&self, tenant: TenantId, batch: &Batch) -> Result<EventsTaken, Error> {
        batch.check_size().map_err(|fault| Error::invalid(vec![fault]))?;
        let now = self.source.now();
        let mut checked = Checked::of(batch, tenant, now - self.late..=now + AHEAD_MAX);
        let _turn = self.turns.turn(tenant).await?;
        let mut tx = self.store.tenant_tx(tenant).await?;
        usable_tenant(&mut tx).await?;
        let mut accepted = 0;
        if !checked.events.is_empty() {
            for counted in rows::count(&mut tx, &checked.events, now).await? {
                accepted += usize::try_from(counted.quantity).unwrap_or_default();
                checked.refuse(&counted);
                self.tell(&mut tx, &counted).await?;
            }
        }
        tx.commit().await?;
        let taken = checked.taken(accepted);
        for (outcome, count) in [
            ("accepted", taken.accepted),
            ("duplicate", taken.duplicates),
            ("rejected", taken.rejected.len()),
        ] {
            metrics::counter!("integraci_usage_events_total", "outcome" => outcome)
                .increment(count.try_into().unwrap_or(u64::MAX));
        }
        Ok(taken)
    }

    /// Tells the tenant which shares of its limit the month has come to that it was not told of. If the limit
    /// was raised since, so that less than a share was used, that share is told of again when it is reached.
    async fn tell(&self, tx: &mut TenantTx, counted: &Counted) -> Result<(), Error> {
        let Some(limit) = counted.max else { return rows::note(tx, counted, 0).await };
        let used = counted.before + counted.quantity;
        let told = counted.told.min(share(counted.before, limit));
        let reached = share(used, limit);
        rows::note(tx, counted, reached).await?;
        let tenant = tx.tenant();
        for (share, kind) in [(80, Kind::QuotaNearlyReached), (100, Kind::QuotaReached)] {
            if told < share && share <= reached {
                let month = format!("{}-{:02}", counted.month.year(), u8::from(counted.month.month()));
                let facts =
                    json!({ "dimension": counted.dimension, "month": month, "limit": limit, "used": used });
                events::emit(tx, self.source.uuid(), tenant, kind, &tenant.to_string(), facts).await?;
            }
        }
        Ok(())
    }

    /// What was counted from the hour or month of `from` until before `to`: the last day, or this month, if
    /// neither is said.
    ///
    /// # Errors
    /// `invalid_request` at `/dimension`, `/from` or `/to`, `not_found`, or the store's.
    pub async fn usage(
        &self,
        by: &TenantAuthority,
        dimension: &str,
        granularity: Granularity,
        from: Option<OffsetDateTime>,
        to: Option<OffsetDateTime>,
    ) -> Result<Usage, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        let mut faults: Vec<_> = [("/from", from), ("/to", to)].into_iter().filter_map(year_check).collect();
        faults.extend(dimension_check(dimension));
        let to = to.unwrap_or_else(|| self.source.now());
        let from = from.unwrap_or_else(|| match granularity {
            Granularity::Hour => to.saturating_sub(time::Duration::days(1)),
            Granularity::Month => to,
        });
        if faults.is_empty() {
            faults.extend(span_check(granularity, from, to));
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        let items = rows::list(&mut tx, dimension, granularity, from, to).await?;
        let (tenant_id, dimension) = (by.tenant(), dimension.to_owned());
        Ok(Usage { tenant_id, dimension, granularity, from, to, items })
    }

    /// Forgets old events from time to time.
    pub async fn forget_old(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            // What was forgotten until it is told to stop, stays so.
            let forgotten = stop.run_until_cancelled(forget(&self.store, self.source.now())).await;
            if let Some(Err(error)) = forgotten {
                tracing::warn!(%error, "old events are still there");
            }
        }
    }
}

/// Forgets the events that are old at a time. None of them would be taken again, and what they were counted
/// in stays.
///
/// # Errors
/// The store's.
pub async fn forget(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    while rows::forget(store, now - KNOWN_FOR).await? {}
    Ok(())
}

/// Forgets every event of a tenant that is being removed, of which no more are taken.
///
/// # Errors
/// The store's.
pub(crate) async fn forget_all_of(store: &Store, tenant: TenantId) -> Result<(), StoreError> {
    while rows::forget_of(store, tenant).await? {}
    Ok(())
}

/// The highest share of a limit, in percent, that the tenant is told of when this much is used.
const fn share(used: i64, limit: i64) -> i16 {
    if used >= limit {
        100
    } else if used.saturating_mul(5) >= limit.saturating_mul(4) {
        80
    } else {
        0
    }
}

fn dimension_check(dimension: &str) -> Option<FieldProblem> {
    let mut known = EventType::ALL.iter().map(|kind| kind.dimension());
    (!known.any(|it| it == dimension)).then(|| {
        let known: Vec<_> = EventType::ALL.iter().map(|kind| kind.dimension()).collect();
        FieldProblem::new("/dimension", format!("expected one of: {}", known.join(", ")))
    })
}

fn year_check((pointer, at): (&str, Option<OffsetDateTime>)) -> Option<FieldProblem> {
    let detail = || format!("expected a time in the years {} to {}", YEARS.start(), YEARS.end());
    at.filter(|at| !YEARS.contains(&at.year())).map(|_| FieldProblem::new(pointer, detail()))
}

fn span_check(granularity: Granularity, from: OffsetDateTime, to: OffsetDateTime) -> Option<FieldProblem> {
    let is_too_long = match granularity {
        Granularity::Hour => to - from > time::Duration::days(HOURS_MAX_DAYS),
        // The month of `from` is told as well.
        Granularity::Month => months(to) - months(from) >= MONTHS_MAX,
    };
    if from > to {
        Some(FieldProblem::new("/from", "expected a time before `to`"))
    } else if is_too_long {
        let most = match granularity {
            Granularity::Hour => format!("hours of {HOURS_MAX_DAYS} days"),
            Granularity::Month => format!("{MONTHS_MAX} months"),
        };
        Some(FieldProblem::new("/from", format!("at most {most} are told at once; ask for fewer")))
    } else {
        None
    }
}

/// Of a year that may be asked for, which is one in UTC too.
fn months(at: OffsetDateTime) -> i32 {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.year() * 12 + i32::from(u8::from(at.month()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_shares_of_a_limit_are_reached_exactly() {
        for (used, limit, expected) in
            [(79, 100, 0), (80, 100, 80), (99, 100, 80), (100, 100, 100), (7, 9, 0), (8, 9, 80), (0, 0, 100)]
        {
            assert_eq!(share(used, limit), expected, "{used} of {limit}");
        }
        assert_eq!(share(i64::MAX - 1, i64::MAX), 80);
    }

    #[test]
    fn no_more_is_told_than_may_be() {
        let hours = |from, to| span_check(Granularity::Hour, from, to).map(|fault| fault.pointer);
        let months = |from, to| span_check(Granularity::Month, from, to).map(|fault| fault.pointer);
        let to = datetime!(2026-11-24 00:00 UTC);
        assert_eq!(hours(datetime!(2026-10-24 00:00 UTC), to), None);
        assert_eq!(hours(datetime!(2026-10-23 23:59 UTC), to).as_deref(), Some("/from"));
        assert_eq!(months(datetime!(2023-12-01 00:00 UTC), to), None);
        assert_eq!(months(datetime!(2023-11-30 23:59 UTC), to).as_deref(), Some("/from"));
        assert_eq!(hours(to, to), None);
        assert_eq!(hours(to + time::Duration::SECOND, to).as_deref(), Some("/from"));
    }
}
