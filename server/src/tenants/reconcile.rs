//! The reconciler: looks at each tenant's places in turn, tells what differs from what it should be, and
//! has it mended.
//!
//! Every replica runs one; a place is looked at by whichever claims it, about once an interval. What is
//! found stands in the tenant's record (`isolation` in the API). Mending is an operation like any other,
//! `tenant_update`, with its lease and its retries, so nothing here writes to a system. A difference
//! that an operation could not mend is told and left: somebody must look.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use integraci_api::isolation::PlaceState;
use integraci_api::operations::OperationKind;
use integraci_api::{Slug, TenantId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{places, sagas};
use crate::error::Error;
use crate::isolation::{Cell, Cells, Drift, System, Wanted};
use crate::source::Source;
use crate::store::{Store, StoreError};

/// How many places are looked at at once: a look is a few calls, and no system should notice.
const SIDE_BY_SIDE: usize = 4;
/// How many places are claimed at once.
const CLAIM: i64 = 32;
/// How often there is a look for places that are due, at most: an interval may be minutes.
const POLL_MAX: Duration = Duration::from_secs(5);

/// Looks at places until told to stop.
pub struct Reconciler {
    store: Store,
    cells: Arc<Cells>,
    source: Source,
    every: Duration,
}

/// A place that is due.
struct Due {
    tenant: TenantId,
    system: System,
    cell: String,
}

impl Reconciler {
    /// Looks at every place about once in `every`.
    #[must_use]
    pub const fn new(store: Store, cells: Arc<Cells>, source: Source, every: Duration) -> Self {
        Self { store, cells, source, every }
    }

    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.round(&stop).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "places could not be looked at; trying again"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_MAX.min(self.every / 4)) => {}
            }
        }
    }

    /// Gives places in systems that were switched on since, has those brought on that are behind, and looks at
    /// everything that is due.
    async fn round(&self, stop: &CancellationToken) -> Result<(), Error> {
        for system in self.cells.on() {
            if let Err(error) = self.adopt(system).await {
                let (error, system) = (&error as &dyn std::error::Error, system.as_str());
                tracing::warn!(error, system, "a tenant could not be given a place in a system that is new");
            }
        }
        if let Err(error) = self.catch_up().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a tenant's places are not brought to what they are to be");
        }
        loop {
            let due = self.claim().await?;
            if due.is_empty() || stop.is_cancelled() {
                return Ok(());
            }
            stream::iter(due)
                .for_each_concurrent(SIDE_BY_SIDE, |due| async move {
                    if let Err(error) = self.look(&due).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, tenant = %due.tenant, "what a place was found to be is not kept");
                    }
                })
                .await;
        }
    }

    /// Claims places that are due. Whoever has one, has it for an interval.
    async fn claim(&self) -> Result<Vec<Due>, StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
            "WITH due AS (
               SELECT s.tenant_id, s.system FROM tenant_system s JOIN tenant t ON t.id = s.tenant_id
               WHERE t.status = 'active' AND t.operation_id IS NULL AND NOT t.canary AND s.state <> 'pending'
                 AND coalesce(s.check_after, s.checked_at + $1 * interval '1 millisecond', now()) <= now()
               ORDER BY s.check_after NULLS FIRST LIMIT $2 FOR UPDATE OF s SKIP LOCKED)
             UPDATE tenant_system s
             SET check_after = now() + $1 * interval '1 millisecond' * (0.8 + 0.4 * random())
             FROM due WHERE s.tenant_id = due.tenant_id AND s.system = due.system
             RETURNING s.tenant_id, s.system, s.cell",
        )
        .bind(i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX))
        .bind(CLAIM)
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("claim places to look at"))?;
        tx.commit().await?;
        let due = |(tenant, system, cell): (Uuid, String, String)| {
            Some(Due { tenant: TenantId::from_uuid(tenant), system: System::from_word(&system)?, cell })
        };
        Ok(rows.into_iter().filter_map(due).collect())
    }

    async fn look(&self, due: &Due) -> Result<(), Error> {
        let wanted = {
            let mut tx = self.store.platform_tx().await?;
            places::wanted(&mut tx, due.tenant).await?
        };
        let Some((wanted, revision)) = wanted else { return Ok(()) };
        let (state, drift) = match self.cells.get(due.system, &due.cell) {
            None => (PlaceState::Unknown, vec![Drift("its cell is not in the configuration")]),
            Some(home) => match home.drift(&wanted).await {
                Ok(drift) if drift.is_empty() => (places::state_of(&wanted), drift),
                Ok(drift) => (PlaceState::Drifted, drift),
                Err(error) => {
                    tracing::warn!(%error, tenant = %due.tenant, "a place could not be looked at");
                    (PlaceState::Unknown, vec![Drift("the system did not answer when it was looked at")])
                }
            },
        };
        self.keep(due, &wanted, revision, state, &drift).await
    }

    /// Writes down what was found, unless the tenant was changed meanwhile, and has a new difference
    /// mended.
    async fn keep(
        &self,
        due: &Due,
        wanted: &Wanted,
        revision: i64,
        state: PlaceState,
        drift: &[Drift],
    ) -> Result<(), Error> {
        let mut tx = self.store.platform_tx().await?;
        let slug: Option<String> = sqlx::query_scalar(
            "SELECT slug FROM tenant WHERE id = $1 AND spec_revision = $2 AND status = 'active' AND operation_id IS NULL
             FOR UPDATE",
        )
        .bind(due.tenant.uuid())
        .bind(revision)
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("lock a tenant"))?;
        let Some(slug) = slug.and_then(|slug| slug.parse::<Slug>().ok()) else { return Ok(()) };
        let is_news = places::found(&mut tx, due.tenant, due.system, state, drift, self.source.now()).await?;
        if state == PlaceState::Drifted {
            metrics::counter!("integraci_drift_total", "system" => due.system.as_str()).increment(1);
            let words: Vec<_> = drift.iter().map(|drift| drift.0).collect();
            tracing::warn!(tenant = %wanted.tenant, system = due.system.as_str(), drift = words.join("; "), is_news, "a place differs");
            if is_news {
                sagas::enqueue(&mut tx, self.source, OperationKind::TenantUpdate, due.tenant, &slug).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Begins an update of every tenant whose places are to be something else with nobody at it: its plan has
    /// other limits since the server was started, or its limits were set while it was being made.
    async fn catch_up(&self) -> Result<(), Error> {
        loop {
            let mut tx = self.store.platform_tx().await?;
            let behind: Option<(Uuid, String)> = sqlx::query_as(
                "SELECT id, slug FROM tenant t WHERE status = 'active' AND operation_id IS NULL AND NOT canary
                   AND EXISTS (SELECT 1 FROM tenant_system s
                               WHERE s.tenant_id = t.id AND s.spec_revision < t.spec_revision)
                   AND NOT EXISTS (SELECT 1 FROM tenant_system s
                                   WHERE s.tenant_id = t.id AND s.system || '/' || s.cell <> ALL ($1))
                 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
            )
            .bind(self.cell_names())
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("look for tenants whose places are behind"))?;
            let Some((tenant, slug)) = behind else { return Ok(()) };
            let Ok(slug) = slug.parse::<Slug>() else { return Ok(()) };
            let tenant = TenantId::from_uuid(tenant);
            sagas::enqueue(&mut tx, self.source, OperationKind::TenantUpdate, tenant, &slug).await?;
            tx.commit().await?;
        }
    }

    /// Every cell of the configuration, as `system/cell`.
    fn cell_names(&self) -> Vec<String> {
        let name = |cell: &Cell| format!("{}/{}", cell.system.system().as_str(), cell.name);
        self.cells.all().map(name).collect()
    }

    /// Gives every tenant a place in a system that was switched on after it was made. One that lives in a
    /// cell which is not in the configuration waits until it is: its operation could not be done.
    async fn adopt(&self, system: System) -> Result<(), Error> {
        let cells = self.cell_names();
        loop {
            let mut tx = self.store.platform_tx().await?;
            let lacking: Option<(Uuid, String)> = sqlx::query_as(
                "SELECT id, slug FROM tenant t WHERE status = 'active' AND operation_id IS NULL AND NOT canary
                   AND NOT EXISTS (SELECT 1 FROM tenant_system s WHERE s.tenant_id = t.id AND s.system = $1)
                   AND NOT EXISTS (SELECT 1 FROM tenant_system s
                                   WHERE s.tenant_id = t.id AND s.system || '/' || s.cell <> ALL ($2))
                 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
            )
            .bind(system.as_str())
            .bind(&cells)
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("look for tenants without a place"))?;
            let Some((tenant, slug)) = lacking else { return Ok(()) };
            let tenant = TenantId::from_uuid(tenant);
            let Ok(slug) = slug.parse::<Slug>() else { return Ok(()) };
            places::add(&mut tx, &self.cells, tenant, system).await?;
            sagas::enqueue(&mut tx, self.source, OperationKind::TenantUpdate, tenant, &slug).await?;
            tx.commit().await?;
        }
    }
}
