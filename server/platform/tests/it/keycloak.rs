//! Keycloak.

use local_platform::{Platform, System};
use reqwest::{Client, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{started, stopped};

/// A fresh token: one from before a realm was made says nothing about that realm.
async fn token(platform: &Platform) -> String {
    let keycloak = platform.endpoints().keycloak().unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        keycloak.client_id,
        keycloak.client_secret.expose_secret()
    );
    let answer: Value = Client::new()
        .post(format!("{}/realms/master/protocol/openid-connect/token", keycloak.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn realm_read(platform: &Platform, name: &str) -> Response {
    let url = format!("{}/admin/realms/{name}", platform.endpoints().keycloak().unwrap().url);
    Client::new().get(url).bearer_auth(token(platform).await).send().await.unwrap()
}

#[tokio::test]
async fn a_realm_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();

    let platform = started(dir.path(), System::Keycloak).await;
    assert_eq!(realm_read(&platform, "kept").await.status(), StatusCode::NOT_FOUND);
    let created = Client::new()
        .post(format!("{}/admin/realms", platform.endpoints().keycloak().unwrap().url))
        .bearer_auth(token(&platform).await)
        .json(&json!({ "realm": "kept", "enabled": true, "displayName": "Kept" }))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    stopped(platform).await;

    let platform = started(dir.path(), System::Keycloak).await;
    let realm: Value = realm_read(&platform, "kept").await.error_for_status().unwrap().json().await.unwrap();
    assert_eq!(realm["displayName"], "Kept");
    stopped(platform).await;
}
