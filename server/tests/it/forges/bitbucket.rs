//! Bitbucket Cloud.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_server::connectors::verify::Verified;
use local_platform::far_side::FarSide;
use serde_json::json;

use super::{Connector, Heard, Kind, ok};

const TOKEN: &str = "ATCTT3x\"hush";
const EMAIL: &str = "robot@acme.example";

pub(super) const ACCESS_TOKEN_KIND: Kind =
    Kind { at: access_token_at, secret: "/secrets/token", place: "/config/base_url" };
pub(super) const API_TOKEN_KIND: Kind = Kind { at: api_token_at, ..ACCESS_TOKEN_KIND };

fn access_token_at(url: &str) -> Connector {
    let config = json!({ "workspace": "acme", "base_url": url });
    Connector::new("bitbucket", config, ("token", TOKEN))
}

fn api_token_at(url: &str) -> Connector {
    access_token_at(url).with("email", EMAIL)
}

#[tokio::test]
async fn an_access_token_goes_by_itself_and_an_api_token_with_its_email() {
    let far_side = FarSide::start().await.unwrap();
    let (access, api) =
        (access_token_at(&far_side.address("bitbucket")), api_token_at(&far_side.address("bitbucket")));
    far_side.allow("bitbucket", &TOKEN.into());
    assert_eq!(access.verify().await, Ok(Verified::default()));
    assert_eq!(api.refused_at().await, "/secrets/token", "an access token is no account's");

    far_side.deny("bitbucket", &TOKEN.into());
    far_side.bitbucket_account(EMAIL, &TOKEN.into());
    assert_eq!(api.verify().await, Ok(Verified::default()));
    assert_eq!(access.refused_at().await, "/secrets/token", "an API token is no bearer");
    let of_another = api.with("email", "other@acme.example");
    assert_eq!(of_another.refused_at().await, "/secrets/token");
    far_side.bitbucket_account_remove(EMAIL);
    assert_eq!(api.refused_at().await, "/secrets/token");
}

#[tokio::test]
async fn each_fault_points_at_its_field() {
    let far_side = FarSide::start().await.unwrap();
    far_side.allow("bitbucket", &TOKEN.into());
    far_side.bitbucket_account(EMAIL, &TOKEN.into());
    for connector in [access_token_at, api_token_at].map(|at| at(&far_side.address("bitbucket"))) {
        for workspace in ["nobody", "acme/app", ".."] {
            assert_eq!(connector.with("workspace", workspace).refused_at().await, "/config/workspace");
        }
    }
    // Its name is public: a good access token, whose it is nobody tells, sees it as well as its own.
    let of_others = json!("other");
    let api = api_token_at(&far_side.address("bitbucket")).with("workspace", of_others.clone());
    assert_eq!(api.refused_at().await, "/config/workspace");
    let access = access_token_at(&far_side.address("bitbucket")).with("workspace", of_others);
    assert_eq!(access.verify().await, Ok(Verified::default()));
    let colon = access_token_at(&far_side.address("bitbucket")).with("email", "a:b");
    assert_eq!(colon.refused_at().await, "/config/email");
    let elsewhere = api_token_at(far_side.url());
    assert_eq!(elsewhere.refused_at().await, "/config/base_url");
}

#[tokio::test]
async fn a_token_whose_scopes_do_not_reach_is_told_so() {
    let far_side = Heard::start(|line| match line.ends_with("/user") {
        true => ok(&json!({ "type": "user", "uuid": "{7}" })),
        false => StatusCode::FORBIDDEN.into_response(),
    })
    .await;
    assert_eq!(api_token_at(&far_side.url).refused_at().await, "/secrets/token");
}

#[tokio::test]
async fn requests_are_as_the_documentation_has_them() {
    let far_side =
        Heard::start(|_| ok(&json!({ "uuid": "{7}", "slug": "acme", "permission": "member" }))).await;
    access_token_at(&far_side.url).verify().await.unwrap();
    api_token_at(&far_side.url).verify().await.unwrap();
    assert_eq!(
        far_side.lines(),
        ["GET /2.0/workspaces/acme", "GET /2.0/user", "GET /2.0/user/workspaces/acme/permission"]
    );
    let bearer = format!("Bearer {TOKEN}");
    let basic = format!("Basic {}", STANDARD.encode(format!("{EMAIL}:{TOKEN}")));
    assert_eq!(far_side.header("authorization"), [bearer.as_str(), &basic, &basic]);
    assert_eq!(far_side.header("accept"), ["application/json"; 3]);
}
