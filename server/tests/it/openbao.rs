//! A tenant's place in a real OpenBao.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use integraci_api::SecretText;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig};
use integraci_server::isolation::{ErrorClass, Finding, Isolation as _};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};
use crate::verify::Scripted;

fn found<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check == check).unwrap()
}

#[tokio::test]
async fn a_place_is_made_once_and_removed_whole() {
    let bao = Bao::new().await;
    let (system, tenant) = (bao.system(), tenant("place"));
    let name = &tenant.openbao_namespace;
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap(), []);

    system.ensure(&wanted(&tenant)).await.unwrap();
    let (_, first) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    system.ensure(&wanted(&tenant)).await.unwrap();
    let (_, second) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    assert_eq!(first["data"], second["data"]);
    assert_eq!(second["data"]["custom_metadata"], json!({ "managed-by": "integraci" }));
    let (_, config) = bao.root(Method::GET, name, "secret/config", Value::Null).await;
    assert_eq!(config["data"]["cas_required"], true);
    let remains = system.remains(&wanted(&tenant)).await.unwrap();
    assert_eq!((remains[0].class, &remains[0].name), ("namespace", &bao.path("tenant-place")));

    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap(), []);
    system.ensure_none(&wanted(&tenant)).await.unwrap();
    let (status, _) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_place_can_be_made_again_after_its_removal() {
    let bao = Bao::new().await;
    let (system, tenant) = (bao.system(), tenant("again"));
    system.ensure(&wanted(&tenant)).await.unwrap();
    removed(&system, &tenant).await;
    system.ensure(&wanted(&tenant)).await.unwrap();
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn what_was_changed_by_hand_is_mended() {
    let bao = Bao::new().await;
    let (system, tenant) = (bao.system(), tenant("drift"));
    let name = &tenant.openbao_namespace;
    system.ensure(&wanted(&tenant)).await.unwrap();

    bao.root(Method::DELETE, name, "sys/policies/acl/tenant", Value::Null).await;
    bao.root(Method::POST, name, "secret/config", json!({ "cas_required": false })).await;
    system.ensure(&wanted(&tenant)).await.unwrap();
    let (status, _) = bao.root(Method::GET, name, "sys/policies/acl/tenant", Value::Null).await;
    assert_eq!(status, 200);
    let (_, config) = bao.root(Method::GET, name, "secret/config", Value::Null).await;
    assert_eq!(config["data"]["cas_required"], true);

    bao.root(Method::DELETE, name, "sys/mounts/secret", Value::Null).await;
    bao.root(Method::POST, name, "sys/mounts/secret", json!({ "type": "transit" })).await;
    let refused = system.ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("kv_mount", ErrorClass::Refused));
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_left_alone() {
    let bao = Bao::new().await;
    let (system, tenant) = (bao.system(), tenant("theirs"));
    let path = format!("sys/namespaces/{}", tenant.openbao_namespace);
    bao.root(Method::POST, "", &path, json!({ "custom_metadata": { "team": "other" } })).await;

    let refused = system.ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("namespace_create", ErrorClass::Refused));
    system.ensure_none(&wanted(&tenant)).await.unwrap();
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap(), []);
    let (status, still) = bao.root(Method::GET, "", &path, Value::Null).await;
    assert_eq!((status, &still["data"]["custom_metadata"]), (200, &json!({ "team": "other" })));
    bao.root(Method::DELETE, "", &path, Value::Null).await;
}

#[tokio::test]
async fn the_tenants_own_token_reaches_its_store_and_nothing_else() {
    let bao = Bao::new().await;
    let system = bao.system();
    let (ours, theirs) = (tenant("ours"), tenant("other"));
    system.ensure(&wanted(&ours)).await.unwrap();
    system.ensure(&wanted(&theirs)).await.unwrap();
    let (name, other) = (ours.openbao_namespace.as_str(), theirs.openbao_namespace.as_str());
    let value = || json!({ "options": { "cas": 0 }, "data": { "word": "hush" } });
    bao.root(Method::POST, other, "secret/data/own", value()).await;
    bao.root(Method::POST, name, "secret/data/connectors/con_1", value()).await;
    let token = bao.token(name, "tenant").await;

    for (method, namespace, path, body, expected) in [
        (Method::POST, name, "secret/data/own", value(), 200),
        (Method::GET, name, "secret/data/own", Value::Null, 200),
        (Method::GET, name, "secret/metadata/own", Value::Null, 200),
        (Method::PUT, name, "secret/destroy/own", json!({ "versions": [1] }), 204),
        (Method::DELETE, name, "secret/metadata/own", Value::Null, 204),
        (Method::GET, name, "secret/metadata/connectors/con_1", Value::Null, 200),
        (Method::GET, name, "secret/data/connectors/con_1", Value::Null, 403),
        (Method::GET, name, "secret/subkeys/connectors/con_1", Value::Null, 403),
        (Method::POST, name, "secret/data/connectors/con_1", value(), 403),
        (Method::PUT, name, "secret/destroy/connectors/con_1", json!({ "versions": [1] }), 403),
        (Method::DELETE, name, "secret/metadata/connectors/con_1", Value::Null, 403),
        (Method::GET, name, "secret/config", Value::Null, 403),
        (Method::GET, name, "sys/policies/acl/tenant", Value::Null, 403),
        (Method::POST, name, "sys/namespaces/inner", json!({}), 403),
        (Method::GET, other, "secret/data/own", Value::Null, 403),
        (Method::POST, other, "secret/data/new", value(), 403),
        (Method::GET, "", "sys/namespaces/tenant-other", Value::Null, 403),
        (Method::GET, "", "tenant-other/secret/data/own", Value::Null, 403),
    ] {
        let (status, _) = bao.call(&token, method.clone(), namespace, path, body).await;
        assert_eq!(status, expected, "{method} {path} in {namespace:?}");
    }
    removed(&system, &ours).await;
    removed(&system, &theirs).await;
}

#[tokio::test]
async fn check_says_what_is_wrong_and_what_to_do() {
    let bao = Bao::new().await;
    let findings = bao.system().check().await;
    assert!(findings.iter().all(Finding::passed), "{findings:?}");
    assert!(found(&findings, "reachable").found.starts_with("version "));
    assert_eq!(found(&findings, "capabilities").found, "all that are needed");

    let findings = bao.system_with("s.nobodys").check().await;
    assert!(found(&findings, "token").remedy.is_some());

    let policy = r#"path "auth/token/lookup-self" { capabilities = ["read"] }
        path "sys/capabilities-self" { capabilities = ["update"] }
        path "sys/seal" { capabilities = ["update", "sudo"] }"#;
    let reader = bao.token_at_root(policy, json!({ "ttl": "1h" })).await;
    let findings = bao.system_with(&reader).check().await;
    assert!(found(&findings, "token lifetime").remedy.is_some());
    let missing = &found(&findings, "capabilities").found;
    assert!(
        missing.starts_with("missing: read, update, delete on <platform>/sys/namespaces/<tenant>; "),
        "{missing}"
    );
    assert_eq!(found(&findings, "least privilege").found, "may also reach: sys/seal");

    // Nothing listens on the discard port of the loopback address.
    let nowhere = OpenBaoConfig { address: "http://127.0.0.1:9".parse().unwrap(), ..bao.config.clone() };
    let findings = OpenBao::new(Client::new(&nowhere).unwrap()).check().await;
    assert_eq!(findings.len(), 1);
    assert!(found(&findings, "reachable").remedy.is_some());
}

#[tokio::test]
async fn a_token_that_may_not_is_refused_and_a_system_that_is_away_is_broken() {
    let bao = Bao::new().await;
    let tenant = tenant("refused");
    let stranger = OpenBaoConfig { token: SecretText::new("s.nobodys".to_owned()), ..bao.config.clone() };
    let refused = OpenBao::new(Client::new(&stranger).unwrap()).ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(403)));

    let nowhere = OpenBaoConfig { address: "http://127.0.0.1:9".parse().unwrap(), ..bao.config.clone() };
    let away = OpenBao::new(Client::new(&nowhere).unwrap());
    assert_eq!(away.ensure(&wanted(&tenant)).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(away.remains(&wanted(&tenant)).await.unwrap_err().class, ErrorClass::Broken);
}

#[tokio::test]
async fn who_does_not_know_never_says_that_nothing_remains() {
    let bao = Bao::new().await;
    let tenant = tenant("unknown");
    let astray = OpenBaoConfig { namespace: Some("no-such-parent".to_owned()), ..bao.config.clone() };
    let error = OpenBao::new(Client::new(&astray).unwrap()).remains(&wanted(&tenant)).await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::Gone | ErrorClass::Refused), "{error}");

    let other = Scripted::start("127.0.0.1", |_, _| StatusCode::NOT_FOUND.into_response()).await;
    let astray = OpenBaoConfig { address: other.url.parse().unwrap(), ..bao.config.clone() };
    let error = OpenBao::new(Client::new(&astray).unwrap()).remains(&wanted(&tenant)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Broken);
}
