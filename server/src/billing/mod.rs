//! Billing: a tenant's customer and subscription at Stripe, what Stripe is told of its use, what Stripe
//! tells of its payments, and a statement of every day.
//!
//! Without Stripe there are statements and nothing else. With it, what Stripe is to have follows from the
//! tenant's plan: `Billing::wanted_changed`, called in the transaction of a change, enqueues the saga
//! (`sagas`) that brings it there. That is a saga of its own, so that Stripe being away holds up nobody's
//! tenant. Use goes out through an outbox (`outbox`). What Stripe sends (`webhook`) is only a hint to look
//! (`standing`). Why: docs/decisions/0017-billing-is-a-saga-of-its-own.md.
//!
//! Knows nothing of how use is counted: it reads `usage_hour` and writes down how much of it was handed
//! over.

mod account;
mod biller;
mod outbox;
mod sagas;
mod standing;
mod statements;
pub mod stripe;
mod webhook;

use integraci_api::TenantId;
use integraci_api::billing::{Billing as Shown, Statement};
use integraci_api::page::Page;
use time::Date;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::page::{Cursor, Slice};
use crate::plans::Plans;
use crate::source::Source;
use crate::store::{Store, StoreError, Tx};
use crate::tenants;

pub use biller::Biller;
pub use sagas::definitions;
pub(crate) use sagas::{REMOVAL, Removal};
use stripe::Stripe;
pub(crate) use webhook::refused;

/// What a tenant pays, and how it stands with that.
#[derive(Clone)]
pub struct Billing {
    store: Store,
    source: Source,
    plans: Plans,
    stripe: Option<Stripe>,
}

impl Billing {
    /// Bills of what is in this store, by these plans, and by Stripe if it is used.
    #[must_use]
    pub const fn new(store: Store, source: Source, plans: Plans, stripe: Option<Stripe>) -> Self {
        Self { store, source, plans, stripe }
    }

    /// Has Stripe brought to what it is to have of a tenant: called in the transaction in which the tenant
    /// comes into use, or its plan, name or address changes, with the tenant's row locked. Does nothing
    /// without Stripe, nor for a tenant that never had a plan that costs.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn wanted_changed(
        &self,
        tx: &mut impl Tx,
        tenant: TenantId,
        plan: &str,
    ) -> Result<(), StoreError> {
        if self.stripe.is_none() {
            return Ok(());
        }
        let is_sold = self.plans.get(plan).is_ok_and(|plan| plan.stripe.is_some());
        if account::changed(tx, tenant, is_sold).await? {
            sagas::enqueue(tx, self.source, tenant).await?;
        }
        Ok(())
    }

    /// How the tenant stands.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority) -> Result<Shown, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = tenants::read_for(&mut tx).await?;
        Ok(account::shown(&mut tx, &tenant).await?)
    }

    /// One page of the tenant's statements, newest first.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn statements(&self, by: &TenantAuthority, slice: Slice) -> Result<Page<Statement>, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        let rows = statements::list(&mut tx, slice.after.map(statements::day_of), slice.fetch()).await?;
        Ok(slice.page(rows.into_iter(), |statement| Cursor(statements::cursor_of(statement.day))))
    }

    /// The statement of a day.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn statement(&self, by: &TenantAuthority, day: Date) -> Result<Statement, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        statements::get(&mut tx, day).await?.ok_or_else(Error::not_found)
    }
}
