//! Connectors: what ties a tenant to a system outside.
//!
//! A connector's secrets live in the tenant's OpenBao and nowhere else; the far side is only ever
//! called through [`outbound`].
//!
//! The secret comes with the request and must not be written down on its way. So the request first
//! writes the connector and its operation, which it holds; then puts the secret into OpenBao; then
//! lets the operation go. The saga finds the secret there, or finds that it never came, whichever
//! replica it runs on and whatever died meanwhile.

pub mod outbound;
mod row;
mod sagas;
pub mod secrets;
mod store;
pub mod verify;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};
use integraci_api::connectors::{
    Connector, ConnectorCreate, ConnectorStatus, ConnectorUpdate, SecretComparison, SecretDifference,
};
use integraci_api::operations::{Operation, OperationKind};
use integraci_api::tenants::{Tenant, TenantNames};
use integraci_api::{ConnectorId, OperationId, Page, Problem, ProblemCode, SecretText, TenantId, catalogue};

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::isolation::{ErrorClass, System, SystemError};
use crate::page::Slice;
use crate::saga::log::{self, NewOperation};
use crate::saga::{Fault, Fence, Point, crash_point, fault_point};
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants;

pub use sagas::definitions;
use sagas::{Before, CREATE_STEPS, CreateInput, DELETE_STEPS, DeleteInput, UPDATE_STEPS, UpdateInput};
use secrets::{ConnectorSecrets, SecretError};

/// How long a request may take to put a secret into OpenBao before its operation is taken from it.
const HELD_FOR: Duration = Duration::from_secs(30);
/// What a client is told to wait when OpenBao is away: about as long as a leader election takes.
const OPENBAO_RETRY_AFTER: Duration = Duration::from_secs(2);
/// Comparisons of one connector's secret a minute: a plan asks once or twice, and a guesser learns
/// nothing at this rate.
const COMPARISONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Makes, reads, changes and removes connectors.
#[derive(Clone)]
pub struct Connectors {
    store: Store,
    source: Source,
    secrets: ConnectorSecrets,
    replica: Arc<str>,
    comparisons: Arc<DefaultKeyedRateLimiter<ConnectorId>>,
}

impl Connectors {
    /// Connectors kept in this store, their secrets in that OpenBao; `replica` is this process's name
    /// as a holder of operations.
    #[must_use]
    pub fn new(store: Store, source: Source, secrets: ConnectorSecrets, replica: Arc<str>) -> Self {
        let comparisons = Arc::new(RateLimiter::keyed(Rate::per_minute(COMPARISONS_PER_MINUTE)));
        Self { store, source, secrets, replica, comparisons }
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
        let input = CreateInput {
            slug: tenant.slug.clone(),
            name: wanted.name.clone(),
            kind: wanted.kind.clone(),
            config: wanted.config.clone(),
        };
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorCreate,
            target_id: id.to_string(),
            input: as_input(&input)?,
            steps: CREATE_STEPS,
        };
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
        store::read(&mut self.store.tenant_tx(by.tenant()).await?, id).await
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
        store::list(&mut tx, name, kind, slice).await
    }

    /// Starts to change a connector. Until the change is verified, what was there stays in force.
    ///
    /// # Errors
    /// `invalid_request`, `not_found`, `precondition_failed`, `busy`, `suspended`, `name_taken`,
    /// `unavailable` when OpenBao did not take the secret, or the store's.
    pub async fn update(
        &self,
        by: &TenantAuthority,
        id: ConnectorId,
        expected: Option<i64>,
        wanted: &ConnectorUpdate,
    ) -> Result<Operation, Error> {
        // The version there is must be known before the row is locked: no transaction waits for OpenBao.
        let newest = match &wanted.secrets {
            None => None,
            Some(_) => {
                let tenant = tenants::read_for(&mut self.store.tenant_tx(by.tenant()).await?).await?;
                let newest = self.secrets.current_version(&tenant.names, id).await;
                Some(newest.map_err(|fault| secret_fault(&fault))?)
            }
        };
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = usable_tenant(&mut tx).await?;
        let (connector, operation) = store::lock(&mut tx, id, expected).await?;
        if operation.is_some() || connector.status != ConnectorStatus::Active {
            return Err(tenants::busy_problem(
                "the connector is being changed by another operation; try again when that has ended",
            ));
        }
        let kind = catalogue::kind(&connector.kind)
            .ok_or(Error::Internal("a stored kind is not in the catalogue"))?;
        wanted.check(kind).map_err(Error::invalid)?;
        if let Some(name) = &wanted.name {
            store::refuse_taken(&mut tx, name, Some(id)).await?;
        }
        let now = self.source.now();
        let operation_id = OperationId::from_uuid(self.source.uuid());
        store::hold(&mut tx, id, operation_id, ConnectorStatus::Updating.as_str(), now).await?;
        let input = UpdateInput {
            slug: tenant.slug.clone(),
            kind: connector.kind,
            name: wanted.name.clone().unwrap_or_else(|| connector.name.clone()),
            config: wanted.config.clone().unwrap_or_else(|| connector.config.clone()),
            old_version: connector.secret_version,
            new_version: newest.map_or(connector.secret_version, |newest| newest + 1),
            before: Before {
                name: connector.name,
                config: connector.config,
                secret_set_at: connector.secret_set_at,
            },
        };
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorUpdate,
            target_id: id.to_string(),
            input: as_input(&input)?,
            steps: UPDATE_STEPS,
        };
        let (Some(newest), Some(secrets)) = (newest, &wanted.secrets) else {
            let operation = log::operation_insert(&mut tx, &new).await?;
            tx.commit().await?;
            return Ok(operation);
        };
        let (operation, fence) = log::operation_insert_held(&mut tx, &new, &self.replica, HELD_FOR).await?;
        tx.commit().await?;
        match self.put_secret(new.kind, &tenant.names, id, newest, secrets).await {
            Err(SecretError::Conflict { .. }) => {
                // Somebody wrote into OpenBao by hand at this very moment. Nothing of ours is there,
                // so the operation is taken back rather than left to find a secret that is not its own.
                self.take_back(by.tenant(), id, &fence).await?;
                let detail = "the secret was changed by somebody else at the same time; read the connector and try again";
                Err(Problem::new(ProblemCode::PreconditionFailed, detail).at("/secrets").into())
            }
            put => {
                self.release(by.tenant(), &fence, &put).await?;
                put.map(|()| operation).map_err(|fault| secret_fault(&fault))
            }
        }
    }

    /// Starts to remove a connector and destroy its secret. One that is being removed already answers
    /// with the operation that does it.
    ///
    /// # Errors
    /// `not_found`, `precondition_failed`, `busy`, or the store's.
    pub async fn delete(
        &self,
        by: &TenantAuthority,
        id: ConnectorId,
        expected: Option<i64>,
    ) -> Result<Operation, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::lock(&mut tx, by.tenant(), None).await?;
        let (connector, operation) = store::lock(&mut tx, id, expected).await?;
        if connector.status == ConnectorStatus::Deleting {
            return tenants::running_for(&mut tx, &id.to_string(), OperationKind::ConnectorDelete).await;
        }
        tenants::refuse_unless_active(&tenant)?;
        if operation.is_some() {
            return Err(tenants::busy_problem(
                "the connector is being changed by another operation; try again when that has ended",
            ));
        }
        let operation_id = OperationId::from_uuid(self.source.uuid());
        store::hold(&mut tx, id, operation_id, ConnectorStatus::Deleting.as_str(), self.source.now()).await?;
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorDelete,
            target_id: id.to_string(),
            input: as_input(&DeleteInput { slug: tenant.slug })?,
            steps: DELETE_STEPS,
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
        let connector = store::read(&mut tx, id).await?;
        tx.commit().await?;
        let kind = catalogue::kind(&connector.kind)
            .ok_or(Error::Internal("a stored kind is not in the catalogue"))?;
        kind.check_secrets(&given.secrets, "/secrets").map_err(Error::invalid)?;
        if let Err(until) = self.comparisons.check_key(&id) {
            let detail = "this connector's secret was compared too often; wait, or set secret_wo_version";
            return Err(Error::Later {
                problem: Box::new(Problem::new(ProblemCode::RateLimited, detail)),
                retry_after: until.wait_time_from(DefaultClock::default().now()),
            });
        }
        let same =
            match self.secrets.compare(&tenant.names, id, connector.secret_version, &given.secrets).await {
                Ok(same) => same,
                // Taken out of OpenBao by hand: what is configured must be sent again.
                Err(SecretError::Missing { .. }) => false,
                Err(fault) => return Err(secret_fault(&fault)),
            };
        tracing::info!(token = %by.token(), connector = %id, differs = !same, "a connector's secret was compared");
        Ok(SecretDifference { differs: !same, secret_version: connector.secret_version })
    }

    /// The effect of both sagas' first step, brought about by the request, which alone has the secret.
    async fn put_secret(
        &self,
        saga: OperationKind,
        tenant: &TenantNames,
        id: ConnectorId,
        cas: i64,
        secrets: &BTreeMap<String, SecretText>,
    ) -> Result<(), SecretError> {
        // The operation is ours for HELD_FOR: a write that is still under way then is given up, so
        // that it does not land after the saga has looked and decided.
        let write = self.secrets.put(tenant, id, cas, secrets);
        let failed = |class, reason| {
            let (system, operation) = (System::OpenBao, "secret_write");
            Err(SecretError::System(SystemError { system, operation, class, reason, status: None }))
        };
        crash_point(saga, CREATE_STEPS[0], false, Point::Before);
        let fault = fault_point(saga, CREATE_STEPS[0], false).await;
        if fault == Some(Fault::Refused) {
            return failed(ErrorClass::Refused, "a test has this refused");
        }
        let written = tokio::time::timeout(HELD_FOR / 2, write).await;
        crash_point(saga, CREATE_STEPS[0], false, Point::After);
        match written {
            Ok(done) if fault.is_none() => done.map(drop),
            _ => failed(ErrorClass::Broken, "it did not answer in time"),
        }
    }

    /// Lets the operation go. A write that had no clear answer may still land: the saga then waits for
    /// that before it undoes anything.
    async fn release(
        &self,
        tenant: TenantId,
        fence: &Fence,
        put: &Result<(), SecretError>,
    ) -> Result<(), Error> {
        let mut tx = self.store.tenant_tx(tenant).await?;
        match put {
            Err(SecretError::System(error)) if error.class == ErrorClass::Broken => {
                log::operation_release_in_doubt(&mut tx, fence).await?;
            }
            _ => log::operation_release(&mut tx, fence).await?,
        }
        Ok(tx.commit().await?)
    }

    /// Undoes what [`Self::update`] wrote, while its operation is still ours and has done nothing.
    async fn take_back(&self, tenant: TenantId, id: ConnectorId, fence: &Fence) -> Result<(), Error> {
        let mut tx = self.store.platform_tx().await?;
        fence.hold(&mut tx).await.map_err(|_| Error::Internal("an operation was lost while it was held"))?;
        sqlx::query(
            "UPDATE connector SET status = 'active', operation_id = NULL, revision = revision + 1
             WHERE tenant_id = $1 AND id = $2 AND operation_id = $3",
        )
        .bind(tenant.uuid())
        .bind(id.uuid())
        .bind(fence.operation().uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("let a connector go"))?;
        sqlx::query("DELETE FROM operation WHERE id = $1")
            .bind(fence.operation().uuid())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("take an operation back"))?;
        Ok(tx.commit().await?)
    }
}

fn secret_fault(fault: &SecretError) -> Error {
    tracing::warn!(error = %fault, "OpenBao did not serve a connector's secret");
    Error::unavailable("OpenBao", OPENBAO_RETRY_AFTER)
}

/// The tenant, locked, if something may be made or changed in it.
async fn usable_tenant(tx: &mut TenantTx) -> Result<Tenant, Error> {
    let id = tx.tenant();
    let tenant = tenants::lock(tx, id, None).await?;
    tenants::refuse_unless_active(&tenant)?;
    if tenant.suspended {
        let detail = "the tenant is suspended: what it has stays, and nothing is changed until it is resumed";
        return Err(Problem::new(ProblemCode::Suspended, detail).into());
    }
    Ok(tenant)
}

fn as_input(input: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(input).map_err(|_| Error::Internal("a saga's input does not serialise"))
}
