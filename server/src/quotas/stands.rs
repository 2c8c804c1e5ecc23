//! How a tenant's quota stands: its limits, and what of them the database counts as used.

use std::collections::BTreeMap;

use integraci_api::quotas::{Dimension, Holds, OnExceed, Quota, dimension};
use integraci_api::{OperationId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::tokens_of;
use crate::error::Error;
use crate::isolation::System;
use crate::store::{StoreError, TenantTx};

/// One dimension of a quota.
#[derive(Debug)]
pub(super) struct Stands {
    pub(super) dimension: &'static Dimension,
    /// The limit of the plan.
    pub(super) plan: i64,
    /// The tenant's own.
    pub(super) own: Option<i64>,
    /// Absent where the database does not count.
    pub(super) used: Option<i64>,
    pub(super) reserved: i64,
}

/// A tenant's quota.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) dimensions: Vec<Stands>,
    pub(super) plan_on_exceed: OnExceed,
    pub(super) own_on_exceed: Option<OnExceed>,
    pub(super) revision: i64,
    updated_at: Option<OffsetDateTime>,
    operation: Option<OperationId>,
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

#[derive(sqlx::FromRow)]
struct Row {
    dimension: String,
    plan_max: i64,
    own_max: Option<i64>,
    used: i64,
    reserved: i64,
    /// The month's count of a metered dimension.
    metered: i64,
}

impl Stands {
    /// The limit in force.
    pub(super) fn limit(&self) -> i64 {
        self.own.unwrap_or(self.plan)
    }

    /// The system that it holds in, if it does in one.
    pub(super) const fn system(&self) -> Option<System> {
        match self.dimension.holds {
            Holds::In(system) => Some(system),
            _ => None,
        }
    }
}

/// Reads the quota of the transaction's tenant.
///
/// # Errors
/// `not_found`, or the store's.
pub(super) async fn read(tx: &mut TenantTx, now: OffsetDateTime) -> Result<Standing, Error> {
    let tenant = tx.tenant();
    let of_tenant: Option<TenantPart> = sqlx::query_as(
        "SELECT quota_revision, quota_updated_at, plan_on_exceed, own_on_exceed, operation_id FROM tenant
         WHERE id = $1 AND NOT canary",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read a quota"))?;
    let of_tenant = of_tenant.ok_or_else(Error::not_found)?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT q.dimension, plan_max, own_max, used, reserved, coalesce(m.quantity, 0) AS metered
         FROM quota q LEFT JOIN usage_month m ON m.tenant_id = q.tenant_id AND m.dimension = q.dimension
           AND m.month = date_trunc('month', $2::timestamptz, 'UTC')
         WHERE q.tenant_id = $1",
    )
    .bind(tenant.uuid())
    .bind(now)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("read a quota"))?;
    let tokens = tokens_of(tx, tenant, now).await?;
    // One that this build does not know limits nothing here.
    let stands = rows.into_iter().filter_map(|row| {
        let dimension = dimension(&row.dimension)?;
        let used = match dimension.holds {
            Holds::Taken => Some(row.used),
            Holds::Counted => Some(tokens),
            Holds::Metered => Some(row.metered),
            Holds::Requests | Holds::In(_) => None,
        };
        Some(Stands { dimension, plan: row.plan_max, own: row.own_max, used, reserved: row.reserved })
    });
    Ok(Standing {
        dimensions: stands.collect(),
        plan_on_exceed: OnExceed::from_word(&of_tenant.plan_on_exceed).unwrap_or_default(),
        own_on_exceed: of_tenant.own_on_exceed.as_deref().and_then(OnExceed::from_word),
        revision: of_tenant.quota_revision,
        updated_at: of_tenant.quota_updated_at,
        operation: of_tenant.operation_id.map(OperationId::from_uuid),
    })
}

/// The same, and nothing that is taken or counted changes until the transaction ends. The tenant is locked
/// by now.
///
/// # Errors
/// As [`read`].
pub(super) async fn lock(tx: &mut TenantTx, now: OffsetDateTime) -> Result<Standing, Error> {
    sqlx::query("SELECT 1 FROM quota WHERE tenant_id = $1 ORDER BY dimension FOR UPDATE")
        .bind(tx.tenant().uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("lock a quota"))?;
    read(tx, now).await
}

impl Standing {
    /// Of these dimensions, with nothing else set.
    #[cfg(test)]
    pub(super) const fn of(dimensions: Vec<Stands>) -> Self {
        let (plan_on_exceed, own_on_exceed) = (OnExceed::Allow, None);
        Self { dimensions, plan_on_exceed, own_on_exceed, revision: 0, updated_at: None, operation: None }
    }

    /// As the API shows it.
    pub(super) fn into_quota(self, tenant: TenantId) -> Quota {
        let of = |amount: fn(&Stands) -> Option<i64>| -> BTreeMap<String, i64> {
            let named = |it: &Stands| Some((it.dimension.name.to_owned(), amount(it)?));
            self.dimensions.iter().filter_map(named).collect()
        };
        Quota {
            tenant_id: tenant,
            limits: of(|it| it.own),
            effective: of(|it| Some(it.limit())),
            used: of(|it| it.used),
            reserved: of(|it| it.used.map(|_| it.reserved)),
            on_exceed: self.own_on_exceed,
            effective_on_exceed: self.own_on_exceed.unwrap_or(self.plan_on_exceed),
            revision: self.revision,
            operation_id: self.operation,
            updated_at: self.updated_at,
        }
    }
}
