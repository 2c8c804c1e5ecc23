//! Ways round what a tenant's users may not publish to: requests that are to be answered there.

use async_nats::jetstream;
use async_nats::{Client, Subject};
use integraci_server::isolation::Isolation as _;

use super::{World, connected, heard};

/// Receives a request that is to be answered at a subject, and answers it.
async fn answered(client: &Client, prefix: &str, at: &str, answer: String) {
    let own = format!("{prefix}.foo");
    let mut requests = client.subscribe(own.clone()).await.unwrap();
    client.publish_with_reply(own, at.to_owned(), "request".into()).await.unwrap();
    assert_eq!(heard(&mut requests).await.unwrap(), b"request");
    client.publish(Subject::from(at), answer.into()).await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test]
async fn a_request_to_be_answered_at_a_denied_subject_opens_no_way_there() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let prefix = &tenant.names.nats_subject_prefix;
    let client = connected(&world.user(&tenant).await).await.unwrap();
    for stream in ["INTEGRACI_EVENTS", "INTEGRACI_USAGE"] {
        for verb in ["PURGE", "DELETE"] {
            answered(&client, prefix, &format!("$JS.API.STREAM.{verb}.{stream}"), String::new()).await;
        }
    }
    let consumer = "$JS.API.CONSUMER.DELETE.INTEGRACI_USAGE.integraci";
    answered(&client, prefix, consumer, String::new()).await;
    answered(&client, prefix, &format!("{prefix}.events.forged"), "forged".to_owned()).await;
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    let streams = jetstream::new(client);
    let events = streams.get_stream("INTEGRACI_EVENTS").await.unwrap();
    assert_eq!(events.cached_info().state.last_sequence, 0, "a forged event");
    let usage = streams.get_stream("INTEGRACI_USAGE").await.unwrap();
    assert_eq!(usage.cached_info().state.consumer_count, 1);
    world.removed(&[&tenant]).await;
}
