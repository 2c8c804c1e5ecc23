//! Quotas: a tenant's limits, and how much of each is used.
//!
//! A limit holds where what it limits is made, never because somebody looked first. What the database counts is
//! taken in the statement that makes it (`take`); what a system counts is refused by the system, which
//! `tenant_update` has brought to the limit (docs/decisions/0015). Limits and plans change in one way
//! (`change`): looked at beside what is used, written down, and passed on to the systems.

mod change;
mod plans;
mod stands;
mod systems;
pub(crate) mod take;
mod usage;

use std::sync::Arc;

use integraci_api::quotas::{Quota, QuotaSet};
use integraci_api::tenants::TenantStatus;
use integraci_api::{Problem, ProblemCode};
use serde_json::{Value, json};

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::isolation::Cells;
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants;

pub(crate) use change::{Change, InSystems, change_plan};
pub use plans::apply_plans;
pub(crate) use plans::begin;

/// Reads and sets quotas.
#[derive(Clone)]
pub struct Quotas {
    store: Store,
    source: Source,
    cells: Arc<Cells>,
}

impl Quotas {
    /// Quotas kept in this store, of tenants that live in these cells.
    #[must_use]
    pub const fn new(store: Store, source: Source, cells: Arc<Cells>) -> Self {
        Self { store, source, cells }
    }

    /// The tenant's limits, and what the database counts of their use.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority) -> Result<Quota, Error> {
        self.read(&mut self.store.tenant_tx(by.tenant()).await?).await
    }

    /// Sets the tenant's own limits, all of them; a dimension not named goes back to the plan's. Where a
    /// system is to be brought to them, the answer names the operation that does it.
    ///
    /// # Errors
    /// `invalid_request`, `forbidden` for a tenant's own token, `not_found`, `busy` while the tenant is made
    /// or removed, `precondition_failed`, `quota_below_use` at `/limits/…`, `unavailable` where a system does
    /// not tell what is in use of a limit that is lowered, or limits were changed meanwhile, or the store's.
    pub async fn set(
        &self,
        by: &TenantAuthority,
        expected: Option<i64>,
        wanted: &QuotaSet,
    ) -> Result<Quota, Error> {
        refuse_unless_platform(by)?;
        wanted.check().map_err(Error::invalid)?;
        let (change, now) = (Change::Own(wanted), self.source.now());
        // Looked at again under the lock; no system is asked about a tenant whose limits cannot change now.
        let tenant = tenants::read_for(&mut self.store.tenant_tx(by.tenant()).await?).await?;
        tenants::refuse_unless_active(&tenant)?;
        // No transaction waits for a system. What is used there meanwhile is used under the limit there was.
        let in_systems = change.used_in_systems(&self.store, &self.cells, by.tenant(), now).await?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::lock(&mut tx, by.tenant(), None).await?;
        tenants::refuse_unless_active(&tenant)?;
        let standing = stands::lock(&mut tx, now).await?;
        if expected.is_some_and(|revision| revision != standing.revision) {
            let detail = "the quota has changed since it was read; read it again";
            return Err(Problem::new(ProblemCode::PreconditionFailed, detail).into());
        }
        if change.put(&mut tx, &standing, &in_systems, now).await? {
            tenants::places_changed(&mut tx, self.source, &tenant).await?;
        }
        let facts = json!({ "limits": wanted.limits, "on_exceed": wanted.on_exceed });
        self.tell(&mut tx, Kind::QuotaSet, facts).await?;
        let quota = self.read(&mut tx).await?;
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
        let (none, now) = (QuotaSet::default(), self.source.now());
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::lock(&mut tx, by.tenant(), None).await?;
        if tenant.status == TenantStatus::Deleting {
            // Its limits go with it.
            return Ok(());
        }
        let standing = stands::lock(&mut tx, now).await?;
        if Change::Own(&none).put(&mut tx, &standing, &InSystems::default(), now).await? {
            tenants::places_changed(&mut tx, self.source, &tenant).await?;
        }
        self.tell(&mut tx, Kind::QuotaReset, json!({})).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn read(&self, tx: &mut TenantTx) -> Result<Quota, Error> {
        let tenant = tx.tenant();
        Ok(stands::read(tx, self.source.now()).await?.into_quota(tenant))
    }

    async fn tell(&self, tx: &mut TenantTx, kind: Kind, facts: Value) -> Result<(), StoreError> {
        let tenant = tx.tenant();
        events::emit(tx, self.source.uuid(), tenant, kind, &tenant.to_string(), facts).await
    }
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
