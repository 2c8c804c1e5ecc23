//! A connector's row, and the statements that read it.

use integraci_api::connectors::{Connector, ConnectorStatus, Retiring, VerificationStatus, VerifyMode};
use integraci_api::{ConnectorId, OperationId, Problem, ProblemCode, Slug, TenantId};
use serde_json::{Map, Value};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::in_force::{InForce, SecretInForce};
use super::sagas::Candidate;
use crate::error::Error;
use crate::isolation::openbao::kv::MAX_VERSIONS;

macro_rules! columns {
    () => {
        "id, tenant_id, name, kind, config, secret_version, secret_set_at, secret_expires_at, secret_drifted, secret_minted, status, verify, verification_status, verification_reason, last_verified_at, last_checked_at, rotate_every_days, rotate_after, retiring_version, retire_at, retire_revokes, secrets, operation_id, revision, created_at, updated_at"
    };
}

/// One connector by id.
pub(super) const SELECT: &str = concat!("SELECT ", columns!(), " FROM connector WHERE id = $1");
/// The same, locked, and not against an event that is written down for it ([`crate::events::emit`]).
pub(super) const SELECT_FOR_UPDATE: &str =
    concat!("SELECT ", columns!(), " FROM connector WHERE id = $1 FOR NO KEY UPDATE");
/// A slice of a tenant's list; a filter that is null takes all.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM connector WHERE tenant_id = $1 AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR kind = $3)
      AND ($4::uuid IS NULL OR id > $4) ORDER BY id LIMIT $5"
);

/// A connector, and what only the platform needs to know of it.
pub(super) struct Known {
    pub(super) connector: Connector,
    /// The operation that is changing it.
    pub(super) operation: Option<OperationId>,
    pub(super) secret_minted: bool,
    /// Whether the secret that is retiring is revoked at the far side first.
    pub(super) retire_revokes: bool,
    /// When the far side is to make the next secret.
    pub(super) rotate_after: Option<OffsetDateTime>,
    /// How many secret values are in force.
    pub(super) secrets: i64,
}

impl Known {
    /// Refuses another revision than the one that the caller expects.
    pub(super) fn refuse_unless(&self, expected: Option<i64>) -> Result<(), Error> {
        if expected.is_some_and(|revision| revision != self.connector.revision) {
            let detail = "the connector has changed since it was read; read it again";
            return Err(Problem::new(ProblemCode::PreconditionFailed, detail).into());
        }
        Ok(())
    }

    /// Whether a secret may be stored as the version after `newest`: nobody else changed it meanwhile, and
    /// OpenBao would forget none that is in force or kept.
    pub(super) fn refuse_unless_next(&self, newest: i64) -> Result<(), Error> {
        let connector = &self.connector;
        if newest < connector.secret_version {
            let detail =
                "the secret was changed by somebody else at the same time; read the connector and try again";
            return Err(Problem::new(ProblemCode::PreconditionFailed, detail).at("/secrets").into());
        }
        let retiring = connector.retiring.as_ref().map(|retiring| retiring.secret_version);
        let oldest = retiring.unwrap_or(connector.secret_version).min(connector.secret_version);
        if oldest > 0 && newest + 1 - oldest >= i64::from(MAX_VERSIONS) {
            let detail = "so many changes of this connector's secret have failed since the one in force that another \
                          could push that one out of OpenBao; remove the connector and install it again";
            return Err(Problem::new(ProblemCode::PreconditionFailed, detail).at("/secrets").into());
        }
        Ok(())
    }

    /// What of it is in force.
    pub(super) fn in_force(&self) -> InForce {
        let Connector {
            name,
            config,
            verify,
            rotate_every_days,
            secret_version,
            secret_set_at,
            retiring,
            ..
        } = self.connector.clone();
        let retiring = retiring.map(|retiring| retiring.secret_version);
        let secret = SecretInForce {
            version: secret_version,
            set_at: secret_set_at,
            minted: self.secret_minted,
            values: Some(self.secrets),
        };
        InForce { name, config, verify, rotate_every_days, secret, retiring }
    }

    /// The same as an operation is told of it, with another version of its secret.
    pub(super) fn as_candidate(&self, slug: &Slug, secret_version: i64) -> Candidate {
        let Connector { kind, name, config, verify, rotate_every_days, .. } = self.connector.clone();
        let (slug, secret_minted, secret_values) = (slug.clone(), false, Some(self.secrets));
        Candidate {
            slug,
            kind,
            name,
            config,
            verify,
            rotate_every_days,
            secret_version,
            secret_minted,
            secret_values,
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    kind: String,
    config: Json<Map<String, Value>>,
    secret_version: i64,
    secret_set_at: Option<OffsetDateTime>,
    secret_expires_at: Option<OffsetDateTime>,
    secret_drifted: bool,
    secret_minted: bool,
    status: String,
    verify: String,
    verification_status: String,
    verification_reason: Option<String>,
    last_verified_at: Option<OffsetDateTime>,
    last_checked_at: Option<OffsetDateTime>,
    rotate_every_days: Option<i32>,
    rotate_after: Option<OffsetDateTime>,
    retiring_version: Option<i64>,
    retire_at: Option<OffsetDateTime>,
    retire_revokes: bool,
    secrets: i64,
    operation_id: Option<Uuid>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Row {
    pub(super) fn into_known(self) -> Result<Known, Error> {
        let operation = self.operation_id.map(OperationId::from_uuid);
        let (secret_minted, retire_revokes, rotate_after, secrets) =
            (self.secret_minted, self.retire_revokes, self.rotate_after, self.secrets);
        let connector = self.into_connector()?;
        Ok(Known { connector, operation, secret_minted, retire_revokes, rotate_after, secrets })
    }

    pub(super) fn into_connector(self) -> Result<Connector, Error> {
        let status = match self.status.as_str() {
            "installing" => ConnectorStatus::Installing,
            "active" => ConnectorStatus::Active,
            "updating" => ConnectorStatus::Updating,
            "deleting" => ConnectorStatus::Deleting,
            _ => return Err(Error::Internal("a stored connector status is not one")),
        };
        let verify = VerifyMode::ALL.iter().find(|mode| mode.as_str() == self.verify);
        let verification =
            VerificationStatus::ALL.iter().find(|status| status.as_str() == self.verification_status);
        let (Some(&verify), Some(&verification_status)) = (verify, verification) else {
            return Err(Error::Internal("a stored verification is not one"));
        };
        Ok(Connector {
            id: ConnectorId::from_uuid(self.id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            name: self.name,
            kind: self.kind,
            config: self.config.0,
            secret_version: self.secret_version,
            secret_set_at: self.secret_set_at,
            secret_expires_at: self.secret_expires_at,
            secret_drifted: self.secret_drifted,
            status,
            verify,
            verification_status,
            verification_reason: self.verification_reason,
            last_verified_at: self.last_verified_at,
            last_checked_at: self.last_checked_at,
            rotate_every_days: self.rotate_every_days.and_then(|days| u32::try_from(days).ok()),
            retiring: self
                .retiring_version
                .zip(self.retire_at)
                .map(|(secret_version, at)| Retiring { secret_version, at }),
            inbound_url: None,
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
