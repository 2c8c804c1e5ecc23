//! An OpenBao that fails in every way it can: each failure has its class, and none says a secret.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use integraci_api::{CredentialId, SecretText};
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig};
use integraci_server::isolation::{ErrorClass, Isolation as _, SystemError};
use tokio::net::TcpListener;

use crate::openbao_world::{tenant, wanted};
use crate::verify::Scripted;

const TOKEN: &str = "s.token-of-a-test";

fn system(url: &str, timeout: Duration) -> OpenBao {
    let config = OpenBaoConfig {
        address: url.parse().unwrap(),
        token: SecretText::new(TOKEN.to_owned()),
        namespace: Some("platform".to_owned()),
        ca_certificate: None,
        timeout,
    };
    OpenBao::new(Client::new(&config).unwrap())
}

/// The error of every verb that can fail.
async fn errors(system: &OpenBao) -> Vec<SystemError> {
    let wanted = wanted(&tenant("faults"));
    let (names, handle) = (&wanted.names, Some("accessor,other"));
    let credential = CredentialId::from_uuid(uuid::Uuid::now_v7());
    let ttl = Duration::from_secs(600);
    let checks = system.attest(&wanted, &wanted).await;
    assert!(checks.len() >= 30 && checks.iter().all(|check| !check.passed), "{checks:?}");
    assert!(system.check().await.iter().any(|finding| !finding.passed()));
    vec![
        system.ensure(&wanted).await.unwrap_err(),
        system.ensure_none(&wanted).await.unwrap_err(),
        system.remains(&wanted).await.unwrap_err(),
        system.drift(&wanted).await.unwrap_err(),
        system.credentials_issue(&wanted, credential, ttl).await.unwrap_err(),
        system.credentials_renew(names, credential, handle, ttl).await.unwrap_err(),
        system.credentials_revoke(names, credential, handle).await.unwrap_err(),
    ]
}

fn assert_all(errors: &[SystemError], class: ErrorClass) {
    for error in errors {
        assert_eq!(error.class, class, "{error}");
        assert!(!format!("{error} {error:?}").contains(TOKEN));
    }
}

async fn answering(answer: fn() -> Response) -> OpenBao {
    let scripted = Scripted::start("127.0.0.1", move |_, _| answer()).await;
    system(&scripted.url, Duration::from_secs(10))
}

#[tokio::test]
async fn each_answer_has_its_class() {
    let answer = || (StatusCode::FORBIDDEN, r#"{"errors":["s.token-of-a-test may not"]}"#).into_response();
    assert_all(&errors(&answering(answer).await).await, ErrorClass::Refused);
    let after = Some(Duration::from_secs(7));
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
        let answer = move || (status, [(header::RETRY_AFTER, "7")], TOKEN).into_response();
        let scripted = Scripted::start("127.0.0.1", move |_, _| answer()).await;
        let errors = errors(&system(&scripted.url, Duration::from_secs(10))).await;
        assert_all(&errors, ErrorClass::Busy { retry_after: after });
    }
    let answer = || (StatusCode::INTERNAL_SERVER_ERROR, TOKEN).into_response();
    assert_all(&errors(&answering(answer).await).await, ErrorClass::Broken);
    let answer =
        || (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "http://127.0.0.1:9/")]).into_response();
    assert_all(&errors(&answering(answer).await).await, ErrorClass::Broken);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_broken() {
    let wanted = wanted(&tenant("faults"));
    for answer in [
        || "<html>s.token-of-a-test</html>".into_response(),
        || r#"{"data": 7}"#.into_response(),
        || StatusCode::NOT_FOUND.into_response(),
    ] {
        let system = answering(answer).await;
        for error in [
            system.ensure(&wanted).await.unwrap_err(),
            system.remains(&wanted).await.unwrap_err(),
            system.drift(&wanted).await.unwrap_err(),
        ] {
            assert_all(&[error], ErrorClass::Broken);
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_or_cut_or_stays_silent_is_broken() {
    let long = Duration::from_secs(10);
    // Nothing listens on the discard port of the loopback address.
    assert_all(&errors(&system("http://127.0.0.1:9", long)).await, ErrorClass::Broken);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cutting = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert_all(&errors(&system(&url, long)).await, ErrorClass::Broken);
    cutting.abort();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            open.push(connection);
        }
    });
    assert_all(&errors(&system(&url, Duration::from_millis(100))).await, ErrorClass::Broken);
    silent.abort();
}
