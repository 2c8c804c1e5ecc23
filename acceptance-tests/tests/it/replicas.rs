//! Several servers on one database: they share the work, and one that dies is stood in for.

use acceptance_tests::api::tenant_body;
use acceptance_tests::far::webhook;
use acceptance_tests::{World, new_slug};
use anyhow::{Context as _, Result};

use crate::support::webhook_body;

const TENANTS: usize = 12;

#[test]
fn a_killed_replica_is_stood_in_for() -> Result<()> {
    let world = World::new("replicas")?;
    let mut dying = world.serve()?;
    let staying = world.serve()?;
    let (one, other) = (dying.api()?, staying.api()?);

    let mut operations = Vec::new();
    for n in 0..TENANTS {
        let api = if n % 2 == 0 { &one } else { &other };
        let accepted = api.post("/v1/tenants", &tenant_body(&new_slug("shared")))?.expect(202)?;
        operations.push(accepted.body["id"].as_str().context("an operation has an id")?.to_owned());
    }
    dying.process().kill()?;

    for operation in &operations {
        let settled = other.operation_settled(operation)?;
        assert_eq!(settled["state"], "succeeded", "{settled}");
    }
    let tenants = other.list("/v1/tenants")?;
    assert_eq!(tenants.len(), TENANTS);
    assert!(tenants.iter().all(|it| it["status"] == "active"), "{tenants:?}");
    assert_eq!(world.openbao().namespaces()?.len(), TENANTS);
    Ok(())
}

/// Whichever replica is asked, the answer is the same, and one lets go of what it holds when it ends.
#[test]
fn replicas_are_replaced_one_by_one() -> Result<()> {
    let world = World::new("rolling")?;
    let mut old = world.serve()?;
    let api = old.api()?;
    let tenant = api.tenant(&new_slug("rolling"))?;
    let hook = webhook()?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    let accepted: Vec<_> = (0..6)
        .map(|n| api.post(&path, &webhook_body(&format!("hook-{n}"), &hook))?.expect(202))
        .collect::<Result<_>>()?;

    let new = world.serve()?;
    let status = old.process().terminate()?;
    assert!(status.success(), "the old one ended with {status}");

    let api = new.api()?;
    for answer in &accepted {
        let id = answer.body["id"].as_str().context("an operation has an id")?;
        let settled = api.operation_settled(id)?;
        // A secret lives in the replica that took it until it is in OpenBao: one that never got there
        // is asked for again, and nothing is left of the attempt.
        let lost = settled["state"] == "failed" && settled["error"]["code"] == "secret_lost";
        assert!(settled["state"] == "succeeded" || lost, "{settled}");
    }
    let active = api.list(&path)?;
    assert!(active.iter().all(|it| it["status"] == "active"), "{active:?}");
    Ok(())
}
