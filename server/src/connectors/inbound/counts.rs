//! The rows of what came in: counts, and the marks by which a delivery is known again.

use integraci_api::inbound::{InboundCount, OTHER};
use integraci_api::{ConnectorId, Slug, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::signatures::Mark;
use crate::error::Error;
use crate::store::{PlatformTx, StoreError, TenantTx};

/// How long a delivery is known. GitHub sends one again for three days after it was first sent, GitLab
/// lists them for seven.
const KNOWN_FOR: time::Duration = time::Duration::days(8);
/// How long counts are kept: a year can be compared with the one before.
const COUNTED_FOR: time::Duration = time::Duration::days(2 * 366);
/// The most kinds that are told apart in an hour: no far side has as many, and a tenant that makes some
/// up fills no table with them.
const KINDS_PER_HOUR_MAX: i64 = 64;
/// Rows that are forgotten in one statement.
const FORGET_AT_ONCE: i64 = 10_000;

/// A connector to which something may be sent.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) tenant: TenantId,
    pub(super) slug: Slug,
    pub(super) kind: String,
    /// The versions of its secret that are good: the one in force, and the one before while that is kept.
    pub(super) versions: Vec<i64>,
}

#[derive(sqlx::FromRow)]
struct ReceiverRow {
    tenant_id: Uuid,
    slug: String,
    kind: String,
    secret_version: i64,
    retiring_version: Option<i64>,
}

/// The connector of an address, if its tenant is in use. Who its tenant is cannot be known before.
pub(super) async fn receiver(
    tx: &mut PlatformTx,
    id: ConnectorId,
    now: OffsetDateTime,
) -> Result<Option<Receiver>, Error> {
    let row: Option<ReceiverRow> = sqlx::query_as(
        "SELECT c.tenant_id, t.slug, c.kind, c.secret_version,
                CASE WHEN c.retire_at > $2 THEN c.retiring_version END AS retiring_version
         FROM connector c JOIN tenant t ON t.id = c.tenant_id
         WHERE c.id = $1 AND c.status <> 'deleting' AND t.status = 'active' AND NOT t.closed",
    )
    .bind(id.uuid())
    .bind(now)
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read the connector of an address"))?;
    let Some(row) = row else { return Ok(None) };
    let slug = row.slug.parse().map_err(|_| Error::Internal("a stored slug is not one"))?;
    let versions = [Some(row.secret_version), row.retiring_version].into_iter().flatten().collect();
    Ok(Some(Receiver { tenant: TenantId::from_uuid(row.tenant_id), slug, kind: row.kind, versions }))
}

/// Remembers a delivery; whether it is the first time that it came. Of several at once one is first: the
/// others wait for its transaction.
pub(super) async fn remember(
    tx: &mut TenantTx,
    id: ConnectorId,
    marks: &[Mark],
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let marks: Vec<&[u8]> = marks.iter().map(<[u8; 32]>::as_slice).collect();
    // In one order, so that two transactions with the same marks do not wait for each other.
    let remembered = sqlx::query(
        "INSERT INTO inbound_delivery (tenant_id, connector_id, delivery, received_at)
         SELECT c.tenant_id, c.id, mark, $3 FROM connector c, unnest($2::bytea[]) mark WHERE c.id = $1 ORDER BY mark
         ON CONFLICT DO NOTHING",
    )
    .bind(id.uuid())
    .bind(&marks)
    .bind(now)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("remember a delivery"))?;
    Ok(usize::try_from(remembered.rows_affected()) == Ok(marks.len()))
}

/// Counts an event.
pub(super) async fn count(
    tx: &mut TenantTx,
    id: ConnectorId,
    kind: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO inbound_count (tenant_id, connector_id, hour, kind, events)
         SELECT $1, $2, h.hour, CASE WHEN known.kinds < $5 OR known.this THEN $4 ELSE $6 END, 1
         FROM (SELECT date_trunc('hour', $3::timestamptz, 'UTC') AS hour) h,
              LATERAL (SELECT count(*) AS kinds, coalesce(bool_or(kind = $4), false) AS this
                       FROM inbound_count WHERE connector_id = $2 AND hour = h.hour) known
         ON CONFLICT (connector_id, hour, kind) DO UPDATE SET events = inbound_count.events + 1",
    )
    .bind(tx.tenant().uuid())
    .bind(id.uuid())
    .bind(now)
    .bind(kind)
    .bind(KINDS_PER_HOUR_MAX)
    .bind(OTHER)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("count an event"))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct CountRow {
    hour: OffsetDateTime,
    kind: String,
    events: i64,
}

/// The counts from the hour of `from` until before `to`.
pub(super) async fn list(
    tx: &mut TenantTx,
    id: ConnectorId,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<InboundCount>, Error> {
    let rows: Vec<CountRow> = sqlx::query_as(
        "SELECT hour, kind, events FROM inbound_count
         WHERE connector_id = $1 AND hour >= date_trunc('hour', $2::timestamptz, 'UTC') AND hour < $3
         ORDER BY hour, kind",
    )
    .bind(id.uuid())
    .bind(from)
    .bind(to)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("read the counts of events"))?;
    let count = |CountRow { hour, kind, events }| InboundCount { hour, kind, events };
    Ok(rows.into_iter().map(count).collect())
}

/// Forgets some deliveries that no far side sends again any more; whether there may be others.
pub(super) async fn forget(tx: &mut PlatformTx, now: OffsetDateTime) -> Result<bool, StoreError> {
    let forgotten = sqlx::query(
        "DELETE FROM inbound_delivery WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM inbound_delivery WHERE received_at < $1 ORDER BY received_at LIMIT $2))",
    )
    .bind(now - KNOWN_FOR)
    .bind(FORGET_AT_ONCE)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("forget old deliveries"))?;
    sqlx::query("DELETE FROM inbound_count WHERE hour < $1")
        .bind(now - COUNTED_FOR)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("forget old counts"))?;
    Ok(i64::try_from(forgotten.rows_affected()) == Ok(FORGET_AT_ONCE))
}
