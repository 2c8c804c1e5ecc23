//! A secret is given to every call of these parts, and every far side sends it back in all it says.
//! Then it is looked for in every error, `Debug` and log line, and must not be there.

use crate::openbao_world::wanted;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, SecretText, TenantId};
use integraci_server::connectors::secrets::ConnectorSecrets;
use integraci_server::connectors::verify::{Subject, VerifyError};
use integraci_server::isolation::Isolation as _;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use uuid::Uuid;

use super::local_config;

const CANARY: &str = "canary/7f3a-\"quoted\"-secret";

/// Everything that was said, and a log at its most talkative that goes there too.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn note(&self, what: &impl Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?} {what:#?}").unwrap();
    }

    fn note_error(&self, error: &(impl Debug + Display)) {
        self.note(error);
        writeln!(self.0.lock().unwrap(), "{error}").unwrap();
    }

    fn log(&self) -> tracing::subscriber::DefaultGuard {
        // As long as there is one subscriber, a call site that is met first by a thread without it is
        // switched off for all threads; with a second one, each is asked.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&SECOND);
        let said = self.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || Sink(said.clone()));
        tracing::subscriber::set_default(log.finish())
    }

    /// Looks for the canary in every form in which it was sent.
    fn assert_clean(&self) {
        let said = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let escaped: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
        for form in [
            CANARY.to_owned(),
            CANARY.escape_debug().to_string(),
            STANDARD.encode(CANARY),
            STANDARD.encode(format!("robot:{CANARY}")),
            hex::encode(CANARY),
            escaped,
            "canary".to_owned(),
        ] {
            assert!(!said.contains(&form), "{form} was said:\n{said}");
        }
        assert!(
            said.contains("system_call") || said.contains("outbound_call"),
            "nothing was logged:\n{said}"
        );
    }
}

struct Sink(Said);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that answers every request with a status, and in headers and body with all that came.
async fn echoes(status: u16) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(move |request: Request| async move {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
        let said = format!("{head:?} {}", String::from_utf8_lossy(&body));
        let credentials = ["authorization", "x-vault-token"].map(|name| head.headers.get(name).cloned());
        let mut headers = HeaderMap::new();
        for value in credentials.into_iter().flatten() {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let text: String = text.chars().filter(|c| *c != '"').collect();
            let escaped: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            headers.insert(header::LOCATION, HeaderValue::from_str(&format!("/{escaped}")).unwrap());
            let realm = format!("Bearer realm=\"{text}\", error=\"{text}\"");
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_str(&realm).unwrap());
            headers.insert("x-echo", value);
        }
        let body = json!({ "errors": [said, CANARY], "data": CANARY, "token": [CANARY] });
        (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

const STATUSES: &[u16] = &[200, 204, 302, 307, 400, 401, 403, 404, 412, 418, 429, 473, 500, 503];

async fn verify(said: &Said, url: &str, kind: &str, name: &str) -> Result<(), VerifyError> {
    let secrets = BTreeMap::from([(name.to_owned(), SecretText::new(CANARY.to_owned()))]);
    let config = json!({ "url": url, "username": "robot", "repository": "acme/app" });
    let subject = Subject {
        tenant: TenantId::from_uuid(Uuid::from_u128(6)),
        name: "of-tests",
        connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
        kind,
        config: config.as_object().unwrap(),
        secrets: &secrets,
        now: OffsetDateTime::UNIX_EPOCH,
        attempt: Uuid::from_u128(8),
    };
    let verifier = super::verifier(&local_config());
    said.note(&subject);
    said.note(&verifier);
    verifier.verify(&subject).await.map(drop)
}

#[tokio::test]
async fn a_far_side_that_echoes_the_secret_is_not_quoted() {
    let said = Said::default();
    let log = said.log();
    for &status in STATUSES {
        let url = echoes(status).await;
        for (kind, name) in
            [("webhook", "hmac_key"), ("container_registry", "password"), ("container_registry", "token")]
        {
            if let Err(error) = verify(&said, &url, kind, name).await {
                said.note_error(&error);
                said.note(&error.faults());
            }
        }
    }
    drop(log);
    said.assert_clean();
}

#[tokio::test]
async fn an_openbao_that_echoes_the_secret_or_the_token_is_not_quoted() {
    let said = Said::default();
    let log = said.log();
    let tenant = TenantNames::of(&"acme".parse().unwrap());
    let connector = ConnectorId::from_uuid(Uuid::from_u128(7));
    let secrets = BTreeMap::from([("hmac_key".to_owned(), SecretText::new(CANARY.to_owned()))]);
    for &status in STATUSES {
        let config = OpenBaoConfig {
            address: echoes(status).await.parse().unwrap(),
            token: SecretText::new(CANARY.to_owned()),
            namespace: None,
            ca_certificate: None,
            timeout: Duration::from_secs(10),
        };
        let client = Client::new(&config).unwrap();
        let (system, store) = (OpenBao::new(client.clone()), ConnectorSecrets::new(client));
        said.note(&config);
        said.note(&(&system, &store, &secrets));

        said.note(&system.check().await);
        said.note(&system.ensure(&wanted(&tenant)).await);
        said.note(&system.ensure_none(&wanted(&tenant)).await);
        said.note(&system.remains(&wanted(&tenant)).await);
        said.note(&store.get(&tenant, connector, 1).await);
        let failures = [
            store.put(&tenant, connector, 0, &secrets).await.map(drop),
            store.current_version(&tenant, connector).await.map(drop),
            store.compare(&tenant, connector, 1, &secrets).await.map(drop),
            store.destroy_version(&tenant, connector, 1).await,
            store.destroy_all(&tenant, connector).await,
        ];
        for error in failures.into_iter().filter_map(Result::err) {
            said.note_error(&error);
        }
    }
    drop(log);
    said.assert_clean();
}

#[tokio::test]
async fn an_answer_that_is_secrets_of_the_wrong_shape_is_not_quoted() {
    let said = Said::default();
    let log = said.log();
    for data in
        [json!({ "data": { "hmac_key": { "nested": CANARY } } }), json!({ "data": [CANARY] }), json!(CANARY)]
    {
        let body = json!({ "data": data }).to_string();
        let far_side = super::Scripted::start("127.0.0.1", move |_, _| body.clone().into_response()).await;
        let config = OpenBaoConfig {
            address: far_side.url.parse().unwrap(),
            token: SecretText::new("s.token".to_owned()),
            namespace: None,
            ca_certificate: None,
            timeout: Duration::from_secs(10),
        };
        let store = ConnectorSecrets::new(Client::new(&config).unwrap());
        let tenant = TenantNames::of(&"acme".parse().unwrap());
        let error = store.get(&tenant, ConnectorId::from_uuid(Uuid::from_u128(7)), 1).await.unwrap_err();
        said.note_error(&error);
    }
    drop(log);
    said.assert_clean();
}

/// Guards the guard: what these tests look for is found when it is there.
#[test]
#[should_panic(expected = "was said")]
fn a_canary_that_was_said_is_found() {
    let said = Said::default();
    said.note(&json!({ "token": STANDARD.encode(CANARY) }) as &Value);
    said.assert_clean();
}
