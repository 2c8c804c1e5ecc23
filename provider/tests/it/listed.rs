//! How many requests reads of connectors take, and when a list is not good enough.

use std::sync::atomic::{AtomicBool, Ordering};

use integraci_api::connectors::{Connector, ConnectorCreate, ConnectorUpdate, OldSecret, VerifyMode};
use integraci_api::tenants::TenantCreate;
use integraci_api::{ConnectorId, ProblemCode, TenantId};
use serde_json::json;
use terraform_provider_integraci::api::{Api, Error, IdempotencyKey};

use crate::fake::{patience, problem_of};
use crate::world::World;

pub(crate) async fn tenant(api: &Api, slug: &str) -> TenantId {
    let wanted = TenantCreate {
        slug: slug.into(),
        name: slug.into(),
        plan: "team".into(),
        owner_email: "it@acme.example".into(),
        labels: [].into(),
        delete_protection: false,
    };
    api.tenant_create(&wanted, &IdempotencyKey::fresh(), &patience()).await.unwrap().tenant_id
}

async fn install(api: &Api, tenant: TenantId, name: &str) -> ConnectorId {
    let wanted = ConnectorCreate {
        name: name.into(),
        kind: "aws".into(),
        config: json!({"role_arn": "arn:aws:iam::123456789012:role/it"}).as_object().unwrap().clone(),
        secrets: [].into(),
        verify: VerifyMode::Off,
        rotate_every_days: None,
    };
    let done = api.connector_install(tenant, &wanted, &patience(), |_| {}).await.unwrap();
    done.target_id.parse().unwrap()
}

async fn with(api: &Api, tenant: TenantId, count: usize) -> Vec<ConnectorId> {
    let mut ids = Vec::new();
    for at in 0..count {
        ids.push(install(api, tenant, &format!("c-{at}")).await);
    }
    ids
}

async fn read(api: &Api, tenant: TenantId, id: ConnectorId) -> Option<Connector> {
    api.connector_listed(tenant, id, &patience()).await.unwrap()
}

/// The requests since the last call: lists, and single connectors.
fn counted(world: &World) -> (usize, usize) {
    let seen = world.fake.take_seen();
    let lists = seen.iter().filter(|seen| seen.method == "GET" && seen.path.ends_with("/connectors")).count();
    let single =
        seen.iter().filter(|seen| seen.method == "GET" && seen.path.contains("/connectors/")).count();
    (lists, single)
}

#[tokio::test]
async fn reads_at_once_share_a_list_and_tenants_do_not() {
    let world = World::start().await;
    let api = world.fake.api();
    let (one, other) = (tenant(&api, "one").await, tenant(&api, "other").await);
    let (ids, others) = (with(&api, one, 20).await, with(&api, other, 20).await);
    counted(&world);
    let reading = ids.iter().map(|id| (one, *id)).chain(others.iter().map(|id| (other, *id)));
    let api = std::sync::Arc::new(api);
    let tasks: Vec<_> = reading
        .map(|(tenant, id)| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(async move { read(&api, tenant, id).await.unwrap().tenant_id == tenant })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(counted(&world), (2, 0));
}

#[tokio::test]
async fn a_change_of_our_own_ends_a_list() {
    let world = World::start().await;
    let api = world.fake.api();
    let tenant = tenant(&api, "acme").await;
    let ids = with(&api, tenant, 3).await;
    counted(&world);
    assert_eq!(read(&api, tenant, ids[0]).await.unwrap().name, "c-0");
    assert_eq!(read(&api, tenant, ids[1]).await.unwrap().name, "c-1");
    assert_eq!(counted(&world), (1, 0));

    let change = ConnectorUpdate { name: Some("renamed".into()), ..ConnectorUpdate::default() };
    api.connector_update(tenant, ids[0], &change, None, &patience()).await.unwrap();
    assert_eq!(read(&api, tenant, ids[0]).await.unwrap().name, "renamed");
    assert_eq!(counted(&world), (1, 0));

    api.connector_remove(tenant, ids[1], OldSecret::Forget, &patience()).await.unwrap();
    assert!(read(&api, tenant, ids[1]).await.is_none());
    assert!(read(&api, tenant, ids[2]).await.is_some());
    assert_eq!(counted(&world), (1, 1));

    let added = install(&api, tenant, "added").await;
    assert!(read(&api, tenant, added).await.is_some());
    assert_eq!(counted(&world), (1, 0));
}

#[tokio::test]
async fn what_the_list_does_not_have_is_asked_for_by_itself() {
    let world = World::start().await;
    let api = world.fake.api();
    let tenant = tenant(&api, "acme").await;
    let ids = with(&api, tenant, 2).await;
    counted(&world);
    let hidden = world.state.lock().unwrap().connectors.remove(&ids[1].to_string()).unwrap();
    assert!(read(&api, tenant, ids[0]).await.is_some());
    // Somebody else makes one after the list.
    world.state.lock().unwrap().connectors.insert(ids[1].to_string(), hidden);
    assert!(read(&api, tenant, ids[1]).await.is_some());
    assert_eq!(counted(&world), (1, 1));
    let gone = ConnectorId::from_uuid(uuid::Uuid::max());
    assert!(read(&api, tenant, gone).await.is_none());
    assert_eq!(counted(&world), (0, 1));
    // A tenant that is gone has none.
    let nowhere = TenantId::from_uuid(uuid::Uuid::max());
    assert!(read(&api, nowhere, ids[0]).await.is_none());
}

#[tokio::test]
async fn no_read_fetches_more_than_a_page() {
    let world = World::start().await;
    let api = world.fake.api();
    let tenant = tenant(&api, "acme").await;
    let mut ids = with(&api, tenant, 450).await;
    counted(&world);
    assert!(read(&api, tenant, *ids.last().unwrap()).await.is_some());
    assert_eq!(counted(&world), (1, 1), "one connector of many: two requests");
    ids.reverse();
    for id in &ids {
        assert!(read(&api, tenant, *id).await.is_some());
    }
    let (lists, single) = counted(&world);
    assert_eq!(lists, 2, "the other pages");
    assert!(single <= 2, "{single}");
}

#[tokio::test]
async fn a_list_that_is_refused_is_an_error_and_is_asked_for_again() {
    let refuse = std::sync::Arc::new(AtomicBool::new(false));
    let refusing = std::sync::Arc::clone(&refuse);
    let world = World::misbehaving(move |seen, _| {
        let list = seen.method == "GET" && seen.path.ends_with("/connectors");
        (list && refusing.load(Ordering::SeqCst)).then(|| problem_of(ProblemCode::Forbidden))
    })
    .await;
    let api = world.fake.api();
    let tenant = tenant(&api, "acme").await;
    let ids = with(&api, tenant, 1).await;
    refuse.store(true, Ordering::SeqCst);
    let refused = api.connector_listed(tenant, ids[0], &patience()).await;
    assert!(matches!(refused, Err(Error::Problem(problem)) if problem.code == ProblemCode::Forbidden));
    refuse.store(false, Ordering::SeqCst);
    assert!(read(&api, tenant, ids[0]).await.is_some());
}
