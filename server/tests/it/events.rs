//! Events, from a change in the API to the tenant's own stream in a real NATS.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use integraci_api::TenantId;
use integraci_api::operations::OperationState;
use integraci_api::tenants::TenantNames;
use integraci_server::config::CellConfig;
use integraci_server::isolation::cells::MAIN_CELL;
use integraci_server::isolation::nats::{Nats, NatsConfig, Told};
use integraci_server::isolation::openbao::TenantKeys;
use integraci_server::isolation::{Isolation as _, Limits, Wanted};
use integraci_server::source::Source;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{App, Reply};
use crate::nats::{config, connected, credential, faults::Wire};
use crate::openbao_world::Bao;

const DEADLINE: Duration = Duration::from_secs(30);

/// A replica with a NATS at the end of a wire, and a way round the wire.
pub(crate) struct World {
    pub(crate) app: App,
    bao: Bao,
    pub(crate) nats: Nats,
    pub(crate) wire: Wire,
}

fn cell(servers: Vec<String>) -> Vec<CellConfig<NatsConfig>> {
    // A wire that is silent must not hold a test up.
    let system = NatsConfig { servers, timeout: Duration::from_secs(2), ..config() };
    vec![CellConfig {
        name: MAIN_CELL.to_owned(),
        capacity: None,
        system,
        admin: None,
        credential_file: None,
    }]
}

impl World {
    pub(crate) async fn new() -> Self {
        let (bao, wire) = (Bao::new().await, Wire::new().await);
        let app = App::with(&bao, cell(vec![wire.address.clone()])).await;
        let nats = Nats::new(config(), TenantKeys::new(bao.client()), Source::real()).unwrap();
        Self { app, bao, nats, wire }
    }

    pub(crate) async fn tenant(&self) -> Tenant<'_> {
        let id = self.app.tenant().await;
        let slug = self.app.get(&format!("/v1/tenants/{id}")).await["slug"].as_str().unwrap().to_owned();
        Tenant { world: self, id, names: TenantNames::of(&slug.parse().unwrap()) }
    }

    /// How many events wait.
    async fn waiting(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM event_outbox");
        count.fetch_one(&self.app.database.superuser).await.unwrap()
    }

    pub(crate) async fn all_told(&self) {
        let asked_at = Instant::now();
        while self.waiting().await > 0 {
            assert!(asked_at.elapsed() < DEADLINE, "events wait");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) struct Tenant<'a> {
    world: &'a World,
    pub(crate) id: TenantId,
    pub(crate) names: TenantNames,
}

impl Tenant<'_> {
    async fn send(&self, method: Method, below: &str, body: Option<Value>) -> Reply {
        let reply = self.world.app.send(method, &format!("/v1/tenants/{}{below}", self.id), body).await;
        assert!(reply.status.is_success(), "{reply:?}");
        reply
    }

    async fn patch(&self, body: Value) {
        self.send(Method::PATCH, "", Some(body)).await;
    }

    /// Suspends or resumes it, and waits until that is done.
    pub(crate) async fn suspended(&self, suspended: bool) {
        let reply = self.send(Method::PATCH, "", Some(json!({ "suspended": suspended }))).await;
        let id = reply.body["operation_id"].as_str().unwrap();
        let operation = self.world.app.get(&format!("/v1/operations/{id}")).await;
        let accepted = Reply { status: StatusCode::ACCEPTED, body: operation, ..reply };
        assert_eq!(self.world.app.settled(&accepted).await.state, OperationState::Succeeded);
    }

    pub(crate) async fn removed(&self) {
        self.patch(json!({ "delete_protection": false })).await;
        let reply = self.send(Method::DELETE, "", None).await;
        assert_eq!(self.world.app.settled(&reply).await.state, OperationState::Succeeded);
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { tenant: self.id, names: self.names.clone(), suspended: false, limits: Limits::SHIPPED }
    }

    /// What is in its stream, as it reads it itself: each event, its subject and its message's id.
    pub(crate) async fn read(&self) -> Vec<(String, String, Value)> {
        let user = self.world.nats.credentials_issue(&self.wanted(), credential(), DEADLINE).await.unwrap();
        let client = connected(&user).await.unwrap();
        let stream = jetstream::new(client).get_stream("INTEGRACI_EVENTS").await.unwrap();
        let count = usize::try_from(stream.cached_info().state.messages).unwrap();
        let how = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = stream.create_consumer(how).await.unwrap();
        let messages = consumer.fetch().max_messages(count).messages().await.unwrap();
        let event = |message: Result<jetstream::Message, _>| {
            let message = message.unwrap();
            let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string();
            (message.subject.to_string(), id, serde_json::from_slice(&message.payload).unwrap())
        };
        messages.take(count).map(event).collect().await
    }

    /// The types of the events, in the order in which it reads them.
    async fn read_types(&self) -> Vec<String> {
        let read = self.read().await;
        read.into_iter().map(|(_, _, event)| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn what_becomes_of_a_tenant_is_told_to_it_in_order_and_to_nobody_else() {
    let world = World::new().await;
    // A second replica tells events, too.
    let (_, _second) = App::replica(&world.app.database, &world.bao, cell(config().servers)).await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    tenant.patch(json!({ "name": "Another", "owner_email": "she@test.example" })).await;
    let made = tenant.send(Method::POST, "/connectors", Some(world.app.hook("hook"))).await;
    let made = world.app.settled(&made).await;
    let connector = format!("/connectors/{}", made.target_id);
    let changed = tenant.send(Method::PATCH, &connector, Some(json!({ "name": "renamed" }))).await;
    world.app.settled(&changed).await;
    tenant.suspended(true).await;
    tenant.suspended(false).await;
    let removed = tenant.send(Method::DELETE, &connector, None).await;
    world.app.settled(&removed).await;
    tenant.send(Method::PUT, "/quota", Some(json!({ "limits": { "connectors": 2 } }))).await;
    tenant.send(Method::DELETE, "/quota", None).await;
    let mut refused = world.app.hook("hook");
    refused["secrets"]["hmac_key"] = "of-tests-but-not-the-far-side's".into();
    let failed = tenant.send(Method::POST, "/connectors", Some(refused)).await;
    assert_eq!(world.app.settled(&failed).await.state, OperationState::Failed);
    world.all_told().await;

    let read = tenant.read().await;
    let types: Vec<_> = read.iter().map(|(_, _, event)| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "tenant.created",
            "operation.succeeded",
            "tenant.updated",
            "connector.created",
            "operation.succeeded",
            "connector.updated",
            "operation.succeeded",
            "tenant.suspended",
            "operation.succeeded",
            "tenant.resumed",
            "operation.succeeded",
            "connector.deleted",
            "operation.succeeded",
            "quota.set",
            "quota.reset",
            "operation.failed",
        ]
    );
    for (subject, id, event) in &read {
        let kind = event["type"].as_str().unwrap();
        assert_eq!(subject, &format!("{}.events.{kind}", tenant.names.nats_subject_prefix));
        assert_eq!(
            (event["id"].as_str(), event["tenant_id"].as_str()),
            (Some(id.as_str()), Some(&*tenant.id.to_string()))
        );
        assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7);
    }
    let (first, last) = (&read[0].2, &read[15].2);
    assert_eq!(first["object_id"], tenant.id.to_string());
    assert_eq!(read[2].2["data"], json!({ "fields": ["name", "owner_email"] }));
    assert_eq!(read[3].2["object_id"], made.target_id);
    assert_eq!(read[3].2["data"], json!({ "name": "hook", "kind": "webhook" }));
    assert_eq!(read[13].2["data"], json!({ "limits": { "connectors": 2 }, "on_exceed": null }));
    assert_eq!(last["data"]["code"], "verification_failed");
    let told = format!("{read:?}");
    assert!(!told.contains("of-tests") && !told.contains("@test.example"), "{told}");

    assert_eq!(other.read_types().await, ["tenant.created", "operation.succeeded"]);
    tenant.removed().await;
    other.removed().await;
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn events_wait_while_nats_is_away_and_one_told_twice_is_there_once() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.all_told().await;
    world.wire.fall_silent();
    for name in ["one", "two", "three"] {
        tenant.patch(json!({ "name": name })).await;
    }
    assert_eq!(world.waiting().await, 3);
    // As a replica does that dies before it can note what it told.
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, kind FROM event_outbox ORDER BY position LIMIT 2")
            .fetch_all(&world.app.database.superuser)
            .await
            .unwrap();
    let events: Vec<_> =
        rows.into_iter().map(|(id, kind)| Told { id, kind, body: br#"{"type":"first"}"#.to_vec() }).collect();
    assert_eq!(world.nats.events_tell(&tenant.names, &events, DEADLINE).await, (2, None));
    world.wire.recover();
    world.all_told().await;
    let types = tenant.read_types().await;
    assert_eq!(types, ["tenant.created", "operation.succeeded", "first", "first", "tenant.updated"]);

    // Those of a tenant that is removed before they could be told go with it.
    world.wire.fall_silent();
    tenant.patch(json!({ "name": "four" })).await;
    assert_eq!(world.waiting().await, 1);
    world.wire.recover();
    tenant.removed().await;
    assert_eq!(world.waiting().await, 0);
    let left = world.nats.remains(&tenant.wanted()).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_suspended_tenants_events_wait_until_it_is_resumed() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    tenant.suspended(true).await;
    tenant.patch(json!({ "name": "Meanwhile" })).await;
    let waiting = world.waiting().await;
    assert!(waiting > 0);
    tenant.suspended(false).await;
    world.all_told().await;
    let types = tenant.read_types().await;
    let updated = types.iter().position(|kind| kind == "tenant.updated").unwrap();
    assert_eq!(types[updated + 1], "tenant.resumed");
    tenant.removed().await;
}

#[tokio::test]
async fn without_nats_nothing_is_written_down() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let made =
        app.send(Method::POST, &format!("/v1/tenants/{tenant}/connectors"), Some(app.hook("hook"))).await;
    app.settled(&made).await;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM event_outbox")
        .fetch_one(&app.database.superuser)
        .await
        .unwrap();
    assert_eq!(waiting, 0);
}
