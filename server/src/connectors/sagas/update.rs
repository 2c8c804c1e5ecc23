//! `connector_update`: the new secret stored beside the old → verified → in force → the old destroyed.
//! `connector_rotate`: the same with a secret that is sent or that the far side makes, and the old one
//!   is kept for a while.
//!
//! What fails before it is in force leaves what was; after that there is only on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Candidate, World, held, secret_lost, target};
use crate::connectors::in_force::{Finding, InForce};
use crate::events::Kind;
use crate::saga::{Probe, Step, StepCx, StepError};
use crate::store::StoreError;

/// The steps of `connector_update`, which is told a [`Change`].
pub(in crate::connectors) const UPDATE_STEPS: &[&str] =
    &["secret_stored", "verified", "connector_activate", "old_secret_destroyed"];

/// The steps of `connector_rotate`, which is told a [`Rotation`].
pub(in crate::connectors) const ROTATE_STEPS: &[&str] =
    &["secret_stored", "verified", "connector_activate", "old_secret_kept"];

/// The steps of `connector_rotate` where the far side makes the secret.
pub(in crate::connectors) const MINT_STEPS: &[&str] =
    &["secret_minted", "verified", "connector_activate", "old_secret_kept"];

/// What `connector_update` is told. The versions are equal when no secret came with the request.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct Change {
    #[serde(flatten)]
    pub(in crate::connectors) candidate: Candidate,
    /// What was in force when it began.
    pub(in crate::connectors) before: InForce,
    /// The newest version in OpenBao then, where that was looked for.
    pub(in crate::connectors) newest: i64,
}

/// What `connector_rotate` is told beside that.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct Rotation {
    #[serde(flatten)]
    pub(in crate::connectors) change: Change,
    /// How long the old secret is kept.
    pub(in crate::connectors) overlap_s: u64,
    /// Whether it is revoked at the far side then.
    pub(in crate::connectors) revoke_old: bool,
}

/// Takes back what an operation stored beside the secret in force, and lets the connector go as it was.
async fn back_to_before(world: &World, cx: &StepCx) -> Result<(), StepError> {
    let Change { candidate, before, .. } = cx.input::<Change>()?;
    if !world.holds(cx).await? {
        return Ok(());
    }
    if candidate.secret_version != before.secret.version && candidate.secret_version > 0 {
        world.forget_minted(cx, &candidate).await;
        world.secrets.destroy_version(&candidate.names(), target(cx)?, candidate.secret_version).await?;
    }
    let mut tx = world.store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    // The next try of a rotation that is due by itself is not at once.
    sqlx::query(
        "UPDATE connector SET rotate_after = greatest(rotate_after, $3 + interval '1 hour')
         WHERE id = $1 AND operation_id = $2 AND rotate_after IS NOT NULL",
    )
    .bind(target(cx)?.uuid())
    .bind(cx.operation.uuid())
    .bind(cx.now)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("put a rotation off"))?;
    held(cx)?.let_go(tx.conn()).await?;
    tx.commit().await?;
    Ok(())
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
        let Change { candidate, before, .. } = cx.input::<Change>()?;
        if candidate.secret_version == before.secret.version || candidate.secret_version == 0 {
            return Ok(Probe::Present);
        }
        let version = self.0.secrets.current_version(&candidate.names(), target(cx)?).await?;
        Ok(if version < candidate.secret_version { Probe::Absent } else { Probe::Present })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        match self.probe(cx).await? {
            Probe::Present => Ok(()),
            Probe::Absent | Probe::Unknown => Err(secret_lost()),
        }
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        back_to_before(&self.0, cx).await
    }
}

/// A secret that the far side makes by the one in force, stored as the next version beside it.
///
/// Where the server dies between the far side's answer and the store, the far side has a secret that
/// nobody knows, and another is made; those secrets end by themselves.
pub(super) struct MintedSecret(pub(super) World);

#[async_trait]
impl Step for MintedSecret {
    fn name(&self) -> &'static str {
        MINT_STEPS[0]
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let Change { candidate, .. } = cx.input::<Change>()?;
        let version = self.0.secrets.current_version(&candidate.names(), target(cx)?).await?;
        Ok(if version < candidate.secret_version { Probe::Absent } else { Probe::Present })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        if self.probe(cx).await? == Probe::Present {
            return Ok(());
        }
        let Change { candidate, before, .. } = cx.input::<Change>()?;
        let (names, connector) = (candidate.names(), target(cx)?);
        let secrets = self.0.secrets.get(&names, connector, before.secret.version).await?;
        let subject = self.0.subject(cx, connector, &candidate, &secrets);
        let minted = self.0.verifier.mint(&subject).await.map_err(|error| super::refusal(&error))?;
        let put = self.0.secrets.put(&names, connector, candidate.secret_version - 1, &minted.secrets).await;
        if let Err(error) = put {
            // The next try has another one made.
            let subject = self.0.subject(cx, connector, &candidate, &minted.secrets);
            self.0.revoke_if_it_can_be(&subject).await;
            return Err(error.into());
        }
        let finding = Finding { expires_at: minted.expires_at, ..Finding::default() };
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        held(cx)?.found(tx.conn(), &finding).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        back_to_before(&self.0, cx).await
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
        let Change { candidate, before, .. } = cx.input::<Change>()?;
        let same_secret = candidate.secret_version == before.secret.version;
        let mut wanted = candidate.into_in_force(cx.now);
        if same_secret {
            wanted.secret = before.secret;
        }
        self.put(cx, &wanted).await
    }

    /// Only ever called where it could not be told whether the change came into force; the old secret is
    /// still there.
    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        // What was found is of the change. What is put back is looked at again by the keeper.
        held(cx)?.forget_found(tx.conn()).await?;
        tx.commit().await?;
        self.put(cx, &cx.input::<Change>()?.before).await
    }
}

impl PutInForce {
    async fn put(&self, cx: &StepCx, wanted: &InForce) -> Result<(), StepError> {
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        held(cx)?.put(tx.conn(), wanted).await?;
        tx.commit().await?;
        Ok(())
    }
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
        let Change { candidate, before, newest: before_newest } = cx.input::<Change>()?;
        if !self.0.holds(cx).await? {
            return Ok(());
        }
        if candidate.secret_version != before.secret.version {
            // One that a rotation left is kept as long as was said.
            let keep = [Some(candidate.secret_version), before.retiring].into_iter().flatten();
            let keep: Vec<_> = keep.collect();
            // Up to what there was when it began, where there is no secret from now on.
            let newest = candidate.secret_version.max(before_newest);
            self.0.secrets.destroy_all_but(&candidate.names(), target(cx)?, newest, &keep).await?;
        }
        self.0.let_go(cx, Some(Kind::ConnectorUpdated)).await
    }
}

/// The secret that was in force before is noted to be destroyed later, and the operation lets go.
pub(super) struct KeepOld(pub(super) World);

#[async_trait]
impl Step for KeepOld {
    fn name(&self) -> &'static str {
        ROTATE_STEPS[3]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["connector_activate"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let Rotation { change, overlap_s, revoke_old } = cx.input::<Rotation>()?;
        let old_version = change.before.secret.version;
        if !self.0.holds(cx).await? {
            return Ok(());
        }
        let keep = [change.candidate.secret_version, old_version];
        let newest = change.candidate.secret_version;
        self.0.secrets.destroy_all_but(&change.candidate.names(), target(cx)?, newest, &keep).await?;
        let overlap = time::Duration::seconds(i64::try_from(overlap_s).unwrap_or(i64::MAX));
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        if old_version > 0 {
            sqlx::query(
                "UPDATE connector SET retiring_version = $3, retire_at = $4, retire_revokes = $5, retire_config = $6
                 WHERE id = $1 AND operation_id = $2",
            )
            .bind(target(cx)?.uuid())
            .bind(cx.operation.uuid())
            .bind(old_version)
            .bind(cx.now.checked_add(overlap).unwrap_or(cx.now))
            .bind(revoke_old)
            .bind(sqlx::types::Json(&change.before.config))
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("note a secret to be destroyed"))?;
        }
        if let Some(connector) = held(cx)?.let_go(tx.conn()).await? {
            self.0.tell(&mut tx, cx, Kind::ConnectorRotated, connector).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
