//! A suspended tenant is shut out of a real OpenBao, loses nothing, and comes back as it was.

use std::time::Duration;

use integraci_api::CredentialId;
use integraci_server::isolation::{ErrorClass, Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};

#[tokio::test]
async fn a_suspended_tenant_is_shut_out_and_comes_back_as_it_was() {
    let bao = Bao::new().await;
    let system = bao.system();
    let open = wanted(&tenant("pause"));
    let closed = Wanted { suspended: true, ..open.clone() };
    let name = &open.names.openbao_namespace;
    system.ensure(&open).await.unwrap();

    // A workload of the tenant: a secret id for one login, and a token that has written something.
    let secret_id = async || {
        let path = "auth/approle/role/tenant/secret-id";
        let (_, answer) = bao.root(Method::POST, name, path, json!({ "num_uses": 1 })).await;
        answer["data"]["secret_id"].as_str().unwrap().to_owned()
    };
    let log_in = async |secret_id: &str| {
        let body = json!({ "role_id": open.tenant.to_string(), "secret_id": secret_id });
        let (status, answer) = bao.call("", Method::POST, name, "auth/approle/login", body).await;
        (status, answer["auth"]["client_token"].as_str().unwrap_or_default().to_owned())
    };
    let (_, token) = log_in(&secret_id().await).await;
    let unused = secret_id().await;
    let value = json!({ "options": { "cas": 0 }, "data": { "word": "kept" } });
    let (status, _) = bao.call(&token, Method::POST, name, "secret/data/own", value.clone()).await;
    assert_eq!(status, 200);

    for _ in 0..2 {
        system.ensure(&closed).await.unwrap();
        assert_eq!(system.drift(&closed).await.unwrap(), []);
        assert_eq!(log_in(&unused).await.0, 400);
        for (method, path, body) in [
            (Method::GET, "secret/data/own", Value::Null),
            (Method::POST, "secret/data/new", value.clone()),
            (Method::GET, "secret/metadata/?list=true", Value::Null),
            (Method::GET, "auth/token/lookup-self", Value::Null),
        ] {
            assert_eq!(bao.call(&token, method, name, path, body).await.0, 403, "{path}");
        }
    }
    let refused =
        system.credentials_issue(&closed, credential(), Duration::from_secs(600)).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);

    system.ensure(&open).await.unwrap();
    assert_eq!(system.drift(&open).await.unwrap(), []);
    let (status, read) = bao.call(&token, Method::GET, name, "secret/data/own", Value::Null).await;
    assert_eq!((status, &read["data"]["data"]), (200, &json!({ "word": "kept" })));
    assert_eq!(log_in(&unused).await.0, 200);
    removed(&system, &open.names).await;
}

#[tokio::test]
async fn a_suspended_tenant_can_be_made_and_removed() {
    let bao = Bao::new().await;
    let system = bao.system();
    let closed = Wanted { suspended: true, ..wanted(&tenant("shut")) };
    system.ensure(&closed).await.unwrap();
    assert_eq!(system.drift(&closed).await.unwrap(), []);
    removed(&system, &closed.names).await;
    assert_eq!(system.remains(&closed).await.unwrap(), []);
}

#[tokio::test]
async fn a_place_that_is_open_against_what_is_wanted_is_told() {
    let bao = Bao::new().await;
    let system = bao.system();
    let closed = Wanted { suspended: true, ..wanted(&tenant("ajar")) };
    let name = &closed.names.openbao_namespace;
    system.ensure(&closed).await.unwrap();
    let by_hand = json!({ "role_id": closed.tenant.to_string() });
    bao.root(Method::POST, name, "auth/approle/role/tenant/role-id", by_hand).await;
    let told: Vec<_> = system.drift(&closed).await.unwrap().into_iter().map(|drift| drift.0).collect();
    assert_eq!(told, ["it can be logged in to, and the tenant is suspended"]);
    system.ensure(&closed).await.unwrap();
    assert_eq!(system.drift(&closed).await.unwrap(), []);
    removed(&system, &closed.names).await;
}

fn credential() -> CredentialId {
    CredentialId::from_uuid(uuid::Uuid::now_v7())
}
