//! Connectors through the API: installed, changed, removed, and what a failure leaves.

use futures_util::future::join_all;
use integraci_api::ProblemCode;
use integraci_api::operations::OperationState;
use local_platform::far_side::Behaviour;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;

use crate::app::{App, HMAC_KEY};

#[tokio::test]
async fn a_connector_is_installed_verified_changed_and_removed() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let made = app.settled(&app.send(Method::POST, &connectors, Some(app.hook("hook"))).await).await;
    assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    let path = format!("{connectors}/{}", made.target_id);
    let connector = app.get(&path).await;
    assert_eq!((&connector["status"], &connector["secret_version"]), (&json!("active"), &json!(1)));
    assert_eq!(app.far_side.deliveries("hook").len(), 1, "verified by one signed ping");

    app.far_side.webhook_key("hook", SecretString::from("of-tests-next-fedcba9876543210"));
    let change = json!({"secrets": {"hmac_key": "of-tests-next-fedcba9876543210"}, "name": "renamed"});
    let changed = app.settled(&app.send(Method::PATCH, &path, Some(change)).await).await;
    assert_eq!(changed.state, OperationState::Succeeded, "{changed:?}");
    let connector = app.get(&path).await;
    assert_eq!((&connector["name"], &connector["secret_version"]), (&json!("renamed"), &json!(2)));

    let removed = app.settled(&app.send(Method::DELETE, &path, None).await).await;
    assert_eq!(removed.state, OperationState::Succeeded, "{removed:?}");
    assert_eq!(app.send(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get(&format!("/v1/tenants/{tenant}/quota")).await["used"]["connectors"], 0);
}

#[tokio::test]
async fn a_change_that_is_not_verified_leaves_what_was() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let made = app.settled(&app.send(Method::POST, &connectors, Some(app.hook("hook"))).await).await;
    let path = format!("{connectors}/{}", made.target_id);

    let wrong = json!({"secrets": {"hmac_key": "not-the-key-0123456789"}, "name": "renamed"});
    let failed = app.settled(&app.send(Method::PATCH, &path, Some(wrong)).await).await;
    let error = failed.error.unwrap();
    assert_eq!((failed.state, error.code), (OperationState::Failed, ProblemCode::VerificationFailed));
    assert_eq!(error.errors[0].pointer, "/secrets/hmac_key");
    let connector = app.get(&path).await;
    assert_eq!(
        (&connector["status"], &connector["name"], &connector["secret_version"]),
        (&json!("active"), &json!("hook"), &json!(1))
    );
    // The one in force is still there, and the next change finds its way past the one that failed.
    let compare = |key: &str| json!({"secrets": {"hmac_key": key}});
    let comparisons = format!("{path}/secret-comparisons");
    let same = app.send(Method::POST, &comparisons, Some(compare(HMAC_KEY))).await;
    assert_eq!(same.body["differs"], false, "{same:?}");
    let other = app.send(Method::POST, &comparisons, Some(compare("not-the-key-0123456789"))).await;
    assert_eq!(other.body["differs"], true, "{other:?}");
    let again = app.settled(&app.send(Method::PATCH, &path, Some(compare(HMAC_KEY))).await).await;
    assert_eq!(again.state, OperationState::Succeeded, "{again:?}");
    assert_eq!(app.get(&path).await["secret_version"], 3);
}

#[tokio::test]
async fn an_install_that_is_not_verified_leaves_nothing_and_frees_its_place() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let mut wrong = app.hook("hook");
    wrong["secrets"]["hmac_key"] = json!("not-the-key-0123456789");
    let failed = app.settled(&app.send(Method::POST, &connectors, Some(wrong)).await).await;
    assert_eq!(failed.error.unwrap().code, ProblemCode::VerificationFailed);
    assert_eq!(app.get(&connectors).await["items"], json!([]));
    assert_eq!(app.get(&format!("/v1/tenants/{tenant}/quota")).await["used"]["connectors"], 0);

    app.far_side.behave(Behaviour::EchoesCredential);
    let mut echoed = app.hook("hook");
    echoed["secrets"]["hmac_key"] = json!("echo-canary-0123456789");
    let failed = app.settled(&app.send(Method::POST, &connectors, Some(echoed)).await).await;
    assert!(!serde_json::to_string(&failed).unwrap().contains("echo-canary"), "{failed:?}");
}

#[tokio::test]
async fn of_fifty_at_once_for_one_place_exactly_one_gets_it() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let quota = format!("/v1/tenants/{tenant}/quota");
    let set = app.send(Method::PUT, &quota, Some(json!({"limits": {"connectors": 1}}))).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let wanted = (0..50).map(|n| app.send(Method::POST, &connectors, Some(app.hook(&format!("hook-{n}")))));
    let replies = join_all(wanted).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.status == StatusCode::ACCEPTED);
    assert_eq!((accepted.len(), refused.len()), (1, 49));
    for reply in refused {
        assert_eq!(reply.problem().0, "quota_exceeded");
        let detail = reply.body["detail"].as_str().unwrap();
        assert!(detail.contains("may have 1 connectors and 1 are in use"), "{detail}");
    }
    app.settled(accepted[0]).await;
    let below = app.send(Method::PUT, &quota, Some(json!({"limits": {"connectors": 0}}))).await;
    assert_eq!(below.problem(), ("quota_below_use", vec!["/limits/connectors"]));
    let plan = app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(json!({"plan": "nope"}))).await;
    assert_eq!(plan.problem(), ("invalid_request", vec!["/plan"]));
}

#[tokio::test]
async fn a_suspended_tenant_keeps_what_it_has_and_changes_nothing() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let made = app.settled(&app.send(Method::POST, &connectors, Some(app.hook("hook"))).await).await;
    let suspend = |on: bool| json!({"suspended": on});
    app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(suspend(true))).await;
    assert_eq!(app.send(Method::POST, &connectors, Some(app.hook("two"))).await.problem().0, "suspended");
    let path = format!("{connectors}/{}", made.target_id);
    assert_eq!(app.send(Method::PATCH, &path, Some(json!({"name": "x"}))).await.problem().0, "suspended");
    assert_eq!(app.get(&path).await["status"], "active");
    app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(suspend(false))).await;
    assert_eq!(app.send(Method::PATCH, &path, Some(json!({"name": "x"}))).await.status, StatusCode::ACCEPTED);
}
