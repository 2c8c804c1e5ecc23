//! The limits that plans bring: to a new tenant, and to those there are when the configuration changed.

use std::collections::BTreeMap;

use integraci_api::TenantId;
use integraci_api::quotas::{DIMENSIONS, Holds};
use uuid::Uuid;

use super::change::columns;
use crate::plans::{Plan, Plans};
use crate::store::{PlatformTx, Store, StoreError};

/// How many tenants are brought to their plan at once: a transaction that nobody waits for long.
const AT_ONCE: i64 = 200;

/// Gives a new tenant its plan's limits.
///
/// # Errors
/// The store's.
pub(crate) async fn begin(tx: &mut PlatformTx, tenant: TenantId, plan: &Plan) -> Result<(), StoreError> {
    let (names, limits) = columns(&plan.limits);
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

/// Brings the limits of every tenant's plan to what the configuration says now, also where more than those is
/// in use. Run at start; the reconciler then brings the systems to them. Tenants on a plan that the
/// configuration no longer has keep the limits they have, and can be moved to another.
///
/// # Errors
/// The store's.
pub async fn apply_plans(store: &Store, plans: &Plans) -> Result<(), StoreError> {
    for plan in plans.iter() {
        while apply_to_some(store, plan).await? > 0 {}
    }
    keep_what_is_left(store, plans).await
}

/// Brings some of those tenants to their plan that are not, and says how many.
async fn apply_to_some(store: &Store, plan: &Plan) -> Result<usize, StoreError> {
    let on = || StoreError::on("apply the plans' limits");
    let (names, limits) = columns(&plan.limits);
    let mut tx = store.platform_tx().await?;
    // The tenants first, as everybody locks them.
    let behind: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tenant t
         WHERE plan = $1 AND NOT canary
           AND (plan_on_exceed <> $4
                OR EXISTS (SELECT 1 FROM unnest($2::text[], $3::bigint[]) AS l (dimension, max)
                           LEFT JOIN quota q ON q.tenant_id = t.id AND q.dimension = l.dimension
                           WHERE q.plan_max IS DISTINCT FROM l.max))
         ORDER BY id LIMIT $5 FOR NO KEY UPDATE",
    )
    .bind(&plan.name)
    .bind(&names)
    .bind(&limits)
    .bind(plan.on_exceed.as_str())
    .bind(AT_ONCE)
    .fetch_all(tx.conn())
    .await
    .map_err(on())?;
    sqlx::query(
        "WITH changed AS (
           INSERT INTO quota AS q (tenant_id, dimension, plan_max)
           SELECT id, dimension, max FROM unnest($1::uuid[]) AS id, unnest($2::text[], $3::bigint[]) AS l (dimension, max)
           ORDER BY id, dimension
           ON CONFLICT (tenant_id, dimension) DO UPDATE SET plan_max = excluded.plan_max
             WHERE q.plan_max <> excluded.plan_max
           RETURNING tenant_id, dimension, own_max)
         UPDATE tenant SET plan_on_exceed = $4, spec_revision = spec_revision + CASE WHEN EXISTS (
             SELECT 1 FROM changed
             WHERE tenant_id = tenant.id AND own_max IS NULL AND dimension = ANY ($5)) THEN 1 ELSE 0 END
         WHERE id = ANY ($1)",
    )
    .bind(&behind)
    .bind(&names)
    .bind(&limits)
    .bind(plan.on_exceed.as_str())
    .bind(held_in_systems())
    .execute(tx.conn())
    .await
    .map_err(on())?;
    tx.commit().await?;
    Ok(behind.len())
}

/// Gives tenants whose plan the configuration does not have the limits that they lack, of dimensions that are
/// new since: the least that any plan has. `secrets` that are 0 are lacking too: when it began to be counted
/// (migration 0010) the plans were not known.
async fn keep_what_is_left(store: &Store, plans: &Plans) -> Result<(), StoreError> {
    let on = || StoreError::on("keep the limits of plans that are no more");
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let mut tx = store.platform_tx().await?;
    let left: Vec<(String, i64)> = sqlx::query_as(
        "SELECT plan, count(*) FROM tenant WHERE plan <> ALL ($1) AND NOT canary GROUP BY plan",
    )
    .bind(&names)
    .fetch_all(tx.conn())
    .await
    .map_err(on())?;
    if left.is_empty() {
        return Ok(());
    }
    for (plan, tenants) in &left {
        tracing::warn!(
            plan,
            tenants,
            "tenants are on a plan that is not in the configuration; they keep its limits"
        );
    }
    let least: BTreeMap<String, i64> = DIMENSIONS
        .iter()
        .filter_map(|it| {
            let least = plans.iter().filter_map(|plan| plan.limits.get(it.name)).min()?;
            Some((it.name.to_owned(), *least))
        })
        .collect();
    let (dimensions, limits) = columns(&least);
    sqlx::query(
        "WITH left_over AS (SELECT id FROM tenant WHERE plan <> ALL ($1) AND NOT canary ORDER BY id FOR NO KEY UPDATE),
         changed AS (
           INSERT INTO quota AS q (tenant_id, dimension, plan_max)
           SELECT id, dimension, max FROM left_over, unnest($2::text[], $3::bigint[]) AS l (dimension, max)
           ORDER BY id, dimension
           ON CONFLICT (tenant_id, dimension) DO UPDATE SET plan_max = excluded.plan_max
             WHERE q.dimension = 'secrets' AND q.plan_max = 0 AND excluded.plan_max > 0
           RETURNING tenant_id, dimension)
         UPDATE tenant SET spec_revision = spec_revision + 1
         WHERE id IN (SELECT tenant_id FROM changed WHERE dimension = ANY ($4))",
    )
    .bind(&names)
    .bind(&dimensions)
    .bind(&limits)
    .bind(held_in_systems())
    .execute(tx.conn())
    .await
    .map_err(on())?;
    tx.commit().await
}

/// The dimensions whose limits hold in systems.
fn held_in_systems() -> Vec<&'static str> {
    DIMENSIONS.iter().filter(|it| matches!(it.holds, Holds::In(_))).map(|it| it.name).collect()
}
