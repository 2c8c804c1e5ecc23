//! Kubernetes.

use std::time::{Duration, Instant};

use local_platform::{Platform, System};
use reqwest::{Certificate, Client, Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{started, stopped};

const DEADLINE: Duration = Duration::from_secs(60);

struct Api {
    http: Client,
    server: String,
    token: String,
}

impl Api {
    fn of(platform: &Platform) -> Self {
        let kubernetes = platform.endpoints().kubernetes().unwrap();
        let ca = Certificate::from_pem(kubernetes.ca_pem.as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([ca]).build().unwrap();
        let token = kubernetes.admin_token.expose_secret().to_owned();
        Self { http, server: kubernetes.server.clone(), token }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request =
            self.http.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Asks until it is answered so.
    async fn get_until(&self, path: &str, wanted: StatusCode) {
        let began = Instant::now();
        loop {
            let (status, answer) = self.call(Method::GET, path, None).await;
            if status == wanted {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{path}: {status} {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_namespace_has_a_quota_outlives_a_restart_and_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();

    let platform = started(dir.path(), System::Kubernetes).await;
    let api = Api::of(&platform);
    let namespace = json!({ "metadata": { "name": "kept" } });
    let (status, answer) = api.call(Method::POST, "/api/v1/namespaces", Some(&namespace)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let quota = json!({ "metadata": { "name": "quota" }, "spec": { "hard": { "secrets": "1" } } });
    let quotas = "/api/v1/namespaces/kept/resourcequotas";
    let (status, answer) = api.call(Method::POST, quotas, Some(&quota)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let secrets = "/api/v1/namespaces/kept/secrets";
    // The admission of the API server hears of a quota a moment after it was made.
    let began = Instant::now();
    for n in 0.. {
        let secret = json!({ "metadata": { "name": format!("secret-{n}") } });
        let (status, answer) = api.call(Method::POST, secrets, Some(&secret)).await;
        if status == StatusCode::FORBIDDEN && answer["message"].as_str().unwrap().contains("exceeded quota") {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "not refused: {status} {answer}");
    }
    stopped(platform).await;

    let platform = started(dir.path(), System::Kubernetes).await;
    let api = Api::of(&platform);
    let (status, answer) = api.call(Method::GET, &format!("{secrets}/secret-0"), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let path = "/api/v1/namespaces/kept";
    let (status, answer) = api.call(Method::DELETE, path, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    api.get_until(path, StatusCode::NOT_FOUND).await;
    stopped(platform).await;
}

#[tokio::test]
async fn who_has_no_token_may_see_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let platform = started(dir.path(), System::Kubernetes).await;
    let api = Api { token: "wrong".to_owned(), ..Api::of(&platform) };
    let (status, answer) = api.call(Method::GET, "/api/v1/namespaces", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    stopped(platform).await;
}
