//! The log of sagas: every statement on `operation` and `operation_step`.
//!
//! Capabilities enqueue, read and lock operations here, in transactions of their own. Every change
//! raises `revision` and gives notice at commit, so that whoever waits looks again. Leases are told
//! by the database's clock alone, so replicas need not agree on the time.

use std::time::Duration;

use integraci_api::operations::{Operation, OperationKind, OperationState, OperationStep};
use integraci_api::{OperationId, TenantId};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::error::StepError;
use crate::store::{PlatformTx, StoreError, Tx};

/// An operation to enqueue.
pub struct NewOperation<'a> {
    /// Its id.
    pub id: OperationId,
    /// The tenant it is about.
    pub tenant: TenantId,
    /// What it does.
    pub kind: OperationKind,
    /// The id of the object that it makes, changes or removes.
    pub target_id: String,
    /// What its steps need to know. Never a secret.
    pub input: serde_json::Value,
    /// The names of its steps, in the order in which the definition declares them.
    pub steps: &'a [&'static str],
}

/// The right to change an operation: lost as soon as another holder has claimed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    operation: OperationId,
    epoch: i64,
}

impl Fence {
    pub(super) const fn new(operation: OperationId, epoch: i64) -> Self {
        Self { operation, epoch }
    }

    /// The operation.
    #[must_use]
    pub const fn operation(&self) -> OperationId {
        self.operation
    }

    pub(super) const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Makes sure that the operation is still this holder's, and stays so until the transaction ends.
    ///
    /// # Errors
    /// It is another's ([`super::Class::LeaseLost`]), or the database does not answer.
    pub async fn hold(&self, tx: &mut PlatformTx) -> Result<(), StepError> {
        let held = sqlx::query("SELECT 1 FROM operation WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE")
            .bind(self.operation.uuid())
            .bind(self.epoch)
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("hold an operation"))?;
        held.map(|_| ()).ok_or_else(StepError::lease_lost)
    }
}

/// Enqueues an operation in the caller's transaction; a runner takes it up once that commits.
///
/// # Errors
/// The database refused, or the tenant's handle is another tenant's.
pub async fn operation_insert(tx: &mut impl Tx, new: &NewOperation<'_>) -> Result<Operation, StoreError> {
    insert(tx, new, None).await
}

/// Enqueues an operation that the caller holds for `lease`, with the first step's intent written: the
/// caller brings about that step's effect itself (only it has the secret) and then
/// [releases](operation_release) the operation. If it dies before that, a runner takes the operation
/// up after the lease, finds a step of unknown outcome, and probes it like any other.
///
/// The caller's own work must end well within `lease`.
///
/// # Errors
/// The database refused, or the tenant's handle is another tenant's.
pub async fn operation_insert_held(
    tx: &mut impl Tx,
    new: &NewOperation<'_>,
    owner: &str,
    lease: Duration,
) -> Result<(Operation, Fence), StoreError> {
    let operation = insert(tx, new, Some((owner, lease))).await?;
    Ok((operation, Fence::new(new.id, HELD_EPOCH)))
}

/// The epoch of an operation whose first holder is the request that made it.
const HELD_EPOCH: i64 = 1;

async fn insert(
    tx: &mut impl Tx,
    new: &NewOperation<'_>,
    held: Option<(&str, Duration)>,
) -> Result<Operation, StoreError> {
    let on = || StoreError::on("enqueue an operation");
    let (owner, lease) = held.unzip();
    sqlx::query(
        "INSERT INTO operation (id, tenant_id, kind, target_id, state, input, epoch, lease_owner, lease_until,
                                created_at)
         VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, now() + $8 * interval '1 millisecond', now())",
    )
    .bind(new.id.uuid())
    .bind(new.tenant.uuid())
    .bind(new.kind.as_str())
    .bind(&new.target_id)
    .bind(&new.input)
    .bind(if held.is_some() { HELD_EPOCH } else { 0 })
    .bind(owner)
    .bind(lease.map_or(0, millis))
    .execute(tx.conn())
    .await
    .map_err(on())?;
    sqlx::query(
        "INSERT INTO operation_step (operation_id, tenant_id, n, name, state, attempts)
         SELECT $1, $2, n - 1, name, CASE WHEN n = 1 AND $4 THEN 'started' ELSE 'waiting' END,
                CASE WHEN n = 1 AND $4 THEN 1 ELSE 0 END
         FROM unnest($3::text[]) WITH ORDINALITY AS step (name, n)",
    )
    .bind(new.id.uuid())
    .bind(new.tenant.uuid())
    .bind(new.steps)
    .bind(held.is_some())
    .execute(tx.conn())
    .await
    .map_err(on())?;
    sqlx::query("SELECT pg_notify('operation', $1)")
        .bind(new.id.uuid().to_string())
        .execute(tx.conn())
        .await
        .map_err(on())?;
    operation_get(tx, new.id)
        .await?
        .ok_or_else(|| StoreError::new("enqueue an operation", sqlx::Error::RowNotFound))
}

/// Gives up a held operation whose holder knows what came of its call, so that a runner takes it up at
/// once. Does nothing if it is another's by now.
///
/// # Errors
/// The database cannot be reached.
pub async fn operation_release(tx: &mut impl Tx, fence: &Fence) -> Result<(), StoreError> {
    release(tx, fence, true).await
}

/// The same, if the holder had no answer to its call: it may still take effect, and the runner that
/// takes the operation up waits for that before it undoes anything or settles.
///
/// # Errors
/// The database cannot be reached.
pub async fn operation_release_in_doubt(tx: &mut impl Tx, fence: &Fence) -> Result<(), StoreError> {
    release(tx, fence, false).await
}

/// Lets go of an operation. One that is not `clean` keeps its owner's name, and so looks to the next
/// holder as if its last one had died.
pub(super) async fn release(tx: &mut impl Tx, fence: &Fence, clean: bool) -> Result<(), StoreError> {
    sqlx::query(
        "WITH released AS (
           UPDATE operation SET lease_until = now(), lease_owner = CASE WHEN $3 THEN NULL ELSE lease_owner END,
             revision = revision + 1
           WHERE id = $1 AND epoch = $2 AND state IN ('running', 'undoing') RETURNING id)
         SELECT pg_notify('operation', id::text) FROM released",
    )
    .bind(fence.operation.uuid())
    .bind(fence.epoch)
    .bind(clean)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("let go of an operation"))?;
    Ok(())
}

/// Sends a stuck operation on its way again, with its patience as new. False if it is not stuck.
///
/// # Errors
/// The database cannot be reached.
pub async fn operation_resume(tx: &mut PlatformTx, id: OperationId) -> Result<bool, StoreError> {
    let on = || StoreError::on("resume an operation");
    // Only an undo leaves a step `undoing`; one that only goes forward leaves its step `failed`. The
    // epoch shuts out the holder that found it stuck, which may not have heard yet that this is written.
    let resumed = sqlx::query(
        "WITH resumed AS (
           UPDATE operation SET revision = revision + 1, epoch = epoch + 1, error = CASE WHEN undo THEN error END,
             finished_at = NULL, lease_until = now(), lease_owner = NULL,
             state = CASE WHEN undo THEN 'undoing' ELSE 'running' END
           FROM (SELECT EXISTS (SELECT 1 FROM operation_step WHERE operation_id = $1 AND state = 'undoing') AS undo)
           WHERE id = $1 AND state = 'stuck' RETURNING id)
         SELECT pg_notify('operation', id::text) FROM resumed",
    )
    .bind(id.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(on())?;
    if resumed.is_none() {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE operation_step SET attempts = 0, not_before = NULL,
           state = CASE WHEN state = 'failed' THEN 'started' ELSE state END
         WHERE operation_id = $1 AND state IN ('started', 'undoing', 'failed')",
    )
    .bind(id.uuid())
    .execute(tx.conn())
    .await
    .map_err(on())?;
    Ok(true)
}

/// The operation as the API shows it, if this handle may see it.
///
/// # Errors
/// The database cannot be reached, or a word in it is another build's.
pub async fn operation_get(tx: &mut impl Tx, id: OperationId) -> Result<Option<Operation>, StoreError> {
    let on = || StoreError::on("read an operation");
    let row = sqlx::query(
        "SELECT id, tenant_id, kind, target_id, state, error, revision, created_at, finished_at
         FROM operation WHERE id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(on())?;
    let Some(row) = row else { return Ok(None) };
    let steps = sqlx::query(
        "SELECT name, state, attempts, error FROM operation_step WHERE operation_id = $1 ORDER BY n",
    )
    .bind(id.uuid())
    .fetch_all(tx.conn())
    .await
    .map_err(on())?;
    let steps = steps.iter().map(step_shown).collect::<Result<_, _>>().map_err(on())?;
    operation_shown(&row, steps).map(Some).map_err(on())
}

/// The same, locked until the transaction ends: nothing of it changes meanwhile.
///
/// # Errors
/// As [`operation_get`].
pub async fn operation_lock(tx: &mut impl Tx, id: OperationId) -> Result<Option<Operation>, StoreError> {
    sqlx::query("SELECT 1 FROM operation WHERE id = $1 FOR NO KEY UPDATE")
        .bind(id.uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("lock an operation"))?;
    operation_get(tx, id).await
}

fn operation_shown(row: &PgRow, steps: Vec<OperationStep>) -> Result<Operation, sqlx::Error> {
    let error: Option<serde_json::Value> = row.try_get("error")?;
    let error =
        error.map(serde_json::from_value).transpose().map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Operation {
        id: OperationId::from_uuid(row.try_get("id")?),
        kind: word(row, "kind")?,
        tenant_id: TenantId::from_uuid(row.try_get::<Uuid, _>("tenant_id")?),
        target_id: row.try_get("target_id")?,
        state: word::<OperationState>(row, "state")?,
        steps,
        error,
        revision: row.try_get("revision")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn step_shown(row: &PgRow) -> Result<OperationStep, sqlx::Error> {
    Ok(OperationStep {
        name: row.try_get("name")?,
        state: word(row, "state")?,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
    })
}

/// One of the words that the API and the store share.
pub(super) fn word<'r, T: Deserialize<'r>>(row: &'r PgRow, column: &'static str) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    T::deserialize(text.into_deserializer())
        .map_err(|error: serde::de::value::Error| sqlx::Error::Decode(error.into()))
}

/// Milliseconds for an interval; what does not fit is longer than anything waits.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
