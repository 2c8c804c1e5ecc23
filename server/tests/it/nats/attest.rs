//! The attestation against a real NATS: green as made, and red for each way in which an operator breaks it.

use integraci_api::attestations::{Check, CheckKind};
use integraci_api::isolation::System;
use integraci_server::isolation::{Drift, Isolation as _, Wanted};
use serde_json::json;

use super::operator::Operator;
use super::{World, fresh};

/// The names of the checks that did not pass.
fn red(checks: &[Check]) -> Vec<&str> {
    assert!(checks.iter().all(|check| check.system == System::Nats));
    checks.iter().filter(|check| !check.passed).map(|check| check.check.as_str()).collect()
}

#[tokio::test]
async fn two_accounts_as_made_are_apart() {
    let world = World::new().await;
    let (own, canary) = (world.tenant().await, world.tenant().await);
    let checks = world.nats.attest(&own, &canary).await;
    assert_eq!(red(&checks), [""; 0], "{checks:#?}");
    for kind in [CheckKind::Attempt, CheckKind::Control] {
        assert!(checks.iter().any(|check| check.kind == kind));
    }
    // It leaves nothing behind.
    assert_eq!(world.nats.drift(&own).await.unwrap(), []);
    world.removed(&[&own, &canary]).await;
}

#[tokio::test]
async fn what_is_broken_on_purpose_is_seen_and_mended() {
    let world = World::new().await;
    let operator = Operator::new().await;
    let (own, canary) = (world.tenant().await, world.tenant().await);
    let account = world.account(&own).await;

    operator.export(&account).await;
    let found = world.nats.attest(&own, &canary).await;
    assert_eq!(red(&found), ["subjects_shared_between_accounts", "account_as_made"]);
    world.nats.ensure(&own).await.unwrap();

    // The other's account shares, too: it is the other that must be mended.
    operator.export(&world.account(&canary).await).await;
    let found = world.nats.attest(&own, &canary).await;
    assert_eq!(red(&found), ["subjects_shared_between_accounts"]);
    world.nats.ensure(&canary).await.unwrap();

    let wide = json!({ "pub": { "allow": [">"] }, "sub": { "allow": [">"] }, "subs": -1, "data": -1, "payload": -1 });
    operator.change(&account, "/signing_keys/0/template", wide).await;
    let found = world.nats.attest(&own, &canary).await;
    assert_eq!(
        red(&found),
        [
            "publish_outside_own_subjects",
            "subscribe_outside_own_subjects",
            "tell_own_events",
            "remove_own_events",
            "take_own_usage_before_it_is_counted",
            "answer_at_refused_subjects",
            "account_as_made",
        ]
    );
    world.nats.ensure(&own).await.unwrap();

    // A right to answer outweighs what is denied.
    let mut template = operator.claims(&account).await["nats"]["signing_keys"][0]["template"].take();
    template["resp"] = json!({ "max": 1, "ttl": 60_000_000_000_i64 });
    operator.change(&account, "/signing_keys/0/template", template).await;
    let found = world.nats.attest(&own, &canary).await;
    assert_eq!(red(&found), ["answer_at_refused_subjects", "account_as_made"]);
    assert_eq!(world.nats.drift(&own).await.unwrap(), [Drift("what the account's users may do differs")]);
    world.nats.ensure(&own).await.unwrap();

    let key = operator.claims(&account).await["nats"]["signing_keys"][0]["key"].clone();
    operator.change(&account, "/signing_keys", json!([key])).await;
    let found = world.nats.attest(&own, &canary).await;
    assert!(red(&found).contains(&"user_with_permissions_of_its_own"), "{found:#?}");
    world.nats.ensure(&own).await.unwrap();

    let found = world.nats.attest(&own, &canary).await;
    assert_eq!(red(&found), [""; 0], "{found:#?}");
    world.removed(&[&own, &canary]).await;
}

#[tokio::test]
async fn what_cannot_be_tried_did_not_pass() {
    let world = World::new().await;
    let (own, canary) = (world.tenant().await, world.tenant().await);
    let all = world.nats.attest(&own, &canary).await.len();
    let nobody = fresh();
    let found = world.nats.attest(&own, &nobody).await;
    assert_eq!((red(&found).len(), found.len()), (all, all));

    let suspended = Wanted { suspended: true, ..own.clone() };
    world.nats.ensure(&suspended).await.unwrap();
    let found = world.nats.attest(&suspended, &canary).await;
    assert_eq!(found.len(), all);
    assert!(red(&found).contains(&"own_message_arrives"));
    world.removed(&[&own, &canary]).await;
}
