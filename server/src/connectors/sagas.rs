//! `connector_create`: secret stored → verified → in force, or nothing is left.
//! `connector_update`: the new secret stored beside the old → verified → in force → the old destroyed;
//!   what fails before it is in force leaves what was.
//! `connector_delete`: secret destroyed → record gone; only goes forward.
//!
//! The secret's step is the request's own work (see the module above); here it is only looked for.

use async_trait::async_trait;
use integraci_api::operations::OperationKind;
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, ProblemCode, Slug};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::secrets::{ConnectorSecrets, SecretError};
use super::verify::{Subject, Verifier, VerifyError};
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError};
use crate::source::Source;
use crate::store::{Store, StoreError};

/// The steps of `connector_create`.
pub(super) const CREATE_STEPS: &[&str] = &["secret_stored", "verified", "connector_activate"];
/// The steps of `connector_update`.
pub(super) const UPDATE_STEPS: &[&str] =
    &["secret_stored", "verified", "connector_activate", "old_secret_destroyed"];
/// The steps of `connector_delete`.
pub(super) const DELETE_STEPS: &[&str] = &["secret_destroyed", "connector_removal"];

/// What `connector_create` is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CreateInput {
    pub(super) slug: Slug,
    pub(super) kind: String,
    pub(super) config: Map<String, Value>,
}

/// What `connector_update` is told. The versions are equal when no secret came with the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UpdateInput {
    pub(super) slug: Slug,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) config: Map<String, Value>,
    pub(super) old_version: i64,
    pub(super) new_version: i64,
}

/// What `connector_delete` is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeleteInput {
    pub(super) slug: Slug,
}

/// What the steps work with.
#[derive(Clone)]
struct World {
    store: Store,
    secrets: ConnectorSecrets,
    verifier: Verifier,
    source: Source,
}

/// The three sagas.
#[must_use]
pub fn definitions(
    store: &Store,
    secrets: &ConnectorSecrets,
    verifier: &Verifier,
    source: Source,
) -> [Definition; 3] {
    let world = World { store: store.clone(), secrets: secrets.clone(), verifier: verifier.clone(), source };
    [
        Definition {
            kind: OperationKind::ConnectorCreate,
            direction: Direction::OrNothing,
            steps: vec![
                Box::new(FirstSecret(world.clone())),
                Box::new(Verified(world.clone())),
                Box::new(Activate(world.clone())),
            ],
        },
        Definition {
            kind: OperationKind::ConnectorUpdate,
            direction: Direction::OrNothing,
            steps: vec![
                Box::new(NextSecret(world.clone())),
                Box::new(Verified(world.clone())),
                Box::new(PutInForce(world.clone())),
                Box::new(DestroyOld(world.clone())),
            ],
        },
        Definition {
            kind: OperationKind::ConnectorDelete,
            direction: Direction::ForwardOnly,
            steps: vec![Box::new(DestroySecret(world.clone())), Box::new(Remove(world))],
        },
    ]
}

/// What is verified: the same for a create and an update.
struct Candidate {
    names: TenantNames,
    kind: String,
    config: Map<String, Value>,
    version: i64,
}

impl Candidate {
    /// An update's input has all that a create's has, and the version.
    fn of(cx: &StepCx) -> Result<Self, StepError> {
        let create = cx.input::<CreateInput>();
        match cx.input::<UpdateInput>() {
            Ok(update) => Ok(Self {
                names: TenantNames::of(&update.slug),
                kind: update.kind,
                config: update.config,
                version: update.new_version,
            }),
            Err(_) => create.map(|create| Self {
                names: TenantNames::of(&create.slug),
                kind: create.kind,
                config: create.config,
                version: 1,
            }),
        }
    }
}

fn target(cx: &StepCx) -> Result<ConnectorId, StepError> {
    cx.target.parse().map_err(|_| StepError::broken("The operation's target is not a connector."))
}

fn secret_lost() -> StepError {
    StepError::refused(
        ProblemCode::SecretLost,
        "the secret did not reach OpenBao before the server that had it went away; send the request again",
    )
}

impl From<SecretError> for StepError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::System(system) => system.into(),
            SecretError::Missing { .. } => secret_lost(),
            SecretError::Conflict { .. } => Self::refused(
                ProblemCode::PreconditionFailed,
                "the secret was changed by somebody else at the same time; read the connector and try again",
            ),
        }
    }
}

/// A new connector's secret. Its undo removes the connector with it.
struct FirstSecret(World);

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
        remove(&self.0.store, cx).await
    }
}

/// A change's new secret, stored as the next version beside the one in force. Its undo lets the
/// connector go as it was.
struct NextSecret(World);

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
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query(
            "UPDATE connector SET status = 'active', operation_id = NULL, revision = revision + 1, updated_at = $3
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .bind(cx.now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("let a connector go"))?;
        tx.commit().await?;
        Ok(())
    }
}

/// The far side's word that configuration and secret are good.
struct Verified(World);

#[async_trait]
impl Step for Verified {
    fn name(&self) -> &'static str {
        CREATE_STEPS[1]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["secret_stored"]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let candidate = Candidate::of(cx)?;
        let secrets = self.0.secrets.get(&candidate.names, target(cx)?, candidate.version).await?;
        let subject = Subject {
            connector: target(cx)?,
            kind: &candidate.kind,
            config: &candidate.config,
            secrets: &secrets,
            now: cx.now,
            attempt: self.0.source.uuid(),
        };
        self.0.verifier.verify(&subject).await.map_err(|error| refusal(&error))
    }

    /// The far side was only asked.
    async fn undo(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}

/// A new connector from now on in use.
struct Activate(World);

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
        sqlx::query(
            "UPDATE connector SET status = 'active', operation_id = NULL, secret_version = 1, secret_set_at = $3,
               last_verified_at = $3, revision = revision + 1, updated_at = $3
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .bind(cx.now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("activate a connector"))?;
        tx.commit().await?;
        Ok(())
    }

    /// What follows in an undo removes the connector whole.
    async fn undo(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}

/// A change from now on in force. After this there is no way back: the old secret is destroyed next.
struct PutInForce(World);

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
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query(
            "UPDATE connector SET name = $3, config = $4, secret_version = $5,
               secret_set_at = CASE WHEN $6 THEN $7 ELSE secret_set_at END, last_verified_at = $7, updated_at = $7
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .bind(&input.name)
        .bind(sqlx::types::Json(&input.config))
        .bind(input.new_version)
        .bind(input.new_version != input.old_version)
        .bind(cx.now)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("put a connector's change in force"))?;
        tx.commit().await?;
        Ok(())
    }
}

/// The end of the secret that was in force before, and of the operation's hold on the connector.
struct DestroyOld(World);

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
        let mut tx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        sqlx::query(
            "UPDATE connector SET status = 'active', operation_id = NULL, revision = revision + 1
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(target(cx)?.uuid())
        .bind(cx.operation.uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("let a connector go"))?;
        tx.commit().await?;
        Ok(())
    }
}

/// The end of a connector's secret, in every version.
struct DestroySecret(World);

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
struct Remove(World);

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
        remove(&self.0.store, cx).await
    }
}

/// Deletes the connector and gives its place in the quota back, in one statement.
async fn remove(store: &Store, cx: &StepCx) -> Result<(), StepError> {
    let mut tx = store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    sqlx::query(
        "WITH gone AS (DELETE FROM connector WHERE tenant_id = $1 AND id = $2 RETURNING 1)
         UPDATE quota SET used = used - 1 FROM gone WHERE tenant_id = $1 AND dimension = 'connectors'",
    )
    .bind(cx.tenant.uuid())
    .bind(target(cx)?.uuid())
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("remove a connector"))?;
    tx.commit().await?;
    Ok(())
}

/// What a failed verification means to the saga: a far side that says no has said it, one that does
/// not answer is asked again. Either way the fields to look at are named.
fn refusal(error: &VerifyError) -> StepError {
    let step_error = match error {
        VerifyError::Refused { .. } => StepError::refused(
            ProblemCode::VerificationFailed,
            "the far side refused the connector's configuration or secret; correct it and try again",
        ),
        VerifyError::Busy { retry_after } => {
            StepError::busy("The far side asks to be called later.", *retry_after)
        }
        VerifyError::Unreachable { .. } => StepError::broken("The far side does not give a usable answer."),
    };
    step_error.with_code(ProblemCode::VerificationFailed).with_errors(error.faults())
}
