//! Verification of connectors against a webhook receiver and a container registry.

mod attack;
mod canary;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use integraci_api::{ConnectorId, SecretText, TenantId};
use integraci_server::connectors::outbound::{Outbound, OutboundConfig};
use integraci_server::connectors::verify::{Subject, Verifier, VerifyError};
use integraci_server::isolation::openbao::{Client, OpenBaoConfig, Signer};
use integraci_server::oidc::Issuer;
use local_platform::far_side::{Behaviour, FarSide};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// What the tests allow: plain HTTP to this machine.
pub(crate) fn local_config() -> OutboundConfig {
    OutboundConfig {
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        allow_http: true,
        timeout: Duration::from_secs(10),
        max_body_bytes: 64 * 1024,
        ca_certificate: None,
    }
}

/// A verifier without an issuer: for kinds that have a secret.
pub(crate) fn verifier(config: &OutboundConfig) -> Verifier {
    let nowhere = Client::new(&OpenBaoConfig {
        address: "http://nowhere.invalid".parse().unwrap(),
        token: SecretText::new(String::new()),
        namespace: None,
        ca_certificate: None,
        timeout: Duration::from_secs(1),
    });
    Verifier::new(Outbound::new(config).unwrap(), Issuer::new(None, Signer::new(nowhere.unwrap())))
}

/// Verifies a connector of a kind with one secret.
async fn verify_with(
    config: &OutboundConfig,
    kind: &str,
    settings: Value,
    (name, secret): (&str, &str),
) -> Result<(), VerifyError> {
    let secrets = BTreeMap::from([(name.to_owned(), SecretText::new(secret.to_owned()))]);
    let subject = Subject {
        tenant: TenantId::from_uuid(Uuid::from_u128(6)),
        name: "of-tests",
        connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
        kind,
        config: settings.as_object().unwrap(),
        secrets: &secrets,
        now: OffsetDateTime::now_utc(),
        attempt: Uuid::from_u128(8),
    };
    verifier(config).verify(&subject).await.map(drop)
}

async fn verify(kind: &str, settings: Value, secret: (&str, &str)) -> Result<(), VerifyError> {
    verify_with(&local_config(), kind, settings, secret).await
}

async fn webhook(far_side: &FarSide, name: &str, key: &str) -> Result<(), VerifyError> {
    verify("webhook", json!({ "url": far_side.webhook_url(name) }), ("hmac_key", key)).await
}

/// Where a refusal points; anything else as it is, which is no pointer.
pub(crate) fn pointer(verified: Result<(), VerifyError>) -> String {
    match verified {
        Err(VerifyError::Refused { errors }) if errors.len() == 1 => errors[0].pointer.clone(),
        other => format!("{other:?}"),
    }
}

const KEY: &str = "0123456789abcdef";

#[tokio::test]
async fn a_receiver_that_knows_the_key_gets_a_signed_ping() {
    let far_side = FarSide::start().await.unwrap();
    far_side.webhook_key("hook", KEY.into());
    webhook(&far_side, "hook", KEY).await.unwrap();
    let deliveries = far_side.deliveries("hook");
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].id, "msg_00000000000000000000000000000008");
    let body: Value = serde_json::from_slice(&deliveries[0].body).unwrap();
    assert_eq!(body["type"], "integraci.ping");
    assert_eq!(body["data"]["connector_id"], "con_00000000000000000000000000000007");

    far_side.webhook_key("hook", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==".into());
    webhook(&far_side, "hook", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==").await.unwrap();
    webhook(&far_side, "hook", KEY).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_points_at_the_key_and_a_wrong_address_at_the_address() {
    let far_side = FarSide::start().await.unwrap();
    far_side.webhook_key("hook", KEY.into());
    assert_eq!(pointer(webhook(&far_side, "hook", "not the right key").await), "/secrets/hmac_key");
    assert_eq!(pointer(webhook(&far_side, "nobody", KEY).await), "/config/url");
    assert_eq!(pointer(webhook(&far_side, "hook", "whsec_*").await), "/secrets/hmac_key");
}

#[tokio::test]
async fn a_receiver_that_is_down_slow_or_redirects_is_told_apart() {
    let far_side = FarSide::start().await.unwrap();
    far_side.webhook_key("hook", KEY.into());
    far_side.behave(Behaviour::Down);
    let busy = VerifyError::Busy { retry_after: Some(Duration::from_secs(1)) };
    assert_eq!(webhook(&far_side, "hook", KEY).await, Err(busy));

    far_side.behave(Behaviour::Redirect(far_side.webhook_url("hook")));
    assert_eq!(pointer(webhook(&far_side, "hook", KEY).await), "/config/url");
    assert!(far_side.deliveries("hook").is_empty(), "a ping is not sent on");

    far_side.behave(Behaviour::Slow(Duration::from_secs(3600)));
    let hurried = OutboundConfig { timeout: Duration::from_millis(100), ..local_config() };
    let settings = json!({ "url": far_side.webhook_url("hook") });
    let slow = verify_with(&hurried, "webhook", settings, ("hmac_key", KEY)).await;
    let detail = "the receiver: it did not answer in time".to_owned();
    assert_eq!(slow, Err(VerifyError::Unreachable { detail }));
}

#[tokio::test]
async fn what_the_configuration_does_not_allow_is_not_called() {
    let far_side = FarSide::start().await.unwrap();
    far_side.webhook_key("hook", KEY.into());
    for config in [
        OutboundConfig { allow_http: false, ..local_config() },
        OutboundConfig { allow: Vec::new(), ..local_config() },
    ] {
        let settings = json!({ "url": far_side.webhook_url("hook") });
        assert_eq!(
            pointer(verify_with(&config, "webhook", settings, ("hmac_key", KEY)).await),
            "/config/url"
        );
    }
    assert!(far_side.seen().is_empty());
}

fn registry(far_side: &FarSide, repository: &str) -> Value {
    json!({ "url": far_side.url(), "username": "robot", "repository": repository })
}

#[tokio::test]
async fn a_registry_is_logged_in_to_by_its_own_challenge() {
    let far_side = FarSide::start().await.unwrap();
    far_side.registry_user("robot", "hush".into());
    far_side.registry_repository("acme/app", vec!["1.0".into()]);
    let password =
        async |settings, password| verify("container_registry", settings, ("password", password)).await;

    password(registry(&far_side, "acme/app"), "hush").await.unwrap();
    password(json!({ "url": far_side.url(), "username": "robot" }), "hush").await.unwrap();
    password(json!({ "url": format!("{}/", far_side.url()), "username": "robot" }), "hush").await.unwrap();

    assert_eq!(pointer(password(registry(&far_side, "acme/app"), "wrong").await), "/secrets/password");
    assert_eq!(pointer(password(registry(&far_side, "acme/none"), "hush").await), "/config/repository");
    assert_eq!(pointer(password(registry(&far_side, "../../x"), "hush").await), "/config/repository");
    let nameless = json!({ "url": far_side.url() });
    assert_eq!(pointer(password(nameless, "hush").await), "/config/username");
    let elsewhere = json!({ "url": format!("{}/elsewhere", far_side.url()), "username": "robot" });
    assert_eq!(pointer(password(elsewhere, "hush").await), "/config/url");

    far_side.behave(Behaviour::Down);
    let busy = VerifyError::Busy { retry_after: Some(Duration::from_secs(1)) };
    assert_eq!(password(registry(&far_side, "acme/app"), "hush").await, Err(busy));
}

#[tokio::test]
async fn a_bearer_token_is_sent_as_it_is() {
    let far_side = FarSide::start().await.unwrap();
    far_side.registry_user("robot", "hush".into());
    far_side.registry_repository("acme/app", vec!["1.0".into()]);
    let realm = format!("{}/token?scope=repository:acme/app:pull", far_side.url());
    let answer = reqwest::Client::new().get(realm).basic_auth("robot", Some("hush")).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let token = answer["token"].as_str().unwrap();

    let sent =
        async |token| verify("container_registry", registry(&far_side, "acme/app"), ("token", token)).await;
    sent(token).await.unwrap();
    assert_eq!(pointer(sent("made up").await), "/secrets/token");
    assert_eq!(pointer(sent("line\nbreak").await), "/secrets/token");
}

/// A far side that answers every request as the test says, and notes each.
pub(crate) struct Scripted {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Noted>>>,
}

/// Path with query, and credentials.
type Noted = (String, Option<String>);

impl Scripted {
    pub(crate) async fn start<A>(address: &str, answer: A) -> Self
    where
        A: Fn(&str, Option<&str>) -> axum::response::Response + Clone + Send + Sync + 'static,
    {
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| async move {
            let path = request.uri().to_string();
            let credentials = request.headers().get(header::AUTHORIZATION);
            let credentials = credentials.map(|value| value.to_str().unwrap().to_owned());
            notes.lock().unwrap().push((path.clone(), credentials.clone()));
            answer(&path, credentials.as_deref())
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Noted> {
        self.seen.lock().unwrap().clone()
    }
}

/// `robot:hush`.
const BASIC: &str = "Basic cm9ib3Q6aHVzaA==";

#[tokio::test]
async fn a_registry_that_wants_basic_gets_it_only_once_it_asked() {
    let far_side = Scripted::start("127.0.0.1", |_, credentials| match credentials {
        Some(BASIC) => StatusCode::OK.into_response(),
        _ => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"r\"")]).into_response(),
    })
    .await;
    let settings = json!({ "url": far_side.url, "username": "robot", "repository": "acme/app" });
    verify("container_registry", settings.clone(), ("password", "hush")).await.unwrap();
    let basic = Some(BASIC.to_owned());
    assert_eq!(
        far_side.seen(),
        [
            ("/v2/".to_owned(), None),
            ("/v2/".to_owned(), basic.clone()),
            ("/v2/acme/app/tags/list?n=1".to_owned(), basic),
        ]
    );
    let refused = verify("container_registry", settings, ("password", "wrong")).await;
    assert_eq!(pointer(refused), "/secrets/password");
}

#[tokio::test]
async fn an_open_registry_is_still_asked_whether_it_takes_the_password() {
    let far_side = Scripted::start("127.0.0.1", |_, credentials| match credentials {
        None | Some(BASIC) => StatusCode::OK.into_response(),
        Some(_) => StatusCode::UNAUTHORIZED.into_response(),
    })
    .await;
    let settings = json!({ "url": far_side.url, "username": "robot" });
    verify("container_registry", settings.clone(), ("password", "hush")).await.unwrap();
    let refused = verify("container_registry", settings, ("password", "wrong")).await;
    assert_eq!(pointer(refused), "/secrets/password");
}

/// A registry that is open to everyone and takes any login shows nothing of this one.
#[tokio::test]
async fn a_registry_that_looks_at_no_login_verifies_none() {
    let far_side = Scripted::start("127.0.0.1", |_, _| StatusCode::OK.into_response()).await;
    let settings = json!({ "url": far_side.url, "username": "robot" });
    for secret in [("password", "hush"), ("token", "hush")] {
        assert_eq!(pointer(verify("container_registry", settings.clone(), secret).await), "/config/url");
    }
    let seen = far_side.seen();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen.iter().all(|(_, credentials)| credentials.as_deref() != Some(BASIC)));
}

/// Whoever is behind the redirect gets no login, and says 200 to everybody.
#[tokio::test]
async fn a_redirect_to_an_open_registry_verifies_no_login() {
    let challenge = |value: String| (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, value)]);
    let open = Scripted::start("127.0.0.1", |path, _| match path.starts_with("/token") {
        true => axum::Json(json!({ "token": "anybodys" })).into_response(),
        false => StatusCode::OK.into_response(),
    })
    .await;
    let redirect = {
        let open = open.url.clone();
        move |path: &str| (StatusCode::FOUND, [(header::LOCATION, format!("{open}{path}"))]).into_response()
    };
    for secret in [("password", "hush"), ("token", "hush")] {
        // All of it; what has a login; and the token service alone.
        let always = redirect.clone();
        let all = Scripted::start("127.0.0.1", move |path, _| always(path)).await;
        let with_login = redirect.clone();
        let some = Scripted::start("127.0.0.1", move |path, credentials| match credentials {
            Some(_) => with_login(path),
            None => challenge("Basic realm=\"r\"".to_owned()).into_response(),
        })
        .await;
        let of_service = redirect.clone();
        let service = Scripted::start("127.0.0.1", move |path, _| of_service(path)).await;
        let realm = format!("Bearer realm=\"{}/token\"", service.url);
        let by_service = Scripted::start("127.0.0.1", move |_, credentials| match credentials {
            Some("Bearer anybodys") => StatusCode::OK.into_response(),
            _ => challenge(realm.clone()).into_response(),
        })
        .await;
        for (front, expected) in [
            (&all, "/config/url"),
            (&some, "/config/url"),
            (&by_service, if secret.0 == "token" { "/secrets/token" } else { "/config/url" }),
        ] {
            let settings = json!({ "url": front.url, "username": "robot" });
            assert_eq!(pointer(verify("container_registry", settings, secret).await), expected);
        }
    }
    assert!(open.seen().iter().all(|(_, credentials)| credentials.is_none()));
}

/// There and back again: the login is lost on the way, although the answer is the registry's own.
#[tokio::test]
async fn a_redirect_that_comes_back_verifies_no_login() {
    let home = Arc::new(Mutex::new(String::new()));
    let back = Arc::clone(&home);
    let there = Scripted::start("127.0.0.1", move |_, _| {
        let location = format!("{}/open", back.lock().unwrap());
        (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
    })
    .await;
    let location = there.url.clone();
    let far_side = Scripted::start("127.0.0.1", move |path, credentials| match (path, credentials) {
        ("/open", _) => StatusCode::OK.into_response(),
        (_, None) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"r\"")]).into_response()
        }
        (_, Some(_)) => (StatusCode::FOUND, [(header::LOCATION, location.clone())]).into_response(),
    })
    .await;
    home.lock().unwrap().clone_from(&far_side.url);
    let settings = json!({ "url": far_side.url, "username": "robot" });
    let refused = verify("container_registry", settings, ("password", "hush")).await;
    assert_eq!(pointer(refused), "/config/url");
}

/// As Azure's registries do: what pulls does not list the tags.
#[tokio::test]
async fn a_registry_that_names_another_scope_gets_a_token_of_that() {
    const READS: &str = "repository:acme/app:metadata_read";
    let home = Arc::new(Mutex::new(String::new()));
    let service = Arc::clone(&home);
    let far_side = Scripted::start("127.0.0.1", move |path, credentials| {
        let challenge = |scope: &str| {
            let realm = service.lock().unwrap();
            let bearer = format!("Bearer realm=\"{realm}/token\",service=\"s\",scope=\"{scope}\"");
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, bearer)]).into_response()
        };
        let given = |token: &str| axum::Json(json!({ "access_token": token })).into_response();
        match (path.split('?').next().unwrap(), credentials) {
            ("/token", Some(BASIC)) if path.contains("metadata_read") => given("reads"),
            ("/token", Some(BASIC)) => given("pulls"),
            ("/token", _) => StatusCode::UNAUTHORIZED.into_response(),
            ("/v2/", Some("Bearer pulls")) => StatusCode::OK.into_response(),
            ("/v2/acme/app/tags/list", Some("Bearer reads")) => StatusCode::OK.into_response(),
            ("/v2/acme/app/tags/list", _) => challenge(READS),
            ("/v2/acme/closed/tags/list", _) => challenge("repository:acme/closed:metadata_read"),
            _ => challenge(""),
        }
    })
    .await;
    home.lock().unwrap().clone_from(&far_side.url);
    let of = |repository: &str| json!({ "url": far_side.url, "username": "robot", "repository": repository });
    verify("container_registry", of("acme/app"), ("password", "hush")).await.unwrap();
    // Once more and no oftener, and never for a token that is sent as it is.
    let closed = verify("container_registry", of("acme/closed"), ("password", "hush")).await;
    assert_eq!(pointer(closed), "/secrets/password");
    let traded = |(path, _): &Noted| path.starts_with("/token");
    assert_eq!(far_side.seen().iter().filter(|noted| traded(noted)).count(), 4);
    let fixed = verify("container_registry", of("acme/app"), ("token", "pulls")).await;
    assert_eq!(pointer(fixed), "/secrets/token");
    assert_eq!(far_side.seen().iter().filter(|noted| traded(noted)).count(), 4);
}

#[tokio::test]
async fn what_is_no_registry_points_at_the_address() {
    for (status, challenge) in
        [(404, ""), (418, ""), (302, ""), (401, ""), (401, "Negotiate"), (401, "Bearer")]
    {
        let far_side = Scripted::start("127.0.0.1", move |_, _| {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        })
        .await;
        let settings = json!({ "url": far_side.url, "username": "robot" });
        let refused = verify("container_registry", settings, ("password", "hush")).await;
        assert_eq!(pointer(refused), "/config/url", "{status} {challenge}");
        assert!(far_side.seen().iter().all(|(_, credentials)| credentials.is_none()));
    }
}

#[tokio::test]
async fn a_token_service_that_gives_no_token_points_at_the_address() {
    for body in ["", "[]", "{}", r#"{"token":7}"#, r#"{"token":"a\nb"}"#, "<html>"] {
        let service = Scripted::start("127.0.0.1", move |_, _| body.into_response()).await;
        let challenge = format!("Bearer realm=\"{}/token\",service=\"s\"", service.url);
        let far_side = Scripted::start("127.0.0.1", move |_, _| {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge.clone())]).into_response()
        })
        .await;
        let settings = json!({ "url": far_side.url, "username": "robot" });
        let refused = verify("container_registry", settings, ("password", "hush")).await;
        assert_eq!(pointer(refused), "/config/url", "{body}");
        assert_eq!(service.seen(), [("/token?service=s".to_owned(), Some(BASIC.to_owned()))]);
    }
}

#[tokio::test]
async fn a_registry_that_fails_on_its_side_may_work_another_time() {
    let far_side = Scripted::start("127.0.0.1", |_, _| StatusCode::BAD_GATEWAY.into_response()).await;
    let settings = json!({ "url": far_side.url, "username": "robot" });
    let failed = verify("container_registry", settings, ("password", "hush")).await;
    let detail = "the registry failed on its side (status 502)".to_owned();
    assert_eq!(failed, Err(VerifyError::Unreachable { detail }));
}

#[tokio::test]
async fn a_kind_that_nobody_knows_points_at_the_kind() {
    assert_eq!(pointer(verify("carrier_pigeon", json!({}), ("ring", "7")).await), "/kind");
}
