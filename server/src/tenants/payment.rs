//! Closing a tenant whose bill is not paid, and opening it again.
//!
//! It stands beside `suspended`, which is what the platform's people want and stays as they set it: whoever
//! manages tenants by Terraform sees no drift. What keeps a tenant out reads `closed`, which is either.

use integraci_api::operations::OperationKind;
use integraci_api::{Slug, TenantId};
use serde_json::json;
use uuid::Uuid;

use super::sagas;
use crate::events::{self, Kind};
use crate::source::Source;
use crate::store::{PlatformTx, StoreError};

/// Why a tenant is closed or opened, in its events.
pub(super) const REASON_PLATFORM: &str = "platform";
const REASON_PAYMENT: &str = "payment";

/// Notes whether the tenant's bill is overdue, and has its places closed or opened where that changes
/// anything. One that is not in use stays as it is.
///
/// # Errors
/// The store's.
pub(crate) async fn payment_overdue_set(
    tx: &mut PlatformTx,
    source: Source,
    tenant: TenantId,
    is_overdue: bool,
) -> Result<(), StoreError> {
    // An operation that is under way sees the change, or begins another when it ends.
    let changed: Option<(String, bool, Option<Uuid>)> = sqlx::query_as(
        "UPDATE tenant SET payment_overdue = $2, revision = revision + 1, updated_at = $3,
           spec_revision = spec_revision + CASE WHEN suspended THEN 0 ELSE 1 END
         WHERE id = $1 AND status = 'active' AND payment_overdue <> $2
         RETURNING slug, suspended, operation_id",
    )
    .bind(tenant.uuid())
    .bind(is_overdue)
    .bind(source.now())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("note whether a bill is overdue"))?;
    let Some((slug, suspended, operation)) = changed else { return Ok(()) };
    if suspended {
        return Ok(());
    }
    let kind = if is_overdue { Kind::TenantSuspended } else { Kind::TenantResumed };
    let facts = json!({ "reason": REASON_PAYMENT });
    events::emit(tx, source.uuid(), tenant, kind, &tenant.to_string(), facts).await?;
    if let (None, Ok(slug)) = (operation, slug.parse::<Slug>()) {
        sagas::enqueue(tx, source, OperationKind::TenantUpdate, tenant, &slug).await?;
    }
    Ok(())
}
