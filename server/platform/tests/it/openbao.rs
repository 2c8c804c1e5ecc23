//! OpenBao.

use local_platform::{Platform, System};
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{started, stopped};

async fn call(platform: &Platform, request: impl FnOnce(&Client, &str) -> RequestBuilder) -> Value {
    let bao = platform.endpoints().openbao().unwrap();
    let request = request(&Client::new(), &format!("{}/v1", bao.addr));
    let answer = request.header("X-Vault-Token", bao.root_token.expose_secret()).send().await.unwrap();
    let answer = answer.error_for_status().unwrap();
    answer.json().await.unwrap_or(Value::Null)
}

#[tokio::test]
async fn secrets_outlive_a_restart_without_anyone_unsealing_it() {
    let dir = tempfile::tempdir().unwrap();

    let platform = started(dir.path(), System::OpenBao).await;
    call(&platform, |http, v1| {
        http.post(format!("{v1}/sys/mounts/kept"))
            .json(&json!({ "type": "kv", "options": { "version": "2" } }))
    })
    .await;
    call(&platform, |http, v1| {
        http.post(format!("{v1}/kept/data/it")).json(&json!({ "data": { "word": "hush" } }))
    })
    .await;
    stopped(platform).await;

    // Taken by somebody else, its ports are not needed to find the data again.
    let ports = std::fs::read_to_string(dir.path().join("openbao/ports")).unwrap();
    let taken: Vec<_> = ports
        .split_whitespace()
        .map(|port| std::net::TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap())
        .collect();
    let platform = started(dir.path(), System::OpenBao).await;
    drop(taken);
    let read = call(&platform, |http, v1| http.get(format!("{v1}/kept/data/it"))).await;
    assert_eq!(read["data"]["data"]["word"], "hush");
    stopped(platform).await;
}
