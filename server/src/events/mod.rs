//! Events: what became of a tenant, told to it in its own NATS account.
//!
//! It is told as well to each webhook of the tenant that asks for events of its kind
//! (`connectors/deliveries.rs`).
//!
//! `emit` writes an event down in the transaction of the change that it tells of, so there is none
//! without the other; the [`Publisher`] takes it from there into the stream `INTEGRACI_EVENTS` of the
//! tenant's account, once or more often, in order, under an id that does not change. Where a tenant has
//! no account in NATS nothing is written. An event names objects and tells no secret, nor anything of a
//! person: who is told looks in the API.

mod publisher;

use integraci_api::TenantId;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{StoreError, Tx};

pub use publisher::Publisher;

/// What happened. The words are subjects and never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The tenant can be used.
    TenantCreated,
    /// Something of its record changed.
    TenantUpdated,
    /// It is closed.
    TenantSuspended,
    /// It is open again.
    TenantResumed,
    /// It is being removed. The last that is told of it, if it still can be.
    TenantDeleting,
    /// A connector can be used.
    ConnectorCreated,
    /// A change of a connector is in force.
    ConnectorUpdated,
    /// A connector has a new secret in force; the old one is kept for a while.
    ConnectorRotated,
    /// A connector's far side takes configuration and secret, which it did not before.
    ConnectorVerified,
    /// A connector's far side does not take configuration and secret any more, or does not answer.
    ConnectorFailing,
    /// A connector is gone.
    ConnectorDeleted,
    /// The tenant has limits of its own.
    QuotaSet,
    /// The tenant has its plan's limits again.
    QuotaReset,
    /// Four fifths of a month's limit are used.
    QuotaNearlyReached,
    /// A month's limit is used up.
    QuotaReached,
    /// Some of what the tenant published of its usage cannot be counted.
    UsageRejected,
    /// An operation did what it was to do.
    OperationSucceeded,
    /// An operation did not, and left nothing behind.
    OperationFailed,
    /// An operation can get neither on nor back: the platform's people look after it.
    OperationStuck,
}

impl Kind {
    /// `object.verb`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreated => "tenant.created",
            Self::TenantUpdated => "tenant.updated",
            Self::TenantSuspended => "tenant.suspended",
            Self::TenantResumed => "tenant.resumed",
            Self::TenantDeleting => "tenant.deleting",
            Self::ConnectorCreated => "connector.created",
            Self::ConnectorUpdated => "connector.updated",
            Self::ConnectorRotated => "connector.rotated",
            Self::ConnectorVerified => "connector.verified",
            Self::ConnectorFailing => "connector.failing",
            Self::ConnectorDeleted => "connector.deleted",
            Self::QuotaSet => "quota.set",
            Self::QuotaReset => "quota.reset",
            Self::QuotaNearlyReached => "quota.nearly_reached",
            Self::QuotaReached => "quota.reached",
            Self::UsageRejected => "usage.rejected",
            Self::OperationSucceeded => "operation.succeeded",
            Self::OperationFailed => "operation.failed",
            Self::OperationStuck => "operation.stuck",
        }
    }
}

/// An event as the tenant reads it, on the subject `tenant.<slug>.events.<type>`.
#[derive(Debug, Serialize)]
struct Event<'a> {
    /// Always the same for the same event, also as `Nats-Msg-Id`.
    id: Uuid,
    /// See [`Kind`].
    #[serde(rename = "type")]
    kind: &'a str,
    tenant_id: TenantId,
    /// What it happened to: the tenant, a connector or an operation.
    object_id: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What more there is to tell, depending on the type.
    data: &'a Value,
}

/// Writes down that something happened, to be told once the transaction has committed. `id` is new.
///
/// # Errors
/// The database refused, or the tenant's handle is another tenant's.
pub(crate) async fn emit(
    tx: &mut impl Tx,
    id: Uuid,
    tenant: TenantId,
    kind: Kind,
    object_id: &str,
    facts: Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO event_outbox (id, tenant_id, kind, object_id, facts)
         SELECT $1, tenant_id, $3, $4, $5 FROM tenant_system WHERE tenant_id = $2 AND system = 'nats'",
    )
    .bind(id)
    .bind(tenant.uuid())
    .bind(kind.as_str())
    .bind(object_id)
    .bind(&facts)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write an event down"))?;
    sqlx::query(
        "INSERT INTO webhook_outbox (event_id, connector_id, tenant_id, kind, object_id, facts)
         SELECT $1, id, tenant_id, $3, $4, $5 FROM connector
         WHERE tenant_id = $2 AND kind = 'webhook' AND status IN ('active', 'updating')
           AND config -> 'events' @> to_jsonb($3::text)",
    )
    .bind(id)
    .bind(tenant.uuid())
    .bind(kind.as_str())
    .bind(object_id)
    .bind(facts)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write down whom to tell of an event"))?;
    Ok(())
}
