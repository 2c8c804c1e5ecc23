//! A Keycloak that is away, refuses, is busy, or is something else; and what `doctor` says of one.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use integraci_server::isolation::Finding;

use super::*;
use crate::verify::Scripted;

/// What stands where a secret stands.
const HUSH: &str = "hush-hush-hush";

impl Realms {
    fn at(&self, url: &str) -> Keycloak {
        let config = KeycloakConfig {
            url: url.parse().unwrap(),
            client_secret: SecretText::new(HUSH.to_owned()),
            timeout: Duration::from_millis(500),
            ..self.cell().system
        };
        self.with(&config)
    }
}

/// An answer of Keycloak's that gives a token.
fn token(text: &str) -> Response {
    axum::Json(json!({ "access_token": text, "expires_in": 60 })).into_response()
}

fn no_realm() -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({ "error": "Realm not found." }))).into_response()
}

#[tokio::test]
async fn each_fault_has_its_class_and_no_word_of_the_far_side_or_of_the_secret() {
    let (realms, tenant) = (Realms::new().await, tenant("faults"));
    let busy = |seconds: u64| ErrorClass::Busy { retry_after: Some(Duration::from_secs(seconds)) };
    let cases: [(u16, &'static str, ErrorClass); 8] = [
        (401, "{}", ErrorClass::Refused),
        (403, r#"{"error":"hush-hush-hush"}"#, ErrorClass::Refused),
        (404, "<html>hush-hush-hush</html>", ErrorClass::Broken),
        (429, "", busy(7)),
        (503, "", busy(7)),
        (500, "hush-hush-hush", ErrorClass::Broken),
        (302, "", ErrorClass::Broken),
        (200, "hush-hush-hush", ErrorClass::Broken),
    ];
    for (status, body, class) in cases {
        let far_side = Scripted::start("127.0.0.1", move |path, _| {
            if path.ends_with("/token") {
                return token("t");
            }
            (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "7")], body).into_response()
        })
        .await;
        let error = realms.at(&far_side.url).remains(&wanted(&tenant)).await.unwrap_err();
        assert_eq!(error.class, class, "{status} {body}");
        assert!(!format!("{error} {error:?}").contains(HUSH), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_not_taken_is_refused_and_one_that_is_away_or_silent_is_broken() {
    let (realms, tenant) = (Realms::new().await, tenant("away"));
    let error = realms.at(&realms.url).ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((error.operation, error.class), ("platform_login", ErrorClass::Refused));
    assert!(!format!("{error} {error:?}").contains(HUSH));

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let cut = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cut_off = format!("http://{}", cut.local_addr().unwrap());
    tokio::spawn(async move { while cut.accept().await.is_ok() {} });
    for url in [NOWHERE, &silent, &cut_off] {
        let system = realms.at(url);
        for error in [
            system.ensure(&wanted(&tenant)).await.unwrap_err(),
            system.remains(&wanted(&tenant)).await.unwrap_err(),
            system.drift(&wanted(&tenant)).await.unwrap_err(),
            system.ensure_none(&wanted(&tenant)).await.unwrap_err(),
        ] {
            assert_eq!(error.class, ErrorClass::Broken, "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains(HUSH));
        }
    }
}

#[tokio::test]
async fn one_token_serves_many_and_is_asked_for_again_when_it_is_not_taken() {
    let (realms, tenant) = (Realms::new().await, tenant("tokens"));
    let given = std::sync::Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let far_side = Scripted::start("127.0.0.1", move |path, credentials| {
        if path.ends_with("/token") {
            return token(&format!("t{}", count.fetch_add(1, Ordering::SeqCst)));
        }
        if credentials == Some("Bearer t0") { StatusCode::UNAUTHORIZED.into_response() } else { no_realm() }
    })
    .await;
    let system = realms.at(&far_side.url);
    let wanted = wanted(&tenant);
    for found in join_all((0..8).map(|_| system.remains(&wanted))).await {
        assert_eq!(found.unwrap(), []);
    }
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

fn found<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check == check).unwrap()
}

#[tokio::test]
async fn check_says_what_is_wrong_and_what_to_do() {
    let realms = Realms::new().await;
    let findings = realms.system().await.check().await;
    assert!(findings.iter().all(Finding::passed), "{findings:?}");
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(checks, ["reachable", "credential", "rights", "nothing more"]);

    let findings = realms.at(NOWHERE).check().await;
    assert_eq!(findings.len(), 1);
    assert!(!found(&findings, "reachable").passed());

    assert!(!found(&realms.at(&realms.url).check().await, "credential").passed());

    let admin = realms.cell().admin.unwrap();
    let config = KeycloakConfig {
        client_id: admin.client_id.unwrap(),
        client_secret: admin.secret,
        ..realms.cell().system
    };
    let findings = realms.with(&config).check().await;
    assert!(!found(&findings, "nothing more").passed(), "{findings:?}");
}

#[tokio::test]
async fn setup_leaves_the_credential_of_another_installation_as_it_is() {
    let realms = Realms::new().await;
    let first = setup::prepare(&realms.cell()).await.unwrap();
    let second = setup::prepare(&realms.cell()).await.unwrap();
    assert_eq!(first.expose(), second.expose());
    let stranger = CellConfig { admin: None, ..realms.cell() };
    assert!(setup::prepare(&stranger).await.is_err());
}
