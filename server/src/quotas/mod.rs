//! Quotas: a tenant's limits, and how much of each is used.
//!
//! A limit holds because what is counted is taken in the statement that inserts it (see
//! `connectors`), never because somebody looked first.

use std::collections::BTreeMap;

use integraci_api::quotas::{Quota, QuotaSet};
use integraci_api::{FieldProblem, Problem, ProblemCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::plans::Plans;
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants;

/// Reads and sets quotas.
#[derive(Clone)]
pub struct Quotas {
    store: Store,
    source: Source,
}

#[derive(sqlx::FromRow)]
struct Row {
    dimension: String,
    plan_max: i64,
    own_max: Option<i64>,
    used: i64,
}

impl Quotas {
    /// Quotas kept in this store.
    #[must_use]
    pub const fn new(store: Store, source: Source) -> Self {
        Self { store, source }
    }

    /// The tenant's limits and use.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority) -> Result<Quota, Error> {
        read(&mut self.store.tenant_tx(by.tenant()).await?).await
    }

    /// Sets the tenant's own limits, all of them; a dimension not named goes back to the plan's.
    ///
    /// # Errors
    /// `invalid_request`, `forbidden` for a tenant's own token, `not_found`, `precondition_failed`,
    /// `quota_below_use` at `/limits/…`, or the store's.
    pub async fn set(
        &self,
        by: &TenantAuthority,
        expected: Option<i64>,
        wanted: &QuotaSet,
    ) -> Result<Quota, Error> {
        refuse_unless_platform(by)?;
        wanted.check().map_err(Error::invalid)?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::lock(&mut tx, by.tenant(), None).await?;
        tenants::refuse_unless_active(&tenant)?;
        let now_there = read(&mut tx).await?;
        if expected.is_some_and(|revision| revision != now_there.revision) {
            let detail = "the quota has changed since it was read; read it again";
            return Err(Problem::new(ProblemCode::PreconditionFailed, detail).into());
        }
        // The tenant's row is locked, and whoever takes from a quota locks it first: `used` stands still.
        let faults: Vec<_> = wanted
            .limits
            .iter()
            .filter_map(|(dimension, limit)| {
                let used = now_there.used.get(dimension).copied().unwrap_or_default();
                (used > *limit).then(|| {
                    FieldProblem::new(
                        format!("/limits/{dimension}"),
                        format!("{used} {dimension} are in use; remove some first, or set at least {used}"),
                    )
                })
            })
            .collect();
        if let Some(first) = faults.first() {
            return Err(Problem::new(ProblemCode::QuotaBelowUse, first.detail.clone())
                .with_errors(faults)
                .into());
        }
        self.write(&mut tx, &wanted.limits).await?;
        self.tell(&mut tx, Kind::QuotaSet, json!({ "limits": wanted.limits })).await?;
        let quota = read(&mut tx).await?;
        tx.commit().await?;
        Ok(quota)
    }

    /// Goes back to the plan's limits, also where more than those is in use: nothing is taken away,
    /// and nothing more is given until there is room.
    ///
    /// # Errors
    /// `forbidden` for a tenant's own token, `not_found`, or the store's.
    pub async fn reset(&self, by: &TenantAuthority) -> Result<(), Error> {
        refuse_unless_platform(by)?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::lock(&mut tx, by.tenant(), None).await?;
        self.write(&mut tx, &BTreeMap::new()).await?;
        self.tell(&mut tx, Kind::QuotaReset, json!({})).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn tell(&self, tx: &mut TenantTx, kind: Kind, facts: Value) -> Result<(), StoreError> {
        let tenant = tx.tenant();
        events::emit(tx, self.source.uuid(), tenant, kind, &tenant.to_string(), facts).await
    }

    async fn write(&self, tx: &mut TenantTx, limits: &BTreeMap<String, i64>) -> Result<(), Error> {
        let (names, values): (Vec<&str>, Vec<i64>) =
            limits.iter().map(|(name, limit)| (name.as_str(), *limit)).unzip();
        sqlx::query(
            "UPDATE quota SET own_max = (SELECT l.own_max FROM unnest($2::text[], $3::bigint[]) AS l (dimension, own_max)
                                         WHERE l.dimension = quota.dimension)
             WHERE tenant_id = $1",
        )
        .bind(tx.tenant().uuid())
        .bind(&names)
        .bind(&values)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("set limits"))?;
        sqlx::query(
            "UPDATE tenant SET quota_revision = quota_revision + 1, quota_updated_at = $2,
               first_used_at = coalesce(first_used_at, $2) WHERE id = $1",
        )
        .bind(tx.tenant().uuid())
        .bind(self.source.now())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("note that limits were set"))?;
        Ok(())
    }
}

/// Brings the limits of every tenant's plan to what the configuration says now. Run at start.
///
/// # Errors
/// The store's.
pub async fn apply_plans(store: &Store, plans: &Plans) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    for plan in plans.iter() {
        for (dimension, max) in &plan.limits {
            sqlx::query(
                "INSERT INTO quota (tenant_id, dimension, plan_max) SELECT id, $2, $3 FROM tenant WHERE plan = $1
                 ON CONFLICT (tenant_id, dimension) DO UPDATE SET plan_max = $3 WHERE quota.plan_max <> $3",
            )
            .bind(&plan.name)
            .bind(dimension)
            .bind(max)
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("apply the plans' limits"))?;
        }
    }
    tx.commit().await
}

fn refuse_unless_platform(by: &TenantAuthority) -> Result<(), Error> {
    if by.of_platform() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::Forbidden,
        "limits are set by the platform; this token is bound to the tenant",
    )
    .into())
}

async fn read(tx: &mut TenantTx) -> Result<Quota, Error> {
    let tenant = tx.tenant();
    let set: Option<(i64, Option<OffsetDateTime>)> =
        sqlx::query_as("SELECT quota_revision, quota_updated_at FROM tenant WHERE id = $1")
            .bind(tenant.uuid())
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("read a quota"))?;
    let (revision, updated_at) = set.ok_or_else(Error::not_found)?;
    let rows: Vec<Row> =
        sqlx::query_as("SELECT dimension, plan_max, own_max, used FROM quota WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("read a quota"))?;
    let mut quota = Quota {
        tenant_id: tenant,
        limits: BTreeMap::new(),
        effective: BTreeMap::new(),
        used: BTreeMap::new(),
        revision,
        updated_at,
    };
    for row in rows {
        quota.effective.insert(row.dimension.clone(), row.own_max.unwrap_or(row.plan_max));
        quota.used.insert(row.dimension.clone(), row.used);
        if let Some(own) = row.own_max {
            quota.limits.insert(row.dimension, own);
        }
    }
    Ok(quota)
}
