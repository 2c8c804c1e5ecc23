//! The far side, as a client sees it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use local_platform::far_side::{Behaviour, FarSide};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use sha2::Sha256;

#[tokio::test]
async fn the_registry_gives_a_token_to_who_is_known_and_tags_to_who_has_one() {
    let far_side = FarSide::start().await.unwrap();
    far_side.registry_user("robot", "hush".into());
    far_side.registry_repository("acme/app", vec!["1.0".into(), "1.1".into()]);
    let http = Client::new();
    let tags = format!("{}/v2/acme/app/tags/list", far_side.url());

    let challenged = http.get(&tags).send().await.unwrap();
    assert_eq!(challenged.status(), StatusCode::UNAUTHORIZED);
    let challenge = challenged.headers()["www-authenticate"].to_str().unwrap();
    let realm = format!("{}/token", far_side.url());
    assert_eq!(
        challenge,
        format!(r#"Bearer realm="{realm}",service="far-side",scope="repository:acme/app:pull""#)
    );

    let token = http.get(&realm).query(&[("service", "far-side"), ("scope", "repository:acme/app:pull")]);
    let refused = token.try_clone().unwrap().basic_auth("robot", Some("wrong")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let granted: Value = token.basic_auth("robot", Some("hush")).send().await.unwrap().json().await.unwrap();
    let token = granted["token"].as_str().unwrap();

    let listed: Value = http.get(&tags).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["tags"], serde_json::json!(["1.0", "1.1"]));
    let base = http.get(format!("{}/v2/", far_side.url())).bearer_auth(token).send().await.unwrap();
    assert_eq!(base.status(), StatusCode::OK);
    let other = format!("{}/v2/other/app/tags/list", far_side.url());
    let outside = http.get(other).bearer_auth(token).send().await.unwrap();
    assert_eq!(outside.status(), StatusCode::UNAUTHORIZED, "the token is for one repository");

    far_side.registry_user_remove("robot");
    let revoked = http.get(&tags).bearer_auth(token).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_webhook_takes_only_what_is_signed() {
    let far_side = FarSide::start().await.unwrap();
    let url = far_side.webhook_url("orders");
    let http = Client::new();
    let send = async || http.post(&url).body("{}").send().await.unwrap().status();

    assert_eq!(send().await, StatusCode::NOT_FOUND, "no key, no webhook");
    far_side.webhook_key("orders", "hush".into());
    assert_eq!(send().await, StatusCode::UNAUTHORIZED);
    assert!(far_side.deliveries("orders").is_empty());
    let statuses: Vec<u16> = far_side.seen().into_iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [404, 401]);

    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"hush").unwrap();
    mac.update(format!("msg_1.{now_s}.{{}}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signed = http
        .post(&url)
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", now_s)
        .header("webhook-signature", signature)
        .body("{}");
    assert_eq!(signed.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let taken = far_side.deliveries("orders");
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].id.as_str(), &taken[0].body[..]), ("msg_1", &b"{}"[..]));
}

#[tokio::test]
async fn it_misbehaves_on_request() {
    let far_side = FarSide::start().await.unwrap();
    far_side.registry_user("robot", "hush".into());
    let token = format!("{}/token", far_side.url());
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = async || http.get(&token).basic_auth("robot", Some("hush")).send().await.unwrap();

    far_side.behave(Behaviour::Down);
    assert_eq!(ask().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    far_side.behave(Behaviour::Redirect("http://elsewhere.invalid/".into()));
    assert_eq!(ask().await.headers()["location"], "http://elsewhere.invalid/");
    far_side.behave(Behaviour::EchoesCredential);
    assert!(ask().await.text().await.unwrap().contains("password hush"));
    far_side.behave(Behaviour::Slow(Duration::from_millis(1)));
    assert_eq!(ask().await.status(), StatusCode::OK);
}
