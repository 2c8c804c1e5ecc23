//! The records of a tenant's places: which cell of each system it lives in, and how each place is.

use std::collections::BTreeMap;

use integraci_api::isolation::PlaceState;
use integraci_api::tenants::TenantNames;
use integraci_api::{Problem, ProblemCode, Slug, TenantId};
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::error::Error;
use crate::isolation::{Cell, Cells, Drift, Facts, Limits, System, Wanted};
use crate::saga::StepError;
use crate::store::{PlatformTx, StoreError, Tx};

/// Chooses a cell of every system that is on, and writes them down for a new tenant.
///
/// # Errors
/// `no_room`, or the store's.
pub(super) async fn choose(tx: &mut PlatformTx, cells: &Cells, tenant: TenantId) -> Result<(), Error> {
    for system in cells.on() {
        add(tx, cells, tenant, system).await?;
    }
    Ok(())
}

/// Chooses a cell of one system and writes it down.
///
/// # Errors
/// `no_room`, or the store's.
pub(super) async fn add(
    tx: &mut PlatformTx,
    cells: &Cells,
    tenant: TenantId,
    system: System,
) -> Result<(), Error> {
    let cell = roomiest(tx, cells.of(system), system).await?;
    sqlx::query(
        "INSERT INTO tenant_system (tenant_id, system, cell, state) VALUES ($1, $2, $3, 'pending')
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.uuid())
    .bind(system.as_str())
    .bind(&cell.name)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write down a tenant's cell"))?;
    Ok(())
}

/// The cell that can take the most tenants yet; of those without a limit, the one with the fewest.
async fn roomiest<'a>(tx: &mut PlatformTx, cells: &'a [Cell], system: System) -> Result<&'a Cell, Error> {
    if let [only] = cells
        && only.capacity.is_none()
    {
        return Ok(only);
    }
    // Until this transaction ends nobody else counts, so that two do not take the last room.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))")
        .bind(format!("cells of {}", system.as_str()))
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("lock the cells"))?;
    let mut best: Option<(i64, &Cell)> = None;
    for cell in cells {
        let there: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tenant_system WHERE system = $1 AND cell = $2")
                .bind(system.as_str())
                .bind(&cell.name)
                .fetch_one(tx.conn())
                .await
                .map_err(StoreError::on("count the tenants in a cell"))?;
        let room = cell.capacity.unwrap_or(i64::MAX) - there;
        if room > 0 && best.is_none_or(|(most, _)| room > most) {
            best = Some((room, cell));
        }
    }
    best.map(|(_, cell)| cell).ok_or_else(|| {
        let detail = format!(
            "every {} of the platform has as many tenants as it may; add a cell, or raise a capacity",
            system.title()
        );
        Problem::new(ProblemCode::NoRoom, detail).into()
    })
}

/// The systems that a tenant has a place in, in their order.
pub(crate) async fn systems(tx: &mut impl Tx, tenant: TenantId) -> Result<Vec<System>, StoreError> {
    let words: Vec<String> = sqlx::query_scalar("SELECT system FROM tenant_system WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("read a tenant's systems"))?;
    let mut systems: Vec<_> = words.iter().filter_map(|word| System::from_word(word)).collect();
    systems.sort();
    Ok(systems)
}

/// The cell of each system that a tenant lives in.
pub(crate) async fn homes(
    tx: &mut impl Tx,
    tenant: TenantId,
) -> Result<BTreeMap<System, String>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT system, cell FROM tenant_system WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("read a tenant's cells"))?;
    Ok(rows.into_iter().filter_map(|(word, cell)| Some((System::from_word(&word)?, cell))).collect())
}

/// The cell that a tenant lives in.
pub(crate) async fn cell(
    tx: &mut impl Tx,
    tenant: TenantId,
    system: System,
) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("SELECT cell FROM tenant_system WHERE tenant_id = $1 AND system = $2")
        .bind(tenant.uuid())
        .bind(system.as_str())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("read a tenant's cell"))
}

/// What the store says of what a tenant is to have.
#[derive(sqlx::FromRow)]
struct WantedRow {
    slug: String,
    closed: bool,
    spec_revision: i64,
    /// The limit in force of every dimension.
    effective: Json<BTreeMap<String, i64>>,
}

/// What a tenant is to have now, and which change of that it is.
pub(crate) async fn wanted(tx: &mut impl Tx, tenant: TenantId) -> Result<Option<(Wanted, i64)>, StoreError> {
    let row: Option<WantedRow> = sqlx::query_as(
        "SELECT slug, closed, spec_revision,
                coalesce((SELECT jsonb_object_agg(dimension, coalesce(own_max, plan_max)) FROM quota WHERE tenant_id = $1), '{}') AS effective
         FROM tenant WHERE id = $1",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read what a tenant is to have"))?;
    Ok(row.and_then(|row| {
        let slug: Slug = row.slug.parse().ok()?;
        let names = TenantNames::of(&slug);
        let limits = Limits::of(&row.effective);
        Some((Wanted { tenant, names, suspended: row.closed, limits }, row.spec_revision))
    }))
}

/// Writes down that a place is as it was wanted.
pub(super) async fn made(
    tx: &mut PlatformTx,
    wanted: &Wanted,
    revision: i64,
    system: System,
    facts: &Facts,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let state = state_of(wanted);
    sqlx::query(
        "UPDATE tenant_system SET state = $3, facts = $4, drift = '[]', checked_at = $5, spec_revision = $6
         WHERE tenant_id = $1 AND system = $2",
    )
    .bind(wanted.tenant.uuid())
    .bind(system.as_str())
    .bind(state.as_str())
    .bind(Json(facts))
    .bind(now)
    .bind(revision)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write down a place"))?;
    Ok(())
}

/// The state of a place that is as it should be.
pub(super) const fn state_of(wanted: &Wanted) -> PlaceState {
    if wanted.suspended { PlaceState::Suspended } else { PlaceState::Ready }
}

/// Writes down in what a place was found to differ, or that it could not be looked at. Whether that is
/// news: a difference that was written down before is one that could not be mended.
pub(super) async fn found(
    tx: &mut PlatformTx,
    tenant: TenantId,
    system: System,
    state: PlaceState,
    drift: &[Drift],
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let words: Vec<&str> = drift.iter().map(|drift| drift.0).collect();
    let is_news: Option<bool> = sqlx::query_scalar(
        "WITH before AS (SELECT state, drift FROM tenant_system WHERE tenant_id = $1 AND system = $2 FOR UPDATE)
         UPDATE tenant_system s SET state = $3, drift = $4, checked_at = $5 FROM before
         WHERE s.tenant_id = $1 AND s.system = $2
         RETURNING before.state <> $3 OR before.drift <> $4",
    )
    .bind(tenant.uuid())
    .bind(system.as_str())
    .bind(state.as_str())
    .bind(Json(words))
    .bind(now)
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("write down what a place was found to be"))?;
    Ok(is_news.unwrap_or(false))
}

/// The cell is not, or no longer, in the configuration.
pub(super) fn no_cell(system: System) -> StepError {
    StepError::refused(
        ProblemCode::Unavailable,
        format!(
            "The tenant lives in a cell of {} that is not configured; put it back into the configuration.",
            system.title()
        ),
    )
}
