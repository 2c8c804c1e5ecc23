//! A tenant's place in a real OpenBao.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use integraci_api::SecretText;
use integraci_api::TenantId;
use integraci_api::tenants::TenantNames;
use integraci_server::config::{Admin, CellConfig};
use integraci_server::connectors::secrets::ConnectorSecrets;
use integraci_server::isolation::cells::MAIN_CELL;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig, setup};
use integraci_server::isolation::{ErrorClass, Finding, Isolation as _};
use integraci_server::isolation::{Limits, Wanted};
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::verify::Scripted;

/// What a tenant that is not suspended is to have.
pub(crate) fn wanted(names: &TenantNames) -> Wanted {
    let tenant = TenantId::from_uuid(uuid::Uuid::now_v7());
    Wanted { tenant, names: names.clone(), suspended: false, limits: Limits::SHIPPED }
}

/// The OpenBao that the tests run under, and a way to it that is not the product's.
pub(crate) struct Bao {
    pub(crate) address: String,
    root: String,
    http: reqwest::Client,
}

impl Bao {
    pub(crate) fn new() -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let bao = endpoints.openbao().unwrap();
        Self {
            address: bao.addr.clone(),
            root: bao.root_token.expose_secret().to_owned(),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn config(&self) -> OpenBaoConfig {
        OpenBaoConfig {
            address: self.address.parse().unwrap(),
            token: SecretText::new(self.root.clone()),
            namespace: None,
            ca_certificate: None,
            timeout: Duration::from_secs(30),
        }
    }

    /// A namespace that nobody else has, prepared as an administrator does it, and what the server is
    /// then configured with.
    pub(crate) async fn prepared(&self) -> OpenBaoConfig {
        let namespace = format!("it-{}", uuid::Uuid::new_v4().simple());
        self.root(Method::POST, "", &format!("sys/namespaces/{namespace}"), json!({})).await;
        let config = OpenBaoConfig { namespace: Some(namespace), ..self.config() };
        let token = setup::prepare(&self.cell(config.clone())).await.unwrap();
        OpenBaoConfig { token, ..config }
    }

    /// The cell as an administrator has it configured.
    pub(crate) fn cell(&self, system: OpenBaoConfig) -> CellConfig<OpenBaoConfig> {
        CellConfig {
            name: MAIN_CELL.to_owned(),
            capacity: None,
            system: OpenBaoConfig { token: SecretText::new(String::new()), ..system },
            admin: Some(Admin { client_id: None, secret: SecretText::new(self.root.clone()) }),
            credential_file: None,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    pub(crate) fn system(&self) -> OpenBao {
        OpenBao::new(self.client())
    }

    /// A call as root: status and body.
    pub(crate) async fn root(
        &self,
        method: Method,
        namespace: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        self.call(&self.root, method, namespace, path, body).await
    }

    /// A call with any token: status and body.
    async fn call(
        &self,
        token: &str,
        method: Method,
        namespace: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.address));
        if !body.is_null() {
            request = request.json(&body);
        }
        let request = request.header("x-vault-token", token).header("x-vault-namespace", namespace);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A token of a namespace that holds one policy, for an hour.
    pub(crate) async fn token(&self, namespace: &str, policy: &str) -> String {
        let body = json!({ "policies": [policy], "no_default_policy": true, "ttl": "1h" });
        let (status, answer) = self.root(Method::POST, namespace, "auth/token/create", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// The names of a tenant that no other test uses.
pub(crate) fn tenant(slug: &str) -> TenantNames {
    TenantNames::of(&slug.parse().unwrap())
}

/// Repeats the removal until it is over, as a saga does.
async fn removed(system: &OpenBao, tenant: &TenantNames) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(busy) = system.ensure_none(tenant).await {
        assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
        assert!(Instant::now() < deadline, "still there: {busy}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn found<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check == check).unwrap()
}

#[tokio::test]
async fn a_place_is_made_once_and_removed_whole() {
    let bao = Bao::new();
    let (system, tenant) = (bao.system(), tenant("place"));
    let name = &tenant.openbao_namespace;
    assert_eq!(system.remains(&tenant).await.unwrap(), []);

    system.ensure(&wanted(&tenant)).await.unwrap();
    let (_, first) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    system.ensure(&wanted(&tenant)).await.unwrap();
    let (_, second) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    assert_eq!(first["data"], second["data"]);
    assert_eq!(second["data"]["custom_metadata"], json!({ "managed-by": "integraci" }));
    let (_, config) = bao.root(Method::GET, name, "secret/config", Value::Null).await;
    assert_eq!(config["data"]["cas_required"], true);
    let remains = system.remains(&tenant).await.unwrap();
    assert_eq!((remains[0].class, remains[0].name.as_str()), ("namespace", "tenant-place"));

    removed(&system, &tenant).await;
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
    system.ensure_none(&tenant).await.unwrap();
    let (status, _) = bao.root(Method::GET, "", &format!("sys/namespaces/{name}"), Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_place_can_be_made_again_after_its_removal() {
    let bao = Bao::new();
    let (system, tenant) = (bao.system(), tenant("again"));
    system.ensure(&wanted(&tenant)).await.unwrap();
    removed(&system, &tenant).await;
    system.ensure(&wanted(&tenant)).await.unwrap();
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn what_was_changed_by_hand_is_mended() {
    let bao = Bao::new();
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
    let bao = Bao::new();
    let (system, tenant) = (bao.system(), tenant("theirs"));
    let path = format!("sys/namespaces/{}", tenant.openbao_namespace);
    bao.root(Method::POST, "", &path, json!({ "custom_metadata": { "team": "other" } })).await;

    let refused = system.ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("namespace_create", ErrorClass::Refused));
    system.ensure_none(&tenant).await.unwrap();
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
    let (status, still) = bao.root(Method::GET, "", &path, Value::Null).await;
    assert_eq!((status, &still["data"]["custom_metadata"]), (200, &json!({ "team": "other" })));
    bao.root(Method::DELETE, "", &path, Value::Null).await;
}

#[tokio::test]
async fn a_place_is_made_below_the_platforms_own_namespace() {
    let bao = Bao::new();
    bao.root(Method::POST, "", "sys/namespaces/platform", json!({})).await;
    let config = OpenBaoConfig { namespace: Some("platform".to_owned()), ..bao.config() };
    let (system, tenant) = (OpenBao::new(Client::new(&config).unwrap()), tenant("below"));
    system.ensure(&wanted(&tenant)).await.unwrap();
    assert_eq!(system.remains(&tenant).await.unwrap()[0].name, "platform/tenant-below");
    let (status, _) = bao.root(Method::GET, "platform/tenant-below", "secret/config", Value::Null).await;
    assert_eq!(status, 200);
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn the_tenants_own_token_reaches_its_store_and_nothing_else() {
    let bao = Bao::new();
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
    let bao = Bao::new();
    let findings = bao.system().check().await;
    assert!(findings.iter().all(Finding::passed), "{findings:?}");
    assert!(found(&findings, "reachable").found.starts_with("version "));
    assert_eq!(found(&findings, "capabilities").found, "all that are needed");

    let with_token = |token: String| {
        OpenBao::new(Client::new(&OpenBaoConfig { token: SecretText::new(token), ..bao.config() }).unwrap())
    };
    let findings = with_token("s.nobodys".to_owned()).check().await;
    assert!(found(&findings, "token").remedy.is_some());

    let policy = r#"path "sys/namespaces/*" { capabilities = ["read"] }
        path "auth/token/lookup-self" { capabilities = ["read"] }
        path "sys/capabilities-self" { capabilities = ["update"] }"#;
    bao.root(Method::PUT, "", "sys/policies/acl/reader", json!({ "policy": policy })).await;
    let findings = with_token(bao.token("", "reader").await).check().await;
    assert!(found(&findings, "token lifetime").remedy.is_some());
    let missing = &found(&findings, "capabilities").found;
    assert!(missing.starts_with("missing: update, delete on sys/namespaces/<tenant>; "), "{missing}");

    // Nothing listens on the discard port of the loopback address.
    let nowhere = OpenBaoConfig { address: "http://127.0.0.1:9".parse().unwrap(), ..bao.config() };
    let findings = OpenBao::new(Client::new(&nowhere).unwrap()).check().await;
    assert_eq!(findings.len(), 1);
    assert!(found(&findings, "reachable").remedy.is_some());
}

#[tokio::test]
async fn a_token_that_may_not_is_refused_and_a_system_that_is_away_is_broken() {
    let bao = Bao::new();
    let tenant = tenant("refused");
    let stranger = OpenBaoConfig { token: SecretText::new("s.nobodys".to_owned()), ..bao.config() };
    let refused = OpenBao::new(Client::new(&stranger).unwrap()).ensure(&wanted(&tenant)).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(403)));

    let nowhere = OpenBaoConfig { address: "http://127.0.0.1:9".parse().unwrap(), ..bao.config() };
    let away = OpenBao::new(Client::new(&nowhere).unwrap());
    assert_eq!(away.ensure(&wanted(&tenant)).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(away.remains(&tenant).await.unwrap_err().class, ErrorClass::Broken);
}

#[tokio::test]
async fn who_does_not_know_never_says_that_nothing_remains() {
    let bao = Bao::new();
    let tenant = tenant("unknown");
    let astray = OpenBaoConfig { namespace: Some("no-such-parent".to_owned()), ..bao.config() };
    let error = OpenBao::new(Client::new(&astray).unwrap()).remains(&tenant).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Gone);

    let other = Scripted::start("127.0.0.1", |_, _| StatusCode::NOT_FOUND.into_response()).await;
    let astray = OpenBaoConfig { address: other.url.parse().unwrap(), ..bao.config() };
    let error = OpenBao::new(Client::new(&astray).unwrap()).remains(&tenant).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Broken);
}

/// No more than `check` asks for.
const LEAST: &str = r#"
path "sys/capabilities-self" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/namespaces/+" { capabilities = ["read", "update", "delete"] }
path "+/sys/mounts" { capabilities = ["read"] }
path "+/sys/mounts/secret" { capabilities = ["update"] }
path "+/sys/policies/acl/tenant" { capabilities = ["update"] }
path "+/secret/config" { capabilities = ["update"] }
path "+/secret/data/connectors/+" { capabilities = ["create", "read", "update"] }
path "+/secret/destroy/connectors/+" { capabilities = ["update"] }
path "+/secret/metadata/connectors/+" { capabilities = ["read", "delete"] }
"#;

#[tokio::test]
async fn what_check_asks_for_is_enough_to_work_with() {
    let bao = Bao::new();
    bao.root(Method::PUT, "", "sys/policies/acl/least", json!({ "policy": LEAST })).await;
    let token = SecretText::new(bao.token("", "least").await);
    let client = Client::new(&OpenBaoConfig { token, ..bao.config() }).unwrap();
    let (system, secrets) = (OpenBao::new(client.clone()), ConnectorSecrets::new(client));
    assert!(found(&system.check().await, "capabilities").passed());

    let tenant = tenant("least");
    let connector = "con_0190a0a0000070008000000000000003".parse().unwrap();
    let given = BTreeMap::from([("token".to_owned(), SecretText::new("hush".to_owned()))]);
    system.ensure(&wanted(&tenant)).await.unwrap();
    system.ensure(&wanted(&tenant)).await.unwrap();
    assert_eq!(secrets.put(&tenant, connector, 0, &given).await, Ok(1));
    assert_eq!(secrets.put(&tenant, connector, 1, &given).await, Ok(2));
    assert_eq!(secrets.compare(&tenant, connector, 2, &given).await, Ok(true));
    secrets.destroy_version(&tenant, connector, 1).await.unwrap();
    assert_eq!(secrets.current_version(&tenant, connector).await, Ok(2));
    secrets.destroy_all(&tenant, connector).await.unwrap();
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
}
