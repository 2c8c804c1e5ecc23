//! Azure DevOps.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_server::connectors::verify::Verified;
use local_platform::far_side::FarSide;
use serde_json::json;

use super::{Connector, Heard, Kind, ok};

const TOKEN: &str = "pat\"hush";

pub(super) const KIND: Kind = Kind { at: connector_at, secret: "/secrets/token", place: "/config/base_url" };

fn connector_at(url: &str) -> Connector {
    let config = json!({ "organization": "acme", "base_url": url });
    Connector::new("azure_devops", config, ("token", TOKEN))
}

/// An Azure DevOps that takes the token.
async fn azure_devops() -> (FarSide, Connector) {
    let far_side = FarSide::start().await.unwrap();
    far_side.allow("azure_devops", &TOKEN.into());
    let connector = connector_at(&far_side.address("azure_devops"));
    (far_side, connector)
}

#[tokio::test]
async fn a_token_is_accepted() {
    let (_far_side, connector) = azure_devops().await;
    assert_eq!(connector.verify().await, Ok(Verified::default()));
    assert_eq!(connector.with("project", "app").verify().await, Ok(Verified::default()));
    connector.with("organization", "acme-public").verify().await.unwrap();
}

#[tokio::test]
async fn each_fault_points_at_its_field() {
    let (far_side, connector) = azure_devops().await;
    for (field, value) in [("project", "none"), ("project", "app/x"), ("organization", "nobody")] {
        assert_eq!(connector.with(field, value).refused_at().await, format!("/config/{field}"));
    }
    far_side.deny("azure_devops", &TOKEN.into());
    assert_eq!(connector.refused_at().await, "/secrets/token");
    let anonymous = connector.with("organization", "acme-public");
    assert_eq!(anonymous.refused_at().await, "/secrets/token", "taken for nobody's");
}

#[tokio::test]
async fn a_sign_in_page_is_a_refusal_of_the_token() {
    for status in [StatusCode::NON_AUTHORITATIVE_INFORMATION, StatusCode::FOUND] {
        let page = move || {
            (status, [(header::LOCATION, "https://signin.invalid/_signin")], "<html>").into_response()
        };
        let far_side = Heard::start(move |_| page()).await;
        assert_eq!(connector_at(&far_side.url).refused_at().await, "/secrets/token", "{status}");

        let of_the_project = Heard::start(move |line| match line.contains("connectionData") {
            true => ok(&json!({ "authenticatedUser": { "id": "d6245f20-2af8-44f4-9451-8107cb2767db" } })),
            false => page(),
        })
        .await;
        let connector = connector_at(&of_the_project.url).with("project", "app");
        assert_eq!(connector.refused_at().await, "/secrets/token", "{status}");
    }
    let nobody = Heard::start(|_| {
        ok(&json!({ "authenticatedUser": { "id": "00000000-0000-0000-0000-000000000000" } }))
    })
    .await;
    assert_eq!(connector_at(&nobody.url).refused_at().await, "/secrets/token");
}

#[tokio::test]
async fn requests_are_as_the_documentation_has_them() {
    let answer =
        json!({ "authenticatedUser": { "id": "d6245f20-2af8-44f4-9451-8107cb2767db" }, "id": "eb6e4656" });
    let far_side = Heard::start(move |_| ok(&answer)).await;
    connector_at(&far_side.url).with("project", "My App").verify().await.unwrap();
    assert_eq!(
        far_side.lines(),
        [
            "GET /acme/_apis/connectionData?api-version=7.1-preview.1",
            "GET /acme/_apis/projects/My%20App?api-version=7.1",
        ]
    );
    let basic = format!("Basic {}", STANDARD.encode(format!(":{TOKEN}")));
    assert_eq!(far_side.header("authorization"), [basic.clone(), basic]);
    assert_eq!(far_side.header("x-tfs-fedauthredirect"), ["Suppress"; 2]);
    assert_eq!(far_side.header("accept"), ["application/json"; 2]);
}
