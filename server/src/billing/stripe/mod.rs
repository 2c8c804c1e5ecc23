//! Stripe's API, as far as the platform uses it: customers, subscriptions, meter events and their sums.
//!
//! Knows no tenant's row and no saga. Facts: Stripe's API reference ("Customers", "Subscriptions",
//! "Meter Event", "Meter Event Summary", "Search") and "Usage-based billing". What may run twice says how
//! it is kept from having an effect twice.

mod call;

use std::collections::BTreeMap;
use std::sync::Arc;

use integraci_api::{SecretText, TenantId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use call::{Caller, Form};
pub use call::{StripeConfig, StripeError, Why};

/// The key under which customers and subscriptions name their tenant.
const TENANT: &str = "integraci_tenant";
/// Invoices are sent, and are to be paid within this: the platform never sees a means of payment, and a
/// tenant can be made before there is one.
const DAYS_UNTIL_DUE: u32 = 30;
/// The most that a list has at once.
const PAGE: u32 = 100;

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Stripe(Arc<Caller>);

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    /// Stripe's word for how it is.
    pub(crate) status: String,
    items: List<Item>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Item {
    id: String,
    price: Id,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Id {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct List<T> {
    data: Vec<T>,
}

impl Subscription {
    /// Whether it has ended for good.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "canceled" | "incomplete_expired")
    }

    fn has(&self, price: &str) -> bool {
        self.items.data.iter().any(|item| item.price.id == price)
    }

    /// What makes its prices these; nothing where they are.
    fn changes_to(&self, prices: &[String]) -> Form {
        let removed = self.items.data.iter().filter(|item| !prices.contains(&item.price.id));
        let removed = removed.map(|item| [("id", item.id.as_str()), ("deleted", "true")].to_vec());
        let added =
            prices.iter().filter(|price| !self.has(price)).map(|price| vec![("price", price.as_str())]);
        let items = removed.chain(added).enumerate();
        items
            .flat_map(|(n, fields)| fields.into_iter().map(move |(name, value)| (n, name, value)))
            .map(|(n, name, value)| pair(&format!("items[{n}][{name}]"), value))
            .collect()
    }
}

/// What was used in an hour, as a meter is told.
pub(crate) struct MeterEvent<'a> {
    pub(crate) identifier: &'a str,
    pub(crate) event_name: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) quantity: i64,
    pub(crate) at: OffsetDateTime,
}

impl Stripe {
    /// A client by its configuration; none where TLS cannot be set up. Connects to nothing.
    #[must_use]
    pub fn new(config: StripeConfig) -> Option<Self> {
        Some(Self(Arc::new(Caller::new(config)?)))
    }

    /// What webhooks are signed with.
    pub(crate) fn webhook_secret(&self) -> &SecretText {
        self.0.webhook_secret()
    }

    /// Makes a tenant's customer. What is asked for never changes, so that the same key is the same call;
    /// name and address come by [`Self::customer_update`].
    pub(crate) async fn customer_create(&self, tenant: TenantId, key: &str) -> Result<String, StripeError> {
        let form = vec![metadata(tenant)];
        let made: Id = self.0.post("make the customer", &["customers"], &form, Some(key)).await?;
        Ok(made.id)
    }

    /// Says who the customer is. Doing it twice is doing it once.
    pub(crate) async fn customer_update(&self, id: &str, name: &str, email: &str) -> Result<(), StripeError> {
        let form = vec![pair("name", name), pair("email", email)];
        self.0.post("change the customer", &["customers", id], &form, None).await.map(|_: IgnoredAny| ())
    }

    /// The tenant's customers. One that was made within the last hour may not be found yet.
    pub(crate) async fn customer_search(&self, tenant: TenantId) -> Result<Vec<String>, StripeError> {
        let query = vec![pair("query", &format!("metadata['{TENANT}']:'{tenant}'")), pair("limit", "100")];
        let found: List<Id> = self.0.get("look for the customer", &["customers", "search"], &query).await?;
        Ok(found.data.into_iter().map(|found| found.id).collect())
    }

    /// Removes a customer, and what personal data Stripe has of it. One that is gone is success.
    pub(crate) async fn customer_delete(&self, id: &str) -> Result<(), StripeError> {
        let deleted = self.0.delete("remove the customer", &["customers", id], &Form::new()).await;
        unless_missing(deleted.map(|_: IgnoredAny| ()))
    }

    /// The subscriptions that were made here for a tenant and have not ended, newest first: none of a
    /// customer that is gone.
    pub(crate) async fn subscriptions(
        &self,
        tenant: TenantId,
        customer: &str,
    ) -> Result<Vec<Subscription>, StripeError> {
        let query = vec![pair("customer", customer), pair("limit", &PAGE.to_string())];
        let found: Result<List<Subscription>, _> =
            self.0.get("list the subscriptions", &["subscriptions"], &query).await;
        let found = match found {
            Err(StripeError { why: Why::Missing, .. }) => return Ok(Vec::new()),
            found => found?,
        };
        let is_ours = |it: &Subscription| {
            !it.has_ended() && it.metadata.get(TENANT).is_some_and(|named| *named == tenant.to_string())
        };
        Ok(found.data.into_iter().filter(is_ours).collect())
    }

    pub(crate) async fn subscription(&self, id: &str) -> Result<Subscription, StripeError> {
        self.0.get("tell how the subscription is", &["subscriptions", id], &Form::new()).await
    }

    /// Makes a subscription. The same for the same operation and prices is made once within a day; whoever
    /// asks later looks first.
    pub(crate) async fn subscription_create(
        &self,
        tenant: TenantId,
        customer: &str,
        prices: &[String],
        operation: &str,
    ) -> Result<Subscription, StripeError> {
        let mut form = vec![
            pair("customer", customer),
            pair("collection_method", "send_invoice"),
            pair("days_until_due", &DAYS_UNTIL_DUE.to_string()),
            metadata(tenant),
        ];
        form.extend(prices.iter().enumerate().map(|(n, price)| pair(&format!("items[{n}][price]"), price)));
        let key = key(operation, &form);
        self.0.post("make the subscription", &["subscriptions"], &form, Some(&key)).await
    }

    /// Brings a subscription to these prices.
    pub(crate) async fn subscription_update(
        &self,
        now: Subscription,
        prices: &[String],
        operation: &str,
    ) -> Result<Subscription, StripeError> {
        let form = now.changes_to(prices);
        if form.is_empty() {
            return Ok(now);
        }
        let key = key(operation, &form);
        self.0.post("change the subscription", &["subscriptions", &now.id], &form, Some(&key)).await
    }

    /// Ends a subscription at once, with an invoice for what was used. One that has ended is success.
    pub(crate) async fn subscription_cancel(&self, id: &str) -> Result<(), StripeError> {
        let query = vec![pair("invoice_now", "true"), pair("prorate", "true")];
        let ended = self.0.delete("end the subscription", &["subscriptions", id], &query).await;
        unless_missing(ended.map(|_: IgnoredAny| ()))
    }

    /// Tells a meter of something. One of an identifier that was told before is [`Why::Duplicate`], for a
    /// day or more. Each try has a key of its own: the first answer to a key is given again for a day, also
    /// where that was a 500.
    pub(crate) async fn meter_event(&self, event: &MeterEvent<'_>, tries: i32) -> Result<(), StripeError> {
        let form = vec![
            pair("event_name", event.event_name),
            pair("identifier", event.identifier),
            pair("timestamp", &event.at.unix_timestamp().to_string()),
            pair("payload[stripe_customer_id]", event.customer),
            pair("payload[value]", &event.quantity.to_string()),
        ];
        let key = format!("{}-{tries}", event.identifier);
        let path = ["billing", "meter_events"];
        self.0.post("take a meter event", &path, &form, Some(&key)).await.map(|_: IgnoredAny| ())
    }

    /// What a meter counted of a customer from one time until before another, both whole minutes. What it
    /// was told in the last minutes may not be in it.
    pub(crate) async fn meter_sum(
        &self,
        meter: &str,
        customer: &str,
        from: OffsetDateTime,
        to: OffsetDateTime,
    ) -> Result<i64, StripeError> {
        #[derive(Deserialize)]
        struct Sum {
            aggregated_value: f64,
        }
        let query = vec![
            pair("customer", customer),
            pair("start_time", &from.unix_timestamp().to_string()),
            pair("end_time", &to.unix_timestamp().to_string()),
        ];
        let path = ["billing", "meters", meter, "event_summaries"];
        let sums: List<Sum> = self.0.get("tell what a meter counted", &path, &query).await?;
        let sum: f64 = sums.data.iter().map(|sum| sum.aggregated_value).sum();
        #[expect(clippy::cast_possible_truncation, reason = "what is counted are whole numbers below 2^53")]
        Ok(sum.round() as i64)
    }

    /// Whether Stripe answers and takes the key.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), StripeError> {
        let query = vec![pair("limit", "1")];
        self.0.get("list the subscriptions", &["subscriptions"], &query).await.map(|_: IgnoredAny| ())
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn metadata(tenant: TenantId) -> (String, String) {
    pair(&format!("metadata[{TENANT}]"), &tenant.to_string())
}

/// A key of a call that an operation makes: another one where it is another call.
fn key(operation: &str, form: &Form) -> String {
    let mut digest = Sha256::new();
    for (name, value) in form {
        digest.update(format!("{name}={value}\n"));
    }
    format!("{operation}-{}", hex::encode(&digest.finalize()[..8]))
}

fn unless_missing(done: Result<(), StripeError>) -> Result<(), StripeError> {
    match done {
        Err(StripeError { why: Why::Missing, .. }) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(prices: &[&str]) -> Subscription {
        let item = |price: &&str| Item { id: format!("si_{price}"), price: Id { id: (*price).to_owned() } };
        let items = List { data: prices.iter().map(item).collect() };
        let (id, status) = ("sub_1".to_owned(), "active".to_owned());
        Subscription { id, status, items, metadata: BTreeMap::new() }
    }

    #[test]
    fn a_subscription_is_changed_where_its_prices_differ() {
        let wanted = ["b", "c"].map(str::to_owned);
        assert_eq!(
            subscription(&["a", "b"]).changes_to(&wanted),
            [pair("items[0][id]", "si_a"), pair("items[0][deleted]", "true"), pair("items[1][price]", "c")]
        );
        assert_eq!(subscription(&["c", "b"]).changes_to(&wanted), []);
    }

    #[test]
    fn another_call_has_another_key() {
        let key = |prices| key("op_1", &subscription(&["a"]).changes_to(&[String::from(prices)]));
        assert_eq!(key("b"), key("b"));
        assert_ne!(key("b"), key("c"));
    }
}
