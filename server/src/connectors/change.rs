//! Changes and rotations: what puts something else in force.

use std::collections::BTreeMap;

use integraci_api::catalogue::{self, FieldValues};
use integraci_api::connectors::{ConnectorStatus, ConnectorUpdate, OVERLAP_S, OldSecret, RotationCreate};
use integraci_api::operations::{Operation, OperationKind};
use integraci_api::tenants::TenantNames;
use integraci_api::{
    ConnectorId, FieldProblem, OperationId, Problem, ProblemCode, SecretText, Slug, TenantId,
};
use time::format_description::well_known::Rfc3339;

use super::in_force::Held;
use super::row::Known;
use super::sagas::{CREATE_STEPS, Change, MINT_STEPS, ROTATE_STEPS, Rotation, UPDATE_STEPS};
use super::secrets::{self, SecretError};
use super::{BUSY, Connectors, HELD_FOR, as_input, kind_of, secret_fault, store, usable_tenant};
use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::isolation::{ErrorClass, System, SystemError};
use crate::saga::log::{self, NewOperation};
use crate::saga::{Fault, Fence, Point, crash_point, fault_point, panic_point};
use crate::store::{StoreError, TenantTx};
use crate::tenants;

impl Connectors {
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
        // Who meets a change of the platform's own waits for its end, and is then told of the new revision.
        let known = free(store::lock(&mut tx, id, None).await?)?;
        known.refuse_unless(expected)?;
        wanted.check(kind_of(&known.connector)?).map_err(Error::invalid)?;
        if let Some(newest) = newest {
            known.refuse_unless_next(newest)?;
        }
        refuse_old_secret_at_new_address(&known, wanted)?;
        if let Some(name) = &wanted.name {
            store::refuse_taken(&mut tx, name, Some(id)).await?;
        }
        let now = self.source.now();
        let operation_id = OperationId::from_uuid(self.source.uuid());
        let values = wanted.secrets.as_ref().map_or(known.secrets, secrets::count);
        store::hold(&mut tx, &known, operation_id, ConnectorStatus::Updating, values, now).await?;
        let in_force = known.connector.secret_version;
        let secret_version = match (newest, &wanted.secrets) {
            (Some(_), Some(secrets)) if secrets.is_empty() => 0,
            (Some(newest), _) => newest + 1,
            (None, _) => in_force,
        };
        let mut candidate = known.as_candidate(&tenant.slug, secret_version);
        candidate.secret_values = Some(values);
        if let Some(name) = &wanted.name {
            candidate.name.clone_from(name);
        }
        if let Some(config) = &wanted.config {
            candidate.config.clone_from(config);
        }
        candidate.verify = wanted.verify.unwrap_or(candidate.verify);
        if let Some(days) = wanted.rotate_every_days {
            candidate.rotate_every_days = Some(days).filter(|days| *days != 0);
        }
        let input = Change { candidate, before: known.in_force(), newest: newest.unwrap_or_default() };
        let new = NewOperation {
            id: operation_id,
            tenant: by.tenant(),
            kind: OperationKind::ConnectorUpdate,
            target_id: id.to_string(),
            input: as_input(&input)?,
            steps: UPDATE_STEPS,
        };
        let sent = wanted.secrets.as_ref().filter(|secrets| !secrets.is_empty());
        let (Some(newest), Some(secrets)) = (newest, sent) else {
            let operation = log::operation_insert(&mut tx, &new).await?;
            tx.commit().await?;
            return Ok(operation);
        };
        self.begin_with(tx, &tenant.names, &new, id, (newest, secrets), None).await
    }

    /// Starts to put a new secret in the place of the one in force, which is kept for a while. Until the
    /// new one is verified, the old one stays in force.
    ///
    /// # Errors
    /// `invalid_request`, `not_found`, `precondition_failed`, `busy`, `suspended`, `unavailable` when
    /// OpenBao did not take the secret, or the store's.
    pub async fn rotate(
        &self,
        by: &TenantAuthority,
        once: &Once,
        id: ConnectorId,
        wanted: &RotationCreate,
    ) -> Result<Answer<Operation>, Error> {
        if let Some(answer) = once.replay(&mut self.store.tenant_tx(by.tenant()).await?).await? {
            return Ok(answer);
        }
        // As in an update, what there is must be known before the row is locked.
        let tenant = tenants::read_for(&mut self.store.tenant_tx(by.tenant()).await?).await?;
        let newest = self.secrets.current_version(&tenant.names, id).await;
        let newest = newest.map_err(|fault| secret_fault(&fault))?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        if let Some(answer) = once.replay(&mut tx).await? {
            return Ok(answer);
        }
        let tenant = usable_tenant(&mut tx).await?;
        let known = free(store::lock(&mut tx, id, None).await?)?;
        wanted.check(kind_of(&known.connector)?).map_err(Error::invalid)?;
        let operation_id = OperationId::from_uuid(self.source.uuid());
        let new = rotation(operation_id, &known, &tenant.slug, newest, wanted)?;
        let (now, values) = (self.source.now(), rotated_values(wanted));
        store::hold(&mut tx, &known, new.id, ConnectorStatus::Updating, values, now).await?;
        let Some(secrets) = &wanted.secrets else {
            let operation = log::operation_insert(&mut tx, &new).await?;
            once.record(&mut tx, Some(by.tenant()), &operation).await?;
            tx.commit().await?;
            return Ok(Answer::first(operation));
        };
        self.begin_with(tx, &tenant.names, &new, id, (newest, secrets), Some(once)).await.map(Answer::first)
    }

    /// Begins an operation whose secret came with the request, as the version after `newest`.
    async fn begin_with(
        &self,
        mut tx: TenantTx,
        names: &TenantNames,
        new: &NewOperation<'_>,
        id: ConnectorId,
        (newest, secrets): (i64, &BTreeMap<String, SecretText>),
        once: Option<&Once>,
    ) -> Result<Operation, Error> {
        let (operation, fence) = log::operation_insert_held(&mut tx, new, &self.replica, HELD_FOR).await?;
        if let Some(once) = once {
            once.record(&mut tx, Some(new.tenant), &operation).await?;
        }
        tx.commit().await?;
        match self.put_secret(new.kind, names, id, newest, secrets).await {
            Err(SecretError::Conflict { .. }) => {
                // Somebody wrote into OpenBao by hand at this very moment. Nothing of ours is there,
                // so the operation is taken back rather than left to find a secret that is not its own.
                self.take_back(new.tenant, id, &fence).await?;
                let detail = "the secret was changed by somebody else at the same time; read the connector and try again";
                Err(Problem::new(ProblemCode::PreconditionFailed, detail).at("/secrets").into())
            }
            put => {
                self.release(new.tenant, &fence, &put).await?;
                put.map(|()| operation).map_err(|fault| secret_fault(&fault))
            }
        }
    }

    /// The effect of a saga's first step, brought about by the request, which alone has the secret.
    pub(super) async fn put_secret(
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
        panic_point(saga, CREATE_STEPS[0]);
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
    pub(super) async fn release(
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
        let operation = fence.operation().uuid();
        Held { connector: id.uuid(), operation, now: self.source.now() }.let_go(tx.conn()).await?;
        sqlx::query("DELETE FROM idempotency_key WHERE tenant_id = $1 AND body ->> 'id' = $2")
            .bind(tenant.uuid())
            .bind(fence.operation().to_string())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("take an answer back"))?;
        sqlx::query("DELETE FROM operation WHERE id = $1")
            .bind(fence.operation().uuid())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("take an operation back"))?;
        Ok(tx.commit().await?)
    }
}

/// Refuses to show a stored secret to another address than it was sent for: who may change a connector
/// may not read its secret, and would by being called with it.
fn refuse_old_secret_at_new_address(known: &Known, wanted: &ConnectorUpdate) -> Result<(), Error> {
    let (Some(config), None) = (&wanted.config, &wanted.secrets) else { return Ok(()) };
    if known.connector.secret_version == 0 {
        return Ok(());
    }
    let leads_there = |field: &&catalogue::Field| {
        matches!(field.values, FieldValues::Url | FieldValues::OneOf(_) | FieldValues::Certificates)
    };
    let moved = kind_of(&known.connector)?
        .fields
        .iter()
        .filter(leads_there)
        .find(|field| config.get(field.name) != known.connector.config.get(field.name));
    match moved {
        None => Ok(()),
        Some(field) => {
            let detail = format!("`{}` changes, so the secret must be sent again with it", field.name);
            Err(Error::invalid(vec![FieldProblem::new("/secrets", detail)]))
        }
    }
}

/// A rotation as it is enqueued: to the secret that comes with it, or to one that the far side makes.
pub(super) fn rotation(
    id: OperationId,
    known: &Known,
    slug: &Slug,
    newest: i64,
    wanted: &RotationCreate,
) -> Result<NewOperation<'static>, Error> {
    let connector = &known.connector;
    if let Some(retiring) = &connector.retiring {
        let detail = format!(
            "the secret before this one is kept from the last rotation until {}; rotate again then, or change the \
             secret by an update, which keeps none",
            retiring.at.format(&Rfc3339).unwrap_or_default()
        );
        return Err(tenants::busy_problem(&detail));
    }
    known.refuse_unless_next(newest)?;
    if connector.secret_version == 0 {
        let detail = "the connector has no secret, so there is none to rotate";
        return Err(Error::invalid(vec![FieldProblem::new("/secrets", detail)]));
    }
    let mut candidate = known.as_candidate(slug, newest + 1);
    candidate.secret_minted = wanted.secrets.is_none();
    candidate.secret_values = Some(rotated_values(wanted));
    let input = Rotation {
        change: Change { candidate, before: known.in_force(), newest },
        overlap_s: wanted.overlap_s.unwrap_or(OVERLAP_S),
        revoke_old: wanted.old_secret == OldSecret::Revoke,
    };
    Ok(NewOperation {
        id,
        tenant: connector.tenant_id,
        kind: OperationKind::ConnectorRotate,
        target_id: connector.id.to_string(),
        input: as_input(&input)?,
        steps: if wanted.secrets.is_some() { ROTATE_STEPS } else { MINT_STEPS },
    })
}

/// How many secret values there are after a rotation. Whoever makes one makes one.
pub(super) fn rotated_values(wanted: &RotationCreate) -> i64 {
    wanted.secrets.as_ref().map_or(1, secrets::count)
}

/// The connector, if nothing else is changing it.
fn free(known: Known) -> Result<Known, Error> {
    if known.operation.is_some() || known.connector.status != ConnectorStatus::Active {
        return Err(tenants::busy_problem(BUSY));
    }
    Ok(known)
}
