//! The HTTP API as any client sees it: JSON in, JSON out, nothing of the server's own types.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::runtime::block_on;

/// No request of these tests takes longer: the longest hold of the line is 30 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// An operation that has not settled by then is lost: steps are retried for less than this.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);

/// A client with a token.
#[derive(Clone)]
pub struct Api {
    http: Client,
    endpoint: String,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when it is empty, text when it is no JSON.
    pub body: Value,
}

/// A request under construction.
#[must_use]
pub struct Request {
    builder: reqwest::RequestBuilder,
    what: String,
}

/// One for all: making one reads every certificate of the machine.
fn http() -> Result<Client> {
    static HTTP: OnceLock<Client> = OnceLock::new();
    if let Some(http) = HTTP.get() {
        return Ok(http.clone());
    }
    let http = Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build()?;
    Ok(HTTP.get_or_init(|| http).clone())
}

impl Api {
    /// A client for an endpoint.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(endpoint: &str, token: Option<&str>) -> Result<Self> {
        Ok(Self { http: http()?, endpoint: endpoint.to_owned(), token: token.map(str::to_owned) })
    }

    /// The same client with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Where it sends to.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A request of any kind, with the token and nothing else.
    ///
    /// # Errors
    /// When the method is not one.
    pub fn request(&self, method: &str, path: &str) -> Result<Request> {
        let mut builder =
            self.http.request(Method::from_bytes(method.as_bytes())?, format!("{}{path}", self.endpoint));
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        Ok(Request { builder, what: format!("{method} {path}") })
    }

    /// `GET`.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.request("GET", path)?.send()
    }

    /// `POST` under a new idempotency key.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request("POST", path)?.header("idempotency-key", &new_key()).json(body).send()
    }

    /// `PATCH`.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request("PATCH", path)?.json(body).send()
    }

    /// `PUT`.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request("PUT", path)?.json(body).send()
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.request("DELETE", path)?.send()
    }

    /// Holds the line until the operation of a 202 settles, and gives the operation.
    ///
    /// # Errors
    /// When the answer was no 202, or the operation does not settle.
    pub fn settled(&self, accepted: &Answer) -> Result<Value> {
        ensure!(accepted.status == 202, "not accepted: {accepted:?}");
        self.operation_settled(accepted.body["id"].as_str().context("an operation has an id")?)
    }

    /// Holds the line until an operation settles, and gives it.
    ///
    /// # Errors
    /// When it does not.
    pub fn operation_settled(&self, id: &str) -> Result<Value> {
        let began = Instant::now();
        let mut seen = 0;
        loop {
            let answer = self.get(&format!("/v1/operations/{id}?wait_s=20&seen={seen}"))?;
            ensure!(answer.status == 200, "looking at {id}: {answer:?}");
            if matches!(answer.body["state"].as_str(), Some("succeeded" | "failed" | "stuck")) {
                return Ok(answer.body);
            }
            if began.elapsed() > SETTLE_DEADLINE {
                bail!("{id} has not settled in {SETTLE_DEADLINE:?}: {}", answer.body);
            }
            seen = answer.body["revision"].as_i64().unwrap_or(0);
        }
    }

    /// Waits for an operation that has to succeed, and gives the id of what it is about.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeeded(&self, accepted: &Answer) -> Result<String> {
        let operation = self.settled(accepted)?;
        ensure!(operation["state"] == "succeeded", "the operation did not succeed: {operation}");
        Ok(operation["target_id"].as_str().context("an operation has a target")?.to_owned())
    }

    /// Makes a tenant and waits until it is there.
    ///
    /// # Errors
    /// When that fails.
    pub fn tenant(&self, slug: &str) -> Result<String> {
        self.succeeded(&self.post("/v1/tenants", &tenant_body(slug))?)
    }

    /// All items of a list, page by page.
    ///
    /// # Errors
    /// When an answer is no page.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}limit=200{cursor}"))?;
            ensure!(page.status == 200, "listing {path}: {page:?}");
            items.extend(page.body["items"].as_array().context("a page has items")?.iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}

impl Request {
    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// With a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    /// With any body; its content type is the caller's to give.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.builder = self.builder.body(body.into());
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn send(self) -> Result<Answer> {
        let what = self.what;
        block_on(async {
            let response = self.builder.send().await?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let bytes = response.bytes().await?;
            let body = match serde_json::from_slice(&bytes) {
                Ok(value) => value,
                Err(_) if bytes.is_empty() => Value::Null,
                Err(_) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            };
            Ok::<_, reqwest::Error>(Answer { status, headers, body })
        })
        .with_context(|| what)
    }
}

impl Answer {
    /// A header's text; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a problem.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The pointers of a problem's faults.
    #[must_use]
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }

    /// The answer, which must have this status.
    ///
    /// # Errors
    /// When it has another.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "expected {status}: {self:?}");
        Ok(self)
    }

    /// The answer, which must be a whole problem response of this status and code.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn problem(self, status: u16, code: &str) -> Result<Self> {
        ensure!(self.status == status && self.code() == code, "expected {status} {code}: {self:?}");
        ensure!(self.header("content-type") == "application/problem+json", "not a problem: {self:?}");
        ensure!(self.body["status"] == status, "the body says another status: {self:?}");
        let named = self.body["title"].is_string() && self.body["detail"].is_string();
        ensure!(named, "a problem has a title and a detail: {self:?}");
        let request_id = self.header("x-request-id");
        ensure!(!request_id.is_empty() && self.body["request_id"] == request_id, "no request id: {self:?}");
        Ok(self)
    }
}

/// A new idempotency key.
#[must_use]
pub fn new_key() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// A slug that nobody else has.
#[must_use]
pub fn new_slug(prefix: &str) -> String {
    format!("{prefix}-{}", hex::encode(rand::random::<[u8; 5]>()))
}

/// The body that asks for a tenant which may be deleted.
#[must_use]
pub fn tenant_body(slug: &str) -> Value {
    json!({
        "slug": slug,
        "name": "A tenant",
        "plan": "team",
        "owner_email": "it@tenant.example",
        "delete_protection": false,
    })
}
