//! Connectors' rows: every statement on `connector` that the capability makes for a request.

use integraci_api::connectors::{Connector, ConnectorCreate, ConnectorStatus};
use integraci_api::{ConnectorId, OperationId, Page, Problem, ProblemCode};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{self, Known, Row};
use super::secrets;
use crate::error::Error;
use crate::page::{Cursor, Slice};
use crate::quotas::take;
use crate::store::{StoreError, TenantTx, Tx};

/// One connector of the tenant.
pub(super) async fn read(tx: &mut TenantTx, id: ConnectorId) -> Result<Known, Error> {
    let row: Option<Row> = sqlx::query_as(row::SELECT)
        .bind(id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("read a connector"))?;
    row.ok_or_else(Error::not_found)?.into_known()
}

/// One connector, locked, of the revision that the caller expects.
pub(super) async fn lock(tx: &mut impl Tx, id: ConnectorId, expected: Option<i64>) -> Result<Known, Error> {
    let row: Option<Row> = sqlx::query_as(row::SELECT_FOR_UPDATE)
        .bind(id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("lock a connector"))?;
    let known = row.ok_or_else(Error::not_found)?.into_known()?;
    known.refuse_unless(expected)?;
    Ok(known)
}

/// One page of the tenant's connectors.
pub(super) async fn list(
    tx: &mut TenantTx,
    name: Option<&str>,
    kind: Option<&str>,
    slice: Slice,
) -> Result<Page<Connector>, Error> {
    let rows: Vec<Row> = sqlx::query_as(row::LIST)
        .bind(tx.tenant().uuid())
        .bind(name)
        .bind(kind)
        .bind(slice.after)
        .bind(slice.fetch())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("list connectors"))?;
    let connectors = rows.into_iter().map(Row::into_connector).collect::<Result<Vec<_>, _>>()?;
    Ok(slice.page(connectors.into_iter(), |connector| Cursor(connector.id.uuid())))
}

/// Inserts a connector and takes its place, and those of its secrets, in the quota, in one statement: of two
/// that want the last place one gets it, whoever looked first.
const INSERT: &str = concat!(
    "WITH wanted (tenant_id, dimension, n) AS (VALUES ($2::uuid, 'connectors', 1), ($2::uuid, 'secrets', $11::bigint)), ",
    include_str!("../quotas/room.sql"),
    include_str!("insert.sql"),
);

/// Inserts a connector that is being installed.
pub(super) async fn insert(
    tx: &mut TenantTx,
    id: ConnectorId,
    operation: OperationId,
    wanted: &ConnectorCreate,
    now: OffsetDateTime,
) -> Result<(), Error> {
    refuse_taken(tx, &wanted.name, None).await?;
    let secrets = secrets::count(&wanted.secrets);
    let inserted = sqlx::query(INSERT)
        .bind(id.uuid())
        .bind(tx.tenant().uuid())
        .bind(&wanted.name)
        .bind(&wanted.kind)
        .bind(sqlx::types::Json(&wanted.config))
        .bind(secrets::reference(id))
        .bind(operation.uuid())
        .bind(now)
        .bind(wanted.verify.as_str())
        .bind(wanted.rotate_every_days.and_then(|days| i32::try_from(days).ok()))
        .bind(secrets)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("insert a connector"))?;
    if inserted.rows_affected() == 1 {
        return Ok(());
    }
    let tenant = tx.tenant();
    Err(take::exceeded(tx, tenant, &[("connectors", 1), ("secrets", secrets)]).await?)
}

/// Refuses a name that another connector of the tenant has. The tenant's row is locked by now, so
/// nobody takes it meanwhile.
pub(super) async fn refuse_taken(
    tx: &mut TenantTx,
    name: &str,
    except: Option<ConnectorId>,
) -> Result<(), Error> {
    let existing: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM connector WHERE tenant_id = $1 AND name = $2 AND ($3::uuid IS NULL OR id <> $3)",
    )
    .bind(tx.tenant().uuid())
    .bind(name)
    .bind(except.map(ConnectorId::uuid))
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("look up a connector's name"))?;
    match existing {
        None => Ok(()),
        Some(id) => Err(Problem::new(
            ProblemCode::NameTaken,
            "another connector of the tenant has this name; choose another, or import that connector",
        )
        .at("/name")
        .with_existing(&ConnectorId::from_uuid(id))
        .into()),
    }
}

/// Has a free connector, locked by now, held by an operation that is to leave it with so many secret values.
/// The places of those that are more than it has are taken in the same statement.
pub(super) async fn hold(
    tx: &mut impl Tx,
    known: &Known,
    operation: OperationId,
    status: ConnectorStatus,
    secrets: i64,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let (connector, more) = (&known.connector, (secrets - known.secrets).max(0));
    let held = sqlx::query(concat!(
        "WITH wanted (tenant_id, dimension, n) AS (VALUES ($6::uuid, 'secrets', $5::bigint)), ",
        include_str!("../quotas/room.sql"),
        "UPDATE connector SET status = $3, operation_id = $2, revision = revision + 1, updated_at = $4, secrets_reserved = $5
         FROM room WHERE id = $1 AND for_all",
    ))
    .bind(connector.id.uuid())
    .bind(operation.uuid())
    .bind(status.as_str())
    .bind(now)
    .bind(more)
    .bind(connector.tenant_id.uuid())
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("hold a connector"))?;
    if held.rows_affected() == 1 {
        return Ok(());
    }
    Err(take::exceeded(tx, connector.tenant_id, &[("secrets", more)]).await?)
}

/// Notes that something was made in the tenant, from when on its slug is never given out again.
pub(super) async fn tenant_used(tx: &mut TenantTx, now: OffsetDateTime) -> Result<(), Error> {
    sqlx::query("UPDATE tenant SET first_used_at = coalesce(first_used_at, $2) WHERE id = $1")
        .bind(tx.tenant().uuid())
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("note a tenant's use"))?;
    Ok(())
}
