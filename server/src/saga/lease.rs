//! The runner's half of the log: claiming operations, and writing as long as they are held.
//!
//! Every write is fenced by the epoch of its claim and says so if the operation is another's by now.
//! Writes are whole in themselves: one whose answer was lost is simply written again.

use std::time::Duration;

use integraci_api::operations::{OperationKind, OperationState, StepState};
use integraci_api::{OperationId, TenantId};
use serde_json::json;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::log::{Fence, millis, word};
use super::words::{Record, StepRow};
use crate::events::{self, Kind};
use crate::store::{PlatformTx, Store, StoreError};

/// An operation that this replica now holds.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) fence: Fence,
    pub(super) kind: OperationKind,
    pub(super) tenant: TenantId,
    pub(super) target: String,
    pub(super) input: serde_json::Value,
    pub(super) state: OperationState,
    /// The last holder did not let go of it.
    pub(super) cut_off: bool,
    pub(super) steps: Vec<(String, StepRow)>,
}

/// Claims at most `limit` operations that nobody holds, longest waiting first, of those whose kind and
/// steps are among `known`: another build's are left to its own replicas.
pub(super) async fn claim(
    store: &Store,
    owner: &str,
    lease: Duration,
    known: &[String],
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let on = || StoreError::on("claim operations");
    let mut tx = store.platform_tx().await?;
    let rows = sqlx::query(
        "WITH due AS (
           SELECT id, lease_owner IS NOT NULL AS cut_off FROM operation
           WHERE state IN ('running', 'undoing') AND lease_until <= now()
             AND kind || (SELECT string_agg(' ' || name, '' ORDER BY n) FROM operation_step
                          WHERE operation_id = operation.id) = ANY($3)
           ORDER BY lease_until LIMIT $4 FOR UPDATE SKIP LOCKED)
         UPDATE operation o
         SET epoch = epoch + 1, lease_owner = $1, lease_until = now() + $2 * interval '1 millisecond'
         FROM due WHERE o.id = due.id
         RETURNING o.id, epoch, kind, tenant_id, target_id, input, state, cut_off",
    )
    .bind(owner)
    .bind(millis(lease))
    .bind(known)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(tx.conn())
    .await
    .map_err(on())?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let id: Uuid = row.try_get("id").map_err(on())?;
        let steps = steps_read(&mut tx, id).await.map_err(on())?;
        claimed.push(claimed_from(&row, id, steps).map_err(on())?);
    }
    tx.commit().await?;
    Ok(claimed)
}

async fn steps_read(tx: &mut PlatformTx, id: Uuid) -> Result<Vec<(String, StepRow)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT name, state, attempts,
           GREATEST(0, ceil(EXTRACT(epoch FROM not_before - now()) * 1000))::bigint AS wait_ms
         FROM operation_step WHERE operation_id = $1 ORDER BY n",
    )
    .bind(id)
    .fetch_all(tx.conn())
    .await?;
    let step = |row: &PgRow| {
        let wait_ms: Option<i64> = row.try_get("wait_ms")?;
        Ok((
            row.try_get("name")?,
            StepRow {
                state: word::<StepState>(row, "state")?,
                attempts: u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(0),
                wait_ms: wait_ms.and_then(|wait| u64::try_from(wait).ok()).unwrap_or(0),
            },
        ))
    };
    rows.iter().map(step).collect()
}

fn claimed_from(row: &PgRow, id: Uuid, steps: Vec<(String, StepRow)>) -> Result<Claimed, sqlx::Error> {
    Ok(Claimed {
        fence: Fence::new(OperationId::from_uuid(id), row.try_get("epoch")?),
        kind: word(row, "kind")?,
        tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
        target: row.try_get("target_id")?,
        input: row.try_get("input")?,
        state: word(row, "state")?,
        cut_off: row.try_get("cut_off")?,
        steps,
    })
}

/// Renews the lease. False if the operation is no longer this holder's.
pub(super) async fn renew(
    store: &Store,
    fence: &Fence,
    owner: &str,
    lease: Duration,
) -> Result<bool, StoreError> {
    let mut tx = store.platform_tx().await?;
    // The owner too: one that was handed over is not to be held again by a renewal that comes late.
    let renewed = sqlx::query(
        "UPDATE operation SET lease_until = now() + $4 * interval '1 millisecond'
         WHERE id = $1 AND epoch = $2 AND lease_owner = $3",
    )
    .bind(fence.operation().uuid())
    .bind(fence.epoch())
    .bind(owner)
    .bind(millis(lease))
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("renew a lease"))?;
    tx.commit().await?;
    Ok(renewed.rows_affected() == 1)
}

/// What a record changes in the rows; what is absent stays as it is.
#[derive(Default)]
struct Change {
    operation_state: Option<OperationState>,
    operation_error: Option<serde_json::Value>,
    n: Option<usize>,
    step_state: Option<StepState>,
    attempts: Option<u32>,
    wait_ms: u64,
    error: Option<String>,
    /// Forget the step's last error.
    clear_error: bool,
}

impl Change {
    fn of(record: &Record, step_name: impl Fn(usize) -> String) -> Self {
        let step =
            |n: usize, state: StepState| Self { n: Some(n), step_state: Some(state), ..Self::default() };
        match record {
            Record::Intent { n, attempts } => {
                Self { attempts: Some(*attempts), ..step(*n, StepState::Started) }
            }
            Record::Done { n, wait_ms } => {
                Self { wait_ms: *wait_ms, clear_error: true, ..step(*n, StepState::Done) }
            }
            Record::Retry { n, attempts, wait_ms, error } => Self {
                n: Some(*n),
                attempts: Some(*attempts),
                wait_ms: *wait_ms,
                error: Some(error.to_string()),
                ..Self::default()
            },
            Record::Failed { n, wait_ms, error, turn_back } => Self {
                wait_ms: *wait_ms,
                operation_state: turn_back.then_some(OperationState::Undoing),
                operation_error: serde_json::to_value(error.to_operation_error(&step_name(*n))).ok(),
                error: Some(error.to_string()),
                ..step(*n, StepState::Failed)
            },
            Record::UndoIntent { n, attempts } => {
                Self { attempts: Some(*attempts), ..step(*n, StepState::Undoing) }
            }
            Record::Undone { n, wait_ms } => Self { wait_ms: *wait_ms, ..step(*n, StepState::Undone) },
            Record::Settled(state) => Self { operation_state: Some(*state), ..Self::default() },
        }
    }
}

/// Writes a record, and tells the tenant of an end under the id `event`. False if the operation is no
/// longer this holder's: nothing is written then, and nothing more may be done.
pub(super) async fn write(
    store: &Store,
    fence: &Fence,
    record: &Record,
    step_name: impl Fn(usize) -> String,
    event: Uuid,
) -> Result<bool, StoreError> {
    let change = Change::of(record, step_name);
    let mut tx = store.platform_tx().await?;
    if let Record::Settled(state) = record {
        settled_tell(&mut tx, fence, *state, event).await?;
    }
    // The first error is the one that turned the operation back; a later one is shown on its step.
    let written = sqlx::query(
        "WITH held AS (
           UPDATE operation SET revision = revision + 1, state = COALESCE($3, state),
             error = COALESCE(error, $4),
             finished_at = CASE WHEN $3 IN ('succeeded', 'failed', 'stuck') THEN now() END
           WHERE id = $1 AND epoch = $2 RETURNING id
         ), step AS (
           UPDATE operation_step SET state = COALESCE($6, state), attempts = COALESCE($7, attempts),
             not_before = CASE WHEN $8 > 0 THEN now() + $8 * interval '1 millisecond' END,
             error = CASE WHEN $10 THEN NULL ELSE COALESCE($9, error) END
           FROM held WHERE operation_id = held.id AND n = $5
         )
         SELECT pg_notify('operation', id::text) FROM held",
    )
    .bind(fence.operation().uuid())
    .bind(fence.epoch())
    .bind(change.operation_state.map(OperationState::as_str))
    .bind(change.operation_error)
    .bind(change.n.and_then(|n| i32::try_from(n).ok()))
    .bind(change.step_state.map(StepState::as_str))
    .bind(change.attempts.and_then(|attempts| i32::try_from(attempts).ok()))
    .bind(i64::try_from(change.wait_ms).unwrap_or(i64::MAX))
    .bind(change.error)
    .bind(change.clear_error)
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("write a step down"))?;
    tx.commit().await?;
    Ok(written.is_some())
}

/// Tells the tenant how an operation ends, unless that is written already: a record may be written twice.
async fn settled_tell(
    tx: &mut PlatformTx,
    fence: &Fence,
    state: OperationState,
    event: Uuid,
) -> Result<(), StoreError> {
    let happened = match state {
        OperationState::Succeeded => Kind::OperationSucceeded,
        OperationState::Failed => Kind::OperationFailed,
        OperationState::Stuck => Kind::OperationStuck,
        OperationState::Running | OperationState::Undoing => return Ok(()),
    };
    let ending: Option<(Uuid, String, String, Option<String>)> = sqlx::query_as(
        "SELECT tenant_id, kind, target_id, error ->> 'code' FROM operation
         WHERE id = $1 AND epoch = $2 AND state IN ('running', 'undoing') FOR NO KEY UPDATE",
    )
    .bind(fence.operation().uuid())
    .bind(fence.epoch())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read how an operation ends"))?;
    let Some((tenant, kind, target, code)) = ending else { return Ok(()) };
    let facts = json!({ "kind": kind, "target_id": target, "code": code });
    let object = fence.operation().to_string();
    events::emit(tx, event, TenantId::from_uuid(tenant), happened, &object, facts).await
}
