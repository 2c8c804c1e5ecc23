//! A server on a free port of this machine that answers each request as the test says, and
//! remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use integraci_api::{Problem, ProblemCode, SecretText};
use terraform_provider_integraci::api::{Api, Patience, Settings, endpoint_parse};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `GET /v1/tenants`
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The server; it stops when this is dropped.
pub(crate) struct Fake {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let router = router(Arc::clone(&seen), answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, task }
    }

    /// Gives these answers, one a request, and the last again and again.
    pub(crate) async fn script(answers: Vec<fn() -> Response>) -> Self {
        let next = Mutex::new(0);
        Self::start(move |_| {
            let mut next = next.lock().unwrap();
            let answer = answers[(*next).min(answers.len() - 1)];
            *next += 1;
            answer()
        })
        .await
    }

    pub(crate) fn api(&self) -> Api {
        api(&self.url)
    }

    /// Waits until a request that fits was seen.
    pub(crate) async fn saw(&self, fits: impl Fn(&Seen) -> bool) {
        let seen = async {
            while !self.seen().iter().any(&fits) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await.expect("no such request was made");
    }

    /// What was seen since the last call.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn router(
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
) -> Router {
    let answer = Arc::new(answer);
    Router::new().fallback(move |request: Request| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let request = Seen {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body: to_bytes(body, 1 << 20).await.unwrap(),
            };
            let response = answer(&request);
            seen.lock().unwrap().push(request);
            response
        }
    })
}

pub(crate) fn settings(url: &str) -> Settings {
    Settings::new(endpoint_parse(url).unwrap(), &SecretText::new("ici_test".into())).unwrap()
}

pub(crate) fn api(url: &str) -> Api {
    Api::new(settings(url))
}

/// More than any test takes.
pub(crate) fn patience() -> Patience {
    patience_of(Duration::from_secs(60))
}

pub(crate) fn patience_of(time: Duration) -> Patience {
    Patience { until: Instant::now() + time, stopped: CancellationToken::new() }
}

pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap();
    respond(status, "application/json", body)
}

pub(crate) fn problem(problem: &Problem) -> Response {
    respond(problem.status, "application/problem+json", serde_json::to_vec(problem).unwrap())
}

pub(crate) fn problem_of(code: ProblemCode) -> Response {
    problem(&Problem::new(code, "as the test wants it"))
}

pub(crate) fn respond(status: u16, content: &'static str, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, content)], body.into()).into_response()
}

/// The same answer with `Retry-After`.
pub(crate) fn retry_after(mut response: Response, seconds: &'static str) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, seconds.parse().unwrap());
    response
}
