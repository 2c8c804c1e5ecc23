//! `connector_create`: secret stored → verified → in force, or nothing is left.

use async_trait::async_trait;

use super::{Candidate, World, held, remove, secret_lost, target};
use crate::connectors::in_force::InForce;
use crate::events::Kind;
use crate::saga::{Probe, Step, StepCx, StepError};

/// The steps of `connector_create`, which is told a [`Candidate`].
pub(in crate::connectors) const CREATE_STEPS: &[&str] = &["secret_stored", "verified", "connector_activate"];

/// A new connector's secret. Its undo removes the connector with it.
pub(super) struct FirstSecret(pub(super) World);

#[async_trait]
impl Step for FirstSecret {
    fn name(&self) -> &'static str {
        CREATE_STEPS[0]
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let candidate = cx.input::<Candidate>()?;
        if candidate.secret_version == 0 {
            return Ok(Probe::Present);
        }
        let version = self.0.secrets.current_version(&candidate.names(), target(cx)?).await?;
        Ok(if version == 0 { Probe::Absent } else { Probe::Present })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        match self.probe(cx).await? {
            Probe::Present => Ok(()),
            Probe::Absent | Probe::Unknown => Err(secret_lost()),
        }
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let names = cx.input::<Candidate>()?.names();
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
        let wanted: InForce = cx.input::<Candidate>()?.into_in_force(cx.now);
        let held = held(cx)?;
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        held.put(tx.conn(), &wanted).await?;
        if let Some(connector) = held.let_go(tx.conn()).await? {
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
