//! `billing_update`: brings a tenant's customer and subscription at Stripe to what its plan says; only goes
//! forward: customer → subscription → settle.
//!
//! And [`Removal`], the step of `tenant_delete` that takes both away.
//!
//! Whatever runs twice, or was cut off, looks first. A subscription is looked for in the list of the
//! customer's, which has it as soon as it is made. A customer is not found in a search for up to an hour; so
//! for longer than that Stripe is asked with the same key, to which it answers with the same customer, and
//! after that by a search. It forgets keys only after a day.

use async_trait::async_trait;
use integraci_api::operations::OperationKind;
use integraci_api::{OperationId, ProblemCode, TenantId};
use time::{Duration, OffsetDateTime};

use super::Billing;
use super::account::{self, Account, Wanted};
use super::stripe::{Stripe, StripeError, Subscription, Why};
use crate::saga::log::{self, NewOperation};
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError};
use crate::source::Source;
use crate::store::{PlatformTx, StoreError, Tx};
use crate::tenants;

const CUSTOMER: &str = "billing_customer";
const SUBSCRIPTION: &str = "billing_subscription";
const SETTLE: &str = "billing_settle";
/// The step of `tenant_delete`.
pub(crate) const REMOVAL: &str = "billing_removal";

/// From then on a search finds what was made: it lags by up to an hour, says its documentation.
const SEARCHABLE_AFTER: Duration = Duration::hours(2);
/// How soon the removal looks again whether a change under way has ended.
const CHANGING_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The saga.
#[must_use]
pub fn definitions(billing: &Billing) -> Vec<Definition> {
    let steps: Vec<Box<dyn Step>> = vec![
        Box::new(Customer(billing.clone())),
        Box::new(SubscriptionStep(billing.clone())),
        Box::new(Settle(billing.clone())),
    ];
    vec![Definition { kind: OperationKind::BillingUpdate, direction: Direction::ForwardOnly, steps }]
}

/// Enqueues the saga, and makes it the account's own.
pub(super) async fn enqueue(tx: &mut impl Tx, source: Source, tenant: TenantId) -> Result<(), StoreError> {
    let id = OperationId::from_uuid(source.uuid());
    let new = NewOperation {
        id,
        tenant,
        kind: OperationKind::BillingUpdate,
        target_id: tenant.to_string(),
        input: serde_json::json!({}),
        steps: &[CUSTOMER, SUBSCRIPTION, SETTLE],
    };
    log::operation_insert(tx, &new).await?;
    account::operation_set(tx, tenant, id).await
}

impl From<StripeError> for StepError {
    fn from(error: StripeError) -> Self {
        tracing::warn!(%error, "Stripe did not do what a step asked");
        match error.why {
            Why::Busy { retry_after } => {
                Self::busy("Stripe is down, or asks to be asked later.", retry_after)
            }
            Why::Gone => Self::gone("Stripe does not answer."),
            Why::Refused(_) | Why::Missing | Why::Duplicate => {
                Self::refused(ProblemCode::Internal, error.to_string())
            }
        }
    }
}

impl Billing {
    fn stripe(&self) -> Result<&Stripe, StepError> {
        let detail = "The tenant has an account at Stripe, which is not configured; put `[stripe]` back into the \
                      configuration.";
        self.stripe.as_ref().ok_or_else(|| StepError::refused(ProblemCode::Internal, detail))
    }

    /// A transaction that only commits what the holder of the operation does.
    async fn fenced(&self, cx: &StepCx) -> Result<PlatformTx, StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        Ok(tx)
    }

    /// The account, and what Stripe is to have of the tenant: nothing if there is nothing to be done.
    async fn wanted(&self, cx: &StepCx) -> Result<Option<(Account, Wanted)>, StepError> {
        let mut tx = self.fenced(cx).await?;
        let Some(account) = account::lock(&mut tx, cx.tenant).await? else { return Ok(None) };
        let wanted = account.wanted(&self.plans)?;
        Ok(wanted.map(|wanted| (account, wanted)))
    }

    /// The customer that was asked for at `asked_at` and never heard of. With `again`, one is made where
    /// there is none.
    async fn customer_asked(
        &self,
        cx: &StepCx,
        asked_at: OffsetDateTime,
        again: bool,
    ) -> Result<Option<String>, StepError> {
        let stripe = self.stripe()?;
        let mut asked_at = asked_at;
        if cx.now - asked_at >= SEARCHABLE_AFTER {
            if let Some(found) = stripe.customer_search(cx.tenant).await?.pop() {
                return Ok(Some(found));
            }
            if !again {
                return Ok(None);
            }
            asked_at = cx.now;
            self.asked(cx, asked_at).await?;
        }
        let key = format!("{}-customer-{}", cx.tenant, asked_at.unix_timestamp_nanos() / 1000);
        Ok(Some(stripe.customer_create(cx.tenant, &key).await?))
    }

    async fn asked(&self, cx: &StepCx, at: OffsetDateTime) -> Result<(), StepError> {
        let mut tx = self.fenced(cx).await?;
        account::asked(&mut tx, cx.tenant, at).await?;
        Ok(tx.commit().await?)
    }
}

/// The tenant's customer, with the tenant's name and address.
struct Customer(Billing);

#[async_trait]
impl Step for Customer {
    fn name(&self) -> &'static str {
        CUSTOMER
    }

    /// `apply` looks for itself at what is there.
    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let Some((account, wanted)) = self.0.wanted(cx).await? else { return Ok(()) };
        let customer = match (account.customer, account.asked_at) {
            (Some(customer), _) => customer,
            (None, _) if wanted.prices.is_empty() => return Ok(()),
            (None, asked_at) => {
                if asked_at.is_none() {
                    self.0.asked(cx, cx.now).await?;
                }
                let made = self.0.customer_asked(cx, asked_at.unwrap_or(cx.now), true).await?;
                let customer = made.ok_or_else(|| StepError::broken("No customer was made."))?;
                let mut tx = self.0.fenced(cx).await?;
                account::customer_set(&mut tx, cx.tenant, &customer).await?;
                tx.commit().await?;
                customer
            }
        };
        match self.0.stripe()?.customer_update(&customer, &wanted.name, &wanted.email).await {
            Err(StripeError { why: Why::Missing, .. }) => {
                let mut tx = self.0.fenced(cx).await?;
                account::customer_gone(&mut tx, cx.tenant, cx.now).await?;
                tx.commit().await?;
                let detail = "Stripe has the tenant's customer no more; another is made.";
                Err(StepError::busy(detail, Some(CHANGING_RETRY)))
            }
            updated => Ok(updated?),
        }
    }
}

/// The tenant's subscription, with its plan's prices.
struct SubscriptionStep(Billing);

#[async_trait]
impl Step for SubscriptionStep {
    fn name(&self) -> &'static str {
        SUBSCRIPTION
    }

    fn needs(&self) -> &[&'static str] {
        &[CUSTOMER]
    }

    /// `apply` looks for itself at what is there.
    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let Some((account, wanted)) = self.0.wanted(cx).await? else { return Ok(()) };
        let now_there = match &account.customer {
            Some(customer) => self.bring(cx, &account, customer, &wanted).await?,
            None => None,
        };
        let mut tx = self.0.fenced(cx).await?;
        // The tenant's row is locked before the account's, as everywhere.
        if now_there.is_none() {
            tenants::payment_overdue_set(&mut tx, self.0.source, cx.tenant, false).await?;
        }
        account::subscription_set(&mut tx, cx.tenant, now_there.as_ref(), &wanted, cx.now).await?;
        Ok(tx.commit().await?)
    }
}

impl SubscriptionStep {
    /// Brings the subscription to what is wanted.
    async fn bring(
        &self,
        cx: &StepCx,
        account: &Account,
        customer: &str,
        wanted: &Wanted,
    ) -> Result<Option<Subscription>, StepError> {
        let stripe = self.0.stripe()?;
        let mut there = stripe.subscriptions(cx.tenant, customer).await?;
        let known = there.iter().position(|it| Some(&it.id) == account.subscription.as_ref());
        let kept = match known {
            _ if wanted.prices.is_empty() => None,
            Some(n) => Some(there.remove(n)),
            None => there.pop(),
        };
        // More than one is there if a call that was given up took effect all the same.
        for more in there {
            stripe.subscription_cancel(&more.id).await?;
        }
        let operation = cx.operation.to_string();
        match (kept, &account.subscription) {
            _ if wanted.prices.is_empty() => Ok(None),
            (Some(kept), _) => Ok(Some(stripe.subscription_update(kept, &wanted.prices, &operation).await?)),
            // One that Stripe has ended, for it was not paid, is not made again because a name has changed.
            (None, Some(ended)) if account.prices == wanted.prices => {
                Ok(Some(stripe.subscription(ended).await?))
            }
            (None, _) => {
                let (tenant, prices) = (cx.tenant, &wanted.prices);
                Ok(Some(stripe.subscription_create(tenant, customer, prices, &operation).await?))
            }
        }
    }
}

/// The end: nothing is under way any more, unless the tenant was changed meanwhile.
struct Settle(Billing);

#[async_trait]
impl Step for Settle {
    fn name(&self) -> &'static str {
        SETTLE
    }

    fn needs(&self) -> &[&'static str] {
        &[SUBSCRIPTION]
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.0.fenced(cx).await?;
        if account::operation_end(&mut tx, cx.tenant, cx.operation).await? {
            enqueue(&mut tx, self.0.source, cx.tenant).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The end of the tenant's subscription and customer: a step of `tenant_delete`, for tenants that have an
/// account.
pub(crate) struct Removal(pub(crate) Billing);

impl Removal {
    /// Whether a tenant needs the step.
    pub(crate) async fn is_needed(tx: &mut impl Tx, tenant: TenantId) -> Result<bool, StoreError> {
        account::is_there(tx, tenant).await
    }
}

#[async_trait]
impl Step for Removal {
    fn name(&self) -> &'static str {
        REMOVAL
    }

    /// `apply` looks for itself at what is there.
    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let billing = &self.0;
        let mut tx = billing.fenced(cx).await?;
        let Some(account) = account::lock(&mut tx, cx.tenant).await? else { return Ok(()) };
        drop(tx);
        if account.is_changing {
            // It finds the tenant not in use any more, and ends without asking Stripe for anything.
            return Err(StepError::busy(
                "The tenant's account at Stripe is being changed.",
                Some(CHANGING_RETRY),
            ));
        }
        let customer = match (account.customer, account.asked_at) {
            (Some(customer), _) => Some(customer),
            (None, Some(asked_at)) => billing.customer_asked(cx, asked_at, false).await?,
            (None, None) => None,
        };
        if let Some(customer) = customer {
            let stripe = billing.stripe()?;
            // A call that was given up may have made more than the one that is known.
            let mut customers = stripe.customer_search(cx.tenant).await?;
            if !customers.contains(&customer) {
                customers.push(customer);
            }
            for customer in customers {
                // Before the customer, whose removal would end it without an invoice for what was used.
                for subscription in stripe.subscriptions(cx.tenant, &customer).await? {
                    stripe.subscription_cancel(&subscription.id).await?;
                }
                stripe.customer_delete(&customer).await?;
            }
        }
        let mut tx = billing.fenced(cx).await?;
        account::remove(&mut tx, cx.tenant).await?;
        Ok(tx.commit().await?)
    }
}
