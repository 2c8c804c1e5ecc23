//! GitHub Apps.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use integraci_server::connectors::verify::{Verified, VerifyError};
use local_platform::far_side::{Behaviour, FarSide};
use serde_json::{Value, json};

use super::{Connector, Heard, Kind, ok};

const APP: u64 = 12345;
const INSTALLATION: u64 = 678;
/// How far into a PKCS#8 block the PKCS#1 block begins, for an RSA key of 2048 bits.
const PKCS1_AT: usize = 26;

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

pub(super) const KIND: Kind =
    Kind { at: connector_at, secret: "/secrets/private_key", place: "/config/base_url" };

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn pkcs8(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    pem("PRIVATE KEY", der.as_ref())
}

fn pkcs1(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    pem("RSA PRIVATE KEY", &der.as_ref()[PKCS1_AT..])
}

fn connector_at(url: &str) -> Connector {
    let config = json!({ "app_id": APP, "installation_id": INSTALLATION, "base_url": url });
    Connector::new("github_app", config, ("private_key", &pkcs1(&KEY)))
}

/// A GitHub with the app and its installation.
async fn github() -> (FarSide, Connector) {
    let far_side = FarSide::start().await.unwrap();
    far_side.github_app(APP, INSTALLATION, KEY.public_key().as_ref());
    let connector = connector_at(&far_side.address("github_app"));
    (far_side, connector)
}

fn with_key(connector: &Connector, pem: &str) -> Connector {
    Connector::new("github_app", connector.config.clone(), ("private_key", pem))
}

#[tokio::test]
async fn an_installation_is_accepted_and_its_token_given_back() {
    let (far_side, connector) = github().await;
    assert_eq!(connector.verify().await, Ok(Verified::default()));
    assert_eq!(with_key(&connector, &pkcs8(&KEY)).verify().await, Ok(Verified::default()));
    let slash = connector.with("base_url", format!("{}/", far_side.address("github_app")));
    assert_eq!(slash.verify().await, Ok(Verified::default()));

    let seen: Vec<_> =
        far_side.seen().into_iter().take(3).map(|seen| (seen.method, seen.path, seen.status)).collect();
    let entry = |method: &str, path: &str, status| (method.to_owned(), format!("/github_app{path}"), status);
    assert_eq!(
        seen,
        [
            entry("GET", "/app/installations/678", 200),
            entry("POST", "/app/installations/678/access_tokens", 201),
            entry("DELETE", "/installation/token", 204),
        ]
    );
    assert_eq!(far_side.github_tokens(), 0);
}

#[tokio::test]
async fn each_fault_points_at_its_field() {
    let (far_side, connector) = github().await;
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let wrong_key = with_key(&connector, &pkcs1(&other));
    assert_eq!(wrong_key.refused_at().await, "/secrets/private_key");
    assert_eq!(connector.with("app_id", 99).refused_at().await, "/config/app_id");
    assert_eq!(connector.with("installation_id", 99).refused_at().await, "/config/installation_id");

    far_side.github_app(99, 100, other.public_key().as_ref());
    let of_another_app = connector.with("installation_id", 100);
    assert_eq!(of_another_app.refused_at().await, "/config/installation_id");
    assert_eq!(connector.with("app_id", 99).refused_at().await, "/secrets/private_key");

    far_side.github_suspend(INSTALLATION);
    assert_eq!(connector.refused_at().await, "/config/installation_id");
    far_side.github_uninstall(INSTALLATION);
    assert_eq!(connector.refused_at().await, "/config/installation_id");
    assert_eq!(far_side.github_tokens(), 0);

    far_side.behave(Behaviour::EchoesCredential);
    assert_eq!(connector.refused_at().await, "/config/base_url");
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_refused_before_any_call() {
    let (far_side, connector) = github().await;
    let pkcs8_as_pkcs1 = pkcs8(&KEY).replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let torn = pkcs1(&KEY).replacen('A', "B", 40);
    for pem in [pkcs8_as_pkcs1, elliptic, torn, pem("RSA PRIVATE KEY", b"junk")] {
        assert_eq!(with_key(&connector, &pem).refused_at().await, "/secrets/private_key");
    }
    assert!(far_side.seen().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_not_the_tenants_fault() {
    let (_far_side, connector) = github().await;
    for off in [time::Duration::hours(1), time::Duration::hours(-1)] {
        let connector = Connector { now: connector.now + off, ..connector.clone() };
        let failed = connector.verify().await;
        assert!(matches!(failed, Err(VerifyError::Unreachable { .. })), "{failed:?}");
    }
    let leeway = Connector { now: connector.now + time::Duration::seconds(50), ..connector };
    leeway.verify().await.unwrap();
}

#[tokio::test]
async fn requests_are_as_the_documentation_has_them() {
    let installation = json!({ "app_id": APP, "suspended_at": null });
    let far_side = Heard::start(move |line| match line.split(' ').next() {
        Some("POST") => (StatusCode::CREATED, r#"{"token":"ghs_x"}"#).into_response(),
        Some("DELETE") => StatusCode::NO_CONTENT.into_response(),
        _ => ok(&installation),
    })
    .await;
    let connector = connector_at(&format!("{}/api/v3", far_side.url));
    connector.verify().await.unwrap();
    assert_eq!(
        far_side.lines(),
        [
            "GET /api/v3/app/installations/678",
            "POST /api/v3/app/installations/678/access_tokens",
            "DELETE /api/v3/installation/token",
        ]
    );
    assert_eq!(far_side.header("accept"), ["application/vnd.github+json"; 3]);
    assert_eq!(far_side.header("x-github-api-version"), ["2022-11-28"; 3]);
    assert!(far_side.header("user-agent").iter().all(|agent| agent.starts_with("integraci-server/")));

    let authorizations = far_side.header("authorization");
    assert_eq!(authorizations[2], "Bearer ghs_x");
    let jwt: Vec<_> = authorizations[0].strip_prefix("Bearer ").unwrap().split('.').collect();
    let part =
        |at: usize| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt[at]).unwrap()).unwrap() };
    assert_eq!(part(0), json!({ "alg": "RS256", "typ": "JWT" }));
    let now = connector.now.unix_timestamp();
    assert_eq!(part(1), json!({ "iss": APP, "iat": now - 60, "exp": now + 540 }));
}

#[tokio::test]
async fn a_rate_limit_is_no_refusal() {
    let now = time::OffsetDateTime::now_utc();
    let reset = (now.unix_timestamp() + 90).to_string();
    for (status, headers, wait_s) in [
        (403, vec![("retry-after", "30".to_owned())], 30),
        (403, vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset.clone())], 90),
        (429, vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset)], 90),
        (403, vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", "1".to_owned())], 0),
        (
            403,
            vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", i64::MAX.to_string())],
            3600,
        ),
    ] {
        // At the first request, and at the one for a token.
        for first in [true, false] {
            let headers = headers.clone();
            let far_side = Heard::start(move |line| {
                if !first && line.starts_with("GET") {
                    return ok(&json!({ "app_id": APP }));
                }
                let mut answer = StatusCode::from_u16(status).unwrap().into_response();
                for (name, value) in &headers {
                    answer.headers_mut().insert(*name, value.parse().unwrap());
                }
                answer
            })
            .await;
            let connector = Connector { now, ..connector_at(&far_side.url) };
            let busy = VerifyError::Busy { retry_after: Some(Duration::from_secs(wait_s)) };
            assert_eq!(connector.verify().await, Err(busy));
        }
    }
}

#[tokio::test]
async fn what_changes_between_the_calls_is_told_as_what_it_is() {
    for (status, pointer) in [(403, "/config/installation_id"), (404, "/config/installation_id")] {
        let far_side = Heard::start(move |line| match line.starts_with("GET") {
            true => ok(&json!({ "app_id": APP })),
            false => StatusCode::from_u16(status).unwrap().into_response(),
        })
        .await;
        assert_eq!(connector_at(&far_side.url).refused_at().await, pointer);
    }
    let of_another_app = Heard::start(|_| ok(&json!({ "app_id": 1 }))).await;
    assert_eq!(connector_at(&of_another_app.url).refused_at().await, "/config/app_id");
}

#[tokio::test]
async fn a_token_that_is_not_taken_back_says_nothing_against_the_connector() {
    let far_side = Heard::start(|line| match line.split(' ').next() {
        Some("POST") => (StatusCode::CREATED, r#"{"token":"ghs_x"}"#).into_response(),
        Some("DELETE") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => ok(&json!({ "app_id": APP })),
    })
    .await;
    connector_at(&far_side.url).verify().await.unwrap();
}
