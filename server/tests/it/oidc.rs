//! The platform as an issuer of tokens: what far sides read of it, and whether what it signs holds up to
//! a check that knows nothing but what was read.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::{SecretText, TenantId};
use integraci_server::isolation::openbao::{SIGNING_MOUNT, Signer, TOKEN_KEY};
use integraci_server::oidc::Issuer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::app::App;
use crate::openbao_world::Bao;

const NOBODY: &str = "ten_00000000000000000000000000000000";

/// An issuer with the keys of an OpenBao.
pub(crate) fn issuer(bao: &Bao, public_url: &str) -> Issuer {
    Issuer::new(Some(public_url.parse().unwrap()), Signer::new(bao.client()))
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// The name of the key that signed a token.
fn kid(token: &SecretText) -> String {
    part(token.expose().split('.').next().unwrap())["kid"].as_str().unwrap().to_owned()
}

/// The claims of a token, if one of the published keys signed it.
fn claims(keys: &Value, token: &SecretText) -> Option<Value> {
    let (message, signature) = token.expose().rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid(token).as_str())?;
    assert_eq!((&key["kty"], &key["use"], &key["alg"]), (&json!("RSA"), &json!("sig"), &json!("RS256")));
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).ok()?;
    Some(part(payload))
}

async fn published(issuer: &Issuer) -> Value {
    serde_json::to_value(issuer.key_set().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_checked_by_what_its_issuer_publishes() {
    let bao = Bao::new().await;
    let app = App::with(&bao, Vec::new()).await;
    let issuer = issuer(&bao, &app.url(""));
    let tenant = TenantId::from_uuid(Uuid::now_v7());
    let identity = issuer.identity(tenant, "prod", "sts.amazonaws.com").unwrap();
    let token = issuer.token(&identity, OffsetDateTime::now_utc(), Uuid::now_v7()).await.unwrap();

    let discovery = reqwest::get(format!("{}/.well-known/openid-configuration", identity.issuer())).await;
    let discovery: Value = discovery.unwrap().json().await.unwrap();
    assert_eq!(discovery["issuer"], identity.issuer());
    let keys = reqwest::get(discovery["jwks_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(keys.headers()["cache-control"], "public, max-age=300");
    let keys: Value = keys.json().await.unwrap();
    let said = claims(&keys, &token).unwrap();
    assert_eq!(said["iss"], identity.issuer());
    assert_eq!(said["sub"], format!("tenant:{tenant}:prod"));
    assert_eq!(said["aud"], "sts.amazonaws.com");

    let (message, signature) = token.expose().rsplit_once('.').unwrap();
    let other = issuer.identity(tenant, "other", "sts.amazonaws.com").unwrap();
    let other = issuer.token(&other, OffsetDateTime::now_utc(), Uuid::now_v7()).await.unwrap();
    let (other, _) = other.expose().rsplit_once('.').unwrap();
    assert_ne!(message, other);
    assert_eq!(claims(&keys, &SecretText::new(format!("{other}.{signature}"))), None);
}

#[tokio::test]
async fn a_rotated_key_signs_once_far_sides_can_know_it_and_one_withdrawn_no_more() {
    let bao = Bao::new().await;
    let key = format!("{SIGNING_MOUNT}/keys/{TOKEN_KEY}");
    let at = |issuer: Issuer, age: Duration| async move {
        let tenant = TenantId::from_uuid(Uuid::from_u128(6));
        let identity = issuer.identity(tenant, "prod", "x").unwrap();
        issuer.token(&identity, OffsetDateTime::now_utc() + age, Uuid::now_v7()).await.unwrap()
    };
    // Each time a new one: it knows nothing of before.
    let issuer = || issuer(&bao, "https://ci.example");
    let soon = Duration::minutes(1);
    let later = Duration::minutes(11);
    assert_eq!(kid(&at(issuer(), soon).await), "oidc-token-v1");
    let before = published(&issuer()).await;

    let (status, answer) = bao.root(Method::POST, "", &format!("{key}/rotate"), Value::Null).await;
    assert!(status < 300, "{answer}");
    let keys = published(&issuer()).await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    let (first, second) = (at(issuer(), soon).await, at(issuer(), later).await);
    assert_eq!((kid(&first), kid(&second)), ("oidc-token-v1".to_owned(), "oidc-token-v2".to_owned()));
    assert!(claims(&keys, &first).is_some() && claims(&keys, &second).is_some());
    assert!(claims(&before, &first).is_some(), "who read the keys before still can check");
    assert_eq!(claims(&before, &second), None);

    let least = json!({"min_encryption_version": 2, "min_decryption_version": 2});
    let (status, answer) = bao.root(Method::POST, "", &format!("{key}/config"), least).await;
    assert!(status < 300, "{answer}");
    assert_eq!(kid(&at(issuer(), soon).await), "oidc-token-v2");
    let keys = published(&issuer()).await;
    assert_eq!(claims(&keys, &first), None, "what a withdrawn version signed is good no more");
    assert!(claims(&keys, &second).is_some());
}

#[tokio::test]
async fn nobody_learns_by_an_issuer_which_tenants_there_are() {
    let app = App::new().await;
    let tenant = app.tenant().await.to_string();
    let get = async |path: String| {
        let answer = reqwest::get(app.url(&path)).await.unwrap();
        let mut headers = answer.headers().clone();
        headers.remove("x-request-id");
        headers.remove("date");
        (answer.status(), headers, answer.text().await.unwrap())
    };
    for document in [".well-known/openid-configuration", "jwks.json"] {
        let (status, headers, text) = get(format!("/oidc/{tenant}/{document}")).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let (of_nobody, same_headers, other) = get(format!("/oidc/{NOBODY}/{document}")).await;
        assert_eq!((status, headers), (of_nobody, same_headers));
        assert_eq!(text.replace(&tenant, NOBODY), other);
        for malformed in ["ten_1", &tenant.to_uppercase(), "con_00000000000000000000000000000000", "%2e%2e"] {
            let (status, ..) = get(format!("/oidc/{malformed}/{document}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{malformed}");
        }
    }
}

#[tokio::test]
async fn a_tenant_is_told_what_to_have_trusted() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let of = |tenant: &str, query: &str| format!("/v1/tenants/{tenant}/oidc-trust?{query}");
    let own = |query: &str| of(&tenant.to_string(), query);
    let issuer = app.url(&format!("/oidc/{tenant}"));
    assert_eq!(
        app.get(&own("connector=prod&kind=azure")).await,
        json!({
            "issuer": issuer,
            "discovery_url": format!("{issuer}/.well-known/openid-configuration"),
            "jwks_url": format!("{issuer}/jwks.json"),
            "subject": format!("tenant:{tenant}:prod"),
            "audience": "api://AzureADTokenExchange",
        })
    );
    assert_eq!(app.get(&own("connector=prod&kind=gcp")).await["audience"], Value::Null);
    for (query, pointer) in [
        ("connector=Prod&kind=aws", "/connector"),
        ("connector=prod&kind=slack", "/kind"),
        ("connector=prod&kind=", "/kind"),
        ("connector=prod", "/kind"),
        ("kind=aws", "/connector"),
    ] {
        let refused = app.send(Method::GET, &own(query), None).await;
        assert_eq!(refused.problem(), ("invalid_request", vec![pointer]), "{query}");
    }
    let nobodys = app.send(Method::GET, &of(NOBODY, "connector=prod&kind=aws"), None).await;
    assert_eq!(nobodys.problem().0, "not_found");
    let other = app.token_of(app.tenant().await).await;
    let foreign = app.send_as(&other, Method::GET, &own("connector=prod&kind=aws"), None).await;
    assert_eq!(foreign.problem().0, "not_found");
}
