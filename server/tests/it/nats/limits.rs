//! Limits that move, and what of them is used, as a real NATS holds to them.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use futures_util::StreamExt as _;
use integraci_server::isolation::nats::Told;
use integraci_server::isolation::{ErrorClass, Isolation as _, Limits, Usage, Wanted};
use tokio::time::timeout;
use uuid::Uuid;

use super::{SOON, World, connected, fresh, heard, stream};

async fn used(world: &World, tenant: &Wanted) -> Usage {
    world.nats.usage(tenant).await.unwrap()
}

fn usage(connections: i64, bytes: i64) -> Usage {
    Usage::from([("nats_connections", connections), ("nats_stream_bytes", bytes)])
}

#[tokio::test]
async fn what_is_used_is_the_tenants_own_and_is_told_while_it_is_suspended() {
    let world = World::new().await;
    let missing = world.nats.usage(&fresh()).await.unwrap_err();
    assert_eq!(missing.class, ErrorClass::Gone);
    let tenant = world.tenant().await;
    assert_eq!(used(&world, &tenant).await, usage(0, 0));

    let user = world.user(&tenant).await;
    let (one, two) = (connected(&user).await.unwrap(), connected(&user).await.unwrap());
    let streams = jetstream::new(one.clone());
    streams.create_stream(stream("OWN", &tenant)).await.unwrap();
    assert_eq!(used(&world, &tenant).await, usage(2, 1 << 20));
    assert_eq!(used(&world, &world.tenant().await).await, usage(0, 0));

    let suspended = Wanted { suspended: true, ..tenant.clone() };
    world.nats.ensure(&suspended).await.unwrap();
    assert_eq!(used(&world, &suspended).await, usage(0, 1 << 20));
    drop((one, two));
    world.removed(&[&tenant]).await;
    assert_eq!(world.nats.usage(&tenant).await.unwrap_err().class, ErrorClass::Gone);
}

const SMALL: Limits = Limits {
    nats_connections: 2,
    nats_stream_bytes: 1 << 20,
    nats_payload_bytes: 64 << 10,
    ..Limits::SHIPPED
};

/// Gives a tenant other limits.
async fn limited(world: &World, tenant: &Wanted, limits: Limits) -> Wanted {
    let tenant = Wanted { limits, ..tenant.clone() };
    assert_eq!(world.nats.drift(&tenant).await.unwrap().len(), 1);
    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    tenant
}

#[tokio::test]
async fn a_connection_too_many_is_refused_and_the_platform_goes_on_meanwhile() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let tenant = limited(&world, &tenant, SMALL).await;
    let user = world.user(&tenant).await;
    let one = connected(&user).await.unwrap();
    let two = connected(&user).await.unwrap();
    assert!(connected(&user).await.is_err());

    // What is kept as it is to be takes no connection, nor does a change of limits; events wait.
    let event = Told { id: Uuid::now_v7(), kind: "quota.set".to_owned(), body: b"{}".to_vec() };
    let told = world.nats.events_tell(&tenant.names, std::slice::from_ref(&event), SOON).await;
    assert_eq!((told.0, told.1.unwrap().operation), (0, "account_enter"));
    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(used(&world, &tenant).await, usage(2, 0));
    let tenant = limited(&world, &tenant, Limits { nats_connections: 3, ..SMALL }).await;
    assert_eq!(world.nats.events_tell(&tenant.names, &[event], SOON).await, (1, None));
    let three = connected(&user).await.unwrap();
    assert!(connected(&user).await.is_err());

    // Below what is used, as a race may bring it about: the newest go.
    let subject = format!("{}.x", tenant.names.nats_subject_prefix);
    let mut listeners = Vec::new();
    for client in [&one, &two, &three] {
        listeners.push(client.subscribe(subject.clone()).await.unwrap());
        client.flush().await.unwrap();
    }
    let tenant = limited(&world, &tenant, Limits { nats_connections: 1, ..SMALL }).await;
    assert_eq!(heard(&mut listeners[2]).await, None);
    assert_eq!(heard(&mut listeners[1]).await, None);
    one.publish(subject, "still here".into()).await.unwrap();
    assert_eq!(heard(&mut listeners[0]).await, Some(b"still here".to_vec()));
    assert_eq!(used(&world, &tenant).await, usage(1, 0));
    world.removed(&[&tenant]).await;
}

#[tokio::test]
async fn a_stream_too_large_is_refused_and_one_that_is_over_a_lowered_limit_keeps_what_it_has() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let tenant = limited(&world, &tenant, SMALL).await;
    let client = connected(&world.user(&tenant).await).await.unwrap();
    let streams = jetstream::new(client);
    let prefix = &tenant.names.nats_subject_prefix;
    streams.create_stream(stream("OWN", &tenant)).await.unwrap();
    let more = Config { subjects: vec![format!("{prefix}.more")], max_bytes: 1, ..stream("MORE", &tenant) };
    streams.create_stream(more.clone()).await.unwrap_err();
    let tenant = limited(&world, &tenant, Limits { nats_stream_bytes: (1 << 20) + 1, ..SMALL }).await;
    streams.create_stream(more).await.unwrap();
    assert_eq!(used(&world, &tenant).await, usage(1, (1 << 20) + 1));
    let publish = async |bytes: usize| {
        streams.publish(format!("{prefix}.own"), vec![0; bytes].into()).await.unwrap().await
    };
    for _ in 0..10 {
        publish(60 << 10).await.unwrap();
    }

    // The platform's streams have their own share, and so are not in need of it.
    let none = Limits { nats_stream_bytes: 0, ..SMALL };
    let tenant = limited(&world, &tenant, none).await;
    let event = Told { id: Uuid::now_v7(), kind: "quota.set".to_owned(), body: b"{}".to_vec() };
    assert_eq!(world.nats.events_tell(&tenant.names, &[event], SOON).await, (1, None));
    let mut own = streams.get_stream("OWN").await.unwrap();
    assert_eq!(own.info().await.unwrap().state.messages, 10);
    streams.create_stream(stream("NONE", &tenant)).await.unwrap_err();
    assert_eq!(used(&world, &tenant).await, usage(1, (1 << 20) + 1));
    let tenant = limited(&world, &tenant, Limits { nats_stream_bytes: 1 << 53, ..SMALL }).await;
    publish(1).await.unwrap();
    world.removed(&[&tenant]).await;
}

#[tokio::test]
async fn a_message_too_large_is_refused() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let tenant = limited(&world, &tenant, SMALL).await;
    let user = world.user(&tenant).await;
    let subject = format!("{}.x", tenant.names.nats_subject_prefix);
    let arrives = async |bytes: usize| {
        let client = connected(&user).await.unwrap();
        let mut listener = client.subscribe(subject.clone()).await.unwrap();
        client.publish(subject.clone(), vec![0; bytes].into()).await.unwrap();
        // A client that is cut off for it connects again, and listens on.
        timeout(Duration::from_secs(2), listener.next()).await.is_ok_and(|heard| heard.is_some())
    };
    assert!(arrives(64 << 10).await);
    assert!(!arrives((64 << 10) + 1).await);
    let tenant = limited(&world, &tenant, Limits { nats_payload_bytes: 128 << 10, ..SMALL }).await;
    assert!(arrives((64 << 10) + 1).await);
    world.removed(&[&tenant]).await;
}
