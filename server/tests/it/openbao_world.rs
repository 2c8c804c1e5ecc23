//! The OpenBao that the tests run under: for each test a platform's namespace of its own, prepared as an
//! administrator does it, and a way into it that is not the product's.

use std::time::{Duration, Instant};

use integraci_api::tenants::TenantNames;
use integraci_api::{SecretText, TenantId};
use integraci_server::config::{Admin, CellConfig};
use integraci_server::isolation::cells::MAIN_CELL;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig, setup};
use integraci_server::isolation::{ErrorClass, Isolation as _, Limits, Wanted};
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// What a tenant that is not suspended is to have.
pub(crate) fn wanted(names: &TenantNames) -> Wanted {
    let tenant = TenantId::from_uuid(uuid::Uuid::now_v7());
    Wanted { tenant, names: names.clone(), suspended: false, limits: Limits::SHIPPED }
}

/// The names of a tenant. Each test has a namespace to itself, so any slug will do.
pub(crate) fn tenant(slug: &str) -> TenantNames {
    TenantNames::of(&slug.parse().unwrap())
}

#[derive(Clone)]
pub(crate) struct Bao {
    /// What the server is configured with.
    pub(crate) config: OpenBaoConfig,
    root: String,
    http: reqwest::Client,
}

impl Bao {
    /// In a namespace that nobody else has.
    pub(crate) async fn new() -> Self {
        Self::at(Some(format!("it-{}", uuid::Uuid::new_v4().simple()))).await
    }

    /// In a namespace, or in the root.
    pub(crate) async fn at(namespace: Option<String>) -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let bao = endpoints.openbao().unwrap();
        let config = OpenBaoConfig {
            address: bao.addr.parse().unwrap(),
            token: SecretText::new(String::new()),
            namespace,
            ca_certificate: None,
            timeout: Duration::from_secs(30),
        };
        let root = bao.root_token.expose_secret().to_owned();
        let mut bao = Self { config, root, http: reqwest::Client::new() };
        bao.config.token = setup::prepare(&bao.cell()).await.unwrap();
        bao
    }

    /// The cell as an administrator has it configured.
    pub(crate) fn cell(&self) -> CellConfig<OpenBaoConfig> {
        CellConfig {
            name: MAIN_CELL.to_owned(),
            capacity: None,
            system: self.config.clone(),
            admin: Some(Admin { client_id: None, secret: SecretText::new(self.root.clone()) }),
            credential_file: None,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.config).unwrap()
    }

    pub(crate) fn system(&self) -> OpenBao {
        OpenBao::new(self.client())
    }

    /// The same with another token.
    pub(crate) fn system_with(&self, token: &str) -> OpenBao {
        let token = SecretText::new(token.to_owned());
        OpenBao::new(Client::new(&OpenBaoConfig { token, ..self.config.clone() }).unwrap())
    }

    /// The path of a namespace below the platform's own (`""`: that itself), from the root.
    pub(crate) fn path(&self, below: &str) -> String {
        let parent = self.config.namespace.iter().map(String::as_str);
        parent.chain((!below.is_empty()).then_some(below)).collect::<Vec<_>>().join("/")
    }

    /// A call as root, in a namespace below the platform's own: status and body.
    pub(crate) async fn root(&self, method: Method, below: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(&self.root, method, below, path, body).await
    }

    /// A call as root, in the root namespace.
    pub(crate) async fn at_root(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.call_at(&self.root, method, "", path, body).await
    }

    /// A call with any token, in a namespace below the platform's own.
    pub(crate) async fn call(
        &self,
        token: &str,
        method: Method,
        below: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        self.call_at(token, method, &self.path(below), path, body).await
    }

    /// A call with any token, in any namespace.
    pub(crate) async fn call_at(
        &self,
        token: &str,
        method: Method,
        namespace: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let address = self.config.address.as_str().trim_end_matches('/');
        let mut request = self.http.request(method, format!("{address}/v1/{path}"));
        if !body.is_null() {
            request = request.json(&body);
        }
        let request = request.header("x-vault-token", token).header("x-vault-namespace", namespace);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A token that holds one policy of a namespace below the platform's own, for an hour.
    pub(crate) async fn token(&self, below: &str, policy: &str) -> String {
        let body = json!({ "policies": [policy], "no_default_policy": true, "ttl": "1h" });
        let (status, answer) = self.root(Method::POST, below, "auth/token/create", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// A token of the root namespace with the policy that is given as text, made as is said.
    pub(crate) async fn token_at_root(&self, policy: &str, how: Value) -> String {
        let name = format!("it-{}", uuid::Uuid::new_v4().simple());
        let path = format!("sys/policies/acl/{name}");
        self.at_root(Method::PUT, &path, json!({ "policy": policy })).await;
        let mut body = how;
        body["policies"] = json!([name]);
        body["no_default_policy"] = true.into();
        let (status, answer) = self.at_root(Method::POST, "auth/token/create", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// Repeats the removal until it is over, as a saga does.
pub(crate) async fn removed(system: &OpenBao, tenant: &TenantNames) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let tenant = wanted(tenant);
    while let Err(busy) = system.ensure_none(&tenant).await {
        assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
        assert!(Instant::now() < deadline, "still there: {busy}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
