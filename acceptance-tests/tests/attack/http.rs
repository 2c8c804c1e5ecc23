//! Plain HTTP for the systems that speak it, and what may be compared of an answer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method};
use serde_json::Value;

use crate::target::Target;

/// Headers that differ from answer to answer, or follow from how long a name is.
const OF_THE_ANSWER: [&str; 5] = ["date", "content-length", "audit-id", "x-request-id", "x-vault-index"];
/// Members of a body that differ from answer to answer.
const OF_THE_BODY: [&str; 2] = ["request_id", "creationTimestamp"];
/// How often a request is made that is told to wait: what is attacked holds callers to a rate.
const TRIES: u32 = 50;

/// A client of one system.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    base: String,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON, or text for a form.
    pub(crate) body: Option<Value>,
    /// Whether a success goes on for ever, so that its beginning has to do.
    pub(crate) is_stream: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    headers: HeaderMap,
}

impl Http {
    /// A client of the system at an address, which trusts these authorities alone if there are any.
    pub(crate) fn new(base: &str, ca: Option<&str>) -> Result<Self> {
        let builder = Client::builder().no_proxy().timeout(Duration::from_secs(30));
        let builder = match ca {
            Some(pem) => builder.tls_certs_only([Certificate::from_pem(pem.as_bytes())?]),
            None => builder,
        };
        Ok(Self { client: builder.build()?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Asks, and waits where it is told to.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Reply> {
        for _ in 0..TRIES {
            let reply = self.ask_once(ask).await.with_context(|| format!("{} {}", ask.method, ask.path))?;
            if reply.status != 429 {
                return Ok(reply);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{} {} is never let through", ask.method, ask.path)
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Reply> {
        let method = Method::from_bytes(ask.method.as_bytes())?;
        let mut request = self.client.request(method, format!("{}{}", self.base, ask.path));
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        request = match &ask.body {
            Some(Value::String(form)) => {
                request.header("content-type", "application/x-www-form-urlencoded").body(form.clone())
            }
            // The one form of patch that all of them take.
            Some(json) if ask.method == "PATCH" => {
                request.header("content-type", "application/merge-patch+json").body(json.to_string())
            }
            Some(json) => request.json(json),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if ask.is_stream && response.status().is_success() {
            return Ok(Reply { status, body: Value::Null, headers });
        }
        let bytes = response.bytes().await?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Reply { status, body, headers })
    }
}

impl Ask {
    /// Asks with a method at a path.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    /// With a bearer token, if there is one.
    pub(crate) fn bearer(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header("authorization", &format!("Bearer {token}")),
            None => self,
        }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With a JSON body, or a form as text.
    pub(crate) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

impl Reply {
    /// Whether it gave what was asked for.
    pub(crate) const fn is_success(&self) -> bool {
        self.status < 300
    }

    /// The reply, which must be a success.
    pub(crate) fn expect(self, what: &str) -> Result<Self> {
        ensure!(self.is_success(), "{what}: {} {}", self.status, self.body);
        Ok(self)
    }

    /// All of it that may be compared; what a target is called does not tell it from another.
    pub(crate) fn comparable(&self, at: &Target) -> String {
        let headers = self.headers.iter().filter(|(name, _)| !OF_THE_ANSWER.contains(&name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| !OF_THE_BODY.contains(&name.as_str()));
        }
        at.without_names(&format!("{} {} {body}", self.status, headers.join(", ")))
    }
}
