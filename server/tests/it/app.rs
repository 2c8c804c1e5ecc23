//! A whole replica in this process, on a database of its own and in a namespace of its own of the OpenBao
//! that the tests run under, and a client for it.

use std::time::Duration;

use integraci_api::TenantId;
use integraci_api::operations::Operation;
use integraci_api::tokens::{Scope, TokenCreate};
use integraci_server::accounts::Tokens;
use integraci_server::config::{CellConfig, Config};
use integraci_server::connectors::outbound::OutboundConfig;
use integraci_server::http::HttpLimits;
use integraci_server::isolation::nats::NatsConfig;
use integraci_server::plans::Plans;
use integraci_server::serve::Replica;
use integraci_server::source::Source;
use integraci_server::usage;
use local_platform::far_side::FarSide;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::database::Database;
use crate::openbao_world::Bao;

/// The key of the far side's webhook `hook`.
pub(crate) const HMAC_KEY: &str = "of-tests-0123456789abcdef";

pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) far_side: FarSide,
    address: String,
    token: String,
    http: reqwest::Client,
    _stop: DropGuard,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) replayed: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The problem's code and the pointers of its fields.
    pub(crate) fn problem(&self) -> (&str, Vec<&str>) {
        let errors = self.body["errors"].as_array();
        let pointers = errors.into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect();
        (self.body["code"].as_str().unwrap_or_default(), pointers)
    }
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(&Bao::new().await, Vec::new()).await
    }

    /// One that works with that OpenBao, and with these NATS.
    pub(crate) async fn with(bao: &Bao, nats: Vec<CellConfig<NatsConfig>>) -> Self {
        let database = Database::new().await;
        let config = Self::config(&database, bao, nats);
        Self::of(database, config).await
    }

    /// One with limits of its own on requests.
    pub(crate) async fn limited(bao: &Bao, http: HttpLimits) -> Self {
        let database = Database::new().await;
        let config = Config { http, ..Self::config(&database, bao, Vec::new()) };
        Self::of(database, config).await
    }

    /// One that is configured so.
    pub(crate) async fn of(database: Database, config: Config) -> Self {
        let (address, stop) = Self::start(config).await;
        let tokens = Tokens::new(database.store.clone(), Source::real());
        let wanted = TokenCreate {
            name: "test".into(),
            tenant_id: None,
            scopes: Scope::ALL.to_vec(),
            expires_at: None,
        };
        let token = tokens.bootstrap(wanted).await.unwrap().secret.expose().to_owned();
        let far_side = FarSide::start().await.unwrap();
        far_side.webhook_key("hook", SecretString::from(HMAC_KEY));
        Self { database, far_side, address, token, http: reqwest::Client::new(), _stop: stop.drop_guard() }
    }

    /// One more replica on a database: its address, and what stops it.
    pub(crate) async fn replica(
        database: &Database,
        bao: &Bao,
        nats: Vec<CellConfig<NatsConfig>>,
    ) -> (String, CancellationToken) {
        Self::start(Self::config(database, bao, nats)).await
    }

    /// How a replica on a database is configured.
    pub(crate) fn config(database: &Database, bao: &Bao, nats: Vec<CellConfig<NatsConfig>>) -> Config {
        Config {
            public_url: Some("http://127.0.0.1:0".parse().unwrap()),
            connectors_checked_every: Duration::from_secs(60 * 60),
            listen: "127.0.0.1:0".parse().unwrap(),
            metrics_listen: None,
            store: database.config.clone(),
            admin_url: None,
            openbao: CellConfig { admin: None, ..bao.cell() },
            keycloak: Vec::new(),
            nats,
            kubernetes: Vec::new(),
            reconcile_every: Duration::from_secs(300),
            outbound: OutboundConfig {
                allow: vec!["127.0.0.0/8".parse().unwrap()],
                allow_http: true,
                timeout: Duration::from_secs(5),
                max_body_bytes: 1024 * 1024,
                ca_certificate: None,
            },
            usage_late: usage::LATE,
            plans: Plans::shipped(),
            stripe: None,
            statements_every: Duration::from_secs(24 * 60 * 60),
            // Tests ask as fast as they can.
            http: HttpLimits { requests_per_minute_per_token: 1_000_000, ..HttpLimits::default() },
            operation_lease: Duration::from_secs(15),
            operation_late: Duration::from_secs(5),
        }
    }

    async fn start(config: Config) -> (String, CancellationToken) {
        let replica = Replica::start(config).await.unwrap();
        let address = format!("http://{}", replica.address().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(replica.serve(stop.clone()));
        (address, stop)
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The same app as another caller.
    pub(crate) async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        self.exchange(token, method, path, body, &[]).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.exchange(&self.token, method, path, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.exchange(&self.token, method, path, body, headers).await
    }

    async fn exchange(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Reply {
            status: response.status(),
            etag: header("etag"),
            replayed: header("idempotency-replayed").is_some(),
            headers: response.headers().clone(),
            body: response.json().await.unwrap_or_default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.send(Method::GET, path, None).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        reply.body
    }

    /// Follows the operation of an accepted reply until it settles.
    pub(crate) async fn settled(&self, accepted: &Reply) -> Operation {
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
        let mut operation: Operation = serde_json::from_value(accepted.body.clone()).unwrap();
        for _ in 0..20 {
            if operation.state.is_settled() {
                return operation;
            }
            let path = format!("/v1/operations/{}?wait_s=10&seen={}", operation.id, operation.revision);
            operation = serde_json::from_value(self.get(&path).await).unwrap();
        }
        panic!("never settled: {operation:?}");
    }

    /// An active tenant with a slug of its own.
    pub(crate) async fn tenant(&self) -> TenantId {
        let slug = format!("t{}", &Uuid::new_v4().simple().to_string()[..20]);
        let wanted = json!({"slug": slug, "name": "Test", "plan": "free", "owner_email": "it@test.example",
            "delete_protection": false});
        let operation = self.settled(&self.send(Method::POST, "/v1/tenants", Some(wanted)).await).await;
        assert_eq!(operation.error, None);
        operation.tenant_id
    }

    /// A token of a tenant.
    pub(crate) async fn token_of(&self, tenant: TenantId) -> String {
        let wanted = json!({"name": "tenant", "tenant_id": tenant, "scopes": Scope::ALL});
        let reply = self.send(Method::POST, "/v1/tokens", Some(wanted)).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        reply.body["value"].as_str().unwrap().to_owned()
    }

    /// A webhook that the far side accepts.
    pub(crate) fn hook(&self, name: &str) -> Value {
        json!({"name": name, "kind": "webhook",
            "config": {"url": self.far_side.webhook_url("hook"), "events": ["quota.set"]},
            "secrets": {"hmac_key": HMAC_KEY}})
    }
}
