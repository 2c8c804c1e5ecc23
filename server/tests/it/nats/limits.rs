//! Limits that move, and what of them is used, as a real NATS holds to them.

use async_nats::jetstream;
use integraci_server::isolation::{ErrorClass, Isolation as _, Usage, Wanted};

use super::{World, connected, fresh, stream};

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
