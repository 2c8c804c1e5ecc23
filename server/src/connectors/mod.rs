//! Connectors: what ties a tenant to a system outside.
//!
//! A connector's secrets live in the tenant's OpenBao and nowhere else; the far side is only ever
//! called through [`outbound`].
//!
//! The secret comes with the request and must not be written down on its way. So the request first
//! writes the connector and its operation, which it holds; then puts the secret into OpenBao; then
//! lets the operation go. The saga finds the secret there, or finds that it never came, whichever
//! replica it runs on and whatever died meanwhile.

mod change;
mod deliveries;
mod in_force;
pub mod inbound;
mod keeper;
pub mod outbound;
mod row;
mod sagas;
pub mod secrets;
mod store;
pub mod verify;
mod webhook;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};
use integraci_api::connectors::{
    Connector, ConnectorCreate, ConnectorStatus, OldSecret, SecretComparison, SecretDifference,
};
use integraci_api::operations::{Operation, OperationKind};
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, FieldProblem, OperationId, Page, Problem, ProblemCode, catalogue};
use url::Url;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::page::Slice;
use crate::saga::log::{self, NewOperation};
use crate::source::Source;
use crate::store::Store;
use crate::tenants::{self, usable_tenant};

pub use deliveries::Deliveries;
pub use keeper::Keeper;
use row::Known;
pub use sagas::definitions;
use sagas::{CREATE_STEPS, Candidate, DELETE_STEPS, REVOKE_AND_DELETE_STEPS, Removal};
use secrets::{ConnectorSecrets, SecretError};

/// How long a request may take to put a secret into OpenBao before its operation is taken from it.
const HELD_FOR: Duration = Duration::from_secs(30);
/// What a client is told to wait when OpenBao is away: about as long as a leader election takes.
const OPENBAO_RETRY_AFTER: Duration = Duration::from_secs(2);
/// Why a connector is not changed while it is.
const BUSY: &str = "the connector is being changed by another operation; try again when that has ended";
/// Comparisons of one connector's secret a minute: a plan asks once or twice, and a guesser learns
/// nothing at this rate.
const COMPARISONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Verifications of one connector a minute that somebody asks for: a far side's patience is not ours to
/// use up.
const VERIFICATIONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How many connectors the limits above remember before they forget those that were quiet since.
const LIMITED_MAX: usize = 10_000;

/// Makes, reads, changes and removes connectors.
#[derive(Clone)]
pub struct Connectors {
    store: Store,
    source: Source,
    secrets: ConnectorSecrets,
    replica: Arc<str>,
    keeper: Keeper,
    public_url: Option<Url>,
    comparisons: Arc<DefaultKeyedRateLimiter<ConnectorId>>,
    verifications: Arc<DefaultKeyedRateLimiter<ConnectorId>>,
}

impl Connectors {
    /// Connectors kept in this store, their secrets in that OpenBao; `replica` is this process's name
    /// as a holder of operations, `public_url` where far sides reach the platform.
    #[must_use]
    pub fn new(
        store: Store,
        source: Source,
        secrets: ConnectorSecrets,
        keeper: Keeper,
        replica: Arc<str>,
        public_url: Option<Url>,
    ) -> Self {
        let comparisons = Arc::new(RateLimiter::keyed(Rate::per_minute(COMPARISONS_PER_MINUTE)));
        let verifications = Arc::new(RateLimiter::keyed(Rate::per_minute(VERIFICATIONS_PER_MINUTE)));
        Self { store, source, secrets, replica, keeper, public_url, comparisons, verifications }
    }

    /// Starts to install a connector.
    ///
    /// # Errors
    /// `invalid_request`, `not_found`, `busy`, `suspended`, `quota_exceeded`, `name_taken`,
    /// `unavailable` when OpenBao did not take the secret, or the store's.
    pub async fn create(
        &self,
        by: &TenantAuthority,
        once: &Once,
        wanted: &ConnectorCreate,
    ) -> Result<Answer<Operation>, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        if let Some(answer) = once.replay(&mut tx).await? {
            return Ok(answer);
        }
        let tenant = usable_tenant(&mut tx).await?;
        wanted.check().map_err(Error::invalid)?;
        let now = self.source.now();
        let id = ConnectorId::from_uuid(self.source.uuid());
        let operation_id = OperationId::from_uuid(self.source.uuid());
        store::insert(&mut tx, id, operation_id, wanted, now).await?;
        store::tenant_used(&mut tx, now).await?;
        let has_secret = !wanted.secrets.is_empty();
        let input = Candidate {
            slug: tenant.slug.clone(),
            kind: wanted.kind.clone(),
            name: wanted.name.clone(),
            config: wanted.config.clone(),
            verify: wanted.verify,
            rotate_every_days: wanted.rotate_every_days,
            secret_version: i64::from(has_secret),
            secret_minted: false,
            secret_values: Some(secrets::count(&wanted.secrets)),
        };
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorCreate,
            target_id: id.to_string(),
            input: as_input(&input)?,
            steps: CREATE_STEPS,
        };
        if !has_secret {
            let operation = log::operation_insert(&mut tx, &new).await?;
            once.record(&mut tx, Some(by.tenant()), &operation).await?;
            tx.commit().await?;
            return Ok(Answer::first(operation));
        }
        let (operation, fence) = log::operation_insert_held(&mut tx, &new, &self.replica, HELD_FOR).await?;
        once.record(&mut tx, Some(by.tenant()), &operation).await?;
        tx.commit().await?;
        let put = self.put_secret(new.kind, &tenant.names, id, 0, &wanted.secrets).await;
        self.release(by.tenant(), &fence, &put).await?;
        match put {
            Ok(()) => Ok(Answer::first(operation)),
            Err(fault) => Err(secret_fault(&fault)),
        }
    }

    /// The connector.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority, id: ConnectorId) -> Result<Connector, Error> {
        let known = store::read(&mut self.store.tenant_tx(by.tenant()).await?, id).await?;
        Ok(self.shown(known.connector))
    }

    /// The connector with the address that its far side sends to.
    fn shown(&self, connector: Connector) -> Connector {
        let inbound_url = inbound::address(self.public_url.as_ref(), &connector.kind, connector.id);
        Connector { inbound_url, ..connector }
    }

    /// One page of the tenant's connectors.
    ///
    /// # Errors
    /// `not_found` for a tenant that is not there, or the store's.
    pub async fn list(
        &self,
        by: &TenantAuthority,
        name: Option<&str>,
        kind: Option<&str>,
        slice: Slice,
    ) -> Result<Page<Connector>, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        let page = store::list(&mut tx, name, kind, slice).await?;
        let items = page.items.into_iter().map(|connector| self.shown(connector)).collect();
        Ok(Page { items, ..page })
    }

    /// Starts to remove a connector and destroy its secret, at the far side too where that is asked for.
    /// One that is being removed already answers with the operation that does it.
    ///
    /// # Errors
    /// `invalid_request`, `not_found`, `precondition_failed`, `busy`, or the store's.
    pub async fn delete(
        &self,
        by: &TenantAuthority,
        id: ConnectorId,
        expected: Option<i64>,
        old_secret: OldSecret,
    ) -> Result<Operation, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::lock(&mut tx, by.tenant(), None).await?;
        let known = store::lock(&mut tx, id, None).await?;
        if known.connector.status == ConnectorStatus::Deleting {
            return tenants::running_for(&mut tx, &id.to_string(), OperationKind::ConnectorDelete).await;
        }
        known.refuse_unless(expected)?;
        tenants::refuse_unless_active(&tenant)?;
        if known.operation.is_some() {
            return Err(tenants::busy_problem(BUSY));
        }
        let wanted = old_secret == OldSecret::Revoke;
        let in_force = Some(known.connector.secret_version).filter(|version| wanted && *version > 0);
        // One that is kept from a rotation was to be revoked, or is to be now.
        let retiring = known.connector.retiring.as_ref().map(|retiring| retiring.secret_version);
        let retiring = retiring.filter(|_| wanted || known.retire_revokes);
        let revoked: Vec<_> = retiring.into_iter().chain(in_force).collect();
        if !revoked.is_empty() && kind_of(&known.connector)?.revoked_by.is_none() {
            return Err(cannot_revoke(&known.connector.kind));
        }
        let operation_id = OperationId::from_uuid(self.source.uuid());
        let (now, status) = (self.source.now(), ConnectorStatus::Deleting);
        store::hold(&mut tx, &known, operation_id, status, known.secrets, now).await?;
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorDelete,
            target_id: id.to_string(),
            steps: if revoked.is_empty() { DELETE_STEPS } else { REVOKE_AND_DELETE_STEPS },
            input: as_input(&Removal {
                candidate: known.as_candidate(&tenant.slug, known.connector.secret_version),
                revoked,
            })?,
        };
        let operation = log::operation_insert(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(operation)
    }

    /// Whether these secrets differ from those in force. Compared here, in constant time; told to the
    /// log, without the values; and not more often than a plan needs.
    ///
    /// # Errors
    /// `invalid_request`, `not_found`, `rate_limited`, `unavailable`, or the store's.
    pub async fn compare(
        &self,
        by: &TenantAuthority,
        id: ConnectorId,
        given: &SecretComparison,
    ) -> Result<SecretDifference, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::read_for(&mut tx).await?;
        let Known { connector, secret_minted, .. } = store::read(&mut tx, id).await?;
        tx.commit().await?;
        let kind = kind_of(&connector)?;
        kind.check_secrets(&given.secrets, "/secrets").map_err(Error::invalid)?;
        const OFTEN: &str = "this connector's secret was compared too often; wait, or set secret_wo_version";
        refuse_too_often(&self.comparisons, id, OFTEN)?;
        let same = self.is_same(&tenant.names, &connector, secret_minted, given).await;
        let same = same.map_err(|fault| secret_fault(&fault))?;
        tracing::info!(token = %by.token(), connector = %id, differs = !same, "a connector's secret was compared");
        Ok(SecretDifference { differs: !same, secret_version: connector.secret_version })
    }

    /// Asks the far side now whether it takes the connector's configuration and secret, and says how the
    /// connector is then.
    ///
    /// # Errors
    /// `not_found`, `busy`, `suspended`, `rate_limited`, `unavailable`, or the store's.
    pub async fn verify_now(&self, by: &TenantAuthority, id: ConnectorId) -> Result<Connector, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        usable_tenant(&mut tx).await?;
        let known = store::read(&mut tx, id).await?;
        tx.commit().await?;
        if known.operation.is_some() || known.connector.status != ConnectorStatus::Active {
            return Err(tenants::busy_problem(BUSY));
        }
        refuse_too_often(&self.verifications, id, "this connector was verified too often; wait")?;
        self.keeper.look_now(id).await?;
        self.get(by, id).await
    }

    async fn is_same(
        &self,
        names: &TenantNames,
        connector: &Connector,
        secret_minted: bool,
        given: &SecretComparison,
    ) -> Result<bool, SecretError> {
        let version = connector.secret_version;
        let retiring = connector.retiring.as_ref().map(|retiring| retiring.secret_version);
        if !self.secrets.is_newest(names, connector.id, version, retiring).await? {
            // Somebody changed it by hand: what is configured must be sent again.
            return Ok(false);
        }
        match version {
            0 => Ok(given.secrets.is_empty()),
            // The far side made it since: what is configured was only the first.
            _ if secret_minted && !given.secrets.is_empty() => Ok(true),
            _ => match self.secrets.compare(names, connector.id, version, &given.secrets).await {
                Err(SecretError::Missing { .. }) => Ok(false),
                compared => compared,
            },
        }
    }
}

fn refuse_too_often(
    limit: &DefaultKeyedRateLimiter<ConnectorId>,
    id: ConnectorId,
    detail: &'static str,
) -> Result<(), Error> {
    if limit.len() > LIMITED_MAX {
        limit.retain_recent();
    }
    limit.check_key(&id).map_err(|until| Error::Later {
        problem: Box::new(Problem::new(ProblemCode::RateLimited, detail)),
        retry_after: until.wait_time_from(DefaultClock::default().now()),
    })
}

fn secret_fault(fault: &SecretError) -> Error {
    tracing::warn!(error = %fault, "OpenBao did not serve a connector's secret");
    Error::unavailable("OpenBao", OPENBAO_RETRY_AFTER)
}

fn kind_of(connector: &Connector) -> Result<&'static catalogue::Kind, Error> {
    catalogue::kind(&connector.kind).ok_or(Error::Internal("a stored kind is not in the catalogue"))
}

fn cannot_revoke(kind: &str) -> Error {
    let detail =
        format!("a secret of a {kind} cannot be revoked from here; say `forget` and revoke it there");
    Error::invalid(vec![FieldProblem::new("/old_secret", detail)])
}

fn as_input(input: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(input).map_err(|_| Error::Internal("a saga's input does not serialise"))
}
