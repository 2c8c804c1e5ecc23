//! The other end of a connector: what connectors of each kind talk to, as strict as the real ones, on
//! a free port of this machine. Tests and the demo verify connectors against it.
//!
//! - `POST /webhooks/NAME` takes messages that are signed by the Standard Webhooks rules.
//! - `/v2/…` and `/token` are an OCI distribution registry with bearer authentication.
//! - `/KIND/…` are the other kinds, a file each, with the facts that it was made from at its head;
//!   `/access/…` belongs to `/artifactory`, beside which the real one lies.
//!
//! What it knows and how it behaves is set through [`FarSide`] by the process that runs it; over
//! HTTP it can only be used, not changed. It may also misbehave on request: [`Behaviour`].

mod artifactory;
mod azure_devops;
mod bitbucket;
mod clouds;
mod datadog;
mod github;
mod gitlab;
mod jira;
mod pagerduty;
mod registry;
mod slack;
mod sonarqube;
mod stripe;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Error;

pub use clouds::{AWS_ROLE_ARN, AZURE_CLIENT_ID, AZURE_DIRECTORY_ID, GCP_PROVIDER, GCP_SERVICE_ACCOUNT};
pub use stripe::{Stripe, StripeFault};
pub use webhooks::Delivery;

/// How the far side answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Normal,
    /// 503 to everything, with `Retry-After: 1`.
    Down,
    /// As it should, after this long.
    Slow(Duration),
    /// 307 to another address, whatever was asked for.
    Redirect(String),
    /// 429 to everything, with `Retry-After: 1`.
    TooManyRequests,
    /// 200 to everything, with 100 MB that never were JSON.
    Huge,
    /// 200 to everything, with a page for people.
    NotJson,
    /// 400 to everything, with the credentials and the body of the request in the answer, as
    /// careless services do.
    EchoesCredential,
}

/// A request that came in, without its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `POST` …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What was answered.
    pub status: u16,
}

/// A far side that runs until it is dropped.
#[derive(Debug)]
pub struct FarSide {
    url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    url: String,
    behaviour: Behaviour,
    seen: Vec<Seen>,
    allowed: Allowed,
    webhooks: webhooks::Webhooks,
    registry: registry::Registry,
    artifactory: artifactory::Artifactory,
    bitbucket: bitbucket::Bitbucket,
    github: github::GitHub,
    gitlab: gitlab::GitLab,
    clouds: clouds::Clouds,
}

/// The tokens and keys that are good, by the kind of connector that they are for. Their digests alone:
/// the time that a look takes says nothing of a token.
#[derive(Debug, Default)]
struct Allowed(BTreeMap<String, BTreeSet<[u8; 32]>>);

impl Allowed {
    /// Whether a token is good for connectors of a kind.
    fn has(&self, kind: &str, token: &str) -> bool {
        self.0.get(kind).is_some_and(|known| known.contains(&<[u8; 32]>::from(Sha256::digest(token))))
    }

    fn remove(&mut self, kind: &str, token: &str) {
        if let Some(known) = self.0.get_mut(kind) {
            known.remove(&<[u8; 32]>::from(Sha256::digest(token)));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FarSide {
    /// Starts on a free port of the loopback address.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start() -> Result<Self, Error> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts on an address of the caller's choice.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_at(address: SocketAddr) -> Result<Self, Error> {
        let listening = || Error::io(format!("listening on {address}"));
        let listener = TcpListener::bind(address).await.map_err(listening())?;
        let url = format!("http://{}", listener.local_addr().map_err(listening())?);
        let shared = Shared::default();
        shared.lock().url.clone_from(&url);
        let app = Router::new()
            .merge(webhooks::routes())
            .merge(registry::routes())
            .merge(artifactory::routes())
            .merge(azure_devops::routes())
            .merge(bitbucket::routes())
            .merge(github::routes())
            .merge(gitlab::routes())
            .nest("/datadog", datadog::routes())
            .nest("/jira", jira::routes())
            .nest("/pagerduty", pagerduty::routes())
            .nest("/slack", slack::routes())
            .nest("/sonarqube", sonarqube::routes())
            .merge(clouds::routes())
            .layer(middleware::from_fn_with_state(shared.clone(), behave))
            .layer(DefaultBodyLimit::max(1024 * 1024))
            .with_state(shared.clone());
        // Ends only when it is aborted.
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, shared, server })
    }

    /// `http://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of one webhook.
    #[must_use]
    pub fn webhook_url(&self, name: &str) -> String {
        format!("{}/webhooks/{name}", self.url)
    }

    /// Makes a webhook take messages signed with this key, and no longer with an earlier one.
    /// `whsec_…` is the base64 of the key; anything else is the key itself.
    pub fn webhook_key(&self, name: &str, key: SecretString) {
        self.shared.lock().webhooks.key(name, key);
    }

    /// What a webhook has taken, in order.
    #[must_use]
    pub fn deliveries(&self, name: &str) -> Vec<Delivery> {
        self.shared.lock().webhooks.deliveries(name)
    }

    /// Lets a user of the registry in with this password, and no longer with an earlier one.
    /// Tokens already given out end.
    pub fn registry_user(&self, user: &str, password: SecretString) {
        self.shared.lock().registry.user(user, Some(password));
    }

    /// Lets a user of the registry in no longer.
    pub fn registry_user_remove(&self, user: &str) {
        self.shared.lock().registry.user(user, None);
    }

    /// Puts a repository with these tags into the registry.
    pub fn registry_repository(&self, name: &str, tags: Vec<String>) {
        self.shared.lock().registry.repository(name, tags);
    }

    /// The address that a connector of a kind is configured with: below it are that kind's paths alone.
    #[must_use]
    pub fn address(&self, kind: &str) -> String {
        format!("{}/{kind}", self.url)
    }

    /// Makes a token or key good for connectors of a kind.
    pub fn allow(&self, kind: &str, token: &SecretString) {
        let digest = Sha256::digest(token.expose_secret()).into();
        self.shared.lock().allowed.0.entry(kind.to_owned()).or_default().insert(digest);
    }

    /// Whether a token or key is good for connectors of a kind.
    #[must_use]
    pub fn allows(&self, kind: &str, token: &SecretString) -> bool {
        self.shared.lock().allowed.has(kind, token.expose_secret())
    }

    /// Makes it worthless.
    pub fn deny(&self, kind: &str, token: &SecretString) {
        self.shared.lock().allowed.remove(kind, token.expose_secret());
    }

    /// Has the cloud of a kind (`aws`, `gcp`, `azure`) let in who shows a token of this issuer with this
    /// subject and audience. It asks the issuer for its keys each time.
    pub fn trust(&self, kind: &str, issuer: &str, subject: &str, audience: &str) {
        self.shared.lock().clouds.trust(kind, trust(issuer, subject, audience));
    }

    /// Has it let that one in no longer.
    pub fn distrust(&self, kind: &str, issuer: &str, subject: &str, audience: &str) {
        self.shared.lock().clouds.distrust(kind, &trust(issuer, subject, audience));
    }

    /// Behaves so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// Every request that has been answered, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }
}

fn trust(issuer: &str, subject: &str, audience: &str) -> clouds::Trust {
    let [issuer, subject, audience] = [issuer, subject, audience].map(str::to_owned);
    clouds::Trust { issuer, subject, audience }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Applies the behaviour, and notes what was answered.
async fn behave(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let behaviour = shared.lock().behaviour.clone();
    let response = match behaviour {
        Behaviour::Normal => next.run(request).await,
        Behaviour::Slow(pause) => {
            tokio::time::sleep(pause).await;
            next.run(request).await
        }
        Behaviour::Down => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response(),
        Behaviour::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Behaviour::TooManyRequests => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response()
        }
        Behaviour::Huge => huge(),
        Behaviour::NotJson => Html("<html><body>Log in</body></html>").into_response(),
        Behaviour::EchoesCredential => echo(request).await,
    };
    shared.lock().seen.push(Seen { method, path, status: response.status().as_u16() });
    response
}

/// What a kind answers that refuses: the status, and the body as its documentation has it.
struct Refusal(StatusCode, Value);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// An answer of 100 MB, made while it is sent: nobody has to hold it who does not read it.
fn huge() -> Response {
    static PART: [u8; 100 * 1024] = [b' '; 100 * 1024];
    let parts = std::iter::repeat_n(Ok::<_, Infallible>(Bytes::from_static(&PART)), 1024);
    Body::from_stream(futures_util::stream::iter(parts)).into_response()
}

async fn echo(request: Request<Body>) -> Response {
    let mut said = String::from("bad request: ");
    for (name, value) in request.headers() {
        said.push_str(&format!("{name}: {}; ", String::from_utf8_lossy(value.as_bytes())));
    }
    if let Some((user, password)) = registry::basic(request.headers()) {
        said.push_str(&format!("user {user}, password {password}; "));
    }
    let body = axum::body::to_bytes(request.into_body(), 1024 * 1024).await.unwrap_or_default();
    said.push_str(&String::from_utf8_lossy(&body));
    (StatusCode::BAD_REQUEST, said).into_response()
}
