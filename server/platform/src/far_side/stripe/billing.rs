//! The objects: customers, subscriptions, meters and what they counted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use axum::http::StatusCode;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::form::Form;
use super::{KNOWN_FOR, Refusal};

/// A customer is found by a search this long after it was made: "under a minute", says Stripe, and up to an
/// hour when it is not well.
const SEARCH_LAG: Duration = Duration::hours(1);
/// The longest identifier of a meter event, in characters.
const IDENTIFIER_MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Billing {
    made: u32,
    customers: BTreeMap<String, Customer>,
    subscriptions: BTreeMap<String, Subscription>,
    /// The name of the events that each listens to.
    meters: BTreeMap<String, String>,
    events: Vec<MeterEvent>,
    /// How many of the next events are taken and not counted.
    pub(super) lose: usize,
}

#[derive(Debug)]
struct Customer {
    name: Option<String>,
    email: Option<String>,
    metadata: BTreeMap<String, String>,
    made_at: OffsetDateTime,
    is_deleted: bool,
}

#[derive(Debug)]
struct Subscription {
    customer: String,
    status: String,
    metadata: BTreeMap<String, String>,
    /// The price of each item, by the item's id.
    items: BTreeMap<String, String>,
}

#[derive(Debug)]
struct MeterEvent {
    identifier: String,
    name: String,
    customer: String,
    value: i64,
    at: OffsetDateTime,
    came_at: OffsetDateTime,
    is_counted: bool,
}

impl Billing {
    /// Carries out a call.
    pub(super) fn call(
        &mut self,
        call: &str,
        form: &Form,
        prices: &BTreeSet<String>,
        now: OffsetDateTime,
    ) -> Result<Value, Refusal> {
        let (method, path) = call.split_once(' ').unwrap_or_default();
        let path: Vec<_> = path.trim_matches('/').split('/').collect();
        match (method, path.as_slice()) {
            ("POST", ["v1", "customers"]) => self.customer_create(form, now),
            ("GET", ["v1", "customers", "search"]) => self.customer_search(form, now),
            ("POST", ["v1", "customers", id]) => self.customer_update(id, form),
            ("DELETE", ["v1", "customers", id]) => self.customer_delete(id),
            ("GET", ["v1", "subscriptions"]) => self.subscription_list(form),
            ("POST", ["v1", "subscriptions"]) => self.subscription_create(form, prices),
            ("GET", ["v1", "subscriptions", id]) => {
                self.subscription_of(id)?;
                Ok(self.subscription(id))
            }
            ("POST", ["v1", "subscriptions", id]) => self.subscription_update(id, form, prices),
            ("DELETE", ["v1", "subscriptions", id]) => self.subscription_cancel(id, form),
            ("POST", ["v1", "billing", "meter_events"]) => self.meter_event(form, now),
            ("GET", ["v1", "billing", "meters", id, "event_summaries"]) => self.summaries(id, form),
            _ => Err(Refusal {
                status: StatusCode::NOT_FOUND,
                ..Refusal::invalid(None, "", "Unrecognized request URL")
            }),
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_{:024}", self.made)
    }

    fn customer_create(&mut self, form: &Form, now: OffsetDateTime) -> Result<Value, Refusal> {
        form.only(&["name", "email", "metadata"])?;
        let id = self.id("cus");
        let customer = Customer {
            name: form.get("name").map(str::to_owned),
            email: form.get("email").map(str::to_owned),
            metadata: form.within("metadata"),
            made_at: now,
            is_deleted: false,
        };
        let shown = customer.shown(&id);
        self.customers.insert(id, customer);
        Ok(shown)
    }

    fn customer_of(&mut self, id: &str, status: StatusCode, param: &str) -> Result<&mut Customer, Refusal> {
        let there = self.customers.get_mut(id).filter(|customer| !customer.is_deleted);
        there.ok_or_else(|| Refusal::missing(status, param, "customer", id))
    }

    fn customer_update(&mut self, id: &str, form: &Form) -> Result<Value, Refusal> {
        form.only(&["name", "email", "metadata"])?;
        let customer = self.customer_of(id, StatusCode::NOT_FOUND, "id")?;
        customer.name = form.get("name").map(str::to_owned).or(customer.name.take());
        customer.email = form.get("email").map(str::to_owned).or(customer.email.take());
        Ok(customer.shown(id))
    }

    fn customer_delete(&mut self, id: &str) -> Result<Value, Refusal> {
        let customer = self.customer_of(id, StatusCode::NOT_FOUND, "id")?;
        (customer.is_deleted, customer.name, customer.email) = (true, None, None);
        for subscription in self.subscriptions.values_mut().filter(|it| it.customer == id) {
            "canceled".clone_into(&mut subscription.status);
        }
        Ok(json!({ "id": id, "object": "customer", "deleted": true }))
    }

    /// Of the query language what asks for one field of the metadata.
    fn customer_search(&self, form: &Form, now: OffsetDateTime) -> Result<Value, Refusal> {
        form.only(&["query", "limit", "page"])?;
        let query = form.required("query")?;
        let asked = query.strip_prefix("metadata['").and_then(|rest| rest.split_once("']:'"));
        let (key, value) = asked
            .and_then(|(key, value)| Some((key, value.strip_suffix('\'')?)))
            .ok_or_else(|| Refusal::invalid(None, "query", "We were unable to parse your search query"))?;
        let is_found = |customer: &Customer| {
            let is_named = customer.metadata.get(key).is_some_and(|named| named == value);
            is_named && !customer.is_deleted && now - customer.made_at >= SEARCH_LAG
        };
        let found: Vec<_> =
            self.customers.iter().filter(|(_, it)| is_found(it)).map(|(id, it)| it.shown(id)).collect();
        Ok(json!({ "object": "search_result", "data": found, "has_more": false }))
    }

    fn subscription_of(&mut self, id: &str) -> Result<&mut Subscription, Refusal> {
        let there = self.subscriptions.get_mut(id);
        there.ok_or_else(|| Refusal::missing(StatusCode::NOT_FOUND, "id", "subscription", id))
    }

    fn subscription_list(&mut self, form: &Form) -> Result<Value, Refusal> {
        form.only(&["customer", "limit", "status"])?;
        let customer = form.get("customer");
        if let Some(customer) = customer {
            self.customer_of(customer, StatusCode::BAD_REQUEST, "customer")?;
        }
        let is_asked = |it: &Subscription| {
            customer.is_none_or(|asked| it.customer == asked)
                && (form.get("status") == Some("all") || it.status != "canceled")
        };
        let newest_first = self.subscriptions.iter().rev().filter(|(_, it)| is_asked(it));
        let data: Vec<_> = newest_first.map(|(id, it)| it.shown(id)).collect();
        Ok(json!({ "object": "list", "data": data, "has_more": false }))
    }

    fn subscription_create(&mut self, form: &Form, prices: &BTreeSet<String>) -> Result<Value, Refusal> {
        form.only(&["customer", "items", "metadata", "collection_method", "days_until_due"])?;
        let customer = form.required("customer")?.to_owned();
        let billed = self.customer_of(&customer, StatusCode::BAD_REQUEST, "customer")?;
        if form.get("collection_method") != Some("send_invoice") {
            let message = "This customer has no attached payment source or default payment method.";
            return Err(Refusal::invalid(Some("resource_missing"), "", message));
        }
        if billed.email.is_none() {
            let message = "The customer must have an email address for its invoices to be sent to.";
            return Err(Refusal::invalid(None, "customer", message));
        }
        form.integer("days_until_due")?;
        let mut subscription = Subscription {
            customer,
            status: "active".to_owned(),
            metadata: form.within("metadata"),
            items: BTreeMap::new(),
        };
        self.items(&mut subscription.items, form, prices)?;
        if subscription.items.is_empty() {
            return Err(Refusal::invalid(
                Some("parameter_missing"),
                "items",
                "Missing required param: items.",
            ));
        }
        let id = self.id("sub");
        let shown = subscription.shown(&id);
        self.subscriptions.insert(id, subscription);
        Ok(shown)
    }

    /// Changes items as `items[0][price]`, `items[1][id]` and `items[1][deleted]` say.
    fn items(
        &mut self,
        items: &mut BTreeMap<String, String>,
        form: &Form,
        prices: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        for n in 0..20 {
            let field = |name: &str| form.get(&format!("items[{n}][{name}]"));
            let param = format!("items[{n}][price]");
            match (field("id"), field("deleted"), field("price")) {
                (Some(id), Some("true"), None) => {
                    items.remove(id).ok_or_else(|| {
                        Refusal::missing(
                            StatusCode::BAD_REQUEST,
                            &format!("items[{n}][id]"),
                            "subscription item",
                            id,
                        )
                    })?;
                }
                (None, None, Some(price)) if !prices.contains(price) => {
                    return Err(Refusal::missing(StatusCode::BAD_REQUEST, &param, "price", price));
                }
                (None, None, Some(price)) if items.values().any(|there| there == price) => {
                    let message = "The price is already used by an existing subscription item.";
                    return Err(Refusal::invalid(None, param, message));
                }
                (None, None, Some(price)) => drop(items.insert(self.id("si"), price.to_owned())),
                _ => {}
            }
        }
        Ok(())
    }

    fn subscription_update(
        &mut self,
        id: &str,
        form: &Form,
        prices: &BTreeSet<String>,
    ) -> Result<Value, Refusal> {
        form.only(&["items", "metadata"])?;
        let mut items = self.subscription_of(id)?.items.clone();
        if self.subscription_of(id)?.status == "canceled" {
            return Err(Refusal::missing(StatusCode::NOT_FOUND, "id", "subscription", id));
        }
        self.items(&mut items, form, prices)?;
        self.subscription_of(id)?.items = items;
        Ok(self.subscription(id))
    }

    fn subscription_cancel(&mut self, id: &str, form: &Form) -> Result<Value, Refusal> {
        form.only(&["invoice_now", "prorate"])?;
        let subscription = self.subscription_of(id)?;
        if subscription.status == "canceled" {
            return Err(Refusal::missing(StatusCode::NOT_FOUND, "id", "subscription", id));
        }
        "canceled".clone_into(&mut subscription.status);
        Ok(self.subscription(id))
    }

    fn meter_event(&mut self, form: &Form, now: OffsetDateTime) -> Result<Value, Refusal> {
        form.only(&["event_name", "identifier", "timestamp", "payload"])?;
        let (name, identifier) = (form.required("event_name")?, form.required("identifier")?);
        if !self.meters.values().any(|known| known == name) {
            let message = format!("No active meter found for event name {name}.");
            return Err(Refusal::invalid(Some("resource_missing"), "event_name", message));
        }
        if identifier.len() > IDENTIFIER_MAX {
            return Err(Refusal::invalid(Some("parameter_invalid_string"), "identifier", "Invalid string"));
        }
        let at = OffsetDateTime::from_unix_timestamp(form.integer("timestamp")?).map_err(|_| {
            Refusal::invalid(Some("parameter_invalid_integer"), "timestamp", "Invalid timestamp")
        })?;
        if at < now - Duration::days(35) {
            let message = "The timestamp must be within the past 35 calendar days.";
            return Err(Refusal::invalid(Some("timestamp_too_far_in_past"), "timestamp", message));
        }
        if at > now + Duration::minutes(5) {
            let message = "The timestamp must be at most 5 minutes in the future.";
            return Err(Refusal::invalid(Some("timestamp_in_future"), "timestamp", message));
        }
        if self.events.iter().any(|it| it.identifier == identifier && now - it.came_at < KNOWN_FOR) {
            let message = format!("An event already exists with identifier {identifier}.");
            return Err(Refusal::invalid(None, "identifier", message));
        }
        let is_lost = self.lose > 0;
        self.lose = self.lose.saturating_sub(1);
        let customer = form.required("payload[stripe_customer_id]")?.to_owned();
        self.events.push(MeterEvent {
            identifier: identifier.to_owned(),
            name: name.to_owned(),
            // Whether there is such a customer is only found out later, and told nobody who asks.
            is_counted: !is_lost && self.customers.get(&customer).is_some_and(|it| !it.is_deleted),
            customer,
            value: form.integer("payload[value]")?,
            at,
            came_at: now,
        });
        Ok(json!({ "object": "billing.meter_event", "event_name": name, "identifier": identifier,
            "timestamp": at.unix_timestamp() }))
    }

    fn summaries(&mut self, meter: &str, form: &Form) -> Result<Value, Refusal> {
        form.only(&["customer", "start_time", "end_time"])?;
        let name = self.meters.get(meter).cloned();
        let name = name.ok_or_else(|| Refusal::missing(StatusCode::NOT_FOUND, "id", "meter", meter))?;
        let customer = form.required("customer")?;
        let minute = |param: &str| match form.integer(param)? {
            time if time % 60 == 0 => {
                Ok(OffsetDateTime::from_unix_timestamp(time).unwrap_or(OffsetDateTime::UNIX_EPOCH))
            }
            _ => Err(Refusal::invalid(None, param, "must be aligned with minute boundaries")),
        };
        let span = minute("start_time")?..minute("end_time")?;
        let sum = self.sum(&name, customer, &span);
        let data = json!([{ "object": "billing.meter_event_summary", "aggregated_value": sum, "meter": meter,
            "start_time": span.start.unix_timestamp(), "end_time": span.end.unix_timestamp() }]);
        // Where nothing was counted there is no summary.
        let data = if sum == 0 { json!([]) } else { data };
        Ok(json!({ "object": "list", "data": data, "has_more": false }))
    }

    pub(super) fn sum(&self, name: &str, customer: &str, span: &Range<OffsetDateTime>) -> i64 {
        let is_in = |it: &&MeterEvent| {
            it.is_counted && it.name == name && it.customer == customer && span.contains(&it.at)
        };
        self.events.iter().filter(is_in).map(|event| event.value).sum()
    }

    pub(super) fn meter(&mut self, id: &str, event_name: &str) {
        self.meters.insert(id.to_owned(), event_name.to_owned());
    }

    pub(super) fn customers(&self) -> Vec<Value> {
        self.customers.iter().filter(|(_, it)| !it.is_deleted).map(|(id, it)| it.shown(id)).collect()
    }

    pub(super) fn subscriptions(&self) -> Vec<Value> {
        self.subscriptions.iter().map(|(id, it)| it.shown(id)).collect()
    }

    pub(super) fn subscription(&self, id: &str) -> Value {
        self.subscriptions.get(id).map_or(Value::Null, |it| it.shown(id))
    }

    pub(super) fn subscription_status(&mut self, id: &str, status: &str) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            status.clone_into(&mut subscription.status);
        }
    }
}

impl Customer {
    fn shown(&self, id: &str) -> Value {
        json!({ "id": id, "object": "customer", "name": self.name, "email": self.email,
            "metadata": self.metadata, "created": self.made_at.unix_timestamp() })
    }
}

impl Subscription {
    fn shown(&self, id: &str) -> Value {
        let item = |(id, price): (&String, &String)| {
            json!({ "id": id, "object": "subscription_item",
            "price": { "id": price, "object": "price" } })
        };
        let items: Vec<_> = self.items.iter().map(item).collect();
        json!({ "id": id, "object": "subscription", "customer": self.customer, "status": self.status,
            "metadata": self.metadata, "items": { "object": "list", "data": items, "has_more": false } })
    }
}
