//! Connectors to a vault, against the real OpenBao: each test in a namespace of its own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use integraci_server::connectors::verify::VerifyError;
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::app::App;
use crate::connector_world::{Connector, detail, pointer};
use crate::oidc::issuer;
use crate::openbao_world::Bao;

/// The administrator's way into a namespace that no other test has.
struct Vault {
    address: String,
    namespace: String,
    root: String,
    http: reqwest::Client,
}

impl Vault {
    async fn new() -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let bao = endpoints.openbao().unwrap();
        let vault = Self {
            address: bao.addr.clone(),
            namespace: format!("connector-{}", uuid::Uuid::new_v4().simple()),
            root: bao.root_token.expose_secret().to_owned(),
            http: reqwest::Client::new(),
        };
        vault.call("", &format!("sys/namespaces/{}", vault.namespace), json!({})).await;
        vault
    }

    /// A call that must succeed, in a namespace, as root.
    async fn call(&self, namespace: &str, path: &str, body: Value) -> Value {
        let request = self.http.request(Method::POST, format!("{}/v1/{path}", self.address)).json(&body);
        let request = request.header("x-vault-token", &self.root).header("x-vault-namespace", namespace);
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.json().await.unwrap_or(Value::Null));
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    async fn admin(&self, path: &str, body: Value) -> Value {
        self.call(&self.namespace, path, body).await
    }

    async fn policy(&self, name: &str, path: &str) {
        let policy = format!(r#"path "{path}" {{ capabilities = ["update"] }}"#);
        self.admin(&format!("sys/policies/acl/{name}"), json!({ "policy": policy })).await;
    }

    /// A token with these policies and the default one.
    async fn token(&self, how: Value) -> String {
        let made = self.admin("auth/token/create-orphan", how).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// How many tokens there are.
    async fn tokens(&self) -> usize {
        let request = self.http.get(format!("{}/v1/auth/token/accessors?list=true", self.address));
        let request = request.header("x-vault-token", &self.root);
        let answer = request.header("x-vault-namespace", &self.namespace).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["data"]["keys"].as_array().map_or(0, Vec::len)
    }

    /// A connector of this vault, with these settings besides.
    fn connector(&self, mut settings: Value) -> Connector {
        let mut config = json!({ "url": self.address, "namespace": self.namespace });
        config.as_object_mut().unwrap().append(settings.as_object_mut().unwrap());
        Connector::new("vault", config)
    }
}

#[tokio::test]
async fn a_good_token_tells_when_it_expires_and_others_point_at_the_token() {
    let vault = Vault::new().await;
    let connector = vault.connector(json!({}));
    let token = vault.token(json!({ "policies": ["default"], "ttl": "30m" })).await;
    let expires_at = connector.with("token", &token).verify().await.unwrap().expires_at.unwrap();
    let left = expires_at - OffsetDateTime::now_utc();
    assert!((time::Duration::minutes(28)..=time::Duration::minutes(30)).contains(&left), "{left}");

    let unable = vault.token(json!({ "policies": ["none"], "no_default_policy": true })).await;
    let counted = vault.token(json!({ "policies": ["default"], "num_uses": 5 })).await;
    for token in ["s.wrong", "line\nbreak", &unable, &counted] {
        assert_eq!(pointer(connector.with("token", token).verify().await), "/secrets/token");
    }
    assert!(detail(connector.with("token", &unable).verify().await).contains("auth/token/lookup-self"));
}

#[tokio::test]
async fn a_wrong_address_or_namespace_points_at_it() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"] })).await;
    let of = |config: Value| Connector::new("vault", config).with("token", &token);

    let elsewhere = json!({ "url": vault.address, "namespace": "nonesuch" });
    assert_eq!(pointer(of(elsewhere).verify().await), "/config/namespace");
    let unsendable = json!({ "url": vault.address, "namespace": "tëam" });
    assert_eq!(pointer(of(unsendable).verify().await), "/config/namespace");
    let below = json!({ "url": format!("{}/ui", vault.address) });
    assert_eq!(pointer(of(below).verify().await), "/config/url");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"], "ttl": "2s" })).await;
    let connector = vault.connector(json!({})).with("token", &token);
    connector.verify().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while connector.verify().await.is_ok() {
        assert!(Instant::now() < deadline, "still good");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pointer(connector.verify().await), "/secrets/token");
}

#[tokio::test]
async fn revoking_revokes_and_is_done_once_or_twice() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"] })).await;
    let connector = vault.connector(json!({})).with("token", &token);
    connector.verify().await.unwrap();
    connector.revoke().await.unwrap();
    assert_eq!(pointer(connector.verify().await), "/secrets/token");
    connector.revoke().await.unwrap();
    vault.connector(json!({})).revoke().await.unwrap();
}

#[tokio::test]
async fn a_token_that_stays_good_is_not_told_to_be_revoked() {
    let vault = Vault::new().await;
    let look = r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#;
    vault.admin("sys/policies/acl/look", json!({ "policy": look })).await;
    let unable = vault.token(json!({ "policies": ["look"], "no_default_policy": true })).await;
    let batch = vault.token(json!({ "policies": ["default"], "type": "batch", "ttl": "1h" })).await;
    for token in [unable, batch] {
        let connector = vault.connector(json!({})).with("token", &token);
        assert_eq!(pointer(connector.revoke().await), "/secrets/token");
        connector.verify().await.unwrap();
    }
}

#[tokio::test]
async fn a_minted_token_lives_beside_the_old_one_and_without_it() {
    let vault = Vault::new().await;
    vault.policy("rotates", "auth/token/create/next").await;
    let role =
        json!({ "allowed_policies": ["default", "rotates"], "orphan": true, "token_explicit_max_ttl": "1h" });
    vault.admin("auth/token/roles/next", role).await;
    let token = vault.token(json!({ "policies": ["default", "rotates"], "ttl": "30m" })).await;
    let old = vault.connector(json!({ "token_role": "next" })).with("token", &token);

    let minted = old.mint().await.unwrap();
    let left = minted.expires_at.unwrap() - OffsetDateTime::now_utc();
    assert!((time::Duration::minutes(58)..=time::Duration::minutes(60)).contains(&left), "{left}");
    let new = old.with_minted(minted);
    assert!(new.verify().await.unwrap().expires_at.is_some());
    old.verify().await.unwrap();

    old.revoke().await.unwrap();
    assert_eq!(pointer(old.verify().await), "/secrets/token");
    // Revoking the old one did not take the new one with it, and it can make the next.
    new.verify().await.unwrap();
    let next = new.with_minted(new.mint().await.unwrap());
    next.verify().await.unwrap();
    assert_eq!(pointer(old.mint().await), "/secrets/token");
}

#[tokio::test]
async fn what_cannot_take_the_old_ones_place_is_not_minted() {
    let vault = Vault::new().await;
    vault.policy("rotates", "auth/token/create/*").await;
    for (role, how) in [
        ("child", json!({ "allowed_policies": ["default"] })),
        ("counted", json!({ "allowed_policies": ["default"], "orphan": true, "token_num_uses": 9 })),
        ("blind", json!({ "allowed_policies": ["none"], "orphan": true, "token_no_default_policy": true })),
    ] {
        vault.admin(&format!("auth/token/roles/{role}"), how).await;
    }
    let token = vault.token(json!({ "policies": ["default", "rotates"] })).await;
    let by = |role: &str| vault.connector(json!({ "token_role": role })).with("token", &token);

    for role in ["child", "counted", "blind", "nonesuch", "a/b", ".."] {
        assert_eq!(pointer(by(role).mint().await), "/config/token_role", "{role}");
    }
    assert!(detail(by("child").mint().await).contains("`orphan`"));
    let unset = vault.connector(json!({})).with("token", &token);
    assert_eq!(pointer(unset.mint().await), "/config/token_role");

    let unable = vault.token(json!({ "policies": ["default"] })).await;
    let unable = vault.connector(json!({ "token_role": "child" })).with("token", &unable);
    assert_eq!(pointer(unable.mint().await), "/secrets/token");
    assert!(detail(unable.mint().await).contains("`auth/token/create/child`"));

    let before = vault.tokens().await;
    for role in ["child", "counted"] {
        assert!(by(role).mint().await.is_err());
    }
    assert_eq!(vault.tokens().await, before, "what was made and not kept is given back");
    assert_eq!(pointer(vault.connector(json!({ "token_role": "child" })).mint().await), "/secrets");
}

#[tokio::test]
async fn without_a_token_a_role_is_needed_and_a_platform_that_signs() {
    let vault = Vault::new().await;
    assert_eq!(pointer(vault.connector(json!({})).verify().await), "/config/role");
    let climbing = vault.connector(json!({ "role": "app", "mount": "../sys" }));
    assert_eq!(pointer(climbing.verify().await), "/config/mount");
    assert_eq!(pointer(vault.connector(json!({ "role": "app" })).verify().await), "/kind");
}

/// The far side reads discovery document and keys from the server itself.
#[tokio::test]
async fn a_jwt_of_the_platform_is_a_login_that_leaves_no_token_behind() {
    let (bao, vault) = (Bao::new().await, Vault::new().await);
    let app = App::with(&bao, Vec::new()).await;
    let issuer = issuer(&bao, &app.url(""));
    let identity = issuer.identity(Connector::tenant(), Connector::NAME, "integraci").unwrap();
    vault.admin("sys/auth/team/jwt", json!({ "type": "jwt" })).await;
    let trust = json!({ "oidc_discovery_url": identity.issuer(), "bound_issuer": identity.issuer() });
    vault.admin("auth/team/jwt/config", trust).await;
    let role = |subject: &str, audience: &str| {
        json!({
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_subject": subject,
            "bound_audiences": [audience],
            "token_policies": ["default"],
        })
    };
    let mut blind = role(identity.subject(), "integraci");
    blind["token_policies"] = json!(["none"]);
    blind["token_no_default_policy"] = json!(true);
    vault.admin("auth/team/jwt/role/blind", blind).await;
    for (name, subject, audience) in [
        ("ours", identity.subject(), "integraci"),
        ("named", identity.subject(), "vault"),
        ("others", "tenant:somebody:else", "integraci"),
    ] {
        vault.admin(&format!("auth/team/jwt/role/{name}"), role(subject, audience)).await;
    }
    let by = |role: &str, more: Value| {
        let mut settings = json!({ "mount": "team/jwt", "role": role });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vault.connector(settings).signed_by(issuer.clone())
    };
    let before = vault.tokens().await;
    assert_eq!(by("ours", json!({})).verify().await.unwrap().expires_at, None);
    by("named", json!({ "audience": "vault" })).verify().await.unwrap();
    assert_eq!(vault.tokens().await, before);

    for role in ["named", "others", "nonesuch", "blind"] {
        let refused = by(role, json!({})).verify().await;
        assert_eq!(pointer(refused), "/config/role", "{role}");
    }
    assert!(detail(by("others", json!({})).verify().await).contains(identity.subject()));
    assert!(detail(by("blind", json!({})).verify().await).contains("auth/token/lookup-self"));
    let elsewhere = by("ours", json!({ "mount": "nonesuch" }));
    assert_eq!(pointer(elsewhere.verify().await), "/config/mount");
}

/// A far side that answers lookups and revocations so.
async fn scripted(lookup: Response, revocation: StatusCode) -> Connector {
    let lookup = Arc::new(Mutex::new(Some(lookup)));
    let looked_up = move || async move { lookup.lock().unwrap().take().unwrap_or_default() };
    let app = axum::Router::new()
        .route("/v1/auth/token/lookup-self", get(looked_up))
        .route("/v1/auth/token/revoke-self", post(move || async move { revocation }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Connector::new("vault", json!({ "url": url })).with("token", "s.any")
}

fn redirect(to: &str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response()
}

/// It would be asked without the token, and answers 200 to anybody.
#[tokio::test]
async fn what_is_behind_a_redirect_or_no_vault_says_nothing_of_the_token() {
    let open = axum::Router::new().fallback(async || axum::Json(json!({ "data": { "accessor": "a" } })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, open).await });
    let connector = scripted(redirect(&elsewhere), StatusCode::NO_CONTENT).await;
    assert_eq!(pointer(connector.verify().await), "/config/url");

    for data in [json!({}), json!({ "orphan": true, "num_uses": 0, "expire_time": null })] {
        let no_vault = axum::Json(json!({ "data": data })).into_response();
        let connector = scripted(no_vault, StatusCode::NO_CONTENT).await;
        assert_eq!(pointer(connector.verify().await), "/config/url");
    }
    let a_vault = axum::Json(json!({ "data": { "accessor": "a" } })).into_response();
    scripted(a_vault, StatusCode::NO_CONTENT).await.verify().await.unwrap();
}

#[tokio::test]
async fn only_a_lookup_that_is_refused_makes_a_refused_revocation_a_done_one() {
    let revoke = async |lookup: Response| scripted(lookup, StatusCode::FORBIDDEN).await.revoke().await;
    assert_eq!(revoke(StatusCode::FORBIDDEN.into_response()).await, Ok(()));
    for lookup in [
        redirect("http://127.0.0.1:1/"),
        StatusCode::NOT_FOUND.into_response(),
        StatusCode::BAD_REQUEST.into_response(),
        StatusCode::OK.into_response(),
    ] {
        let status = lookup.status();
        assert_eq!(pointer(revoke(lookup).await), "/config/url", "{status}");
    }
}

/// A vault whose statuses mean what they mean to a vault alone.
#[tokio::test]
async fn a_vaults_own_statuses_are_told_apart() {
    let far_side = async |status: u16| {
        let app = axum::Router::new().fallback(move || async move { StatusCode::from_u16(status).unwrap() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Connector::new("vault", json!({ "url": url })).with("token", "s.any").verify().await
    };
    assert_eq!(far_side(429).await, Err(VerifyError::Busy { retry_after: None }));
    assert_eq!(pointer(far_side(472).await), "/config/url");
    assert_eq!(pointer(far_side(404).await), "/config/url");
    assert_eq!(pointer(far_side(200).await), "/config/url");
    for (status, word) in
        [(412, "behind"), (473, "standby"), (501, "initialised"), (503, "sealed"), (500, "500")]
    {
        match far_side(status).await {
            Err(VerifyError::Unreachable { detail }) => assert!(detail.contains(word), "{status}: {detail}"),
            other => panic!("{status}: {other:?}"),
        }
    }
}
