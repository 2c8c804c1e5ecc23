//! A secret is given to every call of these parts, and every far side sends it back in all it says.
//! Then it is looked for in every error, `Debug` and log line, and must not be there.

use crate::openbao_world::wanted;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::catalogue::{FieldValues, KINDS, Kind, Secret, SecretFormat, SecretRule};
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, SecretText, TenantId};
use integraci_server::connectors::secrets::ConnectorSecrets;
use integraci_server::connectors::verify::Subject;
use integraci_server::isolation::Isolation as _;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use uuid::Uuid;

use super::local_config;

const CANARY: &str = "canary/7f3a-\"quoted\"-secret";

/// Everything that was said, and a log at its most talkative that goes there too.
#[derive(Clone, Default)]
struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    /// What else must not be said: the credentials that far sides were sent, and keys.
    sent: Arc<Mutex<BTreeSet<String>>>,
    /// The kinds whose far side was sent a credential.
    kinds: Arc<Mutex<BTreeSet<String>>>,
}

impl Said {
    fn note(&self, what: &impl Debug) {
        writeln!(self.text.lock().unwrap(), "{what:?} {what:#?}").unwrap();
    }

    fn note_error(&self, error: &(impl Debug + Display)) {
        self.note(error);
        writeln!(self.text.lock().unwrap(), "{error}").unwrap();
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
        let said = String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned();
        let escaped: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
        for form in [
            CANARY.to_owned(),
            CANARY.escape_debug().to_string(),
            STANDARD.encode(CANARY),
            STANDARD.encode(format!("robot:{CANARY}")),
            STANDARD.encode(format!("robot@acme.example:{CANARY}")),
            STANDARD.encode(format!(":{CANARY}")),
            STANDARD.encode(format!("{CANARY}:")),
            hex::encode(CANARY),
            escaped,
            "canary".to_owned(),
        ] {
            assert!(!said.contains(&form), "{form} was said:\n{said}");
        }
        for form in self.sent.lock().unwrap().iter() {
            assert!(!said.contains(form), "{form} was sent, and was said:\n{said}");
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
        self.0.text.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How a far side that echoes answers.
#[derive(Clone, Copy)]
enum Echo {
    /// With this status, and a body that is nothing a protocol knows.
    Status(u16),
    /// With success, and a body of the names that protocols look for.
    Success,
}

/// Headers of every request, which are no secret and would hide one that is.
const PLAIN: &[&str] = &["accept", "content-length", "content-type", "host", "user-agent"];

impl Said {
    /// A server that answers every request, and in headers and body with all that came.
    async fn echoes(&self, how: Echo) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = self.clone();
        let app = Router::new().fallback(async move |request: Request| said.echo(how, request).await);
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    async fn echo(&self, how: Echo, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
        let said = format!("{head:?} {}", String::from_utf8_lossy(&body));
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers.iter().filter(|(name, _)| !PLAIN.contains(&name.as_str())) {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if ["authorization", "key", "token"].iter().any(|end| name.as_str().ends_with(end)) {
                let kind = head.uri.path().split('/').nth(1).unwrap_or_default();
                self.kinds.lock().unwrap().insert(kind.to_owned());
                let credential = text.split_once(' ').map_or(text.as_str(), |(_, credential)| credential);
                self.sent.lock().unwrap().insert(credential.to_owned());
            }
            let text: String = text.chars().filter(|c| *c != '"').collect();
            let escaped: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            headers.insert(header::LOCATION, HeaderValue::from_str(&format!("/{escaped}")).unwrap());
            let realm = format!("Bearer realm=\"{text}\", error=\"{text}\"");
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_str(&realm).unwrap());
            for echo in ["x-echo", "retry-after", "x-ratelimit-remaining", "date"] {
                headers.insert(echo, value.clone());
            }
        }
        let (status, body) = match how {
            Echo::Status(status) => {
                let body = json!({ "errors": [said, CANARY], "data": CANARY, "token": [CANARY] });
                (StatusCode::from_u16(status).unwrap(), body.to_string())
            }
            Echo::Success if head.uri.path().ends_with("/ping") => (StatusCode::OK, "OK".to_owned()),
            Echo::Success => match head.method {
                Method::POST => (StatusCode::CREATED, plausible().to_string()),
                Method::DELETE => (StatusCode::NO_CONTENT, String::new()),
                _ => (StatusCode::OK, plausible().to_string()),
            },
        };
        (status, headers, body).into_response()
    }
}

/// A body in which protocols find what they look for, and the canary as its value wherever it can be.
fn plausible() -> Value {
    json!({
        "access_token": CANARY, "accountId": CANARY, "active": true, "app_id": 7, "auth": { "client_token": CANARY },
        "authenticatedUser": { "id": "d6245f20-2af8-44f4-9451-8107cb2767db" },
        "bot_id": CANARY, "channel": { "id": CANARY, "is_archived": false },
        "data": { "accessor": CANARY, "expire_time": CANARY, "id": CANARY, "policies": [CANARY], "ttl": 60 },
        "expires_at": CANARY, "full_path": CANARY, "id": CANARY, "key": CANARY, "ok": true, "repo": CANARY,
        "revoked": false, "service": { "id": CANARY }, "slug": CANARY, "team_id": "acme", "token": CANARY,
        "token_id": CANARY, "username": CANARY, "uuid": CANARY, "valid": true,
    })
}

const STATUSES: &[u16] = &[200, 201, 203, 204, 302, 307, 400, 401, 403, 404, 412, 418, 429, 473, 500, 503];

/// The configurations of a kind at an address: with every field, and with none that may be left out.
fn configs(kind: &Kind, url: &str) -> [Map<String, Value>; 2] {
    let is_url = |values| matches!(values, FieldValues::Url);
    assert!(kind.fields.iter().any(|field| is_url(field.values)), "{} would call the real one", kind.name);
    [true, false].map(|all| {
        let fields = kind.fields.iter().filter(|field| all || field.required || is_url(field.values));
        let valued = fields.filter_map(|field| {
            let value = match (field.values, field.name) {
                (FieldValues::Url, _) => json!(url),
                (FieldValues::Text, "username") => json!("robot"),
                (FieldValues::Text, "email") => json!("robot@acme.example"),
                (FieldValues::Text, "repository") => json!("acme/app"),
                (FieldValues::Text, _) => json!("acme"),
                (FieldValues::Integer, _) => json!(7),
                (FieldValues::OneOf(words), _) => json!(words[0]),
                (FieldValues::Words(words), _) => json!([words[0]]),
                (FieldValues::Certificates, _) => return None,
            };
            Some((field.name.to_owned(), value))
        });
        valued.collect()
    })
}

/// A canary that can be this secret.
fn canary(secret: &Secret, url: &str, key: &str) -> SecretText {
    SecretText::new(match (secret.format, secret.name) {
        (SecretFormat::PrivateKey, _) => key.to_owned(),
        (SecretFormat::Text, "kubeconfig") => json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": { "server": url } }],
            "users": [{ "name": "u", "user": { "token": CANARY } }],
        })
        .to_string(),
        (SecretFormat::Text | SecretFormat::WebhookKey, _) => CANARY.to_owned(),
    })
}

/// The secrets of a kind as its rule has them: all together, or each by itself.
fn secrets(kind: &Kind, url: &str, key: &str) -> Vec<BTreeMap<String, SecretText>> {
    let each = kind.secrets.iter().map(|secret| (secret.name.to_owned(), canary(secret, url, key)));
    match kind.secret_rule {
        SecretRule::Each => vec![each.collect()],
        SecretRule::ExactlyOne | SecretRule::AtMostOne => each.map(|one| BTreeMap::from([one])).collect(),
    }
}

/// A key of RSA in PEM, and its base64, which must not be said.
fn private_key() -> (String, String) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let body = STANDARD.encode(der.as_ref());
    (format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"), body)
}

/// Has every kind that has a secret verified, revoked and minted at an address, and notes all that comes
/// of it.
async fn try_every_kind(said: &Said, url: &str, key: &str) {
    let verifier = super::verifier(&local_config());
    said.note(&verifier);
    for kind in KINDS.iter().filter(|kind| !kind.secrets.is_empty()) {
        let url = format!("{url}/{}", kind.name);
        for (config, secrets) in configs(kind, &url)
            .iter()
            .flat_map(|config| secrets(kind, &url, key).into_iter().map(move |secrets| (config, secrets)))
        {
            let subject = Subject {
                tenant: TenantId::from_uuid(Uuid::from_u128(6)),
                name: "of-tests",
                connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
                kind: kind.name,
                config,
                secrets: &secrets,
                now: OffsetDateTime::UNIX_EPOCH,
                attempt: Uuid::from_u128(8),
            };
            said.note(&subject);
            let verified = verifier.verify(&subject).await;
            said.note(&verified);
            let outcomes = [
                verified.map(drop),
                verifier.revoke(&subject).await,
                verifier.mint(&subject).await.map(drop),
            ];
            for error in outcomes.into_iter().filter_map(Result::err) {
                said.note_error(&error);
                said.note(&error.faults());
            }
        }
    }
}

#[tokio::test]
async fn a_far_side_that_echoes_the_secret_is_not_quoted() {
    let said = Said::default();
    let log = said.log();
    let (key, base64) = private_key();
    said.sent.lock().unwrap().insert(base64);
    let statuses = STATUSES.iter().map(|status| Echo::Status(*status));
    for how in statuses.chain([Echo::Success]) {
        try_every_kind(&said, &said.echoes(how).await, &key).await;
    }
    drop(log);
    said.assert_clean();
    // A webhook is sent a signature, and never the key.
    let with_secret = KINDS.iter().filter(|kind| !kind.secrets.is_empty() && kind.name != "webhook");
    let sent = said.kinds.lock().unwrap();
    let unsent: Vec<_> = with_secret.map(|kind| kind.name).filter(|name| !sent.contains(*name)).collect();
    assert!(unsent.is_empty(), "never sent a secret: {unsent:?}");
}

/// Beside the status there is room for a phrase, which some say their reasons in.
#[tokio::test]
async fn a_reason_phrase_that_echoes_the_secret_is_not_quoted() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let said = Said::default();
    let log = said.log();
    let (key, base64) = private_key();
    said.sent.lock().unwrap().insert(base64);
    for status in [200, 401, 429, 500] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = [0; 16 * 1024];
                let read = connection.read(&mut request).await.unwrap_or_default();
                let heard = String::from_utf8_lossy(&request[..read]).replace(['\r', '\n'], " ");
                let answer = format!("HTTP/1.1 {status} {CANARY} {heard}\r\ncontent-length: 0\r\n\r\n");
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        try_every_kind(&said, &url, &key).await;
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
            address: said.echoes(Echo::Status(status)).await.parse().unwrap(),
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
