//! `connector_update`: the new secret stored beside the old → verified → in force → the old destroyed.
//! What fails before it is in force leaves what was; after that there is only on.

use async_trait::async_trait;
use integraci_api::Slug;
use integraci_api::tenants::TenantNames;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{NameAndKind, World, secret_lost, target};
use crate::events::Kind;
use crate::saga::{Probe, Step, StepCx, StepError};
use crate::store::{Store, StoreError};

/// The steps of `connector_update`.
pub(in crate::connectors) const UPDATE_STEPS: &[&str] =
    &["secret_stored", "verified", "connector_activate", "old_secret_destroyed"];

/// What `connector_update` is told. The versions are equal when no secret came with the request.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct UpdateInput {
    pub(in crate::connectors) slug: Slug,
    pub(in crate::connectors) kind: String,
    pub(in crate::connectors) name: String,
    pub(in crate::connectors) config: Map<String, Value>,
    pub(in crate::connectors) old_version: i64,
    pub(in crate::connectors) new_version: i64,
    pub(in crate::connectors) before: Before,
}

/// What was in force before, beside the secret.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct Before {
    pub(in crate::connectors) name: String,
    pub(in crate::connectors) config: Map<String, Value>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(in crate::connectors) secret_set_at: Option<OffsetDateTime>,
}

/// A change's new secret, stored as the next version beside the one in force. Its undo lets the
/// connector go as it was.
pub(super) struct NextSecret(pub(super) World);

#[async_trait]
impl Step for NextSecret {
    fn name(&self) -> &'static str {
        UPDATE_STEPS[0]
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let input = cx.input::<UpdateInput>()?;
        if input.new_version == input.old_version {
            return Ok(Probe::Present);
        }
        let version = self.0.secrets.current_version(&TenantNames::of(&input.slug), target(cx)?).await?;
        Ok(if version < input.new_version { Probe::Absent } else { Probe::Present })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        match self.probe(cx).await? {
            Probe::Present => Ok(()),
            Probe::Absent | Probe::Unknown => Err(secret_lost()),
        }
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let input = cx.input::<UpdateInput>()?;
        if input.new_version != input.old_version {
            self.0
                .secrets
                .destroy_version(&TenantNames::of(&input.slug), target(cx)?, input.new_version)
                .await?;
        }
        let_go(&self.0, cx, None).await
    }
}

/// A change from now on in force. After this there is no way back: the old secret is destroyed next.
pub(super) struct PutInForce(pub(super) World);

#[async_trait]
impl Step for PutInForce {
    fn name(&self) -> &'static str {
        UPDATE_STEPS[2]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["verified"]
    }

    fn is_pivot(&self) -> bool {
        true
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let input = cx.input::<UpdateInput>()?;
        let secret_set_at =
            if input.new_version == input.old_version { input.before.secret_set_at } else { Some(cx.now) };
        put(&self.0.store, cx, &input.name, &input.config, input.new_version, secret_set_at).await
    }

    /// Only ever called where it could not be told whether the change came into force; the old secret is
    /// still there.
    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let UpdateInput { before, old_version, .. } = cx.input::<UpdateInput>()?;
        put(&self.0.store, cx, &before.name, &before.config, old_version, before.secret_set_at).await
    }
}

/// Puts a configuration and a version of the secret in force.
async fn put(
    store: &Store,
    cx: &StepCx,
    name: &str,
    config: &Map<String, Value>,
    secret_version: i64,
    secret_set_at: Option<OffsetDateTime>,
) -> Result<(), StepError> {
    let mut tx = store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    sqlx::query(
        "UPDATE connector SET name = $3, config = $4, secret_version = $5, secret_set_at = $6,
           last_verified_at = $7, updated_at = $7
         WHERE id = $1 AND operation_id = $2",
    )
    .bind(target(cx)?.uuid())
    .bind(cx.operation.uuid())
    .bind(name)
    .bind(sqlx::types::Json(config))
    .bind(secret_version)
    .bind(secret_set_at)
    .bind(cx.now)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("put a connector's change in force"))?;
    tx.commit().await?;
    Ok(())
}

/// The end of the secret that was in force before, and of the operation's hold on the connector.
pub(super) struct DestroyOld(pub(super) World);

#[async_trait]
impl Step for DestroyOld {
    fn name(&self) -> &'static str {
        UPDATE_STEPS[3]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["connector_activate"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let input = cx.input::<UpdateInput>()?;
        if input.new_version != input.old_version && input.old_version > 0 {
            self.0
                .secrets
                .destroy_version(&TenantNames::of(&input.slug), target(cx)?, input.old_version)
                .await?;
        }
        let_go(&self.0, cx, Some(Kind::ConnectorUpdated)).await
    }
}

/// Ends the operation's hold on the connector.
async fn let_go(world: &World, cx: &StepCx, told: Option<Kind>) -> Result<(), StepError> {
    let mut tx = world.store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    let let_go: Option<NameAndKind> = sqlx::query_as(
        "UPDATE connector SET status = 'active', operation_id = NULL, revision = revision + 1, updated_at = $3
         WHERE id = $1 AND operation_id = $2 RETURNING name, kind",
    )
    .bind(target(cx)?.uuid())
    .bind(cx.operation.uuid())
    .bind(cx.now)
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("let a connector go"))?;
    if let (Some(happened), Some(connector)) = (told, let_go) {
        world.tell(&mut tx, cx, happened, connector).await?;
    }
    tx.commit().await?;
    Ok(())
}
