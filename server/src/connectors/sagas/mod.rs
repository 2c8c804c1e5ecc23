//! `connector_create`: secret stored → verified → in force, or nothing is left.
//! `connector_update`: the new secret stored beside the old → verified → in force → the old destroyed;
//!   what fails before it is in force leaves what was.
//! `connector_rotate`: the same with a secret that is sent or that the far side makes; the old one is
//!   kept for a while.
//! `connector_retire`: that old one revoked, where asked for → destroyed.
//! `connector_delete`: secret revoked, where asked for → destroyed → record gone.
//!
//! A secret that comes with a request is the request's own work (see the module above); here it is only
//! looked for.

mod create;
mod delete;
mod update;

use std::collections::BTreeMap;

use async_trait::async_trait;
use integraci_api::catalogue;
use integraci_api::connectors::VerifyMode;
use integraci_api::operations::OperationKind;
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, ProblemCode, SecretText, Slug};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::in_force::{Finding, Held, InForce, SecretInForce};
use super::secrets::{ConnectorSecrets, SecretError};
use super::verify::{Subject, Verifier, VerifyError};
use crate::events::{self, Kind};
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError, panic_point};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError};

pub(super) use create::CREATE_STEPS;
pub(super) use delete::{
    DELETE_STEPS, RETIRE_STEPS, REVOKE_AND_DELETE_STEPS, REVOKE_AND_RETIRE_STEPS, Removal,
};
pub(super) use update::{Change, MINT_STEPS, ROTATE_STEPS, Rotation, UPDATE_STEPS};

/// What an operation is to put in force, verify, or take away. Holds no secret: a version of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) slug: Slug,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) config: Map<String, Value>,
    pub(super) verify: VerifyMode,
    pub(super) rotate_every_days: Option<u32>,
    /// The version of its secret; 0 when it has none.
    pub(super) secret_version: i64,
    /// The far side makes that version.
    pub(super) secret_minted: bool,
    /// How many values that version has; see [`SecretInForce::values`].
    #[serde(default)]
    pub(super) secret_values: Option<i64>,
}

impl Candidate {
    fn names(&self) -> TenantNames {
        TenantNames::of(&self.slug)
    }

    fn into_in_force(self, now: OffsetDateTime) -> InForce {
        let set_at = Some(now).filter(|_| self.secret_version > 0);
        InForce {
            name: self.name,
            config: self.config,
            verify: self.verify,
            rotate_every_days: self.rotate_every_days,
            secret: SecretInForce {
                version: self.secret_version,
                set_at,
                minted: self.secret_minted,
                values: self.secret_values,
            },
            retiring: None,
        }
    }
}

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

    /// Whether the connector is still the operation's.
    async fn holds(&self, cx: &StepCx) -> Result<bool, StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        Ok(held(cx)?.is_held(tx.conn()).await?)
    }

    /// Has a secret that the far side made for nothing revoked there, if it was stored and can be: nobody
    /// else has it.
    async fn forget_minted(&self, cx: &StepCx, candidate: &Candidate) {
        if !candidate.secret_minted {
            return;
        }
        let Ok(connector) = target(cx) else { return };
        let stored = self.secrets.get(&candidate.names(), connector, candidate.secret_version).await;
        if let Ok(secrets) = stored {
            self.revoke_if_it_can_be(&self.subject(cx, connector, candidate, &secrets)).await;
        }
    }

    /// Revokes a secret that nobody needs. One that stays ends by itself.
    async fn revoke_if_it_can_be(&self, subject: &Subject<'_>) {
        let can_be = catalogue::kind(subject.kind).is_some_and(|kind| kind.revoked_by.is_some());
        if can_be && let Err(error) = self.verifier.revoke(subject).await {
            tracing::warn!(%error, connector = %subject.connector, "a secret that was made for nothing is still good");
        }
    }

    /// Ends the operation's hold on the connector.
    async fn let_go(&self, cx: &StepCx, told: Option<Kind>) -> Result<(), StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        let let_go = held(cx)?.let_go(tx.conn()).await?;
        if let (Some(happened), Some(connector)) = (told, let_go) {
            self.tell(&mut tx, cx, happened, connector).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A candidate as its far side is asked about it.
    fn subject<'a>(
        &self,
        cx: &StepCx,
        connector: ConnectorId,
        candidate: &'a Candidate,
        secrets: &'a BTreeMap<String, SecretText>,
    ) -> Subject<'a> {
        Subject {
            tenant: cx.tenant,
            connector,
            name: &candidate.name,
            kind: &candidate.kind,
            config: &candidate.config,
            secrets,
            now: cx.now,
            attempt: self.source.uuid(),
        }
    }
}

/// Every saga of connectors.
#[must_use]
pub fn definitions(
    store: &Store,
    secrets: &ConnectorSecrets,
    verifier: &Verifier,
    source: Source,
) -> Vec<Definition> {
    use OperationKind::{
        ConnectorCreate, ConnectorDelete, ConnectorRetire, ConnectorRotate, ConnectorUpdate,
    };
    let world = World { store: store.clone(), secrets: secrets.clone(), verifier: verifier.clone(), source };
    let world = || world.clone();
    let verified = |kind, needs| Box::new(Verified { kind, world: world(), needs });
    let put = || Box::new(update::PutInForce(world()));
    let destroyed = |needs| Box::new(delete::DestroySecret { world: world(), needs });
    let retired = |needs| Box::new(delete::DestroyRetired { world: world(), needs });
    let definition = |kind, direction, steps: Vec<Box<dyn Step>>| Definition { kind, direction, steps };
    vec![
        definition(
            ConnectorCreate,
            Direction::OrNothing,
            vec![
                Box::new(create::FirstSecret(world())),
                verified(ConnectorCreate, STORED),
                Box::new(create::Activate(world())),
            ],
        ),
        definition(
            ConnectorUpdate,
            Direction::OrNothing,
            vec![
                Box::new(update::NextSecret(world())),
                verified(ConnectorUpdate, STORED),
                put(),
                Box::new(update::DestroyOld(world())),
            ],
        ),
        definition(
            ConnectorRotate,
            Direction::OrNothing,
            vec![
                Box::new(update::NextSecret(world())),
                verified(ConnectorRotate, STORED),
                put(),
                Box::new(update::KeepOld(world())),
            ],
        ),
        definition(
            ConnectorRotate,
            Direction::OrNothing,
            vec![
                Box::new(update::MintedSecret(world())),
                verified(ConnectorRotate, MINTED),
                put(),
                Box::new(update::KeepOld(world())),
            ],
        ),
        definition(ConnectorRetire, Direction::ForwardOnly, vec![retired(&[])]),
        definition(
            ConnectorRetire,
            Direction::OrNothing,
            vec![Box::new(delete::Revoked { world: world(), must_be: false }), retired(REVOKED)],
        ),
        definition(
            ConnectorDelete,
            Direction::ForwardOnly,
            vec![destroyed(&[]), Box::new(delete::Remove(world()))],
        ),
        definition(
            ConnectorDelete,
            Direction::OrNothing,
            vec![
                Box::new(delete::Revoked { world: world(), must_be: true }),
                destroyed(REVOKED),
                Box::new(delete::Remove(world())),
            ],
        ),
    ]
}

const STORED: &[&str] = &["secret_stored"];
const MINTED: &[&str] = &["secret_minted"];
const REVOKED: &[&str] = &["secret_revoked"];

fn target(cx: &StepCx) -> Result<ConnectorId, StepError> {
    cx.target.parse().map_err(|_| StepError::broken("The operation's target is not a connector."))
}

fn held(cx: &StepCx) -> Result<Held, StepError> {
    Ok(Held { connector: target(cx)?.uuid(), operation: cx.operation.uuid(), now: cx.now })
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

/// The far side's word that configuration and secret are good; where that is not required, whatever its
/// word is, written down.
struct Verified {
    /// The saga that it is a step of.
    kind: OperationKind,
    world: World,
    needs: &'static [&'static str],
}

#[async_trait]
impl Step for Verified {
    fn name(&self) -> &'static str {
        CREATE_STEPS[1]
    }

    fn needs(&self) -> &[&'static str] {
        self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let candidate = cx.input::<Candidate>()?;
        let connector = target(cx)?;
        if candidate.verify == VerifyMode::Off {
            return Ok(());
        }
        let secrets = match candidate.secret_version {
            0 => BTreeMap::new(),
            version => self.world.secrets.get(&candidate.names(), connector, version).await?,
        };
        let subject = self.world.subject(cx, connector, &candidate, &secrets);
        panic_point(self.kind, self.name());
        let asked = self.world.verifier.verify(&subject).await;
        if let (VerifyMode::Required, Err(error)) = (candidate.verify, &asked) {
            return Err(refusal(error));
        }
        let mut tx = self.world.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        held(cx)?.found(tx.conn(), &Finding::of(&asked, cx.now)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The far side was only asked.
    async fn undo(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}

/// Deletes the connector and gives back what it holds of the quota, in one statement.
async fn remove(world: &World, cx: &StepCx, told: Option<Kind>) -> Result<(), StepError> {
    let mut tx = world.store.platform_tx().await?;
    cx.fence.hold(&mut tx).await?;
    let removed: Option<NameAndKind> = sqlx::query_as(concat!(
        "WITH gone AS (
           DELETE FROM connector WHERE tenant_id = $1 AND id = $2
           RETURNING tenant_id, name, kind, (status = 'installing')::int AS making, secrets, secrets_reserved),
         moves (tenant_id, dimension, used, reserved) AS (
           SELECT tenant_id, 'connectors', making - 1, -making FROM gone
           UNION ALL SELECT tenant_id, 'secrets', -secrets, -secrets_reserved FROM gone), ",
        include_str!("../../quotas/moved.sql"),
        "SELECT name, kind FROM gone",
    ))
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
    failed(error, "the far side refused the connector's configuration or secret; correct it and try again")
}

/// The same of a secret that was to be revoked.
fn not_revoked(error: &VerifyError) -> StepError {
    failed(
        error,
        "the far side did not revoke the secret, and everything is left as it was; try again, or say `forget` and \
         revoke it there",
    )
}

fn failed(error: &VerifyError, refused: &'static str) -> StepError {
    let step_error = match error {
        VerifyError::Refused { .. } => StepError::refused(ProblemCode::VerificationFailed, refused),
        VerifyError::Busy { retry_after } => {
            StepError::busy("The far side asks to be called later.", *retry_after)
        }
        VerifyError::Unreachable { .. } => StepError::broken("The far side does not give a usable answer."),
    };
    step_error.with_code(ProblemCode::VerificationFailed).with_errors(error.faults())
}
