//! Tenants: asked for, read, changed, taken away.
//!
//! A tenant's row is written with the operation that makes its places in the systems; until that has
//! succeeded it is `creating`, and if it fails nothing is left, the slug included.

mod payment;
pub(crate) mod places;
mod reconcile;
mod row;
mod sagas;
mod update;

use std::sync::Arc;

use integraci_api::operations::{Operation, OperationKind};
use integraci_api::tenants::{Tenant, TenantCreate, TenantFilter};
use integraci_api::{OperationId, Page, Problem, ProblemCode, Slug, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::accounts::{Caller, PlatformAuthority, TenantAuthority};
use crate::billing::Billing;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::idempotency::{Answer, Once};
use crate::isolation::Cells;
use crate::page::{Cursor, Slice};
use crate::plans::Plans;
use crate::quotas;
use crate::saga::log;
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError, TenantTx, Tx};

pub(crate) use payment::payment_overdue_set;
pub use reconcile::Reconciler;
use row::Row;
pub use sagas::definitions;

/// Makes, reads, changes and removes tenants.
#[derive(Clone)]
pub struct Tenants {
    store: Store,
    source: Source,
    plans: Plans,
    cells: Arc<Cells>,
    billing: Billing,
}

impl Tenants {
    /// Tenants kept in this store, on these plans, with places in these cells, and billed so.
    #[must_use]
    pub const fn new(
        store: Store,
        source: Source,
        plans: Plans,
        cells: Arc<Cells>,
        billing: Billing,
    ) -> Self {
        Self { store, source, plans, cells, billing }
    }

    /// Starts to make a tenant.
    ///
    /// # Errors
    /// `invalid_request`, `slug_taken`, or the store's.
    pub async fn create(
        &self,
        _by: &PlatformAuthority,
        once: &Once,
        wanted: TenantCreate,
    ) -> Result<Answer<Operation>, Error> {
        let mut tx = self.store.platform_tx().await?;
        if let Some(answer) = once.replay(&mut tx).await? {
            return Ok(answer);
        }
        let plan = self.plans.get(&wanted.plan);
        let (slug, plan) = match (wanted.check(), plan) {
            (Ok(slug), Ok(plan)) => (slug, plan),
            (slug, plan) => {
                let faults = slug.err().into_iter().flatten().chain(plan.err()).collect();
                return Err(Error::invalid(faults));
            }
        };
        refuse_retired(&mut tx, &slug).await?;
        let id = TenantId::from_uuid(self.source.uuid());
        let now = self.source.now();
        let inserted = sqlx::query(
            "INSERT INTO tenant (id, slug, name, plan, owner_email, labels, delete_protection, status, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'creating', $8, $8) ON CONFLICT (slug) DO NOTHING",
        )
        .bind(id.uuid())
        .bind(slug.as_str())
        .bind(&wanted.name)
        .bind(&wanted.plan)
        .bind(&wanted.owner_email)
        .bind(sqlx::types::Json(&wanted.labels))
        .bind(wanted.delete_protection)
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("insert a tenant"))?;
        if inserted.rows_affected() == 0 {
            return Err(slug_taken(&mut tx, &slug).await?);
        }
        quotas::begin(&mut tx, id, plan).await?;
        places::choose(&mut tx, &self.cells, id).await?;
        let operation = sagas::enqueue(&mut tx, self.source, OperationKind::TenantCreate, id, &slug).await?;
        once.record(&mut tx, None, &operation).await?;
        tx.commit().await?;
        Ok(Answer::first(operation))
    }

    /// The tenant.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority) -> Result<Tenant, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        read_for(&mut tx).await
    }

    /// One page of the tenants that the caller can see: all, or its own.
    ///
    /// # Errors
    /// `invalid_request` at `/label`, or the store's.
    pub async fn list(
        &self,
        by: &Caller,
        filter: &TenantFilter,
        slice: Slice,
    ) -> Result<Page<Tenant>, Error> {
        match by.bound_to() {
            Some(tenant) => list(&mut self.store.tenant_tx(tenant).await?, filter, slice).await,
            None => list(&mut self.store.platform_tx().await?, filter, slice).await,
        }
    }

    /// Starts to remove a tenant with all that is in it. One that is being removed already answers
    /// with the operation that does it.
    ///
    /// # Errors
    /// `not_found`, `delete_protected`, `busy`, `precondition_failed`, or the store's.
    pub async fn delete(&self, by: &TenantAuthority, expected: Option<i64>) -> Result<Operation, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = lock(&mut tx, by.tenant(), expected).await?;
        if tenant.status == integraci_api::tenants::TenantStatus::Deleting {
            return running(&mut tx, by.tenant(), OperationKind::TenantDelete).await;
        }
        if tenant.delete_protection {
            let detail = "delete_protection is on: set it to false first, then delete the tenant";
            return Err(Problem::new(ProblemCode::DeleteProtected, detail).at("/delete_protection").into());
        }
        refuse_unless_active(&tenant)?;
        // One that is stuck is no reason to keep the tenant.
        let busy: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM connector c JOIN operation o ON o.id = c.operation_id
                            WHERE c.tenant_id = $1 AND o.state <> 'stuck')
                 OR EXISTS (SELECT 1 FROM tenant t JOIN operation o ON o.id = t.operation_id
                            WHERE t.id = $1 AND o.state <> 'stuck')",
        )
        .bind(by.tenant().uuid())
        .fetch_one(tx.conn())
        .await
        .map_err(StoreError::on("look for what is under way"))?;
        if busy {
            return Err(busy_problem(
                "the tenant or a connector of it is being changed; try again when that has ended",
            ));
        }
        sqlx::query(
            "UPDATE tenant SET status = 'deleting', revision = revision + 1, updated_at = $2 WHERE id = $1",
        )
        .bind(by.tenant().uuid())
        .bind(self.source.now())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("mark a tenant for removal"))?;
        let (id, object) = (self.source.uuid(), tenant.id.to_string());
        events::emit(&mut tx, id, tenant.id, Kind::TenantDeleting, &object, json!({})).await?;
        let kind = OperationKind::TenantDelete;
        let operation = sagas::enqueue(&mut tx, self.source, kind, by.tenant(), &tenant.slug).await?;
        tx.commit().await?;
        Ok(operation)
    }
}

/// The tenant's row, locked until the transaction ends, and of the revision that the caller expects.
///
/// # Errors
/// `not_found`, `precondition_failed`, or the store's.
pub(crate) async fn lock(tx: &mut TenantTx, id: TenantId, expected: Option<i64>) -> Result<Tenant, Error> {
    let row: Option<Row> = sqlx::query_as(row::SELECT_FOR_UPDATE)
        .bind(id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("lock a tenant"))?;
    let tenant = row.ok_or_else(Error::not_found)?.into_tenant()?;
    match expected {
        Some(revision) if revision != tenant.revision => Err(Problem::new(
            ProblemCode::PreconditionFailed,
            "the tenant has changed since it was read; read it again",
        )
        .into()),
        _ => Ok(tenant),
    }
}

/// Has a tenant's places brought to what they are to be by now, which is something else than before. What is
/// under way sees it, or begins another when it ends. The tenant is locked.
///
/// # Errors
/// The store's.
pub(crate) async fn places_changed(
    tx: &mut TenantTx,
    source: Source,
    tenant: &Tenant,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tenant SET spec_revision = spec_revision + 1 WHERE id = $1")
        .bind(tenant.id.uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("note that a tenant is to have something else"))?;
    if tenant.operation_id.is_none() {
        sagas::enqueue(tx, source, OperationKind::TenantUpdate, tenant.id, &tenant.slug).await?;
    }
    Ok(())
}

/// # Errors
/// `busy` while the tenant is being made or removed.
pub(crate) fn refuse_unless_active(tenant: &Tenant) -> Result<(), Error> {
    use integraci_api::tenants::TenantStatus;
    match tenant.status {
        TenantStatus::Active => Ok(()),
        TenantStatus::Creating => {
            Err(busy_problem("the tenant is still being made; wait for its operation to end"))
        }
        TenantStatus::Deleting => Err(busy_problem("the tenant is being removed")),
    }
}

/// The tenant, locked, if something may be made or changed in it.
///
/// # Errors
/// `not_found`, `busy` while the tenant is being made or removed, `suspended`, or the store's.
pub(crate) async fn usable_tenant(tx: &mut TenantTx) -> Result<Tenant, Error> {
    let id = tx.tenant();
    let tenant = lock(tx, id, None).await?;
    refuse_unless_active(&tenant)?;
    if tenant.is_closed() {
        let detail = "the tenant is suspended: what it has stays, and nothing is changed until it is resumed";
        return Err(Problem::new(ProblemCode::Suspended, detail).into());
    }
    Ok(tenant)
}

/// `busy` with its detail.
pub(crate) fn busy_problem(detail: &str) -> Error {
    Problem::new(ProblemCode::Busy, detail).into()
}

/// The operation of a kind that is under way for a target of the tenant.
pub(crate) async fn running_for(
    tx: &mut TenantTx,
    target: &str,
    kind: OperationKind,
) -> Result<Operation, Error> {
    let id: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM operation WHERE tenant_id = $1 AND target_id = $2 AND kind = $3 ORDER BY id DESC LIMIT 1",
    )
    .bind(tx.tenant().uuid())
    .bind(target)
    .bind(kind.as_str())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("look for the operation under way"))?;
    let id =
        OperationId::from_uuid(id.ok_or(Error::Internal("an object has no operation that it waits for"))?);
    log::operation_get(tx, id).await?.ok_or(Error::Internal("an operation is not there"))
}

/// The tenant that the transaction is for.
///
/// # Errors
/// `not_found`, or the store's.
pub(crate) async fn read_for(tx: &mut TenantTx) -> Result<Tenant, Error> {
    let id = tx.tenant();
    read(tx, id).await?.ok_or_else(Error::not_found)
}

async fn running(tx: &mut TenantTx, tenant: TenantId, kind: OperationKind) -> Result<Operation, Error> {
    running_for(tx, &tenant.to_string(), kind).await
}

async fn read(tx: &mut impl Tx, id: TenantId) -> Result<Option<Tenant>, Error> {
    let row: Option<Row> = sqlx::query_as(row::SELECT)
        .bind(id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("read a tenant"))?;
    row.map(Row::into_tenant).transpose()
}

async fn list(tx: &mut impl Tx, filter: &TenantFilter, slice: Slice) -> Result<Page<Tenant>, Error> {
    let label = filter.label.as_deref().map(|label| {
        let (key, value) =
            label.split_once('=').ok_or_else(|| Error::invalid_at("/label", "expected `key=value`"))?;
        Ok::<_, Error>(serde_json::json!({ key: value }))
    });
    let rows: Vec<Row> = sqlx::query_as(row::LIST)
        .bind(&filter.slug)
        .bind(&filter.plan)
        .bind(filter.suspended)
        .bind(label.transpose()?)
        .bind(slice.after)
        .bind(slice.fetch())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("list tenants"))?;
    let tenants = rows.into_iter().map(Row::into_tenant).collect::<Result<Vec<_>, _>>()?;
    Ok(slice.page(tenants.into_iter(), |tenant| Cursor(tenant.id.uuid())))
}

async fn refuse_retired(tx: &mut PlatformTx, slug: &Slug) -> Result<(), Error> {
    let retired: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM slug_retired WHERE slug = $1)")
        .bind(slug.as_str())
        .fetch_one(tx.conn())
        .await
        .map_err(StoreError::on("look up a retired slug"))?;
    if !retired {
        return Ok(());
    }
    let detail =
        "this slug belonged to a tenant that was removed and is never given out again; choose another";
    Err(Problem::new(ProblemCode::SlugTaken, detail).at("/slug").into())
}

/// The problem that names the tenant in the way.
async fn slug_taken(tx: &mut PlatformTx, slug: &Slug) -> Result<Error, Error> {
    let existing: Option<Uuid> = sqlx::query_scalar("SELECT id FROM tenant WHERE slug = $1")
        .bind(slug.as_str())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("look up a slug"))?;
    let problem = Problem::new(
        ProblemCode::SlugTaken,
        "another tenant has this slug; choose another, or import that tenant",
    )
    .at("/slug");
    Ok(match existing {
        Some(id) => problem.with_existing(&TenantId::from_uuid(id)).into(),
        None => problem.into(),
    })
}
