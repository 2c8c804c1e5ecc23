//! How a tenant stands: its subscription as Stripe tells it now, and what follows for the tenant.
//!
//! A subscription is looked at soon after Stripe hinted that something happened to it, and every few hours
//! without. What counts is what Stripe says when it is asked, so hints may come twice, late, out of order
//! or never. Nobody looks while an operation is on the account: what it ends itself is not a bill that was
//! not paid, and it has the subscription looked at when it is done.

use futures_util::stream::{self, StreamExt as _};
use integraci_api::TenantId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Billing;
use super::stripe::{Stripe, StripeError, Why};
use crate::store::StoreError;
use crate::tenants;

/// How many are looked at at once, and claimed at once.
const SIDE_BY_SIDE: usize = 4;
const CLAIM: i64 = 16;
/// How long whoever claims one has it, and how soon it is looked at again if Stripe is away: longer than a
/// call may take.
const CLAIMED_FOR_S: f64 = 60.0;
/// How often one is looked at of which no hint came.
const LOOK_EVERY_S: f64 = 6.0 * 60.0 * 60.0;

/// A subscription that is due.
#[derive(sqlx::FromRow)]
struct Due {
    tenant_id: Uuid,
    subscription: String,
    /// Until when it is ours; another's, or hinted at again, where this has changed.
    look_after: OffsetDateTime,
}

/// Whether the tenant of a subscription of this status is closed: nothing where that stays as it is.
///
/// `past_due` closes nobody: Stripe still tries, and says `unpaid` or `canceled` once it has given up, as
/// its account is set to.
fn is_overdue(status: &str) -> Option<bool> {
    match status {
        "unpaid" | "canceled" | "incomplete_expired" => Some(true),
        "active" | "trialing" => Some(false),
        _ => None,
    }
}

/// Looks at every subscription that is due.
pub(super) async fn look(billing: &Billing, stripe: &Stripe, now: OffsetDateTime) -> Result<(), StoreError> {
    let began = std::time::Instant::now();
    loop {
        let now = now + began.elapsed();
        let due = claim(billing, now).await?;
        if due.is_empty() {
            return Ok(());
        }
        let looked = stream::iter(due).map(|due| async move { look_at(billing, stripe, &due, now).await });
        let is_there = looked
            .buffer_unordered(SIDE_BY_SIDE)
            .fold(Ok(true), |so_far, looked| async move { Ok::<_, StoreError>(so_far? & looked?) });
        if !is_there.await? {
            return Ok(());
        }
    }
}

async fn claim(billing: &Billing, now: OffsetDateTime) -> Result<Vec<Due>, StoreError> {
    let mut tx = billing.store.platform_tx().await?;
    let due = sqlx::query_as(
        "WITH due AS (
           SELECT tenant_id FROM billing_account WHERE subscription IS NOT NULL AND look_after <= $1
             AND operation_id IS NULL
           ORDER BY look_after LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE billing_account b SET look_after = $1 + $3 * interval '1 second'
         FROM due WHERE b.tenant_id = due.tenant_id RETURNING b.tenant_id, b.subscription, b.look_after",
    )
    .bind(now)
    .bind(CLAIM)
    .bind(CLAIMED_FOR_S)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("claim subscriptions to look at"))?;
    tx.commit().await?;
    Ok(due)
}

/// Looks at one. False if Stripe is away, so that the others need not be tried.
async fn look_at(
    billing: &Billing,
    stripe: &Stripe,
    due: &Due,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let tenant = TenantId::from_uuid(due.tenant_id);
    let there = match stripe.subscription(&due.subscription).await {
        Ok(there) => Some(there),
        Err(error @ StripeError { why: Why::Missing, .. }) => {
            tracing::warn!(%error, %tenant, "a subscription is not there");
            None
        }
        Err(error) => {
            tracing::warn!(%error, %tenant, "a subscription could not be looked at");
            return Ok(!matches!(error.why, Why::Busy { .. } | Why::Gone));
        }
    };
    let mut tx = billing.store.platform_tx().await?;
    // The tenant's row is locked before the account's, as everywhere.
    sqlx::query("SELECT 1 FROM tenant WHERE id = $1 FOR NO KEY UPDATE")
        .bind(due.tenant_id)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("lock a tenant"))?;
    let kept = sqlx::query(
        "UPDATE billing_account SET status = coalesce($4, status), looked_at = $5,
           look_after = $5 + $6 * interval '1 second' * (0.8 + 0.4 * random())
         WHERE tenant_id = $1 AND subscription = $2 AND look_after = $3 AND operation_id IS NULL",
    )
    .bind(due.tenant_id)
    .bind(&due.subscription)
    .bind(due.look_after)
    .bind(there.as_ref().map(|there| &there.status))
    .bind(now)
    .bind(LOOK_EVERY_S)
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("write down how a subscription is"))?;
    if kept.rows_affected() == 1
        && let Some(is_overdue) = there.and_then(|there| is_overdue(&there.status))
    {
        tenants::payment_overdue_set(&mut tx, billing.source, tenant, is_overdue).await?;
    }
    tx.commit().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stripe_has_given_up_closes_a_tenant() {
        for (status, expected) in [
            ("unpaid", Some(true)),
            ("canceled", Some(true)),
            ("incomplete_expired", Some(true)),
            ("active", Some(false)),
            ("trialing", Some(false)),
            ("past_due", None),
            ("incomplete", None),
            ("paused", None),
            ("of a later version", None),
        ] {
            assert_eq!(is_overdue(status), expected, "{status}");
        }
    }
}
