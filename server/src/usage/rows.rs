//! The rows of usage: the events that are known, and the counts of hours and months.

use integraci_api::TenantId;
use integraci_api::usage::{Event, Granularity, UsageCount};
use time::OffsetDateTime;

use crate::error::Error;
use crate::store::{Store, StoreError, TenantTx};

/// Rows that are forgotten in one transaction.
const FORGET_AT_ONCE: i64 = 10_000;

/// What a batch has of one dimension in one month.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Counted {
    pub(super) dimension: String,
    /// When the month begins.
    pub(super) month: OffsetDateTime,
    /// The limit in force; none in a dimension that has none.
    pub(super) max: Option<i64>,
    /// What was counted in the month before the batch.
    pub(super) before: i64,
    /// The highest share of the limit that the tenant was told of.
    pub(super) told: i16,
    /// How many of the batch were counted.
    pub(super) quantity: i64,
    /// Which were not, by their place in the list of events, from 1.
    pub(super) refused: Vec<i64>,
}

/// Counts events, no two of which are the same, as far as they are new and fit. The transaction holds the
/// tenant's row.
pub(super) async fn count(
    tx: &mut TenantTx,
    events: &[Event],
    now: OffsetDateTime,
) -> Result<Vec<Counted>, Error> {
    let sources: Vec<_> = events.iter().map(|event| event.source.as_str()).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    let dimensions: Vec<_> = events.iter().map(|event| event.kind.dimension()).collect();
    let times: Vec<_> = events.iter().map(|event| event.at).collect();
    sqlx::query_as(include_str!("count.sql"))
        .bind(tx.tenant().uuid())
        .bind(sources)
        .bind(ids)
        .bind(dimensions)
        .bind(times)
        .bind(now)
        // Planned anew for the size that the table has by now: a plan made when it was small would read
        // all of it for every batch.
        .persistent(false)
        .fetch_all(tx.conn())
        .await
        .map_err(|error| StoreError::new("count events", error).into())
}

/// Adds what was counted to its month, and notes which share of the limit the tenant has been told of.
pub(super) async fn note(tx: &mut TenantTx, counted: &Counted, told: i16) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO usage_month AS m (tenant_id, dimension, month, quantity, told) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, dimension, month)
         DO UPDATE SET quantity = m.quantity + excluded.quantity, told = excluded.told",
    )
    .bind(tx.tenant().uuid())
    .bind(&counted.dimension)
    .bind(counted.month)
    .bind(counted.quantity)
    .bind(told)
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(|error| StoreError::new("count a month", error).into())
}

/// The counts from the hour or month of `from` until before `to`.
pub(super) async fn list(
    tx: &mut TenantTx,
    dimension: &str,
    granularity: Granularity,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<UsageCount>, Error> {
    let statement = match granularity {
        Granularity::Hour => {
            "SELECT hour, quantity FROM usage_hour
             WHERE tenant_id = $1 AND dimension = $2 AND hour >= date_trunc('hour', $3::timestamptz, 'UTC') AND hour < $4
             ORDER BY hour"
        }
        Granularity::Month => {
            "SELECT month, quantity FROM usage_month
             WHERE tenant_id = $1 AND dimension = $2 AND month >= date_trunc('month', $3::timestamptz, 'UTC') AND month < $4
               AND quantity > 0
             ORDER BY month"
        }
    };
    let rows: Vec<(OffsetDateTime, i64)> = sqlx::query_as(statement)
        .bind(tx.tenant().uuid())
        .bind(dimension)
        .bind(from)
        .bind(to)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("read usage"))?;
    Ok(rows.into_iter().map(|(start, quantity)| UsageCount { start, quantity }).collect())
}

/// Forgets some events that happened before a time; whether there may be others.
pub(super) async fn forget(store: &Store, before: OffsetDateTime) -> Result<bool, StoreError> {
    let mut tx = store.platform_tx().await?;
    let forgotten = sqlx::query(
        "DELETE FROM usage_event WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM usage_event WHERE at < $1 ORDER BY at LIMIT $2))",
    )
    .bind(before)
    .bind(FORGET_AT_ONCE)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("forget old events"))?;
    tx.commit().await?;
    Ok(forgotten.rows_affected() > 0)
}

/// Forgets some events of a tenant; whether there may be others.
pub(super) async fn forget_of(store: &Store, tenant: TenantId) -> Result<bool, StoreError> {
    let mut tx = store.platform_tx().await?;
    let forgotten = sqlx::query(
        "DELETE FROM usage_event WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM usage_event WHERE tenant_id = $1 LIMIT $2))",
    )
    .bind(tenant.uuid())
    .bind(FORGET_AT_ONCE)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("forget a tenant's events"))?;
    tx.commit().await?;
    Ok(forgotten.rows_affected() > 0)
}
