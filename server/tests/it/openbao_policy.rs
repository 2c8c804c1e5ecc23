//! The server's own token: all of the server's work is done with it, and what else it may do.

use std::collections::BTreeMap;

use integraci_api::SecretText;
use integraci_server::connectors::secrets::ConnectorSecrets;
use integraci_server::isolation::openbao::{ATTESTATION_KEY, SIGNING_MOUNT, Signer, TenantKeys, setup};
use integraci_server::isolation::{ErrorClass, Finding, Isolation as _, System};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};

/// Everything that the server does in OpenBao.
async fn all_of_the_servers_work(bao: &Bao, slug: &str) {
    let (client, system, tenant) = (bao.client(), bao.system(), tenant(slug));
    let findings = system.check().await;
    assert!(findings.iter().all(Finding::passed), "{findings:?}");

    let wanted = wanted(&tenant);
    let facts = system.ensure(&wanted).await.unwrap();
    assert_eq!(facts["namespace"], bao.path(&tenant.openbao_namespace));
    system.ensure(&wanted).await.unwrap();

    let secrets = ConnectorSecrets::new(client.clone());
    let connector = "con_0190a0a0000070008000000000000003".parse().unwrap();
    let given = BTreeMap::from([("token".to_owned(), SecretText::new("hush".to_owned()))]);
    assert_eq!(secrets.put(&tenant, connector, 0, &given).await, Ok(1));
    assert_eq!(secrets.put(&tenant, connector, 1, &given).await, Ok(2));
    assert_eq!(secrets.compare(&tenant, connector, 2, &given).await, Ok(true));
    secrets.destroy_version(&tenant, connector, 1).await.unwrap();
    assert_eq!(secrets.current_version(&tenant, connector).await, Ok(2));
    secrets.destroy_all(&tenant, connector).await.unwrap();

    let keys = TenantKeys::new(client.clone());
    let key = |text: &'static str| move || SecretText::new(text.to_owned());
    assert_eq!(keys.ensure(System::Nats, &tenant, key("first")).await.unwrap().expose(), "first");
    assert_eq!(keys.ensure(System::Nats, &tenant, key("second")).await.unwrap().expose(), "first");
    keys.remove(System::Nats, &tenant).await.unwrap();
    assert!(keys.get(System::Nats, &tenant).await.unwrap().is_none());

    let signer = Signer::new(client);
    let signature = signer.sign(ATTESTATION_KEY, b"message").await.unwrap();
    let public = signer.public_keys(ATTESTATION_KEY).await.unwrap();
    assert!(public.iter().any(|key| key.kid == signature.kid));

    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted).await.unwrap(), []);
}

#[tokio::test]
async fn the_prepared_token_is_enough_in_a_namespace() {
    all_of_the_servers_work(&Bao::new().await, "work").await;
}

#[tokio::test]
async fn the_prepared_token_is_enough_in_a_namespace_of_a_namespace() {
    let outer = uuid::Uuid::new_v4().simple();
    all_of_the_servers_work(&Bao::at(Some(format!("it-{outer}/inner"))).await, "work").await;
}

#[tokio::test]
async fn the_prepared_token_is_enough_in_the_root() {
    let slug = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
    all_of_the_servers_work(&Bao::at(None).await, &slug).await;
}

#[tokio::test]
async fn the_prepared_token_can_do_nothing_else() {
    let (bao, other) = (Bao::new().await, Bao::new().await);
    let kv = json!({ "type": "kv", "options": { "version": "1" } });
    bao.root(Method::POST, "", "sys/mounts/theirs", kv.clone()).await;
    bao.root(Method::POST, "", "theirs/secret", json!({ "word": "hush" })).await;
    bao.root(Method::POST, "", "sys/namespaces/team", json!({})).await;
    let policy = || json!({ "policy": "path \"*\" { capabilities = [\"read\"] }" });
    let token = bao.config.token.expose();

    let own = bao.path("");
    let team = bao.path("team");
    let others = other.path("");
    for (method, namespace, path, body) in [
        (Method::GET, &*own, "theirs/secret", Value::Null),
        (Method::POST, &own, "theirs/secret", json!({ "word": "mine" })),
        (Method::POST, &own, "sys/mounts/more", kv.clone()),
        (Method::DELETE, &own, "sys/mounts/theirs", Value::Null),
        (Method::DELETE, &own, "sys/mounts/integraci", Value::Null),
        (Method::POST, &own, "sys/auth/approle", json!({ "type": "approle" })),
        (Method::PUT, &own, "sys/policies/acl/integraci-server", policy()),
        (Method::POST, &own, "auth/token/create", json!({ "policies": ["default"] })),
        (Method::POST, &own, "sys/namespaces/more", json!({})),
        (Method::DELETE, &own, "sys/namespaces/team", Value::Null),
        (Method::POST, &own, "integraci/config", json!({ "cas_required": false })),
        (Method::POST, &own, "integraci-transit/keys/attestation/rotate", json!({})),
        (Method::POST, &own, "integraci-transit/keys/more", json!({ "type": "ed25519" })),
        (Method::GET, &own, "integraci-transit/export/signing-key/attestation", Value::Null),
        (Method::GET, &team, "sys/mounts", Value::Null),
        (Method::POST, &team, "sys/mounts/secret", kv.clone()),
        (Method::PUT, &team, "sys/policies/acl/tenant", policy()),
        (Method::POST, &team, "sys/auth/approle", json!({ "type": "approle" })),
        (Method::POST, &others, "sys/namespaces/tenant-new", json!({})),
        (Method::GET, &others, "integraci/data/tenants/tenant-a/nats", Value::Null),
        (Method::POST, &others, "integraci-transit/sign/attestation", json!({ "input": "aGk=" })),
        (Method::PUT, "", "sys/policies/acl/integraci-server", policy()),
        (Method::PUT, "", &format!("sys/policies/acl/integraci-server/{own}"), policy()),
        (Method::POST, "", "auth/token/create", json!({ "policies": ["default"] })),
        (Method::POST, "", "auth/token/create-orphan", json!({ "policies": ["default"] })),
        (Method::POST, "", "sys/namespaces/tenant-new", json!({})),
        (Method::POST, "", "sys/quotas/rate-limit/more", json!({ "rate": 1 })),
        (Method::DELETE, "", "sys/quotas/rate-limit/integraci.other.tenant-a", Value::Null),
        (Method::GET, "", "sys/mounts", Value::Null),
        (Method::GET, "", "sys/audit", Value::Null),
        (Method::PUT, "", "sys/seal", Value::Null),
        (Method::PUT, "", "sys/step-down", Value::Null),
    ] {
        let (status, _) = bao.call_at(token, method.clone(), namespace, path, body).await;
        assert_eq!(status, 403, "{method} {path} in {namespace:?}");
    }
}

#[tokio::test]
async fn setup_run_again_makes_another_token_and_the_first_goes_on_working() {
    let bao = Bao::new().await;
    let second = setup::prepare(&bao.cell()).await.unwrap();
    assert_ne!(second.expose(), bao.config.token.expose());
    assert!(bao.system().check().await.iter().all(Finding::passed));
    assert!(bao.system_with(second.expose()).check().await.iter().all(Finding::passed));
}

#[tokio::test]
async fn setup_says_what_it_cannot_do() {
    let bao = Bao::new().await;
    let mut cell = bao.cell();
    cell.admin.as_mut().unwrap().secret = bao.config.token.clone();
    let refused = setup::prepare(&cell).await.unwrap_err().to_string();
    assert!(refused.contains("administrator"), "{refused}");
    assert!(!refused.contains(bao.config.token.expose()));

    bao.root(Method::DELETE, "", &format!("sys/mounts/{SIGNING_MOUNT}"), Value::Null).await;
    bao.root(Method::POST, "", &format!("sys/mounts/{SIGNING_MOUNT}"), json!({ "type": "kv" })).await;
    let taken = setup::prepare(&bao.cell()).await.unwrap_err().to_string();
    assert!(taken.contains("something else is mounted"), "{taken}");
}

#[tokio::test]
async fn without_the_rights_the_work_is_refused() {
    let bao = Bao::new().await;
    let reader = bao.token_at_root("path \"sys/health\" { capabilities = [\"read\"] }", json!({})).await;
    let refused = bao.system_with(&reader).ensure(&wanted(&tenant("refused"))).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(403)));
}
