//! Stripe, as far as a platform bills by it: customers, subscriptions, billing meters, idempotency keys and
//! signed webhooks. Stands for `https://api.stripe.com` in tests and in the demo, on a free port of this
//! machine.
//!
//! Rules: Stripe's API reference of 2025-09-30.clover ("Errors", "Idempotent requests", "Customers", "Search
//! customers", "Subscriptions", "Meter Event", "Meter Event Summary") and "Verify webhook signatures".
//! Parameters come as a form, in brackets where they nest; one that is not known is refused, as Stripe does.
//! What it does not do: prices, products and meters are made known by the test; nothing is invoiced, and a
//! subscription is of another status only if the test says so; a list has one page.
//!
//! It can be told to misbehave ([`StripeFault`]), what time it is ([`Stripe::now_is`]), and to lose meter
//! events, as Stripe does with those that it takes and cannot count.

mod billing;
mod form;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Error;
use form::Form;

/// How long the answer to an idempotency key, and a meter event's identifier, is known: "at least 24 hours".
const KNOWN_FOR: Duration = Duration::hours(24);
/// The largest request that is read, in bytes.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeFault {
    /// 503, and nothing is done.
    Down,
    /// 429, and nothing is done.
    TooManyRequests,
    /// It is done, and the line is cut before the answer is there.
    CutAfter,
    /// It is done, and nothing is ever answered.
    HangAfter,
    /// 500, and nothing is done; the answer is kept for the idempotency key.
    Broken,
}

/// A Stripe that runs until it is dropped.
#[derive(Debug)]
pub struct Stripe {
    url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    secret_key: String,
    /// What time it is; the machine's where it was not told.
    now: Option<OffsetDateTime>,
    /// Every call goes wrong so.
    always: Option<StripeFault>,
    /// The next calls of these, such as `POST /v1/customers`, do.
    next: Vec<(String, StripeFault)>,
    calls: Vec<String>,
    keys: BTreeMap<String, Answered>,
    prices: BTreeSet<String>,
    billing: billing::Billing,
}

/// The first answer to an idempotency key.
#[derive(Debug, Clone)]
struct Answered {
    /// What was asked.
    asked: String,
    status: StatusCode,
    body: Value,
    at: OffsetDateTime,
}

/// A refusal: the status, and what is in `error`.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
}

impl Refusal {
    fn invalid(code: Option<&'static str>, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code,
            param: Some(param.into()),
            message: message.into(),
        }
    }

    /// An object that is not there: 404 where it is what the path names.
    fn missing(status: StatusCode, param: &str, what: &str, id: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self { status, ..Self::invalid(Some("resource_missing"), param, message) }
    }

    fn body(self) -> (StatusCode, Value) {
        let error = json!({
            "type": self.kind, "code": self.code, "param": self.param, "message": self.message,
            "doc_url": "https://stripe.com/docs/error-codes",
        });
        (self.status, json!({ "error": error }))
    }
}

impl Stripe {
    /// Starts on a free port, and takes this secret key alone.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(secret_key: &str) -> Result<Self, Error> {
        let listening = || Error::io("listening on a free port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listening())?;
        let url = format!("http://{}", listener.local_addr().map_err(listening())?);
        let shared = Shared(Arc::new(Mutex::new(Inner {
            secret_key: secret_key.to_owned(),
            now: None,
            always: None,
            next: Vec::new(),
            calls: Vec::new(),
            keys: BTreeMap::new(),
            prices: BTreeSet::new(),
            billing: billing::Billing::default(),
        })));
        let app = Router::new().fallback(answer).with_state(shared.clone());
        // Ends only when it is aborted.
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, shared, server })
    }

    /// `http://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// It is this time from now on.
    pub fn now_is(&self, now: OffsetDateTime) {
        self.shared.lock().now = Some(now);
    }

    /// Makes a price known.
    pub fn price(&self, id: &str) {
        self.shared.lock().prices.insert(id.to_owned());
    }

    /// Makes a meter known, and the name of the events that it listens to.
    pub fn meter(&self, id: &str, event_name: &str) {
        self.shared.lock().billing.meter(id, event_name);
    }

    /// Every call goes wrong so from now on; none, with nothing.
    pub fn fail_always(&self, fault: Option<StripeFault>) {
        self.shared.lock().always = fault;
    }

    /// The next call that begins so, such as `POST /v1/customers`, goes wrong.
    pub fn fail_next(&self, call: &str, fault: StripeFault) {
        self.shared.lock().next.push((call.to_owned(), fault));
    }

    /// Every call so far, such as `POST /v1/customers`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().calls.clone()
    }

    /// The customers that are there, each with its metadata, name and address.
    #[must_use]
    pub fn customers(&self) -> Vec<Value> {
        self.shared.lock().billing.customers()
    }

    /// Every subscription there ever was.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Value> {
        self.shared.lock().billing.subscriptions()
    }

    /// Says that a subscription is of another status now.
    pub fn subscription_status(&self, id: &str, status: &str) {
        self.shared.lock().billing.subscription_status(id, status);
    }

    /// What was counted for a customer from events of a name, ever.
    #[must_use]
    pub fn counted(&self, event_name: &str, customer: &str) -> i64 {
        let all = OffsetDateTime::UNIX_EPOCH..OffsetDateTime::UNIX_EPOCH + Duration::days(365 * 1000);
        self.shared.lock().billing.sum(event_name, customer, &all)
    }

    /// Takes the next meter events, as many, and counts none of them.
    pub fn lose_meter_events(&self, events: usize) {
        self.shared.lock().billing.lose = events;
    }

    /// The body of an event of a type about a subscription, as it is now.
    #[must_use]
    pub fn event(&self, id: &str, kind: &str, subscription: &str) -> String {
        let object = self.shared.lock().billing.subscription(subscription);
        json!({
            "id": id, "object": "event", "type": kind, "api_version": "2025-09-30.clover",
            "created": OffsetDateTime::now_utc().unix_timestamp(), "data": { "object": object },
        })
        .to_string()
    }

    /// The header `Stripe-Signature` of a body that is sent at a time.
    #[must_use]
    pub fn signature(secret: &str, at: OffsetDateTime, body: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(format!("{}.{body}", at.unix_timestamp()).as_bytes());
        format!("t={},v1={}", at.unix_timestamp(), hex::encode(mac.finalize().into_bytes()))
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX_BYTES).await.unwrap_or_default();
    let mut form = Form::parse(parts.uri.query().unwrap_or_default());
    form.extend(Form::parse(&String::from_utf8_lossy(&body)));
    let call = format!("{} {}", parts.method, parts.uri.path());
    let (fault, response) = shared.lock().answer(&call, &parts.headers, &form);
    match fault {
        Some(StripeFault::HangAfter) => std::future::pending().await,
        Some(StripeFault::CutAfter) => {
            let cut = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
            Body::from_stream(cut).into_response()
        }
        _ => response,
    }
}

trait IntoJson {
    fn into_json(self) -> Response;
}

impl IntoJson for (StatusCode, Value) {
    fn into_json(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl Inner {
    /// The answer to a call, and what goes wrong with that.
    fn answer(&mut self, call: &str, headers: &HeaderMap, form: &Form) -> (Option<StripeFault>, Response) {
        self.calls.push(call.to_owned());
        let fault = self.fault(call);
        let refused = |refusal: Refusal| (None, refusal.body().into_json());
        match fault {
            Some(StripeFault::Down) => return (None, StatusCode::SERVICE_UNAVAILABLE.into_response()),
            Some(StripeFault::TooManyRequests) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                return refused(Refusal {
                    status,
                    ..Refusal::invalid(Some("rate_limit"), "", "Too many requests")
                });
            }
            _ => {}
        }
        if !self.is_key(headers) {
            let status = StatusCode::UNAUTHORIZED;
            return refused(Refusal { status, ..Refusal::invalid(None, "", "Invalid API Key provided") });
        }
        let now = self.now.unwrap_or_else(OffsetDateTime::now_utc);
        let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let asked = format!("{call} {form:?}");
        let before = key.as_ref().and_then(|key| self.keys.get(key)).filter(|it| now - it.at < KNOWN_FOR);
        if let Some(before) = before {
            if before.asked != asked {
                let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
                return refused(Refusal { kind: "idempotency_error", ..Refusal::invalid(None, "", message) });
            }
            let replayed = (before.status, before.body.clone()).into_json();
            return (fault, ([("idempotent-replayed", "true")], replayed).into_response());
        }
        let (status, body) = if fault == Some(StripeFault::Broken) {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": { "type": "api_error" } }))
        } else {
            self.billing
                .call(call, form, &self.prices, now)
                .map_or_else(Refusal::body, |body| (StatusCode::OK, body))
        };
        // What is refused before anything was begun is not kept.
        if let Some(key) = key.filter(|_| status.is_success() || status.is_server_error()) {
            self.keys.insert(key, Answered { asked, status, body: body.clone(), at: now });
        }
        (fault, (status, body).into_json())
    }

    /// How a call goes wrong, if it does.
    fn fault(&mut self, call: &str) -> Option<StripeFault> {
        let next = self.next.iter().position(|(prefix, _)| call.starts_with(prefix));
        next.map(|n| self.next.remove(n).1).or(self.always)
    }

    /// Whether a call has the right key, and says which version it speaks.
    fn is_key(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_version = |text: &str| text.starts_with("20") && text.len() >= 10;
        text("authorization") == Some(&format!("Bearer {}", self.secret_key))
            && text("stripe-version").is_some_and(is_version)
    }
}
