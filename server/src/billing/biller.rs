//! The biller: does from time to time what billing is to do without being asked.
//!
//! Every replica runs one; each thing is done by whichever claims it.

use std::time::Duration;

use integraci_api::{OperationId, TenantId};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::stripe::Stripe;
use super::{Billing, account, outbox, sagas, standing, statements, webhook};
use crate::saga::log;
use crate::store::StoreError;

/// How often there is a look for what is due.
const POLL: Duration = Duration::from_secs(1);
/// How often at most for what is seldom: tenants without an account, operations that wait for Stripe,
/// statements, and what is old.
const SELDOM: Duration = Duration::from_secs(30);
/// Tenants that are given an account in one transaction.
const ADOPT_AT_ONCE: i64 = 100;

/// Does what is due until told to stop.
pub struct Biller {
    billing: Billing,
    statements_every: Duration,
}

impl Biller {
    /// Makes a statement that is not final again about once in `statements_every`.
    #[must_use]
    pub const fn new(billing: Billing, statements_every: Duration) -> Self {
        Self { billing, statements_every }
    }

    /// Runs until told to stop. What is seldom has rounds of its own, so that it holds up nothing else.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.rounds(&stop, true), self.rounds(&stop, false));
    }

    async fn rounds(&self, stop: &CancellationToken, is_seldom: bool) {
        let pause = if is_seldom { SELDOM.min(self.statements_every / 4) } else { POLL };
        loop {
            let now = self.billing.source.now();
            let round = async { if is_seldom { self.seldom(now).await } else { self.often(now).await } };
            match stop.run_until_cancelled(round).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "billing could not go on; trying again");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// What is to be done soon after there is cause for it: use is handed over and told, and subscriptions
    /// of which Stripe sent something are looked at.
    ///
    /// # Errors
    /// The store's.
    pub async fn often(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let Some(stripe) = &self.billing.stripe else { return Ok(()) };
        standing::look(&self.billing, stripe, now).await?;
        outbox::hand_over(&self.billing, now).await?;
        outbox::send(&self.billing, stripe, now).await
    }

    /// The rest.
    ///
    /// # Errors
    /// The store's.
    pub async fn seldom(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        statements::make(&self.billing, now, self.statements_every).await?;
        if let Some(stripe) = &self.billing.stripe {
            adopt(&self.billing).await?;
            resume(&self.billing, stripe).await?;
            webhook::forget(&self.billing.store, now).await?;
        }
        Ok(())
    }
}

/// Has Stripe brought to what the configuration says now: for tenants that came into use before Stripe was,
/// and after a plan's prices were changed. Not for one that does not pay: it would get a new subscription,
/// and be open again.
async fn adopt(billing: &Billing) -> Result<(), StoreError> {
    for plan in billing.plans.iter() {
        let prices = plan.stripe.as_ref().map_or_else(Vec::new, account::prices);
        loop {
            let mut tx = billing.store.platform_tx().await?;
            let tenants: Vec<Uuid> = sqlx::query_scalar(
                "SELECT t.id FROM tenant t LEFT JOIN billing_account b ON b.tenant_id = t.id
                 WHERE t.plan = $1 AND t.status = 'active' AND NOT t.canary AND NOT t.payment_overdue AND b.operation_id IS NULL
                   AND coalesce(b.prices, '{}') <> $2
                 ORDER BY t.id LIMIT $3 FOR NO KEY UPDATE OF t SKIP LOCKED",
            )
            .bind(&plan.name)
            .bind(&prices)
            .bind(ADOPT_AT_ONCE)
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("look for tenants whose bill is not as their plan says"))?;
            if tenants.is_empty() {
                break;
            }
            for tenant in tenants {
                billing.wanted_changed(&mut tx, TenantId::from_uuid(tenant), &plan.name).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Sends operations on their way again that waited for Stripe longer than a saga waits, once it is back. What
/// Stripe refused waits for somebody to look, as ever.
async fn resume(billing: &Billing, stripe: &Stripe) -> Result<(), StoreError> {
    let mut tx = billing.store.platform_tx().await?;
    let waiting: Vec<Uuid> = sqlx::query_scalar(
        "SELECT o.id FROM operation o WHERE o.state = 'stuck' AND o.error ->> 'code' = 'unavailable'
           AND (o.error ->> 'step' = $1
                OR o.kind = 'billing_update' AND EXISTS (SELECT 1 FROM billing_account b WHERE b.operation_id = o.id))
         ORDER BY o.id LIMIT 1000",
    )
    .bind(sagas::REMOVAL)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("look for operations that wait for Stripe"))?;
    if waiting.is_empty() || stripe.check().await.is_err() {
        return Ok(());
    }
    for operation in waiting {
        log::operation_resume(&mut tx, OperationId::from_uuid(operation)).await?;
    }
    tx.commit().await
}
