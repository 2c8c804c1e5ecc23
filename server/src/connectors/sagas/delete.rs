//! `connector_delete`: secret destroyed → record gone; only goes forward. Where the secret is to be
//!   revoked at the far side, that comes first: a far side that does not do it leaves the connector.
//! `connector_retire`: what is left of a rotation: the old secret revoked, where that was asked for →
//!   destroyed. What fails is tried again an hour later.

use std::collections::BTreeMap;

use async_trait::async_trait;
use integraci_api::{ProblemCode, catalogue};
use serde::{Deserialize, Serialize};

use super::{Candidate, World, held, remove, target};
use crate::connectors::secrets::SecretError;
use crate::events::Kind;
use crate::saga::{Class, Probe, Step, StepCx, StepError};
use crate::store::StoreError;

/// The steps of `connector_delete`, which is told a [`Removal`]: what is in force.
pub(in crate::connectors) const DELETE_STEPS: &[&str] = &["secret_destroyed", "connector_removed"];

/// The same where the secret is revoked at the far side first.
pub(in crate::connectors) const REVOKE_AND_DELETE_STEPS: &[&str] =
    &["secret_revoked", "secret_destroyed", "connector_removed"];

/// The steps of `connector_retire`, which is told a [`Removal`]: the connector as
/// it was with its old secret.
pub(in crate::connectors) const RETIRE_STEPS: &[&str] = &["old_secret_destroyed"];

/// The same where the old secret is revoked at the far side first.
pub(in crate::connectors) const REVOKE_AND_RETIRE_STEPS: &[&str] =
    &["secret_revoked", "old_secret_destroyed"];

/// What both are told.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct Removal {
    #[serde(flatten)]
    pub(in crate::connectors) candidate: Candidate,
    /// The versions of the secret to revoke at the far side first.
    pub(in crate::connectors) revoked: Vec<i64>,
}

/// Secrets worthless at the far side. There is no way back from it.
pub(super) struct Revoked {
    pub(super) world: World,
    /// Whether a far side that says no leaves everything as it is. Where not, the secret goes all the
    /// same: kept for ever it would be in the way of the next.
    pub(super) must_be: bool,
}

#[async_trait]
impl Step for Revoked {
    fn name(&self) -> &'static str {
        REVOKE_AND_DELETE_STEPS[0]
    }

    fn is_pivot(&self) -> bool {
        true
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let Removal { candidate, revoked } = cx.input::<Removal>()?;
        if !self.world.holds(cx).await? {
            return Ok(());
        }
        for version in revoked {
            match self.revoke(cx, &candidate, version).await {
                Err(error) if !self.must_be && error.class() == Class::Refused => {
                    tracing::warn!(%error, connector = cx.target, "a secret that was replaced is not revoked");
                }
                revoked => revoked?,
            }
        }
        Ok(())
    }

    /// Lets the connector go as it was; a retirement is tried again later.
    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.world.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query(
            "UPDATE connector SET retire_at = $3 + interval '1 hour'
             WHERE id = $1 AND operation_id = $2 AND retire_at <= $3",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .bind(cx.now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("put a retirement off"))?;
        held(cx)?.let_go(tx.conn()).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Revoked {
    async fn revoke(&self, cx: &StepCx, candidate: &Candidate, version: i64) -> Result<(), StepError> {
        let connector = target(cx)?;
        let stored = self.world.secrets.get(&candidate.names(), connector, version).await;
        let mut secrets = stored.map_err(|error| match error {
            SecretError::Missing { .. } => StepError::refused(
                ProblemCode::SecretLost,
                "the secret is not in OpenBao any more, so it cannot be revoked from here; revoke it at the far side \
                 and say `forget`",
            ),
            error => error.into(),
        })?;
        if !self.must_be {
            // A rotation may have left some of the secrets as they were.
            let mut tx = self.world.store.platform_tx().await?;
            let in_force: i64 = sqlx::query_scalar("SELECT secret_version FROM connector WHERE id = $1")
                .bind(connector.uuid())
                .fetch_one(tx.conn())
                .await
                .map_err(StoreError::on("read which secret is in force"))?;
            drop(tx);
            let in_force = match in_force {
                // It has done without one since.
                0 => BTreeMap::new(),
                version => self.world.secrets.get(&candidate.names(), connector, version).await?,
            };
            secrets.retain(|name, old| in_force.get(name).is_none_or(|new| new.expose() != old.expose()));
            if secrets.is_empty() {
                return Ok(());
            }
            // What is revoked goes by the secret that a kind cannot be without: if that is still in force,
            // there is nothing to revoke.
            let still_in_force = catalogue::kind(&candidate.kind).is_some_and(|kind| {
                kind.secrets.iter().any(|own| own.required && !secrets.contains_key(own.name))
            });
            if still_in_force {
                return Ok(());
            }
        }
        let subject = self.world.subject(cx, connector, candidate, &secrets);
        self.world.verifier.revoke(&subject).await.map_err(|error| super::not_revoked(&error))
    }
}

/// The end of a connector's secret, every version of it.
pub(super) struct DestroySecret {
    pub(super) world: World,
    pub(super) needs: &'static [&'static str],
}

#[async_trait]
impl Step for DestroySecret {
    fn name(&self) -> &'static str {
        DELETE_STEPS[0]
    }

    fn needs(&self) -> &[&'static str] {
        self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let names = cx.input::<Candidate>()?.names();
        Ok(self.world.secrets.destroy_all(&names, target(cx)?).await?)
    }
}

/// The end of a connector's record.
pub(super) struct Remove(pub(super) World);

#[async_trait]
impl Step for Remove {
    fn name(&self) -> &'static str {
        DELETE_STEPS[1]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["secret_destroyed"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        remove(&self.0, cx, Some(Kind::ConnectorDeleted)).await
    }
}

/// The end of the secret that a rotation took out of force.
pub(super) struct DestroyRetired {
    pub(super) world: World,
    pub(super) needs: &'static [&'static str],
}

#[async_trait]
impl Step for DestroyRetired {
    fn name(&self) -> &'static str {
        RETIRE_STEPS[0]
    }

    fn needs(&self) -> &[&'static str] {
        self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let candidate = cx.input::<Candidate>()?;
        if !self.world.holds(cx).await? {
            return Ok(());
        }
        self.world.secrets.destroy_version(&candidate.names(), target(cx)?, candidate.secret_version).await?;
        let mut tx = self.world.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query(
            "UPDATE connector SET retiring_version = NULL, retire_at = NULL, retire_revokes = false, retire_config = NULL
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("end a retirement"))?;
        held(cx)?.let_go(tx.conn()).await?;
        tx.commit().await?;
        Ok(())
    }
}
