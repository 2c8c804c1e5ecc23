//! The windows in the store, from which replicas take leases.

use std::time::Duration;

use uuid::Uuid;

use crate::store::{PlatformTx, Store, StoreError};

/// What a replica may spend of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// Which window: when it began, in microseconds since 1970.
    pub(super) window: i64,
    /// How many requests; 0: all of the window's are given out.
    pub(super) size: i64,
    /// How many of the window's are given out by now, to all.
    pub(super) granted: i64,
    /// How long the window lasts yet.
    pub(super) ends_in: Duration,
}

#[derive(sqlx::FromRow)]
struct Row {
    starts_us: i64,
    lease: i64,
    granted: i64,
    ends_in_us: i64,
}

/// Takes up to `size` of the requests that a window's limit has left. One statement: of two replicas, the
/// second waits for the first one's row and sees what that left.
pub(super) async fn take(
    store: &Store,
    subject: Uuid,
    limit: i64,
    size: i64,
    window: Duration,
) -> Result<Lease, StoreError> {
    let mut tx = store.platform_tx().await?;
    let row: Row = sqlx::query_as(
        "WITH this AS (
           SELECT $4 * interval '1 us' AS length, date_bin($4 * interval '1 us', now(), 'epoch') AS starts
         ), leased AS (
           INSERT INTO request_window AS w (subject, starts, granted, lease)
             SELECT $1, starts, least($3, $2), least($3, $2) FROM this
           ON CONFLICT (subject, starts) DO UPDATE
             SET granted = w.granted + least($3, $2 - w.granted), lease = least($3, $2 - w.granted)
             WHERE w.granted < $2
           RETURNING lease, granted
         )
         SELECT coalesce(leased.lease, 0) AS lease, coalesce(leased.granted, $2) AS granted,
                (extract(epoch FROM starts) * 1000000)::bigint AS starts_us,
                (extract(epoch FROM starts + length - now()) * 1000000)::bigint AS ends_in_us
         FROM this LEFT JOIN leased ON true",
    )
    .bind(subject)
    .bind(limit)
    .bind(size)
    .bind(micros(window))
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::on("take a lease of requests"))?;
    tx.commit().await?;
    let ends_in = Duration::from_micros(row.ends_in_us.try_into().unwrap_or_default());
    Ok(Lease { window: row.starts_us, size: row.lease, granted: row.granted, ends_in })
}

/// How many requests of the window that is under way were given out to replicas: at least as many as were
/// made.
///
/// # Errors
/// The store's.
pub async fn granted(tx: &mut PlatformTx, subject: Uuid, window: Duration) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(granted), 0)::bigint FROM request_window
         WHERE subject = $1 AND starts = date_bin($2 * interval '1 us', now(), 'epoch')",
    )
    .bind(subject)
    .bind(micros(window))
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::on("read what was asked of the API"))
}

/// Forgets the windows that are over, and leaves one that a lease may just be taken from.
pub(super) async fn forget(store: &Store, window: Duration) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    sqlx::query("DELETE FROM request_window WHERE starts < now() - 2 * $1 * interval '1 us'")
        .bind(micros(window))
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("forget old windows of requests"))?;
    tx.commit().await
}

/// A window as Postgres multiplies intervals.
fn micros(window: Duration) -> i64 {
    i64::try_from(window.as_micros()).unwrap_or(i64::MAX)
}
