//! Usage, from a tenant's own NATS account to what is counted.

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use integraci_server::isolation::Isolation as _;
use integraci_server::source::Source;
use integraci_server::usage::{LATE, Meter};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::events::{Tenant, World};
use crate::nats::{connected, credential};

const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

fn run(id: &str) -> Value {
    let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    json!({ "source": "ci", "id": id, "type": "pipeline_run", "at": at })
}

impl Tenant<'_> {
    /// As its own user, in its own account.
    async fn client(&self, world: &World) -> Client {
        let user = world.nats.credentials_issue(&self.wanted(), credential(), DEADLINE).await.unwrap();
        connected(&user).await.unwrap()
    }

    fn subject(&self) -> String {
        format!("{}.usage", self.names.nats_subject_prefix)
    }

    async fn publishes(
        &self,
        client: &Client,
        message: &[u8],
    ) -> Result<u64, jetstream::context::PublishError> {
        let streams = jetstream::new(client.clone());
        Ok(streams.publish(self.subject(), message.to_vec().into()).await?.await?.sequence)
    }

    async fn is_counted(&self, world: &World) -> i64 {
        let path = format!("/v1/tenants/{}/usage?dimension=pipeline_runs_per_month", self.id);
        let usage = world.app.get(&path).await;
        usage["items"].as_array().unwrap().iter().map(|item| item["quantity"].as_i64().unwrap()).sum()
    }

    async fn waits(&self, world: &World) -> bool {
        let account = world.nats.ensure(&self.wanted()).await.unwrap()["account"].clone();
        world.nats.usage_unread().await.unwrap().contains(&account)
    }

    /// Waits until all is read.
    async fn all_read(&self, world: &World) {
        let asked_at = Instant::now();
        while self.waits(world).await {
            assert!(asked_at.elapsed() < DEADLINE, "usage waits");
            tokio::time::sleep(POLL).await;
        }
    }

    /// What it is told of what was not counted.
    async fn rejections(&self, world: &World) -> Vec<Value> {
        world.all_told().await;
        let events = self.read().await.into_iter().map(|(_, _, event)| event);
        events.filter(|event| event["type"] == "usage.rejected").map(|event| event["data"].clone()).collect()
    }

    /// From now on it is not, or is, read.
    async fn left_alone(&self, world: &World, is_left: bool) {
        let after = if is_left { "now() + interval '1 hour'" } else { "now()" };
        let held = format!(
            "UPDATE tenant_system SET usage_after = {after} WHERE system = 'nats' AND tenant_id = $1"
        );
        let held = sqlx::query(sqlx::AssertSqlSafe(held)).bind(self.id.uuid());
        held.execute(&world.app.database.superuser).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_published_is_counted_once_and_what_is_wrong_is_told() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let client = tenant.client(&world).await;
    let batch = json!({ "events": [run("1"), run("2"), run("3")] }).to_string();
    let single = run("4").to_string();
    for message in [&batch, &single, &batch] {
        tenant.publishes(&client, message.as_bytes()).await.unwrap();
    }
    tenant.all_read(&world).await;
    assert_eq!(tenant.is_counted(&world).await, 4);
    assert_eq!(tenant.rejections(&world).await, [] as [Value; 0]);

    // A replica that counted it and died before it could acknowledge it.
    tenant.left_alone(&world, true).await;
    let batch = json!({ "events": [run("4"), run("5")] }).to_string();
    tenant.publishes(&client, batch.as_bytes()).await.unwrap();
    let meter = Meter::new(world.app.database.store.clone(), Source::real(), LATE);
    assert_eq!(meter.ingest_message(tenant.id, batch.as_bytes()).await.unwrap().accepted, 1);
    assert!(tenant.waits(&world).await);
    tenant.left_alone(&world, false).await;
    tenant.all_read(&world).await;
    assert_eq!(tenant.is_counted(&world).await, 5);

    // The good are counted, the bad are named, and nothing of them is quoted.
    let bad = json!({ "source": "ci", "id": "hush-hush", "type": "hush-hush", "at": "hush-hush" });
    let mixed = json!({ "events": [run("6"), bad, run("7")] }).to_string();
    let sequence = tenant.publishes(&client, mixed.as_bytes()).await.unwrap();
    for message in ["", "hush-hush", "[]", r#"{"events":[{"\u0000":1}]}"#, r#"{"events":[]}"#] {
        tenant.publishes(&client, message.as_bytes()).await.unwrap();
    }
    tenant.all_read(&world).await;
    assert_eq!(tenant.is_counted(&world).await, 7);
    let told = tenant.rejections(&world).await;
    let items = rejected(&told);
    assert_eq!((count(&told), items.len()), (6, 6), "{told:?}");
    assert_eq!((&items[0]["sequence"], &items[0]["index"]), (&json!(sequence), &json!(1)));
    assert!(items[0]["pointer"].as_str().unwrap().starts_with("/events/1/"), "{told:?}");
    assert_eq!(items[5]["pointer"], "/events");
    assert!(!format!("{told:?}").contains("hush"), "{told:?}");
    tenant.removed().await;
}

/// How much was rejected. What was read in one go is told in one event.
fn count(told: &[Value]) -> u64 {
    told.iter().map(|event| event["count"].as_u64().unwrap()).sum()
}

/// All that is told of it.
fn rejected(told: &[Value]) -> Vec<&Value> {
    told.iter().flat_map(|event| event["rejected"].as_array().unwrap()).collect()
}

#[tokio::test]
async fn usage_of_a_closed_tenant_waits() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let client = tenant.client(&world).await;
    tenant.left_alone(&world, true).await;
    tenant.publishes(&client, run("1").to_string().as_bytes()).await.unwrap();
    tenant.suspended(true).await;
    tenant.left_alone(&world, false).await;
    assert_eq!(world.nats.usage_unread().await.unwrap().len().min(1), 1);
    assert_eq!(tenant.is_counted(&world).await, 0);
    tenant.suspended(false).await;
    tenant.all_read(&world).await;
    assert_eq!(tenant.is_counted(&world).await, 1);
    tenant.removed().await;
}

#[tokio::test]
async fn a_stream_that_is_full_refuses_and_nobody_but_the_platform_empties_it() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let client = tenant.client(&world).await;
    tenant.left_alone(&world, true).await;
    let large = vec![b' '; 900 << 10];
    let mut kept = 0;
    while tenant.publishes(&client, &large).await.is_ok() {
        kept += 1;
        assert!(kept < 20, "it takes ever more");
    }
    assert!(kept > 4, "{kept}");

    // The tenant can neither read, change nor empty it.
    let streams = jetstream::new(client.clone());
    let stream = streams.get_stream("INTEGRACI_USAGE").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, kept);
    assert!(stream.get_raw_message(1).await.is_err());
    assert!(stream.purge().await.is_err());
    assert!(stream.create_consumer(pull::Config::default()).await.is_err());
    assert!(stream.delete_consumer("integraci").await.is_err());
    assert!(streams.delete_stream("INTEGRACI_USAGE").await.is_err());
    let next = "$JS.API.CONSUMER.MSG.NEXT.INTEGRACI_USAGE.integraci";
    assert!(client.request(next, "1".into()).await.is_err());
    let copy = jetstream::stream::Config {
        name: "COPY".to_owned(),
        max_bytes: 1 << 20,
        sources: Some(vec![jetstream::stream::Source {
            name: "INTEGRACI_USAGE".to_owned(),
            ..Default::default()
        }]),
        ..Default::default()
    };
    // One may be made, and gets nothing.
    let _made = streams.create_stream(copy).await;
    let stream = streams.get_stream("INTEGRACI_USAGE").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, kept);

    // Another tenant reaches it by no subject.
    let theirs = other.client(&world).await;
    assert!(tenant.publishes(&theirs, run("1").to_string().as_bytes()).await.is_err());

    // The platform reads on, and says of each that there is nothing to count in it.
    tenant.left_alone(&world, false).await;
    tenant.all_read(&world).await;
    assert_eq!(count(&tenant.rejections(&world).await), kept);
    tenant.publishes(&client, run("1").to_string().as_bytes()).await.unwrap();
    tenant.all_read(&world).await;
    assert_eq!((tenant.is_counted(&world).await, other.is_counted(&world).await), (1, 0));
    tenant.removed().await;
    other.removed().await;
}
