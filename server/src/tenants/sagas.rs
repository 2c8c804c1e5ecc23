//! `tenant_create`: gives one tenant all it needs, or leaves nothing behind.
//! `tenant_delete`: takes all of it away; only goes forward.
//!
//! create: record → a place in each system → activate; undo runs right to left.
//! delete: the places → the records.

use std::sync::Arc;

use async_trait::async_trait;
use integraci_api::Slug;
use integraci_api::operations::OperationKind;
use integraci_api::tenants::TenantNames;
use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError};
use crate::store::{Store, StoreError};

/// The steps of `tenant_create`.
pub(super) const CREATE_STEPS: &[&str] = &["tenant_record", "openbao_place", "tenant_activate"];
/// The steps of `tenant_delete`.
pub(super) const DELETE_STEPS: &[&str] = &["openbao_removal", "tenant_removal"];

/// What both sagas are told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TenantInput {
    pub(super) slug: Slug,
}

/// Both sagas.
#[must_use]
pub fn definitions(store: &Store, openbao: &Arc<dyn Isolation>) -> [Definition; 2] {
    [
        Definition {
            kind: OperationKind::TenantCreate,
            direction: Direction::OrNothing,
            steps: vec![
                Box::new(Record { store: store.clone() }),
                Box::new(Place { name: CREATE_STEPS[1], system: openbao.clone() }),
                Box::new(Activate { store: store.clone() }),
            ],
        },
        Definition {
            kind: OperationKind::TenantDelete,
            direction: Direction::ForwardOnly,
            steps: vec![
                Box::new(RemovePlace { name: DELETE_STEPS[0], system: openbao.clone() }),
                Box::new(Remove { store: store.clone() }),
            ],
        },
    ]
}

fn names(cx: &StepCx) -> Result<TenantNames, StepError> {
    Ok(TenantNames::of(&cx.input::<TenantInput>()?.slug))
}

/// The tenant's row. The request wrote it with the operation; the undo takes it away again, and with
/// it the slug's being taken.
struct Record {
    store: Store,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        CREATE_STEPS[0]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Present)
    }

    async fn apply(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query("DELETE FROM tenant WHERE id = $1 AND status = 'creating'")
            .bind(cx.tenant.uuid())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("remove a half-made tenant"))?;
        tx.commit().await?;
        Ok(())
    }
}

/// The tenant's place in one system.
struct Place {
    name: &'static str,
    system: Arc<dyn Isolation>,
}

#[async_trait]
impl Step for Place {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs(&self) -> &'static [&'static str] {
        &["tenant_record"]
    }

    /// `ensure` looks for itself at what is there, so the answer may always be to apply it again.
    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        Ok(self.system.ensure(&names(cx)?).await?)
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        Ok(self.system.ensure_none(&names(cx)?).await?)
    }
}

/// The moment from which the tenant can be used.
struct Activate {
    store: Store,
}

#[async_trait]
impl Step for Activate {
    fn name(&self) -> &'static str {
        CREATE_STEPS[2]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["openbao_place"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        set_status(&self.store, cx, "creating", "active").await
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        set_status(&self.store, cx, "active", "creating").await
    }
}

async fn set_status(
    store: &Store,
    cx: &StepCx,
    from: &'static str,
    to: &'static str,
) -> Result<(), StepError> {
    let mut tx = store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    sqlx::query("UPDATE tenant SET status = $3, revision = revision + 1, updated_at = $4 WHERE id = $1 AND status = $2")
        .bind(cx.tenant.uuid())
        .bind(from)
        .bind(to)
        .bind(cx.now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("change a tenant's status"))?;
    tx.commit().await?;
    Ok(())
}

/// The end of the tenant's place in one system.
struct RemovePlace {
    name: &'static str,
    system: Arc<dyn Isolation>,
}

#[async_trait]
impl Step for RemovePlace {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let left = self.system.remains(&names(cx)?).await?;
        Ok(if left.is_empty() { Probe::Present } else { Probe::Absent })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        Ok(self.system.ensure_none(&names(cx)?).await?)
    }
}

/// The end of the tenant's records. The slug is retired if the tenant was ever used.
struct Remove {
    store: Store,
}

#[async_trait]
impl Step for Remove {
    fn name(&self) -> &'static str {
        DELETE_STEPS[1]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["openbao_removal"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        for statement in [
            "INSERT INTO slug_retired (slug, tenant_id, retired_at)
             SELECT slug, id, now() FROM tenant WHERE id = $1 AND first_used_at IS NOT NULL ON CONFLICT DO NOTHING",
            "DELETE FROM connector WHERE tenant_id = $1",
            "DELETE FROM idempotency_key WHERE tenant_id = $1",
            "DELETE FROM tenant WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(cx.tenant.uuid())
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("remove a tenant's records"))?;
        }
        tx.commit().await?;
        Ok(())
    }
}
