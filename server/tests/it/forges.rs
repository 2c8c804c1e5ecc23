//! Verification of connectors to source forges and to Artifactory, against far sides that check what
//! the real ones check, and against ones that answer whatever they like.

mod artifactory;
mod azure_devops;
mod bitbucket;
mod github_app;
mod gitlab;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::{ConnectorId, SecretText, TenantId};
use integraci_server::connectors::verify::{Subject, Verified, VerifyError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::verify::{local_config, verifier};

/// A connector to verify.
#[derive(Clone)]
struct Connector {
    kind: &'static str,
    config: Value,
    secrets: BTreeMap<String, SecretText>,
    now: OffsetDateTime,
}

impl Connector {
    fn new(kind: &'static str, config: Value, (name, secret): (&str, &str)) -> Self {
        let secrets = BTreeMap::from([(name.to_owned(), SecretText::new(secret.to_owned()))]);
        Self { kind, config, secrets, now: OffsetDateTime::now_utc() }
    }

    /// The same with another field.
    fn with(&self, field: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.config[field] = value.into();
        changed
    }

    async fn verify(&self) -> Result<Verified, VerifyError> {
        let outcome = verifier(&local_config()).verify(&self.subject()).await;
        self.assert_unsaid(&outcome);
        outcome
    }

    async fn revoke(&self) -> Result<(), VerifyError> {
        let outcome = verifier(&local_config()).revoke(&self.subject()).await;
        self.assert_unsaid(&outcome);
        outcome
    }

    /// Where the refusal points; anything else as it is, which is no pointer.
    async fn refused_at(&self) -> String {
        match self.verify().await {
            Err(VerifyError::Refused { errors }) if errors.len() == 1 => errors[0].pointer.clone(),
            other => format!("{other:?}"),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: TenantId::from_uuid(Uuid::from_u128(6)),
            connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
            name: "of-tests",
            kind: self.kind,
            config: self.config.as_object().unwrap(),
            secrets: &self.secrets,
            now: self.now,
            attempt: Uuid::from_u128(8),
        }
    }

    fn assert_unsaid(&self, outcome: &impl Debug) {
        let said = format!("{outcome:?}");
        for secret in self.secrets.values().map(SecretText::expose) {
            for form in [secret.to_owned(), secret.escape_debug().to_string(), STANDARD.encode(secret)] {
                assert!(!said.contains(&form), "the secret was said: {said}");
            }
        }
    }
}

/// A far side that answers every request as the test says, and keeps what it heard.
struct Heard {
    url: String,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Heard {
    /// `answer` is given `METHOD /path?query`.
    async fn start<A>(answer: A) -> Self
    where
        A: Fn(&str) -> Response + Clone + Send + Sync + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let app = Router::new().fallback(move |request: Request| async move {
            let line = format!("{} {}", request.method(), request.uri());
            kept.lock().unwrap().push((line.clone(), request.headers().clone()));
            answer(&line)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, requests }
    }

    fn lines(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }

    /// A header of every request; `-` where it is absent.
    fn header(&self, name: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let text = |headers: &HeaderMap| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        requests.iter().map(|(_, headers)| text(headers).unwrap_or_else(|| "-".to_owned())).collect()
    }
}

/// What is the same for every kind: a connector to an address, and where its refusals point.
struct Kind {
    at: fn(&str) -> Connector,
    secret: &'static str,
    place: &'static str,
}

const KINDS: &[Kind] = &[
    artifactory::TOKEN_KIND,
    artifactory::PASSWORD_KIND,
    azure_devops::KIND,
    bitbucket::ACCESS_TOKEN_KIND,
    bitbucket::API_TOKEN_KIND,
    github_app::KIND,
    gitlab::KIND,
];

#[tokio::test]
async fn answers_without_sense_point_at_the_address() {
    for kind in KINDS {
        for (status, body) in [
            (200, "<html>"),
            (200, ""),
            (200, "[]"),
            (200, "{}"),
            (200, r#"{"id":"\ud800"}"#),
            (204, ""),
            (400, "{}"),
            (418, "teapot"),
        ] {
            let far_side =
                Heard::start(move |_| (StatusCode::from_u16(status).unwrap(), body).into_response()).await;
            let connector = (kind.at)(&far_side.url);
            assert_eq!(connector.refused_at().await, kind.place, "{}: {status} {body}", connector.kind);
        }
    }
}

#[tokio::test]
async fn a_login_that_is_refused_points_at_the_secret() {
    for kind in KINDS {
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            let far_side = Heard::start(move |_| status.into_response()).await;
            let connector = (kind.at)(&far_side.url);
            assert_eq!(connector.refused_at().await, kind.secret, "{}: {status}", connector.kind);
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_points_at_the_address() {
    for kind in KINDS {
        let elsewhere = Heard::start(|_| StatusCode::OK.into_response()).await;
        for status in [StatusCode::MOVED_PERMANENTLY, StatusCode::TEMPORARY_REDIRECT] {
            let location = elsewhere.url.clone();
            let far_side =
                Heard::start(move |_| (status, [(header::LOCATION, location.clone())]).into_response()).await;
            let connector = (kind.at)(&far_side.url);
            assert_eq!(connector.refused_at().await, kind.place, "{}: {status}", connector.kind);
        }
        assert!(elsewhere.lines().is_empty());
    }
}

#[tokio::test]
async fn a_far_side_that_asks_for_patience_gets_it() {
    for kind in KINDS {
        for (status, retry_after, wait) in [
            (429, Some("7"), Some(Duration::from_secs(7))),
            (429, None, None),
            (503, Some("120"), Some(Duration::from_secs(120))),
        ] {
            let far_side = Heard::start(move |_| {
                let mut answer = StatusCode::from_u16(status).unwrap().into_response();
                if let Some(seconds) = retry_after {
                    answer.headers_mut().insert(header::RETRY_AFTER, seconds.parse().unwrap());
                }
                answer
            })
            .await;
            let connector = (kind.at)(&far_side.url);
            let busy = VerifyError::Busy { retry_after: wait };
            assert_eq!(connector.verify().await, Err(busy), "{}: {status}", connector.kind);
        }
    }
}

#[tokio::test]
async fn a_far_side_that_fails_or_is_gone_may_work_another_time() {
    for kind in KINDS {
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY] {
            let far_side = Heard::start(move |_| status.into_response()).await;
            let failed = (kind.at)(&far_side.url).verify().await;
            assert!(matches!(failed, Err(VerifyError::Unreachable { .. })), "{status} {failed:?}");
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let failed = (kind.at)(&nobody).verify().await;
        assert!(matches!(failed, Err(VerifyError::Unreachable { .. })), "{failed:?}");
    }
}

fn ok(body: &Value) -> Response {
    (StatusCode::OK, axum::Json(body.clone())).into_response()
}
