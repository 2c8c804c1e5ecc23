//! The record of a tenant's customer and subscription, and what they are to be.

use integraci_api::billing::Billing as Shown;
use integraci_api::tenants::Tenant;
use integraci_api::{OperationId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::stripe::Subscription;
use crate::plans::Plans;
use crate::saga::StepError;
use crate::store::{PlatformTx, StoreError, TenantTx, Tx};

/// What Stripe has of a tenant, as far as was heard, and what the tenant is.
#[derive(sqlx::FromRow)]
pub(super) struct Account {
    pub(super) customer: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) prices: Vec<String>,
    /// When Stripe was first asked for the customer that it has not yet answered with.
    pub(super) asked_at: Option<OffsetDateTime>,
    revision: i64,
    plan: String,
    name: String,
    owner_email: String,
    is_in_use: bool,
    /// Whether an operation on it is under way.
    pub(super) is_changing: bool,
}

/// What Stripe is to have of a tenant.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) email: String,
    /// The subscription's; none where there is to be no subscription.
    pub(super) prices: Vec<String>,
    /// Which change of that it is.
    pub(super) revision: i64,
}

impl Account {
    /// What Stripe is to have; nothing where the tenant is not in use: what is there then is removed by
    /// the saga that removes the tenant.
    pub(super) fn wanted(&self, plans: &Plans) -> Result<Option<Wanted>, StepError> {
        if !self.is_in_use {
            return Ok(None);
        }
        let plan = plans
            .get(&self.plan)
            .map_err(|_| StepError::broken("The tenant's plan is not in the configuration any more."))?;
        Ok(Some(Wanted {
            name: self.name.clone(),
            email: self.owner_email.clone(),
            prices: plan.stripe.as_ref().map_or_else(Vec::new, prices),
            revision: self.revision,
        }))
    }
}

/// The prices of a plan, the recurring one first.
pub(super) fn prices(stripe: &crate::plans::StripePrices) -> Vec<String> {
    let meters = stripe.meters.values().map(|meter| &meter.price);
    std::iter::once(&stripe.price).chain(meters).cloned().collect()
}

/// The account, locked.
pub(super) async fn lock(tx: &mut PlatformTx, tenant: TenantId) -> Result<Option<Account>, StoreError> {
    sqlx::query_as(
        "SELECT b.customer, b.subscription, b.prices, b.asked_at, b.revision, t.plan, t.name, t.owner_email,
           t.status = 'active' AS is_in_use,
           EXISTS (SELECT 1 FROM operation o WHERE o.id = b.operation_id AND o.state IN ('running', 'undoing')) AS is_changing
         FROM billing_account b JOIN tenant t ON t.id = b.tenant_id WHERE b.tenant_id = $1 FOR UPDATE OF b",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("lock a billing account"))
}

/// Notes that what Stripe is to have has changed. True if an operation is to be begun for it: one that is
/// under way sees the change, or begins another when it ends.
pub(super) async fn changed(tx: &mut impl Tx, tenant: TenantId, is_sold: bool) -> Result<bool, StoreError> {
    let on = || StoreError::on("note a change of what is billed");
    if is_sold {
        sqlx::query("INSERT INTO billing_account (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(tenant.uuid())
            .execute(tx.conn())
            .await
            .map_err(on())?;
    }
    let under_way: Option<Option<Uuid>> = sqlx::query_scalar(
        "UPDATE billing_account SET revision = revision + 1 WHERE tenant_id = $1 RETURNING operation_id",
    )
    .bind(tenant.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(on())?;
    Ok(under_way == Some(None))
}

/// Names the operation that is under way.
pub(super) async fn operation_set(
    tx: &mut impl Tx,
    tenant: TenantId,
    operation: OperationId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE billing_account SET operation_id = $2 WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .bind(operation.uuid())
        .execute(tx.conn())
        .await
        .map(drop)
        .map_err(StoreError::on("name a billing account's operation"))
}

/// Ends an operation. True if what Stripe is to have was changed meanwhile.
pub(super) async fn operation_end(
    tx: &mut PlatformTx,
    tenant: TenantId,
    operation: OperationId,
) -> Result<bool, StoreError> {
    let changed: Option<bool> = sqlx::query_scalar(
        "UPDATE billing_account SET operation_id = NULL WHERE tenant_id = $1 AND operation_id = $2
         RETURNING revision > settled_revision
           AND (SELECT status = 'active' FROM tenant WHERE id = billing_account.tenant_id)",
    )
    .bind(tenant.uuid())
    .bind(operation.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("settle a billing account"))?;
    Ok(changed.unwrap_or(false))
}

/// Writes down, before Stripe is asked for a customer, when it was.
pub(super) async fn asked(
    tx: &mut PlatformTx,
    tenant: TenantId,
    asked_at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE billing_account SET asked_at = $2 WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .bind(asked_at)
        .execute(tx.conn())
        .await
        .map(drop)
        .map_err(StoreError::on("note that a customer was asked for"))
}

/// Writes down the customer.
pub(super) async fn customer_set(
    tx: &mut PlatformTx,
    tenant: TenantId,
    customer: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE billing_account SET customer = $2, asked_at = NULL WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .bind(customer)
        .execute(tx.conn())
        .await
        .map(drop)
        .map_err(StoreError::on("write down a customer"))
}

/// Forgets a customer that Stripe has no more, and its subscription: another is asked for as of now.
pub(super) async fn customer_gone(
    tx: &mut PlatformTx,
    tenant: TenantId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE billing_account SET customer = NULL, subscription = NULL, status = NULL, asked_at = $2
         WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .bind(now)
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(StoreError::on("forget a customer that is gone"))
}

/// Writes down what the subscription was brought to; it is looked at next.
pub(super) async fn subscription_set(
    tx: &mut PlatformTx,
    tenant: TenantId,
    now_there: Option<&Subscription>,
    wanted: &Wanted,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE billing_account SET subscription = $2, status = $3, prices = $4, settled_revision = $5, look_after = $6,
           bills_from = CASE WHEN $2 IS NULL THEN NULL
                             ELSE coalesce(bills_from, date_trunc('hour', $6::timestamptz)) END
         WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .bind(now_there.map(|subscription| &subscription.id))
    .bind(now_there.map(|subscription| &subscription.status))
    .bind(&wanted.prices)
    .bind(wanted.revision)
    .bind(now)
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(StoreError::on("write down a subscription"))
}

/// The end of the account.
pub(super) async fn remove(tx: &mut PlatformTx, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM billing_account WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(tx.conn())
        .await
        .map(drop)
        .map_err(StoreError::on("remove a billing account"))
}

/// Whether a tenant has, or may have, a customer.
pub(crate) async fn is_there(tx: &mut impl Tx, tenant: TenantId) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM billing_account WHERE tenant_id = $1)")
        .bind(tenant.uuid())
        .fetch_one(tx.conn())
        .await
        .map_err(StoreError::on("look for a billing account"))
}

/// The account as the API shows it.
pub(super) async fn shown(tx: &mut TenantTx, tenant: &Tenant) -> Result<Shown, StoreError> {
    #[derive(Default, sqlx::FromRow)]
    struct Row {
        customer: Option<String>,
        subscription: Option<String>,
        status: Option<String>,
        price: Option<String>,
        operation_id: Option<Uuid>,
        looked_at: Option<OffsetDateTime>,
    }
    let row: Option<Row> = sqlx::query_as(
        "SELECT customer, subscription, status, prices[1] AS price, operation_id, looked_at
         FROM billing_account WHERE tenant_id = $1",
    )
    .bind(tenant.id.uuid())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read a billing account"))?;
    let row = row.unwrap_or_default();
    Ok(Shown {
        tenant_id: tenant.id,
        customer: row.customer,
        subscription: row.subscription,
        status: row.status,
        price: row.price,
        payment_overdue: tenant.payment_overdue,
        operation_id: row.operation_id.map(OperationId::from_uuid),
        looked_at: row.looked_at,
    })
}
