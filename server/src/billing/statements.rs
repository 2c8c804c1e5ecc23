//! Statements: for every day what was counted, and what Stripe has of it.
//!
//! One is made when its day is over, and again from time to time while use of that day may still come or is
//! still on its way; then it is final. Every replica makes them; one is made by whichever claims it.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};
use integraci_api::TenantId;
use integraci_api::billing::{Statement, StatementLine};
use integraci_api::quotas::{DIMENSIONS, Holds};
use sqlx::types::Json;
use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::Billing;
use super::stripe::{StripeError, Why};
use crate::store::{Store, StoreError, TenantTx};

/// How long after its end a day's first statement is made: its last hour was handed over and told by then.
const MADE_AFTER: Duration = Duration::minutes(30);
/// How long use of a day may come, or be on its way: Stripe takes nothing that is older.
const OPEN_FOR: Duration = Duration::days(35);
/// After this long a statement is final if nothing of its day is on its way: events are counted for at most
/// fourteen days (`usage`), and a day later Stripe has summed up what it was told.
const SETTLED_AFTER: Duration = Duration::days(15);
/// How many are made at once, and claimed at once.
const SIDE_BY_SIDE: usize = 4;
const CLAIM: i64 = 16;
/// How often at most is claimed in one round.
const CLAIMS: usize = 32;
/// How long whoever claims one has it.
const CLAIMED_FOR_S: f64 = 5.0 * 60.0;

/// Before any day that there is a statement of.
const FIRST_DAY: Date = time::macros::date!(0001 - 01 - 01);

/// A statement that is due.
#[derive(sqlx::FromRow)]
struct Due {
    tenant_id: Uuid,
    day: Date,
    make_after: OffsetDateTime,
    plan: String,
    customer: Option<String>,
    bills_from: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Uuid,
    day: Date,
    lines: Json<Vec<StatementLine>>,
    revision: i64,
    made_at: OffsetDateTime,
    is_final: bool,
}

/// What the database has of a dimension's day.
#[derive(Default, sqlx::FromRow)]
struct Counted {
    dimension: String,
    ours: i64,
    billable: i64,
    waiting: i64,
    expired: i64,
}

/// Makes statements that are due, and again those that were made more than `every` ago. Ends early once
/// Stripe is away: the others of the claim are made without it, and who comes next tries again.
pub(super) async fn make(
    billing: &Billing,
    now: OffsetDateTime,
    every: std::time::Duration,
) -> Result<(), StoreError> {
    open(&billing.store, now).await?;
    let began = std::time::Instant::now();
    let is_away = AtomicBool::new(false);
    for _ in 0..CLAIMS {
        let now = now + began.elapsed();
        let due = claim(&billing.store, now).await?;
        if due.is_empty() {
            break;
        }
        let is_away = &is_away;
        let made =
            stream::iter(due).map(|due| async move { make_one(billing, &due, now, every, is_away).await });
        let made: Vec<_> = made.buffer_unordered(SIDE_BY_SIDE).collect().await;
        made.into_iter().collect::<Result<Vec<()>, _>>()?;
        if is_away.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}

/// Begins the statements of days that are over.
async fn open(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let last_over = (now - MADE_AFTER).date().previous_day().unwrap_or(Date::MIN);
    let mut tx = store.platform_tx().await?;
    sqlx::query(
        "INSERT INTO statement (tenant_id, day, make_after)
         SELECT t.id, d::date, $1 FROM tenant t
         CROSS JOIN LATERAL generate_series(
           greatest(date_trunc('day', t.created_at AT TIME ZONE 'UTC'), $2::date - $3), $2::date, interval '1 day') d
         WHERE t.status = 'active' AND NOT t.canary
           AND NOT EXISTS (SELECT 1 FROM statement s WHERE s.tenant_id = t.id AND s.day = d::date)
         ON CONFLICT DO NOTHING",
    )
    .bind(now)
    .bind(last_over)
    .bind(i32::try_from(OPEN_FOR.whole_days()).unwrap_or(0))
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("begin statements"))?;
    tx.commit().await
}

async fn claim(store: &Store, now: OffsetDateTime) -> Result<Vec<Due>, StoreError> {
    let mut tx = store.platform_tx().await?;
    let due = sqlx::query_as(
        "WITH due AS (
           SELECT tenant_id, day FROM statement WHERE make_after <= $1
           ORDER BY make_after, day LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE statement s SET make_after = $1 + $3 * interval '1 second'
         FROM due JOIN tenant t ON t.id = due.tenant_id LEFT JOIN billing_account b ON b.tenant_id = due.tenant_id
         WHERE s.tenant_id = due.tenant_id AND s.day = due.day
         RETURNING s.tenant_id, s.day, s.make_after, t.plan, b.customer, b.bills_from",
    )
    .bind(now)
    .bind(CLAIM)
    .bind(CLAIMED_FOR_S)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("claim statements"))?;
    tx.commit().await?;
    Ok(due)
}

async fn make_one(
    billing: &Billing,
    due: &Due,
    now: OffsetDateTime,
    every: std::time::Duration,
    is_away: &AtomicBool,
) -> Result<(), StoreError> {
    // What is summed up first cannot be less than what Stripe says later for having come in between.
    let counted = counted(&billing.store, due).await?;
    let mut lines = Vec::new();
    let mut is_settled = true;
    for dimension in DIMENSIONS.iter().filter(|dimension| matches!(dimension.holds, Holds::Metered)) {
        let counted = counted.iter().find(|counted| counted.dimension == dimension.name);
        let mut line = StatementLine {
            dimension: dimension.name.to_owned(),
            ours: counted.map_or(0, |counted| counted.ours),
            billable: None,
            stripe: None,
            difference: None,
            waiting: counted.map_or(0, |counted| counted.waiting),
            expired: counted.map_or(0, |counted| counted.expired),
        };
        is_settled &= line.waiting == 0;
        let sum = if is_away.load(Ordering::Relaxed) {
            Err(StripeError { operation: "get asked again, as it is away", why: Why::Gone })
        } else {
            billing.sum(due, dimension.name).await
        };
        match sum {
            Ok(None) => {}
            Ok(Some(stripe)) => {
                let billable = counted.map_or(0, |counted| counted.billable);
                line.billable = Some(billable);
                line.stripe = Some(stripe);
                line.difference = Some(stripe - billable);
            }
            Err(error) => {
                tracing::warn!(%error, "a statement is made without what Stripe has");
                if matches!(error.why, Why::Busy { .. } | Why::Gone) {
                    is_away.store(true, Ordering::Relaxed);
                }
                line.billable = Some(counted.map_or(0, |counted| counted.billable));
                is_settled = false;
            }
        }
        if line.difference.is_some_and(|difference| difference != 0) {
            metrics::counter!("integraci_statement_differences_total", "dimension" => dimension.name)
                .increment(1);
        }
        lines.push(line);
    }
    let age = now - due.day.midnight().assume_utc() - Duration::DAY;
    let is_final = age >= OPEN_FOR || (age >= SETTLED_AFTER && is_settled);
    keep(&billing.store, due, &lines, (!is_final).then_some(now + every), now).await
}

impl Billing {
    /// What Stripe counted of a dimension on the day; nothing where it counts none of it.
    async fn sum(&self, due: &Due, dimension: &str) -> Result<Option<i64>, StripeError> {
        let meter =
            self.plans.get(&due.plan).ok().and_then(|plan| plan.stripe.as_ref()?.meters.get(dimension));
        let (Some(stripe), Some(meter), Some(customer), Some(_)) =
            (&self.stripe, meter, &due.customer, due.bills_from)
        else {
            return Ok(None);
        };
        let from = due.day.midnight().assume_utc();
        stripe.meter_sum(&meter.meter_id, customer, from, from + Duration::DAY).await.map(Some)
    }
}

async fn counted(store: &Store, due: &Due) -> Result<Vec<Counted>, StoreError> {
    let from = due.day.midnight().assume_utc();
    let mut tx = store.platform_tx().await?;
    sqlx::query_as(
        "SELECT u.dimension, sum(u.quantity)::bigint AS ours,
           coalesce(sum(u.quantity) FILTER (WHERE u.hour >= $4), 0)::bigint AS billable,
           coalesce(sum(o.waiting), 0)::bigint AS waiting, coalesce(sum(o.expired), 0)::bigint AS expired
         FROM usage_hour u
         LEFT JOIN LATERAL (
           SELECT sum(quantity) FILTER (WHERE state = 'waiting') AS waiting,
             sum(quantity) FILTER (WHERE state = 'expired') AS expired
           FROM meter_outbox m WHERE m.tenant_id = u.tenant_id AND m.dimension = u.dimension AND m.hour = u.hour) o ON true
         WHERE u.tenant_id = $1 AND u.hour >= $2 AND u.hour < $3 GROUP BY u.dimension",
    )
    .bind(due.tenant_id)
    .bind(from)
    .bind(from + Duration::DAY)
    .bind(due.bills_from)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("sum a day up"))
}

/// Writes a statement down, if it is still ours; its revision is raised where it says something else.
async fn keep(
    store: &Store,
    due: &Due,
    lines: &[StatementLine],
    make_after: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    sqlx::query(
        "UPDATE statement SET revision = revision + CASE WHEN made_at IS NULL OR lines <> $4 THEN 1 ELSE 0 END,
           lines = $4, made_at = $6, make_after = $5
         WHERE tenant_id = $1 AND day = $2 AND make_after = $3",
    )
    .bind(due.tenant_id)
    .bind(due.day)
    .bind(due.make_after)
    .bind(Json(lines))
    .bind(make_after)
    .bind(now)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write a statement down"))?;
    tx.commit().await
}

macro_rules! made {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, day, lines, revision, made_at, make_after IS NULL AS is_final
             FROM statement WHERE tenant_id = $1 AND made_at IS NOT NULL AND ",
            $rest
        )
    };
}

/// The statement of a day, if it was made.
pub(super) async fn get(tx: &mut TenantTx, day: Date) -> Result<Option<Statement>, StoreError> {
    let row: Option<Row> = sqlx::query_as(made!("day = $2"))
        .bind(tx.tenant().uuid())
        .bind(day)
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("read a statement"))?;
    Ok(row.map(Row::into_statement))
}

/// Statements of days before one, newest first.
pub(super) async fn list(
    tx: &mut TenantTx,
    before: Option<Date>,
    most: i64,
) -> Result<Vec<Statement>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(made!("($2::date IS NULL OR day < $2) ORDER BY day DESC LIMIT $3"))
        .bind(tx.tenant().uuid())
        .bind(before)
        .bind(most)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("list statements"))?;
    Ok(rows.into_iter().map(Row::into_statement).collect())
}

/// Where a page ends: the day, in the shape that cursors have.
pub(super) fn cursor_of(day: Date) -> Uuid {
    Uuid::from_u128(u128::try_from(day.to_julian_day()).unwrap_or(0))
}

/// The day of a cursor; of what never was one, a day after which everything is. Postgres knows no days as
/// early as some that a number can stand for.
pub(super) fn day_of(cursor: Uuid) -> Date {
    let day = i32::try_from(cursor.as_u128()).ok().and_then(|day| Date::from_julian_day(day).ok());
    day.filter(|day| *day >= FIRST_DAY).unwrap_or(FIRST_DAY)
}

impl Row {
    fn into_statement(self) -> Statement {
        Statement {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            day: self.day,
            lines: self.lines.0,
            revision: self.revision,
            is_final: self.is_final,
            made_at: self.made_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_cursor_is_its_day() {
        for day in [date!(2026 - 01 - 31), date!(2000 - 02 - 29)] {
            assert_eq!(day_of(cursor_of(day)), day);
        }
        for never_one in [Uuid::max(), Uuid::nil(), Uuid::from_u128(u128::MAX >> 100)] {
            assert_eq!(day_of(never_one), FIRST_DAY);
        }
    }
}
