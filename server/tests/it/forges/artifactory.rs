//! Artifactory.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_server::connectors::verify::{Verified, VerifyError};
use local_platform::far_side::FarSide;
use serde_json::json;
use time::OffsetDateTime;

use super::{Connector, Heard, Kind, ok};

const SECRET: &str = "hush\"hush";

pub(super) const TOKEN_KIND: Kind = Kind { at: token_at, secret: "/secrets/token", place: "/config/url" };
pub(super) const PASSWORD_KIND: Kind =
    Kind { at: password_at, secret: "/secrets/password", place: "/config/url" };

fn token_at(url: &str) -> Connector {
    Connector::new("artifactory", json!({ "url": url }), ("token", SECRET))
}

fn password_at(url: &str) -> Connector {
    Connector::new("artifactory", json!({ "url": url, "username": "robot" }), ("password", SECRET))
}

/// An Artifactory that takes the secret as a token and as a password.
async fn artifactory() -> (FarSide, String) {
    let far_side = FarSide::start().await.unwrap();
    far_side.allow("artifactory", &SECRET.into());
    far_side.artifactory_user("robot", &SECRET.into());
    let url = far_side.address("artifactory");
    (far_side, url)
}

#[tokio::test]
async fn a_token_is_accepted_and_tells_when_it_expires() {
    let (far_side, url) = artifactory().await;
    assert_eq!(token_at(&url).verify().await, Ok(Verified::default()));
    let at = OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap();
    far_side.artifactory_expires(&SECRET.into(), at);
    let connector = token_at(&format!("{url}/")).with("repository", "libs-release");
    assert_eq!(connector.verify().await, Ok(Verified { expires_at: Some(at) }));
}

#[tokio::test]
async fn a_password_is_accepted_also_by_a_server_that_encrypts_none() {
    let (far_side, url) = artifactory().await;
    let connector = password_at(&url).with("repository", "libs-release");
    assert_eq!(connector.verify().await, Ok(Verified::default()));
    far_side.artifactory_encrypts_no_passwords();
    assert_eq!(connector.verify().await, Ok(Verified::default()));
}

#[tokio::test]
async fn each_fault_points_at_its_field() {
    let (far_side, url) = artifactory().await;
    for connector in [token_at(&url), password_at(&url)] {
        for repository in ["none", "libs-release/org", ".."] {
            assert_eq!(connector.with("repository", repository).refused_at().await, "/config/repository");
        }
        assert_eq!(connector.with("url", far_side.url()).refused_at().await, "/config/url");
    }
    for name in ["a:b", "nobody"] {
        let refused = password_at(&url).with("username", name).refused_at().await;
        assert_eq!(refused, if name == "nobody" { "/secrets/password" } else { "/config/username" });
    }
    let nameless = Connector::new("artifactory", json!({ "url": url }), ("password", SECRET));
    assert_eq!(nameless.refused_at().await, "/config/username");
    far_side.artifactory_expires(&SECRET.into(), OffsetDateTime::UNIX_EPOCH);
    assert_eq!(token_at(&url).refused_at().await, "/secrets/token");
}

/// The ping alone would take them: anonymous access is on.
#[tokio::test]
async fn a_wrong_secret_is_found_out_although_the_ping_says_ok() {
    let far_side = FarSide::start().await.unwrap();
    let url = far_side.address("artifactory");
    assert_eq!(token_at(&url).refused_at().await, "/secrets/token");
    assert_eq!(password_at(&url).refused_at().await, "/secrets/password");
    let pings: Vec<_> = far_side.seen().into_iter().filter(|seen| seen.path.ends_with("/ping")).collect();
    assert!(pings.len() == 2 && pings.iter().all(|seen| seen.status == 200), "{pings:?}");
}

#[tokio::test]
async fn the_proof_that_fails_is_told_as_what_it_is() {
    for (status, of_token, of_password) in [
        (401, "/secrets/token", "/secrets/password"),
        (403, "/secrets/token", "/secrets/password"),
        (404, "/config/url", "/secrets/password"),
        (301, "/config/url", "/config/url"),
    ] {
        let far_side = Heard::start(move |line| match line.ends_with("/ping") {
            true => "OK\n".into_response(),
            false => StatusCode::from_u16(status).unwrap().into_response(),
        })
        .await;
        assert_eq!(token_at(&far_side.url).refused_at().await, of_token, "{status}");
        assert_eq!(password_at(&far_side.url).refused_at().await, of_password, "{status}");
    }
    let failing = Heard::start(|line| match line.ends_with("/ping") {
        true => "OK".into_response(),
        false => StatusCode::BAD_GATEWAY.into_response(),
    })
    .await;
    for connector in [token_at(&failing.url), password_at(&failing.url)] {
        assert!(matches!(connector.verify().await, Err(VerifyError::Unreachable { .. })));
    }
}

#[tokio::test]
async fn requests_are_as_the_documentation_has_them() {
    let far_side = Heard::start(|line| match line.ends_with("/ping") {
        true => "OK".into_response(),
        false => ok(&json!({ "token_id": "1", "repo": "libs-release" })),
    })
    .await;
    let url = format!("{}/jfrog/artifactory", far_side.url);
    token_at(&url).with("repository", "libs-release").verify().await.unwrap();
    password_at(&url).verify().await.unwrap();
    assert_eq!(
        far_side.lines(),
        [
            "GET /jfrog/artifactory/api/system/ping",
            "GET /jfrog/access/api/v1/tokens/me",
            "GET /jfrog/artifactory/api/storage/libs-release",
            "GET /jfrog/artifactory/api/system/ping",
            "GET /jfrog/artifactory/api/security/encryptedPassword",
        ]
    );
    let bearer = format!("Bearer {SECRET}");
    let basic = format!("Basic {}", STANDARD.encode(format!("robot:{SECRET}")));
    let (bearer, basic) = (bearer.as_str(), basic.as_str());
    assert_eq!(far_side.header("authorization"), [bearer, bearer, bearer, basic, basic]);
}
