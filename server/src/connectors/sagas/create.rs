//! `connector_create`: secret stored → verified → in force, or nothing is left.

use async_trait::async_trait;
use integraci_api::Slug;
use integraci_api::tenants::TenantNames;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{NameAndKind, World, remove, secret_lost, target};
use crate::events::Kind;
use crate::saga::{Probe, Step, StepCx, StepError};
use crate::store::StoreError;

/// The steps of `connector_create`.
pub(in crate::connectors) const CREATE_STEPS: &[&str] = &["secret_stored", "verified", "connector_activate"];

/// What `connector_create` is told.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct CreateInput {
    pub(in crate::connectors) slug: Slug,
    pub(in crate::connectors) name: String,
    pub(in crate::connectors) kind: String,
    pub(in crate::connectors) config: Map<String, Value>,
}

/// A new connector's secret. Its undo removes the connector with it.
pub(super) struct FirstSecret(pub(super) World);

#[async_trait]
impl Step for FirstSecret {
    fn name(&self) -> &'static str {
        CREATE_STEPS[0]
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let names = TenantNames::of(&cx.input::<CreateInput>()?.slug);
        let version = self.0.secrets.current_version(&names, target(cx)?).await?;
        Ok(if version == 0 { Probe::Absent } else { Probe::Present })
    }

    async fn apply(&self, _: &StepCx) -> Result<(), StepError> {
        Err(secret_lost())
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let names = TenantNames::of(&cx.input::<CreateInput>()?.slug);
        self.0.secrets.destroy_all(&names, target(cx)?).await?;
        remove(&self.0, cx, None).await
    }
}

/// A new connector from now on in use.
pub(super) struct Activate(pub(super) World);

#[async_trait]
impl Step for Activate {
    fn name(&self) -> &'static str {
        CREATE_STEPS[2]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["verified"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        let activated: Option<NameAndKind> = sqlx::query_as(
            "UPDATE connector SET status = 'active', operation_id = NULL, secret_version = 1, secret_set_at = $3,
               last_verified_at = $3, revision = revision + 1, updated_at = $3
             WHERE id = $1 AND operation_id = $2 RETURNING name, kind",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .bind(cx.now)
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("activate a connector"))?;
        if let Some(connector) = activated {
            self.0.tell(&mut tx, cx, Kind::ConnectorCreated, connector).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What follows in an undo removes the connector whole.
    async fn undo(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}
