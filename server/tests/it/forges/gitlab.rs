//! GitLab.

use integraci_server::connectors::verify::Verified;
use local_platform::far_side::FarSide;
use serde_json::json;
use time::macros::{date, datetime};

use super::{Connector, Heard, Kind, ok};

const TOKEN: &str = "glpat-hush\"hush";

pub(super) const KIND: Kind = Kind { at: connector_at, secret: "/secrets/token", place: "/config/base_url" };

fn connector_at(url: &str) -> Connector {
    Connector::new("gitlab", json!({ "base_url": url }), ("token", TOKEN))
}

/// A GitLab that takes the token.
async fn gitlab() -> (FarSide, Connector) {
    let far_side = FarSide::start().await.unwrap();
    far_side.allow("gitlab", &TOKEN.into());
    let connector = connector_at(&far_side.address("gitlab"));
    (far_side, connector)
}

#[tokio::test]
async fn a_token_is_accepted_and_tells_when_it_expires() {
    let (far_side, connector) = gitlab().await;
    assert_eq!(connector.verify().await, Ok(Verified::default()));
    far_side.gitlab_expires(&TOKEN.into(), date!(2099 - 12 - 31));
    let verified = connector.with("group", "acme/platform").verify().await;
    assert_eq!(verified, Ok(Verified { expires_at: Some(datetime!(2099-12-31 0:00 UTC)) }));
}

#[tokio::test]
async fn each_fault_points_at_its_field() {
    let (far_side, connector) = gitlab().await;
    assert_eq!(connector.with("group", "acme/none").refused_at().await, "/config/group");
    assert_eq!(connector.with("group", "acme").refused_at().await, "/config/group");
    let elsewhere = connector.with("base_url", far_side.url());
    assert_eq!(elsewhere.refused_at().await, "/config/base_url");
    let unsendable = Connector::new("gitlab", connector.config.clone(), ("token", "line\nbreak"));
    assert_eq!(unsendable.refused_at().await, "/secrets/token");

    far_side.gitlab_expires(&TOKEN.into(), date!(2020 - 01 - 01));
    assert_eq!(connector.refused_at().await, "/secrets/token");
    far_side.gitlab_expires(&TOKEN.into(), date!(2099 - 01 - 01));
    connector.verify().await.unwrap();
    far_side.deny("gitlab", &TOKEN.into());
    assert_eq!(connector.refused_at().await, "/secrets/token");
}

#[tokio::test]
async fn a_token_that_says_it_is_not_active_is_refused() {
    for (active, revoked) in [(false, false), (true, true)] {
        let token = json!({ "active": active, "revoked": revoked, "expires_at": null, "username": "bot" });
        let far_side = Heard::start(move |_| ok(&token)).await;
        assert_eq!(connector_at(&far_side.url).refused_at().await, "/secrets/token");
    }
}

#[tokio::test]
async fn requests_are_as_the_documentation_has_them() {
    let answer = json!({ "active": true, "revoked": false, "username": "bot", "full_path": "acme/platform" });
    let far_side = Heard::start(move |_| ok(&answer)).await;
    let connector = connector_at(&format!("{}/gitlab/", far_side.url)).with("group", "acme/platform");
    connector.verify().await.unwrap();
    assert_eq!(
        far_side.lines(),
        [
            "GET /gitlab/api/v4/personal_access_tokens/self",
            "GET /gitlab/api/v4/user",
            "GET /gitlab/api/v4/groups/acme%2Fplatform?with_projects=false",
        ]
    );
    assert_eq!(far_side.header("private-token"), [TOKEN; 3]);
    assert_eq!(far_side.header("authorization"), ["-"; 3]);
}

#[tokio::test]
async fn a_revoked_token_is_worthless_and_revoking_it_again_is_success() {
    let (_far_side, connector) = gitlab().await;
    connector.revoke().await.unwrap();
    assert_eq!(connector.refused_at().await, "/secrets/token");
    connector.revoke().await.unwrap();

    let failing =
        Heard::start(|_| axum::response::IntoResponse::into_response(axum::http::StatusCode::FORBIDDEN))
            .await;
    assert!(connector_at(&failing.url).revoke().await.is_err());
}
