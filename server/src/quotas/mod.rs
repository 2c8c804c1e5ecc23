//! Quotas: a tenant's limits, and how much of each is used.
//!
//! A limit holds because what is counted is taken in the statement that inserts it (see
//! `connectors`), never because somebody looked first.

use std::collections::BTreeMap;

use integraci_api::quotas::{Holds, OnExceed, Quota, QuotaSet, dimension};
use integraci_api::{FieldProblem, OperationId, Problem, ProblemCode, TenantId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::plans::{Plan, Plans};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError, TenantTx};
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
    reserved: i64,
}

/// What stands of a quota in its tenant's row.
#[derive(sqlx::FromRow)]
struct TenantPart {
    quota_revision: i64,
    quota_updated_at: Option<OffsetDateTime>,
    plan_on_exceed: String,
    own_on_exceed: Option<String>,
    operation_id: Option<Uuid>,
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
        self.write(&mut tx, wanted).await?;
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
        self.write(&mut tx, &QuotaSet::default()).await?;
        self.tell(&mut tx, Kind::QuotaReset, json!({})).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn tell(&self, tx: &mut TenantTx, kind: Kind, facts: Value) -> Result<(), StoreError> {
        let tenant = tx.tenant();
        events::emit(tx, self.source.uuid(), tenant, kind, &tenant.to_string(), facts).await
    }

    async fn write(&self, tx: &mut TenantTx, wanted: &QuotaSet) -> Result<(), Error> {
        let (names, values): (Vec<&str>, Vec<i64>) =
            wanted.limits.iter().map(|(name, limit)| (name.as_str(), *limit)).unzip();
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
               own_on_exceed = $3, first_used_at = coalesce(first_used_at, $2) WHERE id = $1",
        )
        .bind(tx.tenant().uuid())
        .bind(self.source.now())
        .bind(wanted.on_exceed.map(OnExceed::as_str))
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("note that limits were set"))?;
        Ok(())
    }
}

/// Gives a new tenant its plan's limits.
///
/// # Errors
/// The store's.
pub(crate) async fn begin(tx: &mut PlatformTx, tenant: TenantId, plan: &Plan) -> Result<(), StoreError> {
    let (names, limits): (Vec<&str>, Vec<i64>) =
        plan.limits.iter().map(|(name, limit)| (name.as_str(), *limit)).unzip();
    sqlx::query(
        "WITH told AS (UPDATE tenant SET plan_on_exceed = $4 WHERE id = $1)
         INSERT INTO quota (tenant_id, dimension, plan_max) SELECT $1, * FROM unnest($2::text[], $3::bigint[])",
    )
    .bind(tenant.uuid())
    .bind(&names)
    .bind(&limits)
    .bind(plan.on_exceed.as_str())
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(StoreError::on("give a tenant its plan's limits"))
}

/// Brings the limits of every tenant's plan to what the configuration says now. Run at start.
///
/// # Errors
/// The store's.
pub async fn apply_plans(store: &Store, plans: &Plans) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    for plan in plans.iter() {
        sqlx::query("UPDATE tenant SET plan_on_exceed = $2 WHERE plan = $1 AND plan_on_exceed <> $2")
            .bind(&plan.name)
            .bind(plan.on_exceed.as_str())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("apply the plans' limits"))?;
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
    let of_tenant: Option<TenantPart> = sqlx::query_as(
        "SELECT quota_revision, quota_updated_at, plan_on_exceed, own_on_exceed, operation_id FROM tenant WHERE id = $1",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read a quota"))?;
    let of_tenant = of_tenant.ok_or_else(Error::not_found)?;
    let rows: Vec<Row> =
        sqlx::query_as("SELECT dimension, plan_max, own_max, used, reserved FROM quota WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("read a quota"))?;
    let on_exceed = of_tenant.own_on_exceed.as_deref().and_then(OnExceed::from_word);
    let mut quota = Quota {
        tenant_id: tenant,
        limits: BTreeMap::new(),
        effective: BTreeMap::new(),
        used: BTreeMap::new(),
        reserved: BTreeMap::new(),
        on_exceed,
        effective_on_exceed: on_exceed
            .or_else(|| OnExceed::from_word(&of_tenant.plan_on_exceed))
            .unwrap_or_default(),
        revision: of_tenant.quota_revision,
        operation_id: of_tenant.operation_id.map(OperationId::from_uuid),
        updated_at: of_tenant.quota_updated_at,
    };
    for row in rows {
        quota.effective.insert(row.dimension.clone(), row.own_max.unwrap_or(row.plan_max));
        if dimension(&row.dimension).is_some_and(|known| known.holds == Holds::Taken) {
            quota.used.insert(row.dimension.clone(), row.used);
            quota.reserved.insert(row.dimension.clone(), row.reserved);
        }
        if let Some(own) = row.own_max {
            quota.limits.insert(row.dimension, own);
        }
    }
    Ok(quota)
}
