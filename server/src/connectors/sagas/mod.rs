//! `connector_create`: secret stored → verified → in force, or nothing is left.
//! `connector_update`: the new secret stored beside the old → verified → in force → the old destroyed;
//!   what fails before it is in force leaves what was.
//! `connector_delete`: secret destroyed → record gone; only goes forward.
//!
//! The secret's step is the request's own work (see the module above); here it is only looked for.

mod create;
mod delete;
mod update;

use async_trait::async_trait;
use integraci_api::operations::OperationKind;
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, ProblemCode};
use serde_json::{Map, Value};

use super::secrets::{ConnectorSecrets, SecretError};
use super::verify::{Subject, Verifier, VerifyError};
use crate::events::{self, Kind};
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError};

pub(super) use create::{CREATE_STEPS, CreateInput};
pub(super) use delete::{DELETE_STEPS, DeleteInput};
pub(super) use update::{Before, UPDATE_STEPS, UpdateInput};

/// What is told of a connector beside its id.
type NameAndKind = (String, String);

/// What the steps work with.
#[derive(Clone)]
struct World {
    store: Store,
    secrets: ConnectorSecrets,
    verifier: Verifier,
    source: Source,
}

impl World {
    /// Writes down what became of the connector.
    async fn tell(
        &self,
        tx: &mut PlatformTx,
        cx: &StepCx,
        happened: Kind,
        (name, kind): NameAndKind,
    ) -> Result<(), StoreError> {
        let facts = serde_json::json!({ "name": name, "kind": kind });
        events::emit(tx, self.source.uuid(), cx.tenant, happened, &cx.target, facts).await
    }
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
                Box::new(create::FirstSecret(world.clone())),
                Box::new(Verified(world.clone())),
                Box::new(create::Activate(world.clone())),
            ],
        },
        Definition {
            kind: OperationKind::ConnectorUpdate,
            direction: Direction::OrNothing,
            steps: vec![
                Box::new(update::NextSecret(world.clone())),
                Box::new(Verified(world.clone())),
                Box::new(update::PutInForce(world.clone())),
                Box::new(update::DestroyOld(world.clone())),
            ],
        },
        Definition {
            kind: OperationKind::ConnectorDelete,
            direction: Direction::ForwardOnly,
            steps: vec![Box::new(delete::DestroySecret(world.clone())), Box::new(delete::Remove(world))],
        },
    ]
}

/// What is verified: the same for a create and an update.
struct Candidate {
    names: TenantNames,
    name: String,
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
                name: update.name,
                kind: update.kind,
                config: update.config,
                version: update.new_version,
            }),
            Err(_) => create.map(|create| Self {
                names: TenantNames::of(&create.slug),
                name: create.name,
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
            tenant: cx.tenant,
            connector: target(cx)?,
            name: &candidate.name,
            kind: &candidate.kind,
            config: &candidate.config,
            secrets: &secrets,
            now: cx.now,
            attempt: self.0.source.uuid(),
        };
        self.0.verifier.verify(&subject).await.map(drop).map_err(|error| refusal(&error))
    }

    /// The far side was only asked.
    async fn undo(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}

/// Deletes the connector and gives its place in the quota back, in one statement.
async fn remove(world: &World, cx: &StepCx, told: Option<Kind>) -> Result<(), StepError> {
    let mut tx = world.store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    let removed: Option<NameAndKind> = sqlx::query_as(
        "WITH gone AS (DELETE FROM connector WHERE tenant_id = $1 AND id = $2 RETURNING name, kind),
           given_back AS (UPDATE quota SET used = used - 1 FROM gone WHERE tenant_id = $1 AND dimension = 'connectors')
         SELECT name, kind FROM gone",
    )
    .bind(cx.tenant.uuid())
    .bind(target(cx)?.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("remove a connector"))?;
    if let (Some(happened), Some(connector)) = (told, removed) {
        world.tell(&mut tx, cx, happened, connector).await?;
    }
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
