//! The server is killed at every step of every kind of operation: before its intent is written, before
//! and after its outside call, and when it is done; on the way forward, and on the way back. Started
//! again, it always ends with all in place or nothing left, in Postgres and in OpenBao, and the same
//! request then succeeds.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::api::new_key;
use acceptance_tests::{Answer, Api, Server, World};
use anyhow::{Context as _, Result, bail, ensure};

mod deeds;
mod terraform;

use deeds::{Deed, Scene};

/// How many worlds a test works on side by side: nearly all of a case is waiting for a lease to end.
const LANES: usize = 6;
/// A dead server's operations are taken up within seconds: few, for there are some hundred deaths, and
/// enough for a machine that runs other tests as well.
const TAKEN_UP_SOON: [(&str, &str); 2] =
    [("INTEGRACI_SERVER__OPERATIONS__LEASE_S", "2"), ("INTEGRACI_SERVER__OPERATIONS__LATE_S", "1")];
/// A server that comes to its crash point does so within this.
const DEATH_DEADLINE: Duration = Duration::from_secs(30);
/// A request holds its operation for half a minute while it stores a secret, and only then is it
/// taken up by another server.
const BUSY_DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// Where in a step the server dies; `undo_` before it means on the way back.
const POINTS: [&str; 4] = ["before_intent", "before", "after", "after_done"];

/// The intent to store a secret is written in the transaction of the request that brings it.
const WITH_THE_REQUEST: &str = "secret_stored/before_intent";

#[test]
fn making_a_tenant() -> Result<()> {
    converges(Deed::TenantCreate, &[])
}

#[test]
fn deleting_a_tenant() -> Result<()> {
    converges(Deed::TenantDelete, &[])
}

#[test]
fn making_a_connector() -> Result<()> {
    converges(Deed::ConnectorCreate, &[WITH_THE_REQUEST])
}

#[test]
fn making_a_connector_that_the_far_side_refuses() -> Result<()> {
    converges(Deed::ConnectorCreateRefused, &[WITH_THE_REQUEST, "verified/after_done"])
}

#[test]
fn changing_a_connector() -> Result<()> {
    converges(Deed::ConnectorUpdate, &[WITH_THE_REQUEST])
}

#[test]
fn changing_a_connector_in_a_way_that_the_far_side_refuses() -> Result<()> {
    converges(Deed::ConnectorUpdateRefused, &[WITH_THE_REQUEST, "verified/after_done"])
}

#[test]
fn deleting_a_connector() -> Result<()> {
    converges(Deed::ConnectorDelete, &[])
}

/// Does the deed once for every point of every step, with the server dying there. `never` are the
/// points that it does not come to, as `step/point`: listed, so that one which is lost by a change
/// of the server is noticed.
fn converges(deed: Deed, never: &[&str]) -> Result<()> {
    let world = World::new("kills")?;
    let cases = Mutex::new(cases(deed, &world)?);
    let missed = Mutex::new(BTreeSet::new());
    let lane = |world: &World| -> Result<()> {
        while let Some(at) = take(&cases) {
            let died =
                survives(deed, world, &at).with_context(|| format!("killed at {}/{at}", deed.kind()))?;
            if !died {
                missed.lock().map_err(|_| anyhow::anyhow!("another lane panicked"))?.insert(at);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> =
            (1..LANES).map(|_| scope.spawn(|| World::new("kills").and_then(|world| lane(&world)))).collect();
        let mut outcome = lane(&world);
        for other in others {
            outcome = outcome.and(other.join().unwrap_or_else(|_| bail!("a lane panicked")));
        }
        outcome
    })?;
    let missed = missed.into_inner().map_err(|_| anyhow::anyhow!("a lane panicked"))?;
    assert_eq!(
        missed,
        never.iter().map(|at| (*at).to_owned()).collect(),
        "points that the server did not die at (is it built with the feature `crash-points`?)"
    );
    Ok(())
}

fn take(cases: &Mutex<Vec<String>>) -> Option<String> {
    cases.lock().ok()?.pop()
}

/// The points of a deed, as `step/point`, from the steps of one that nobody disturbs.
fn cases(deed: Deed, world: &World) -> Result<Vec<String>> {
    let server = world.serve()?;
    let api = server.api()?;
    let scene = Scene::set(deed, &api)?;
    let operation = api.settled(&scene.ask(&api, &new_key())?)?;
    scene.check(world, &api, &operation)?;
    let steps = operation["steps"].as_array().context("an operation has steps")?;
    let mut cases = Vec::new();
    for step in steps {
        let name = step["name"].as_str().context("a step has a name")?;
        for point in POINTS {
            if step["state"] != "waiting" {
                cases.push(format!("{name}/{point}"));
            }
            if step["state"] == "undone" {
                cases.push(format!("{name}/undo_{point}"));
            }
        }
    }
    ensure!(!cases.is_empty(), "no step was begun: {operation}");
    Ok(cases)
}

/// Does the deed with a server that dies at a point, starts another, and looks at what has become of
/// it. Whether the first one did die.
fn survives(deed: Deed, world: &World, at: &str) -> Result<bool> {
    let crash = format!("{}/{at}", deed.kind());
    let mut dying = serve_dying(world, &crash)?;
    let scene = Scene::set(deed, &dying.api()?)?;
    let key = new_key();
    let asked = scene.ask(&dying.api()?, &key).ok();
    let died = dies(&mut dying, asked.as_ref())?;
    drop(dying);

    let server = world.serve_with(&TAKEN_UP_SOON)?;
    let api = server.api()?;
    let operation = match asked {
        Some(answer) => api.settled(&answer)?,
        // Nobody heard the answer: the same is asked again, as a client would.
        None => match ask_again(&scene, &api, &key)? {
            Some(answer) => api.settled(&answer)?,
            None => return Ok(died),
        },
    };
    ensure!(operation["state"] != "stuck", "stuck: {operation}");
    scene.check(world, &api, &operation)?;
    scene.do_for_good(world, &api, &operation)?;
    Ok(died)
}

/// A server that dies at a point.
fn serve_dying(world: &World, at: &str) -> Result<Server> {
    world.serve_with(&[TAKEN_UP_SOON[0], TAKEN_UP_SOON[1], ("INTEGRACI_CRASH_AT", at)])
}

/// Whether the server dies; if it does not come to that point, the operation settles instead.
fn dies(server: &mut Server, asked: Option<&Answer>) -> Result<bool> {
    let api = server.api()?;
    let began = Instant::now();
    loop {
        if server.process().has_ended()? {
            return Ok(true);
        }
        let id = asked.and_then(|answer| answer.body["id"].as_str()).unwrap_or_default();
        let settled = api.get(&format!("/v1/operations/{id}")).ok().is_some_and(|answer| {
            matches!(answer.body["state"].as_str(), Some("succeeded" | "failed" | "stuck"))
        });
        if settled {
            return server.process().has_ended();
        }
        ensure!(began.elapsed() < DEATH_DEADLINE, "it neither died nor came to an end: {asked:?}");
        thread::sleep(POLL);
    }
}

/// Asks until the request is taken; nothing when it turns out to be done.
fn ask_again(scene: &Scene, api: &Api, key: &str) -> Result<Option<Answer>> {
    let began = Instant::now();
    loop {
        let answer = scene.ask(api, key)?;
        match (answer.status, answer.code()) {
            (202, _) => return Ok(Some(answer)),
            (404, _) if scene.removes() => return Ok(None),
            (409, "busy" | "idempotency_key_in_use") => {}
            _ => bail!("asked again: {answer:?}"),
        }
        ensure!(began.elapsed() < BUSY_DEADLINE, "it stays busy: {answer:?}");
        thread::sleep(POLL);
    }
}
