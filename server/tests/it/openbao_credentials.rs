//! Credentials for a tenant's own use, used in a real OpenBao.

use std::time::Duration;

use integraci_api::CredentialId;
use integraci_server::isolation::openbao::OpenBao;
use integraci_server::isolation::{ErrorClass, Isolation as _, Issued, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};

const TTL: Duration = Duration::from_secs(120);

struct World {
    bao: Bao,
    system: OpenBao,
    wanted: Wanted,
    credential: CredentialId,
    issued: Issued,
}

impl World {
    async fn new(slug: &str) -> Self {
        let bao = Bao::new().await;
        let (system, wanted) = (bao.system(), wanted(&tenant(slug)));
        system.ensure(&wanted).await.unwrap();
        let credential = CredentialId::from_uuid(uuid::Uuid::now_v7());
        let issued = system.credentials_issue(&wanted, credential, TTL).await.unwrap();
        Self { bao, system, wanted, credential, issued }
    }

    /// As the tenant, by the fields that it was given.
    async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.bao.call_at(token, method, &self.issued.fields["namespace"], path, body).await
    }

    fn secret(&self, name: &str) -> &str {
        self.issued.secrets[name].expose()
    }

    async fn secret_id(&self) -> (u16, String) {
        let token = self.secret("wrapped_secret_id");
        let (status, answer) = self.call(token, Method::POST, "sys/wrapping/unwrap", Value::Null).await;
        (status, answer["data"]["secret_id"].as_str().unwrap_or_default().to_owned())
    }

    async fn log_in(&self, secret_id: &str) -> (u16, String) {
        let body = json!({ "role_id": self.issued.fields["role_id"], "secret_id": secret_id });
        let (status, answer) = self.call("", Method::POST, "auth/approle/login", body).await;
        (status, answer["auth"]["client_token"].as_str().unwrap_or_default().to_owned())
    }

    async fn ttl_s(&self) -> u64 {
        let token = self.secret("token");
        let (_, answer) = self.call(token, Method::GET, "auth/token/lookup-self", Value::Null).await;
        answer["data"]["ttl"].as_u64().unwrap_or_default()
    }

    async fn revoke(&self) {
        let (names, handle) = (&self.wanted.names, self.issued.handle.as_deref());
        self.system.credentials_revoke(names, self.credential, handle).await.unwrap();
    }
}

#[tokio::test]
async fn the_token_works_in_its_place_for_its_time_and_is_dead_when_revoked() {
    let world = World::new("lease").await;
    let token = world.secret("token").to_owned();
    assert_eq!(world.issued.fields["address"], world.bao.config.address.as_str().trim_end_matches('/'));
    let value = json!({ "options": { "cas": 0 }, "data": { "word": "own" } });
    assert_eq!(world.call(&token, Method::POST, "secret/data/own", value).await.0, 200);
    assert_eq!(world.call(&token, Method::GET, "secret/data/own", Value::Null).await.0, 200);
    let ttl_s = world.ttl_s().await;
    assert!((60..=TTL.as_secs()).contains(&ttl_s), "{ttl_s}");
    // It cannot make itself last.
    assert_eq!(world.call(&token, Method::POST, "auth/token/renew-self", json!({})).await.0, 403);

    let shown = format!("{:?}", world.issued);
    assert!(!shown.contains(&token), "{shown}");
    for _ in 0..2 {
        world.revoke().await;
        assert_eq!(world.call(&token, Method::GET, "secret/data/own", Value::Null).await.0, 403);
    }
    removed(&world.system, &world.wanted.names).await;
    world.revoke().await;
}

#[tokio::test]
async fn a_renewal_counts_from_now_and_has_an_end() {
    let world = World::new("renewed").await;
    let (names, handle) = (&world.wanted.names, world.issued.handle.as_deref());
    let renew = async |ttl_s| {
        let ttl = Duration::from_secs(ttl_s);
        world.system.credentials_renew(names, world.credential, handle, ttl).await
    };
    renew(1800).await.unwrap();
    assert!(world.ttl_s().await > 1700);
    let refused = renew(25 * 60 * 60).await.unwrap_err();
    assert_eq!(refused.reason, "the credentials are as old as they may become");
    world.revoke().await;
    let refused = renew(600).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(400)));
    removed(&world.system, names).await;
}

#[tokio::test]
async fn a_workload_takes_its_secret_id_out_once_and_logs_in_with_it() {
    let world = World::new("wrapped").await;
    let (status, secret_id) = world.secret_id().await;
    assert_eq!(status, 200);
    assert_eq!(world.secret_id().await.0, 400);
    let (status, token) = world.log_in(&secret_id).await;
    assert_eq!(status, 200);
    assert_eq!(world.call(&token, Method::GET, "secret/metadata/?list=true", Value::Null).await.0, 404);
    world.revoke().await;
    assert_eq!(world.log_in(&secret_id).await.0, 400);
    removed(&world.system, &world.wanted.names).await;
}

#[tokio::test]
async fn credentials_that_were_never_made_whole_are_nothing_to_revoke() {
    let world = World::new("partial").await;
    let names = &world.wanted.names;
    world.system.credentials_revoke(names, world.credential, None).await.unwrap();
    let refused = world.system.credentials_renew(names, world.credential, None, TTL).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    removed(&world.system, names).await;
}
