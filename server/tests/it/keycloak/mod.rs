//! A tenant's realm in a real Keycloak.

mod attest;
mod credentials;
mod drift;
mod faults;

use std::time::{Duration, Instant};

use integraci_api::SecretText;
use integraci_api::tenants::TenantNames;
use integraci_server::config::{Admin, CellConfig};
use integraci_server::isolation::cells::MAIN_CELL;
use integraci_server::isolation::keycloak::{Client, Keycloak, KeycloakConfig, setup};
use integraci_server::isolation::openbao::TenantKeys;
use integraci_server::isolation::{Drift, ErrorClass, Facts, Isolation as _, System, SystemError, Wanted};
use integraci_server::source::Source;
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, wanted};

/// Nothing listens on the discard port of the loopback address.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The Keycloak that the tests run under, and a way to it that is not the product's.
pub(crate) struct Realms {
    pub(crate) url: String,
    admin_id: String,
    admin_secret: String,
    /// Where the keys are: a namespace of this test's own.
    bao: Bao,
    http: reqwest::Client,
}

impl Realms {
    pub(crate) async fn new() -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let keycloak = endpoints.keycloak().unwrap();
        Self {
            url: keycloak.url.clone(),
            admin_id: keycloak.client_id.clone(),
            admin_secret: keycloak.client_secret.expose_secret().to_owned(),
            bao: Bao::new().await,
            http: reqwest::Client::new(),
        }
    }

    /// As `setup` is given it.
    pub(crate) fn cell(&self) -> CellConfig<KeycloakConfig> {
        CellConfig {
            name: MAIN_CELL.to_owned(),
            capacity: None,
            admin: Some(Admin {
                client_id: Some(self.admin_id.clone()),
                secret: SecretText::new(self.admin_secret.clone()),
            }),
            credential_file: None,
            system: KeycloakConfig {
                url: self.url.parse().unwrap(),
                client_id: "integraci".to_owned(),
                client_secret: SecretText::new(String::new()),
                ca_certificate: None,
                timeout: Duration::from_secs(60),
            },
        }
    }

    /// As the server is given it, prepared.
    pub(crate) async fn config(&self) -> KeycloakConfig {
        let cell = self.cell();
        let client_secret = setup::prepare(&cell).await.unwrap();
        KeycloakConfig { client_secret, ..cell.system }
    }

    /// The product's own, with the least credential.
    pub(crate) async fn system(&self) -> Keycloak {
        self.with(&self.config().await)
    }

    fn with(&self, config: &KeycloakConfig) -> Keycloak {
        Keycloak::new(Client::new(config).unwrap(), self.keys(), Source::real())
    }

    fn keys(&self) -> TenantKeys {
        TenantKeys::new(self.bao.client())
    }

    /// A client's token: status and answer.
    pub(crate) async fn login(&self, realm: &str, id: &str, secret: &str) -> (u16, Value) {
        let form =
            format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=openid");
        self.form(realm, "token", None, form).await
    }

    async fn form(
        &self,
        realm: &str,
        endpoint: &str,
        client: Option<(&str, &str)>,
        form: String,
    ) -> (u16, Value) {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/{endpoint}", self.url);
        let mut request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        let answer = request.body(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// A call to the admin API as the administrator: status and body.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let (_, token) = self.login("master", &self.admin_id, &self.admin_secret).await;
        let token = token["access_token"].as_str().unwrap();
        let mut request = self.http.request(method, format!("{}/admin/realms{path}", self.url));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// A client of a realm, as the administrator sees it, its secret included.
    pub(crate) async fn client(&self, realm: &str, id: &str) -> Value {
        let (status, found) =
            self.admin(Method::GET, &format!("/{realm}/clients?clientId={id}"), Value::Null).await;
        assert_eq!(status, 200, "{found}");
        found[0].clone()
    }

    async fn realm(&self, realm: &str) -> Value {
        self.admin(Method::GET, &format!("/{realm}"), Value::Null).await.1
    }

    /// Whether a token is taken: at userinfo, and as the tenant's API finds by introspection.
    async fn is_taken(&self, realm: &str, token: &str) -> (bool, bool) {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/userinfo", self.url);
        let userinfo = self.http.get(url).bearer_auth(token).send().await.unwrap().status().is_success();
        let id = format!("{realm}-api");
        let api = self.client(realm, &id).await;
        let client = Some((id.as_str(), api["secret"].as_str().unwrap()));
        let (_, found) = self.form(realm, "token/introspect", client, format!("token={token}")).await;
        (userinfo, found["active"] == json!(true))
    }

    /// A token of what the tenant runs.
    pub(crate) async fn workload_token(&self, realm: &str) -> String {
        let secret = self.client(realm, "workload").await["secret"].as_str().unwrap().to_owned();
        let (status, answer) = self.login(realm, "workload", &secret).await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// Repeats what Keycloak failed at on its side, as a saga does: making a realm fails now and then while
/// others are deleted, and some of these tests delete realms while others make some.
async fn settled<T>(call: impl AsyncFn() -> Result<T, SystemError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match call().await {
            Ok(done) => return done,
            Err(failed) if failed.status == Some(500) && Instant::now() < deadline => {}
            Err(failed) => panic!("{failed}"),
        }
    }
}

async fn ensured(system: &Keycloak, wanted: &Wanted) -> Facts {
    settled(async || system.ensure(wanted).await).await
}

async fn removed(system: &Keycloak, tenant: &TenantNames) {
    let tenant = wanted(tenant);
    settled(async || system.ensure_none(&tenant).await).await;
}

/// The names of a tenant that no other test uses, in this run or another.
fn tenant(what: &str) -> TenantNames {
    let id = uuid::Uuid::now_v7().simple().to_string();
    TenantNames::of(&format!("{what}-{}", &id[20..]).parse().unwrap())
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_realm_is_made_once_and_removed_whole() {
    let (realms, tenant) = (Realms::new().await, tenant("realm"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap(), []);

    let wanted = wanted(&tenant);
    let facts = ensured(&system, &wanted).await;
    assert_eq!(facts["issuer_url"], format!("{}/realms/{name}", realms.url));
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    let first = realms.realm(name).await;
    assert_eq!(ensured(&system, &wanted).await, facts);
    assert_eq!(realms.realm(name).await, first);
    for (field, value) in [
        ("enabled", json!(true)),
        ("sslRequired", json!("external")),
        ("registrationAllowed", json!(false)),
        ("bruteForceProtected", json!(true)),
        ("accessTokenLifespan", json!(300)),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    let token = claims(&realms.workload_token(name).await);
    assert_eq!((&token["iss"], &token["aud"]), (&json!(facts["issuer_url"]), &json!(format!("{name}-api"))));
    let classes: Vec<_> = system.remains(&wanted).await.unwrap().iter().map(|it| it.class).collect();
    assert_eq!(classes, ["realm", "key of the realm"]);

    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted).await.unwrap(), []);
    removed(&system, &tenant).await;
    assert_eq!(realms.admin(Method::GET, &format!("/{name}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn two_that_ensure_at_once_make_one_realm() {
    let (realms, tenant) = (Realms::new().await, tenant("twice"));
    let (one, two) = (realms.system().await, realms.system().await);
    let wanted = wanted(&tenant);
    let (first, second) = tokio::join!(one.ensure(&wanted), two.ensure(&wanted));
    first.or(second).unwrap();
    ensured(&two, &wanted).await;
    assert_eq!(one.drift(&wanted).await.unwrap(), []);
    removed(&one, &tenant).await;
}

#[tokio::test]
async fn a_realm_of_somebody_else_is_left_alone() {
    let (realms, tenant) = (Realms::new().await, tenant("theirs"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    realms.admin(Method::POST, "", json!({ "realm": name, "enabled": true, "displayName": "Theirs" })).await;
    let wanted = wanted(&tenant);
    for _ in 0..2 {
        let refused = system.ensure(&wanted).await.unwrap_err();
        assert_eq!((refused.operation, refused.class), ("realm_create", ErrorClass::Refused));
    }
    assert_eq!(system.drift(&wanted).await.unwrap(), [Drift("the realm is not one that IntegraCI made")]);
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted).await.unwrap(), []);
    assert_eq!(realms.realm(name).await["displayName"], "Theirs");
    realms.admin(Method::DELETE, &format!("/{name}"), Value::Null).await;
}

#[tokio::test]
async fn installations_that_share_a_keycloak_share_the_canary_and_nothing_else() {
    let (one, two, tenant) = (Realms::new().await, Realms::new().await, tenant("shared"));
    let (first, second) = (one.system().await, two.system().await);
    let canary = wanted(&tenant);
    for system in [&first, &second, &first] {
        ensured(system, &canary).await;
        assert_eq!(system.drift(&canary).await.unwrap(), []);
        let checks = system.attest(&canary, &canary).await;
        assert!(checks.iter().any(|check| check.passed));
    }
    // A tenant of the other installation that happens to have the same name.
    let stranger = wanted(&tenant);
    let refused = second.ensure(&stranger).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    removed(&second, &tenant).await;
    assert_eq!(second.remains(&wanted(&tenant)).await.unwrap(), []);
    assert_eq!(first.drift(&canary).await.unwrap(), []);
    removed(&first, &tenant).await;
    assert_eq!(one.admin(Method::GET, &format!("/{}", tenant.keycloak_realm), Value::Null).await.0, 404);
}

#[tokio::test]
async fn suspension_closes_the_realm_at_once_and_resumption_restores_it() {
    let (realms, tenant) = (Realms::new().await, tenant("suspend"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let open = wanted(&tenant);
    let closed = Wanted { suspended: true, ..open.clone() };
    ensured(&system, &open).await;
    let before = realms.realm(name).await;
    let token = realms.workload_token(name).await;
    assert_eq!(realms.is_taken(name, &token).await, (true, true));

    for _ in 0..2 {
        ensured(&system, &closed).await;
        assert_eq!(realms.is_taken(name, &token).await, (false, false));
        let secret = realms.client(name, "workload").await["secret"].as_str().unwrap().to_owned();
        assert_eq!(realms.login(name, "workload", &secret).await.0, 403);
    }
    assert_eq!(system.drift(&closed).await.unwrap(), []);
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap().len(), 2);
    let words = system.drift(&open).await.unwrap();
    assert_eq!(words, [Drift("the realm is closed though the tenant is not suspended")]);

    ensured(&system, &open).await;
    assert_eq!(realms.realm(name).await, before);
    assert_eq!(realms.is_taken(name, &token).await, (true, true));
    assert_eq!(system.drift(&open).await.unwrap(), []);

    ensured(&system, &closed).await;
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted(&tenant)).await.unwrap(), []);
}

#[tokio::test]
async fn a_tenant_that_is_made_suspended_has_a_closed_realm() {
    let (realms, tenant) = (Realms::new().await, tenant("born"));
    let system = realms.system().await;
    let closed = Wanted { suspended: true, ..wanted(&tenant) };
    ensured(&system, &closed).await;
    assert_eq!(realms.realm(&tenant.keycloak_realm).await["enabled"], false);
    assert_eq!(system.drift(&closed).await.unwrap(), []);
    ensured(&system, &wanted(&tenant)).await;
    realms.workload_token(&tenant.keycloak_realm).await;
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn a_realm_deleted_by_hand_is_made_again() {
    let (realms, tenant) = (Realms::new().await, tenant("gone"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let wanted = wanted(&tenant);
    ensured(&system, &wanted).await;
    realms.admin(Method::DELETE, &format!("/{name}"), Value::Null).await;
    assert_eq!(system.drift(&wanted).await.unwrap(), [Drift("the realm is missing")]);
    ensured(&system, &wanted).await;
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    realms.workload_token(name).await;

    realms.admin(Method::DELETE, &format!("/{name}"), Value::Null).await;
    assert_eq!(system.remains(&wanted).await.unwrap()[0].class, "key of the realm");
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted).await.unwrap(), []);
    assert!(realms.keys().get(System::Keycloak, &tenant).await.unwrap().is_none());
}
