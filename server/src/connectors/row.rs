//! A connector's row, and the statements that read it.

use integraci_api::connectors::{Connector, ConnectorStatus, Retiring, VerificationStatus, VerifyMode};
use integraci_api::{ConnectorId, OperationId, TenantId};
use serde_json::{Map, Value};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

macro_rules! columns {
    () => {
        "id, tenant_id, name, kind, config, secret_version, secret_set_at, secret_expires_at, secret_drifted, status, verify, verification_status, verification_reason, last_verified_at, last_checked_at, rotate_every_days, retiring_version, retire_at, operation_id, revision, created_at, updated_at"
    };
}

/// One connector by id.
pub(super) const SELECT: &str = concat!("SELECT ", columns!(), " FROM connector WHERE id = $1");
/// The same, locked.
pub(super) const SELECT_FOR_UPDATE: &str =
    concat!("SELECT ", columns!(), " FROM connector WHERE id = $1 FOR UPDATE");
/// A slice of a tenant's list; a filter that is null takes all.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM connector WHERE tenant_id = $1 AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR kind = $3)
      AND ($4::uuid IS NULL OR id > $4) ORDER BY id LIMIT $5"
);

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
    status: String,
    verify: String,
    verification_status: String,
    verification_reason: Option<String>,
    last_verified_at: Option<OffsetDateTime>,
    last_checked_at: Option<OffsetDateTime>,
    rotate_every_days: Option<i32>,
    retiring_version: Option<i64>,
    retire_at: Option<OffsetDateTime>,
    operation_id: Option<Uuid>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Row {
    /// The operation that is changing the connector.
    pub(super) fn operation(&self) -> Option<OperationId> {
        self.operation_id.map(OperationId::from_uuid)
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
