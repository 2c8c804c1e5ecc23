//! Use on its way to Stripe.
//!
//! An hour that is over is handed over: what was counted in it and was not handed over before goes into the
//! outbox, in the statement that writes down that it was. Each part has a name that never changes, by which
//! Stripe knows it again for a day. It is sent until Stripe has it, by whichever replica claims it, a
//! tenant's one at a time. What has become older than Stripe takes stays there as `expired`, and is a
//! difference in the day's statement.

use futures_util::stream::{self, StreamExt as _};
use integraci_api::TenantId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Billing;
use super::stripe::{MeterEvent, Stripe, StripeError, Why};
use crate::plans::Plans;
use crate::store::StoreError;

/// How long after its end an hour is handed over: most of what comes late has come by then, and what comes
/// later is a part of its own.
const GRACE: Duration = Duration::minutes(5);
/// What is older than this Stripe does not take: 35 days, less one for the way.
const TAKEN_FOR: Duration = Duration::days(34);
/// Hours that are handed over in one statement.
const HAND_OVER_AT_ONCE: i64 = 1000;
/// How many tenants' parts are sent at once, and claimed at once.
const SIDE_BY_SIDE: usize = 8;
/// How long whoever claims a part has it: longer than a call may take.
const CLAIMED_FOR_S: f64 = 60.0;
/// The pause after a part's first failure, doubled by each that follows, up to the last.
const PAUSE_S: f64 = 5.0;
const PAUSE_MAX_S: f64 = 30.0 * 60.0;
/// For less than this Stripe is sure to know a part again: it says at least a day.
const KNOWN_FOR: Duration = Duration::hours(23);

/// A part of an hour's use.
#[derive(sqlx::FromRow)]
struct Part {
    tenant_id: Uuid,
    dimension: String,
    hour: OffsetDateTime,
    n: i32,
    event_name: String,
    quantity: i64,
    tries: i32,
    doubt_since: Option<OffsetDateTime>,
    customer: String,
}

/// The meters of the plans, as columns.
#[derive(Default)]
struct Meters {
    plans: Vec<String>,
    dimensions: Vec<String>,
    events: Vec<String>,
}

impl Meters {
    fn of(plans: &Plans) -> Self {
        let mut meters = Self::default();
        for plan in plans.iter() {
            for (dimension, meter) in plan.stripe.iter().flat_map(|stripe| &stripe.meters) {
                meters.plans.push(plan.name.clone());
                meters.dimensions.push(dimension.clone());
                meters.events.push(meter.event_name.clone());
            }
        }
        meters
    }
}

/// Hands over every hour that is over at a time.
pub(super) async fn hand_over(billing: &Billing, now: OffsetDateTime) -> Result<(), StoreError> {
    let meters = Meters::of(&billing.plans);
    loop {
        let mut tx = billing.store.platform_tx().await?;
        let handed_over = sqlx::query(
            "WITH due AS (
               SELECT u.tenant_id, u.dimension, u.hour, u.quantity - u.billed AS quantity, u.bills, m.event_name
               FROM usage_hour u
               JOIN billing_account b ON b.tenant_id = u.tenant_id AND b.bills_from <= u.hour
               JOIN tenant t ON t.id = u.tenant_id
               JOIN unnest($1::text[], $2::text[], $3::text[]) AS m (plan, dimension, event_name)
                 ON m.plan = t.plan AND m.dimension = u.dimension
               WHERE u.quantity > u.billed AND u.hour <= $4
               ORDER BY u.hour LIMIT $6 FOR UPDATE OF u SKIP LOCKED),
             raised AS (
               UPDATE usage_hour u SET billed = u.billed + due.quantity, bills = due.bills + 1 FROM due
               WHERE u.tenant_id = due.tenant_id AND u.dimension = due.dimension AND u.hour = due.hour)
             INSERT INTO meter_outbox (tenant_id, dimension, hour, n, event_name, quantity, try_after)
             SELECT tenant_id, dimension, hour, bills, event_name, quantity, $5 FROM due",
        )
        .bind(&meters.plans)
        .bind(&meters.dimensions)
        .bind(&meters.events)
        .bind(now - GRACE - Duration::HOUR)
        .bind(now)
        .bind(HAND_OVER_AT_ONCE)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("hand use over"))?;
        tx.commit().await?;
        if handed_over.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// Sends every part that is due.
pub(super) async fn send(billing: &Billing, stripe: &Stripe, now: OffsetDateTime) -> Result<(), StoreError> {
    expire(billing, now).await?;
    let began = std::time::Instant::now();
    loop {
        let now = now + began.elapsed();
        let due = claim(billing, now).await?;
        if due.is_empty() {
            return Ok(());
        }
        let sent = stream::iter(due).map(|part| async move {
            let came = try_one(billing, stripe, &part, now).await;
            if let Err(error) = &came {
                tracing::warn!(%error, part = part.name(), "use could not be told");
            }
            keep(billing, &part, &came, now).await.map(|()| is_in_doubt(&came))
        });
        let is_away = sent
            .buffer_unordered(SIDE_BY_SIDE)
            .fold(Ok(false), |so_far, sent| async move { Ok::<_, StoreError>(so_far? | sent?) });
        if is_away.await? {
            return Ok(());
        }
    }
}

/// Marks what has become too old.
async fn expire(billing: &Billing, now: OffsetDateTime) -> Result<(), StoreError> {
    let mut tx = billing.store.platform_tx().await?;
    let expired =
        sqlx::query("UPDATE meter_outbox SET state = 'expired' WHERE state = 'waiting' AND hour < $1")
            .bind(now - TAKEN_FOR)
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("mark what is too old for Stripe"))?;
    tx.commit().await?;
    if expired.rows_affected() > 0 {
        tracing::error!(
            parts = expired.rows_affected(),
            "use was not told in time; see the days' statements"
        );
    }
    Ok(())
}

/// Claims parts that are due, one a tenant, so that one with many holds up no other.
async fn claim(billing: &Billing, now: OffsetDateTime) -> Result<Vec<Part>, StoreError> {
    let mut tx = billing.store.platform_tx().await?;
    let due = sqlx::query_as(
        "WITH due AS (
           SELECT b.customer, o.* FROM billing_account b
           CROSS JOIN LATERAL (
             SELECT tenant_id, dimension, hour, n, try_after, doubt_since FROM meter_outbox
             WHERE tenant_id = b.tenant_id AND state = 'waiting' AND try_after <= $1
             ORDER BY try_after LIMIT 1 FOR UPDATE SKIP LOCKED) o
           WHERE b.customer IS NOT NULL
             AND b.tenant_id IN (SELECT tenant_id FROM meter_outbox WHERE state = 'waiting' AND try_after <= $1)
           ORDER BY o.try_after LIMIT $2)
         UPDATE meter_outbox o
         SET try_after = $1 + $3 * interval '1 second', doubt_since = coalesce(o.doubt_since, $1), tries = o.tries + 1
         FROM due WHERE o.tenant_id = due.tenant_id AND o.dimension = due.dimension AND o.hour = due.hour AND o.n = due.n
         RETURNING o.tenant_id, o.dimension, o.hour, o.n, o.event_name, o.quantity, o.tries, due.doubt_since, due.customer",
    )
    .bind(now)
    .bind(i64::try_from(SIDE_BY_SIDE).unwrap_or(1))
    .bind(CLAIMED_FOR_S)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("claim use to tell"))?;
    tx.commit().await?;
    Ok(due)
}

/// Whether Stripe may have it although it did not say so: it did not answer, or failed.
const fn is_in_doubt(came: &Result<(), StripeError>) -> bool {
    matches!(came, Err(StripeError { why: Why::Busy { .. } | Why::Gone, .. }))
}

/// Sends a part, unless it may be there and Stripe may have forgotten its name: then it looks.
async fn try_one(
    billing: &Billing,
    stripe: &Stripe,
    part: &Part,
    now: OffsetDateTime,
) -> Result<(), StripeError> {
    if part.doubt_since.is_some_and(|since| now - since >= KNOWN_FOR)
        && is_there(billing, stripe, part).await?
    {
        return Ok(());
    }
    let name = part.name();
    let event = MeterEvent {
        identifier: &name,
        event_name: &part.event_name,
        customer: &part.customer,
        quantity: part.quantity,
        // The hour's last second: a subscription that began within the hour bills nothing from before.
        at: part.hour + Duration::seconds(60 * 60 - 1),
    };
    match stripe.meter_event(&event, part.tries).await {
        Err(StripeError { why: Why::Duplicate, .. }) => Ok(()),
        told => told,
    }
}

/// Whether Stripe has more of the hour than what is known to be there, so that the part is in it.
async fn is_there(billing: &Billing, stripe: &Stripe, part: &Part) -> Result<bool, StripeError> {
    let meters = billing.plans.iter().filter_map(|plan| plan.stripe.as_ref()?.meters.get(&part.dimension));
    let mut meters = meters.filter(|meter| meter.event_name == part.event_name);
    let Some(meter) = meters.next() else { return Ok(false) };
    let there =
        stripe.meter_sum(&meter.meter_id, &part.customer, part.hour, part.hour + Duration::HOUR).await?;
    let known = billing.delivered(part).await.map_err(|_| StripeError {
        operation: "get asked, as the database does not say what it was told",
        why: Why::Busy { retry_after: None },
    })?;
    Ok(there >= known + part.quantity)
}

async fn keep(
    billing: &Billing,
    part: &Part,
    came: &Result<(), StripeError>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let word = match came {
        Ok(()) => "delivered",
        Err(_) if is_in_doubt(came) => "unheard",
        Err(_) => "refused",
    };
    metrics::counter!("integraci_meter_events_total", "outcome" => word).increment(1);
    let mut tx = billing.store.platform_tx().await?;
    sqlx::query(
        "UPDATE meter_outbox SET state = CASE WHEN $5 THEN 'delivered' ELSE state END,
           doubt_since = CASE WHEN $6 THEN doubt_since ELSE $9 END,
           try_after = $7 + least($10, $8 * 2 ^ least(tries, 20)) * interval '1 second' * (0.5 + random())
         WHERE tenant_id = $1 AND dimension = $2 AND hour = $3 AND n = $4 AND state = 'waiting'",
    )
    .bind(part.tenant_id)
    .bind(&part.dimension)
    .bind(part.hour)
    .bind(part.n)
    .bind(came.is_ok())
    .bind(is_in_doubt(came))
    .bind(now)
    .bind(PAUSE_S)
    .bind(part.doubt_since)
    .bind(PAUSE_MAX_S)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("keep what came of telling use"))?;
    tx.commit().await
}

impl Billing {
    /// What of a part's hour Stripe is known to have.
    async fn delivered(&self, part: &Part) -> Result<i64, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        sqlx::query_scalar(
            "SELECT coalesce(sum(quantity), 0)::bigint FROM meter_outbox
             WHERE tenant_id = $1 AND dimension = $2 AND hour = $3 AND event_name = $4 AND state = 'delivered'",
        )
        .bind(part.tenant_id)
        .bind(&part.dimension)
        .bind(part.hour)
        .bind(&part.event_name)
        .fetch_one(tx.conn())
        .await
        .map_err(StoreError::on("sum up what was told"))
    }
}

impl Part {
    /// What Stripe knows it by. At most a hundred characters, which is Stripe's bound.
    fn name(&self) -> String {
        let tenant = TenantId::from_uuid(self.tenant_id);
        format!("{tenant}-{}-{}-{}", self.dimension, self.hour.unix_timestamp(), self.n)
    }
}

#[cfg(test)]
mod tests {
    use integraci_api::quotas::DIMENSIONS;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_name_fits_and_is_that_of_its_part_alone() {
        let part = |dimension: &str, n| Part {
            tenant_id: Uuid::from_u128(7),
            dimension: dimension.to_owned(),
            hour: datetime!(2026-03-01 12:00 UTC),
            n,
            event_name: String::new(),
            quantity: 1,
            tries: 0,
            doubt_since: None,
            customer: String::new(),
        };
        for dimension in DIMENSIONS {
            assert!(part(dimension.name, i32::MAX).name().len() <= 100, "{}", dimension.name);
        }
        assert_ne!(part("deploys_per_month", 0).name(), part("deploys_per_month", 1).name());
    }
}
