//! The keeper: asks every connector's far side again and again whether it still takes what is in force,
//! and begins what is due by itself.
//!
//! Every replica runs one; a connector is looked at by whichever claims it, about once an interval, and
//! sooner where its far side did not answer. What is found stands in the connector's record, is told to
//! the tenant when it changes, and is no change of the connector: its revision stays. Rotations and
//! retirements that are due are operations like any other, so nothing here writes to a far side.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use integraci_api::connectors::{ConnectorStatus, OldSecret, RotationCreate, VerificationStatus, VerifyMode};
use integraci_api::operations::OperationKind;
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, OperationId, Slug, TenantId};
use rand::RngExt;
use serde_json::{Map, Value};
use sqlx::types::Json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::in_force::Finding;
use super::row::Known;
use super::sagas::{RETIRE_STEPS, REVOKE_AND_RETIRE_STEPS, Removal};
use super::secrets::{ConnectorSecrets, SecretError};
use super::verify::{Subject, Verifier, VerifyError};
use super::{as_input, change, store};
use crate::error::Error;
use crate::events::{self, Kind};
use crate::saga::log::{self, NewOperation};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError};

/// How many far sides are asked at once.
const SIDE_BY_SIDE: usize = 8;
/// How many connectors are claimed at once.
const CLAIM: i64 = 64;
/// How often there is a look for what is due, at most.
const POLL_MAX: Duration = Duration::from_secs(5);
/// How long one far side may take over all of its calls: others wait behind it.
const ASKED_FOR: Duration = Duration::from_secs(30);
/// How soon a far side that did not answer is asked again; twice as long each time, up to the interval.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Looks after connectors.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    secrets: ConnectorSecrets,
    verifier: Verifier,
    source: Source,
    every: Duration,
}

/// A connector to look at.
#[derive(sqlx::FromRow)]
struct Due {
    id: Uuid,
    tenant_id: Uuid,
    slug: String,
    name: String,
    kind: String,
    config: Json<Map<String, Value>>,
    verify: String,
    secret_version: i64,
    verification_status: String,
    check_failures: i32,
    retiring_version: Option<i64>,
    revision: i64,
}

/// What a look came to.
struct Seen {
    /// Absent where the far side was not asked.
    finding: Option<Finding>,
    drifted: bool,
    /// When the far side wants to be asked again, where it says so.
    not_before: Option<Duration>,
}

macro_rules! due {
    () => {
        "c.id, c.tenant_id, t.slug, c.name, c.kind, c.config, c.verify, c.secret_version, c.verification_status,
         c.check_failures, c.retiring_version, c.revision"
    };
}

impl Keeper {
    /// Looks at each connector about once in `every`.
    #[must_use]
    pub const fn new(
        store: Store,
        secrets: ConnectorSecrets,
        verifier: Verifier,
        source: Source,
        every: Duration,
    ) -> Self {
        Self { store, secrets, verifier, source, every }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.round(&stop).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "connectors could not be looked after; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_MAX.min(self.every / 4)) => {}
            }
        }
    }

    /// Begins what is due, and looks at a batch of connectors.
    async fn round(&self, stop: &CancellationToken) -> Result<(), Error> {
        self.begin_due().await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        stream::iter(self.claim().await?)
            .for_each_concurrent(SIDE_BY_SIDE, |due| async move {
                if let Err(error) = self.look(&due, false).await {
                    tracing::warn!(%error, connector = %due.id(), "a connector could not be looked at");
                    self.put_off(&due).await;
                }
            })
            .await;
        Ok(())
    }

    /// What could not be looked at is looked at again soon: it was not its far side's doing.
    async fn put_off(&self, due: &Due) {
        let put_off = async {
            let mut tx = self.store.platform_tx().await?;
            sqlx::query("UPDATE connector SET check_after = now() + $2 * interval '1 second' WHERE id = $1")
                .bind(due.id)
                .bind(i64::try_from(AGAIN_AFTER.as_secs()).unwrap_or(i64::MAX))
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("put a look off"))?;
            tx.commit().await
        };
        if let Err(error) = put_off.await {
            tracing::warn!(%error, "a connector is not looked at before its time");
        }
    }

    /// Claims connectors that are due. Whoever has one, has it for an interval.
    async fn claim(&self) -> Result<Vec<Due>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let due = sqlx::query_as(concat!(
            "WITH due AS (
               SELECT c.id FROM connector c JOIN tenant t ON t.id = c.tenant_id
               WHERE c.status = 'active' AND c.operation_id IS NULL AND t.status = 'active' AND NOT t.closed AND NOT t.canary
                 AND (c.check_after <= now()
                      OR (c.check_after IS NULL AND c.updated_at + $1 * interval '1 millisecond' <= now()))
               ORDER BY c.check_after NULLS FIRST LIMIT $2 FOR UPDATE OF c SKIP LOCKED)
             UPDATE connector c
             SET check_after = now() + $1 * interval '1 millisecond' * (0.8 + 0.4 * random())
             FROM due, tenant t WHERE c.id = due.id AND t.id = c.tenant_id RETURNING ",
            due!()
        ))
        .bind(i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX))
        .bind(CLAIM)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim connectors to look at"))?;
        tx.commit().await?;
        Ok(due)
    }

    /// Looks at one connector now, also where its verification is off.
    pub(super) async fn look_now(&self, id: ConnectorId) -> Result<(), Error> {
        let due: Option<Due> = {
            let mut tx = self.store.platform_tx().await?;
            sqlx::query_as(concat!(
                "SELECT ",
                due!(),
                " FROM connector c JOIN tenant t ON t.id = c.tenant_id
                 WHERE c.id = $1 AND c.status = 'active' AND c.operation_id IS NULL"
            ))
            .bind(id.uuid())
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("read a connector to look at"))?
        };
        match due {
            Some(due) => self.look(&due, true).await,
            None => Ok(()),
        }
    }

    async fn look(&self, due: &Due, asked_for: bool) -> Result<(), Error> {
        let Ok(slug) = due.slug.parse::<Slug>() else { return Ok(()) };
        let seen = self.ask(due, &TenantNames::of(&slug), asked_for).await;
        self.keep(due, seen.map_err(|fault| super::secret_fault(&fault))?).await
    }

    /// Asks the far side, and OpenBao whether the secret is still the one in force.
    async fn ask(&self, due: &Due, names: &TenantNames, asked_for: bool) -> Result<Seen, SecretError> {
        let newest =
            self.secrets.is_newest(names, due.id(), due.secret_version, due.retiring_version).await?;
        let drifted = !newest;
        if due.verify == VerifyMode::Off.as_str() && !asked_for {
            return Ok(Seen { finding: None, drifted, not_before: None });
        }
        let now = self.source.now();
        let secrets = match due.secret_version {
            0 => BTreeMap::new(),
            version => match self.secrets.get(names, due.id(), version).await {
                Err(SecretError::Missing { .. }) => {
                    let lost =
                        VerifyError::refused("/secrets", "it is not in OpenBao any more; send it again");
                    let finding = Some(Finding::of(&Err(lost), now));
                    return Ok(Seen { finding, drifted: true, not_before: None });
                }
                stored => stored?,
            },
        };
        let subject = Subject {
            tenant: TenantId::from_uuid(due.tenant_id),
            connector: due.id(),
            name: &due.name,
            kind: &due.kind,
            config: &due.config.0,
            secrets: &secrets,
            now,
            attempt: self.source.uuid(),
        };
        let asked =
            tokio::time::timeout(ASKED_FOR, self.verifier.verify(&subject)).await.unwrap_or_else(|_| {
                Err(VerifyError::Unreachable { detail: "the far side took too long over it".to_owned() })
            });
        let not_before = match &asked {
            Err(VerifyError::Busy { retry_after }) => *retry_after,
            _ => None,
        };
        Ok(Seen { finding: Some(Finding::of(&asked, now)), drifted, not_before })
    }

    /// Writes down what was found, unless the connector was changed meanwhile, and tells of a change.
    async fn keep(&self, due: &Due, seen: Seen) -> Result<(), Error> {
        let mut tx = self.store.platform_tx().await?;
        let Some(finding) = seen.finding else {
            sqlx::query("UPDATE connector SET secret_drifted = $3 WHERE id = $1 AND revision = $2 AND operation_id IS NULL")
                .bind(due.id)
                .bind(due.revision)
                .bind(seen.drifted)
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("write down what became of a secret"))?;
            return Ok(tx.commit().await?);
        };
        let status = finding.status.as_str();
        metrics::counter!("integraci_connector_checks_total", "kind" => due.kind.clone(), "status" => status)
            .increment(1);
        let failures = match finding.status {
            VerificationStatus::Unreachable => due.check_failures.saturating_add(1),
            _ => 0,
        };
        let next = next_look(self.every, failures, seen.not_before, rand::rng().random());
        let kept = sqlx::query(
            "UPDATE connector SET secret_drifted = $3, verification_status = $4, verification_reason = $5,
               last_checked_at = $6, last_verified_at = coalesce($7, last_verified_at),
               secret_expires_at = coalesce($8, secret_expires_at), check_failures = $9,
               check_after = now() + $10 * interval '1 millisecond',
               rotate_after = least(rotate_after, CASE WHEN rotate_after IS NOT NULL
                 THEN secret_set_at + ($8 - secret_set_at) * 2 / 3 END)
             WHERE id = $1 AND revision = $2 AND operation_id IS NULL
               AND (last_checked_at IS NULL OR last_checked_at < $6)",
        )
        .bind(due.id)
        .bind(due.revision)
        .bind(seen.drifted)
        .bind(status)
        .bind(&finding.reason)
        .bind(finding.checked_at)
        .bind(finding.verified_at())
        .bind(finding.expires_at)
        .bind(failures)
        .bind(i64::try_from(next.as_millis()).unwrap_or(i64::MAX))
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("write down what a far side said"))?;
        if kept.rows_affected() == 1 && due.verification_status != status {
            self.tell(&mut tx, due, finding.status).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn tell(
        &self,
        tx: &mut PlatformTx,
        due: &Due,
        status: VerificationStatus,
    ) -> Result<(), StoreError> {
        let happened = match status {
            VerificationStatus::Verified => Kind::ConnectorVerified,
            _ => Kind::ConnectorFailing,
        };
        let (id, tenant) = (due.id(), TenantId::from_uuid(due.tenant_id));
        tracing::info!(connector = %id, %tenant, status = status.as_str(), "a connector's far side says something else");
        let facts = serde_json::json!({ "name": due.name, "kind": due.kind, "status": status });
        events::emit(tx, self.source.uuid(), tenant, happened, &id.to_string(), facts).await
    }

    /// Begins the rotations that are due, and the ends of the secrets that earlier ones took out of force.
    /// One that cannot be begun is no reason not to begin the others.
    async fn begin_due(&self) -> Result<(), StoreError> {
        let retiring = "SELECT c.id, c.tenant_id, t.slug FROM connector c JOIN tenant t ON t.id = c.tenant_id
             WHERE c.retire_at <= now() AND c.status = 'active' AND c.operation_id IS NULL
               AND t.status = 'active' AND NOT t.closed ORDER BY c.retire_at LIMIT $1";
        for (connector, tenant, slug) in self.ids_due(retiring).await? {
            if let Err(error) = self.retire(connector, tenant, &slug).await {
                tracing::warn!(%error, %connector, "a secret is not retired yet");
            }
        }
        let rotating = "SELECT c.id, c.tenant_id, t.slug FROM connector c JOIN tenant t ON t.id = c.tenant_id
             WHERE c.rotate_after <= now() AND c.status = 'active' AND c.operation_id IS NULL
               AND c.retiring_version IS NULL AND t.status = 'active' AND NOT t.closed
             ORDER BY c.rotate_after LIMIT $1";
        for (connector, tenant, slug) in self.ids_due(rotating).await? {
            if let Err(error) = self.rotate(connector, tenant, &slug).await {
                tracing::warn!(%error, %connector, "a secret is not rotated yet");
                self.rotation_put_off(connector).await?;
            }
        }
        Ok(())
    }

    async fn rotate(&self, connector: ConnectorId, tenant: TenantId, slug: &Slug) -> Result<(), Error> {
        // Before the rows are locked: no transaction waits for OpenBao.
        let newest = self.secrets.current_version(&TenantNames::of(slug), connector).await;
        let newest = newest.map_err(|fault| super::secret_fault(&fault))?;
        let mut tx = self.store.platform_tx().await?;
        if !lock_tenant(&mut tx, tenant).await? {
            return Ok(());
        }
        let known = store::lock(&mut tx, connector, None).await?;
        if known.rotate_after.is_none_or(|due| due > self.source.now()) {
            return Ok(());
        }
        // A secret that the far side made is nobody's but ours, so it can go when it is not needed.
        let can_go = known.secret_minted && super::kind_of(&known.connector)?.revoked_by.is_some();
        let old_secret = if can_go { OldSecret::Revoke } else { OldSecret::Forget };
        let wanted = RotationCreate { old_secret, ..RotationCreate::default() };
        let id = OperationId::from_uuid(self.source.uuid());
        let new = change::rotation(id, &known, slug, newest, &wanted)?;
        self.enqueue(tx, &known, &new, change::rotated_values(&wanted)).await
    }

    async fn rotation_put_off(&self, connector: ConnectorId) -> Result<(), StoreError> {
        let mut tx = self.store.platform_tx().await?;
        sqlx::query("UPDATE connector SET rotate_after = now() + interval '1 hour' WHERE id = $1 AND rotate_after <= now()")
            .bind(connector.uuid())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("put a rotation off"))?;
        tx.commit().await
    }

    async fn retire(&self, connector: ConnectorId, tenant: TenantId, slug: &Slug) -> Result<(), Error> {
        let mut tx = self.store.platform_tx().await?;
        if !lock_tenant(&mut tx, tenant).await? {
            return Ok(());
        }
        let known = store::lock(&mut tx, connector, None).await?;
        let Some(retiring) = &known.connector.retiring else { return Ok(()) };
        if retiring.at > self.source.now() {
            return Ok(());
        }
        // With the configuration that the secret was good with: it goes nowhere else.
        let config: Option<Json<Map<String, Value>>> =
            sqlx::query_scalar("SELECT retire_config FROM connector WHERE id = $1")
                .bind(connector.uuid())
                .fetch_one(tx.conn())
                .await
                .map_err(StoreError::on("read what a secret was good with"))?;
        let mut candidate = known.as_candidate(slug, retiring.secret_version);
        if let Some(Json(config)) = config {
            candidate.config = config;
        }
        let revoked = if known.retire_revokes { vec![retiring.secret_version] } else { Vec::new() };
        let new = NewOperation {
            id: OperationId::from_uuid(self.source.uuid()),
            tenant,
            kind: OperationKind::ConnectorRetire,
            target_id: connector.to_string(),
            steps: if revoked.is_empty() { RETIRE_STEPS } else { REVOKE_AND_RETIRE_STEPS },
            input: as_input(&Removal { candidate, revoked })?,
        };
        self.enqueue(tx, &known, &new, known.secrets).await
    }

    async fn enqueue(
        &self,
        mut tx: PlatformTx,
        known: &Known,
        new: &NewOperation<'_>,
        secrets: i64,
    ) -> Result<(), Error> {
        if known.operation.is_some() || known.connector.status != ConnectorStatus::Active {
            return Ok(());
        }
        let now = self.source.now();
        store::hold(&mut tx, known, new.id, ConnectorStatus::Updating, secrets, now).await?;
        log::operation_insert(&mut tx, new).await?;
        Ok(tx.commit().await?)
    }

    async fn ids_due(&self, query: &'static str) -> Result<Vec<(ConnectorId, TenantId, Slug)>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(query)
            .bind(CLAIM)
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("look for what is due"))?;
        let ids = |(connector, tenant, slug): (Uuid, Uuid, String)| {
            Some((ConnectorId::from_uuid(connector), TenantId::from_uuid(tenant), slug.parse().ok()?))
        };
        Ok(rows.into_iter().filter_map(ids).collect())
    }
}

impl Due {
    fn id(&self) -> ConnectorId {
        ConnectorId::from_uuid(self.id)
    }
}

/// Locks a tenant, and says whether something may be begun in it, as a request would.
async fn lock_tenant(tx: &mut PlatformTx, tenant: TenantId) -> Result<bool, StoreError> {
    let found: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM tenant WHERE id = $1 AND status = 'active' AND NOT closed FOR NO KEY UPDATE",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("lock a tenant"))?;
    Ok(found.is_some())
}

/// When to look next: after an interval, more or less, so that not all are looked at together; sooner
/// where there was no answer, and not before the far side wants it. `chance` is 0 to 1.
fn next_look(every: Duration, failures: i32, not_before: Option<Duration>, chance: f64) -> Duration {
    let usual = match u32::try_from(failures) {
        Ok(failures @ 1..) => {
            every.min(AGAIN_AFTER.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))))
        }
        _ => every,
    };
    usual.mul_f64(0.8 + 0.4 * chance).max(not_before.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_side_that_does_not_answer_is_asked_sooner_and_then_seldom() {
        let hour = Duration::from_secs(3600);
        let next = |failures, not_before| next_look(hour, failures, not_before, 0.5).as_secs();
        assert_eq!(next(0, None), 3600);
        assert_eq!([next(1, None), next(2, None), next(3, None)], [60, 120, 240]);
        assert_eq!(next(1000, None), 3600);
        assert_eq!(next(1, Some(Duration::from_secs(500))), 500);
        let spread = |chance| next_look(hour, 0, None, chance).as_secs();
        assert_eq!((spread(0.0), spread(1.0)), (2880, 4320));
    }
}
