//! `connector_delete`: secret destroyed → record gone; only goes forward.

use async_trait::async_trait;
use integraci_api::Slug;
use integraci_api::tenants::TenantNames;
use serde::{Deserialize, Serialize};

use super::{World, remove, target};
use crate::events::Kind;
use crate::saga::{Probe, Step, StepCx, StepError};

/// The steps of `connector_delete`.
pub(in crate::connectors) const DELETE_STEPS: &[&str] = &["secret_destroyed", "connector_removal"];

/// What `connector_delete` is told.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::connectors) struct DeleteInput {
    pub(in crate::connectors) slug: Slug,
}

/// The end of a connector's secret, in every version.
pub(super) struct DestroySecret(pub(super) World);

#[async_trait]
impl Step for DestroySecret {
    fn name(&self) -> &'static str {
        DELETE_STEPS[0]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let names = TenantNames::of(&cx.input::<DeleteInput>()?.slug);
        Ok(self.0.secrets.destroy_all(&names, target(cx)?).await?)
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
