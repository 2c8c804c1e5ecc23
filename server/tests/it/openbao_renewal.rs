//! The server's token is kept in force by a real OpenBao.

use std::time::{Duration, Instant};

use integraci_api::SecretText;
use integraci_server::isolation::Isolation as _;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig, renewal};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::openbao_world::{Bao, tenant, wanted};

const OWN: &str = r#"
path "auth/token/*-self" { capabilities = ["read", "update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"#;

/// What OpenBao knows of a token.
async fn known(bao: &Bao, token: &str) -> Value {
    let (_, answer) = bao.at_root(Method::POST, "auth/token/lookup", json!({ "token": token })).await;
    answer["data"].clone()
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn client(bao: &Bao, token: &str) -> Client {
    Client::new(&OpenBaoConfig { token: SecretText::new(token.to_owned()), ..bao.config.clone() }).unwrap()
}

#[tokio::test]
async fn a_token_outlives_its_period() {
    let bao = Bao::new().await;
    let token = bao.token_at_root(OWN, json!({ "period": "3s" })).await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(renewal(client(&bao, &token), None, stop.clone()));
    // Twice its period after it was made, it can only be there because it was renewed.
    let made = known(&bao, &token).await["creation_time"].as_i64().unwrap();
    until("the token was lost or never renewed", async || {
        let renewed = known(&bao, &token).await["last_renewal_time"].as_i64();
        renewed.is_some_and(|at| at >= made + 6)
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_new_token_in_the_file_is_taken_up() {
    let bao = Bao::new().await;
    let old = bao.token_at_root(OWN, json!({ "ttl": "1h" })).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    tokio::fs::write(&file, &old).await.unwrap();
    let client = client(&bao, &old);
    let system = OpenBao::new(client.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn(renewal(client, Some(file.clone()), stop.clone()));
    let may_look = async || system.remains(&wanted(&tenant("nobody"))).await.is_ok();
    assert!(!may_look().await);

    tokio::fs::write(&file, format!("{}\n", bao.config.token.expose())).await.unwrap();
    until("the new token was not taken up", &may_look).await;
    // Revoked, the old one is not missed.
    bao.at_root(Method::POST, "auth/token/revoke", json!({ "token": old })).await;
    assert!(may_look().await);
    stop.cancel();
    task.await.unwrap();
}
