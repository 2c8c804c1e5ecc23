//! Two who change the same thing: revisions, conflicts, and what is under way.

use std::thread;

use acceptance_tests::api::tenant_body;
use acceptance_tests::far::webhook;
use acceptance_tests::{Answer, Api, World, new_slug};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::support::webhook_body;

fn shared() -> Result<Api> {
    World::shared()?.1.api()
}

fn if_match(api: &Api, method: &str, path: &str, etag: &str, body: Option<&Value>) -> Result<Answer> {
    let mut request = api.request(method, path)?.header("if-match", etag);
    if let Some(body) = body {
        request = request.json(body);
    }
    request.send()
}

#[test]
fn a_tenant_is_changed_only_as_it_was_read() -> Result<()> {
    let api = shared()?;
    let path = format!("/v1/tenants/{}", api.tenant(&new_slug("etag"))?);
    let read = api.get(&path)?.expect(200)?;
    let etag = read.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", read.body["revision"]));

    let name = |name: &str| json!({ "name": name });
    let changed = if_match(&api, "PATCH", &path, &etag, Some(&name("First")))?.expect(200)?;
    assert_ne!(changed.header("etag"), etag);
    if_match(&api, "PATCH", &path, &etag, Some(&name("Second")))?.problem(412, "precondition_failed")?;
    if_match(&api, "DELETE", &path, &etag, None)?.problem(412, "precondition_failed")?;
    assert_eq!(api.get(&path)?.body["name"], "First");

    if_match(&api, "PATCH", &path, "*", Some(&name("Third")))?.expect(200)?;
    // Without a condition the last one wins.
    assert_eq!(api.patch(&path, &name("Fourth"))?.expect(200)?.body["name"], "Fourth");
    Ok(())
}

#[test]
fn of_many_writers_one_wins() -> Result<()> {
    let api = shared()?;
    let path = format!("/v1/tenants/{}", api.tenant(&new_slug("writers"))?);
    let etag = api.get(&path)?.header("etag").to_owned();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let write =
            |n: usize| if_match(&api, "PATCH", &path, &etag, Some(&json!({ "name": format!("Writer {n}") })));
        let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
        writers.into_iter().filter_map(|it| Some(it.join().ok()?.ok()?.status)).collect()
    });
    assert_eq!(statuses.len(), 8);
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|it| matches!(it, 200 | 412)), "{statuses:?}");
    Ok(())
}

#[test]
fn a_connector_and_a_quota_honour_conditions_too() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("etag"))?;
    let hook = webhook()?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let id = api.succeeded(&api.post(&connectors, &webhook_body("hook", &hook))?)?;
    let path = format!("{connectors}/{id}");
    let etag = api.get(&path)?.expect(200)?.header("etag").to_owned();
    let renamed = json!({ "name": "renamed" });
    api.succeeded(&if_match(&api, "PATCH", &path, &etag, Some(&renamed))?)?;
    if_match(&api, "PATCH", &path, &etag, Some(&renamed))?.problem(412, "precondition_failed")?;
    if_match(&api, "DELETE", &path, &etag, None)?.problem(412, "precondition_failed")?;

    let quota = format!("/v1/tenants/{tenant}/quota");
    let limits = json!({ "limits": { "connectors": 5 } });
    let etag = api.get(&quota)?.expect(200)?.header("etag").to_owned();
    if_match(&api, "PUT", &quota, &etag, Some(&limits))?.expect(200)?;
    if_match(&api, "PUT", &quota, &etag, Some(&limits))?.problem(412, "precondition_failed")?;
    Ok(())
}

#[test]
fn a_slug_and_a_name_are_given_once() -> Result<()> {
    let api = shared()?;
    let slug = new_slug("once");
    let tenant = api.tenant(&slug)?;
    let taken = api.post("/v1/tenants", &tenant_body(&slug))?.problem(409, "slug_taken")?;
    assert_eq!(
        (taken.pointers(), taken.body["existing_id"].as_str()),
        (vec!["/slug"], Some(tenant.as_str()))
    );

    let hook = webhook()?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let id = api.succeeded(&api.post(&connectors, &webhook_body("hook", &hook))?)?;
    let taken = api.post(&connectors, &webhook_body("hook", &hook))?.problem(409, "name_taken")?;
    assert_eq!((taken.pointers(), taken.body["existing_id"].as_str()), (vec!["/name"], Some(id.as_str())));

    // What was somebody's is never somebody else's.
    api.patch(&format!("/v1/tenants/{tenant}"), &json!({ "name": "In use" }))?.expect(200)?;
    api.succeeded(&api.delete(&format!("{connectors}/{id}"))?)?;
    api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}"))?)?;
    let gone = api.post("/v1/tenants", &tenant_body(&slug))?.problem(409, "slug_taken")?;
    assert_eq!(gone.body.get("existing_id"), None);
    Ok(())
}

#[test]
fn a_tenant_with_connectors_goes_as_a_whole() -> Result<()> {
    let api = shared()?;
    let (world, _) = World::shared()?;
    let tenant = api.tenant(&new_slug("whole"))?;
    let namespace = api.get(&format!("/v1/tenants/{tenant}"))?.body["names"]["openbao_namespace"]
        .as_str()
        .context("a tenant has its names")?
        .to_owned();
    let hook = webhook()?;
    for name in ["one", "two"] {
        api.succeeded(&api.post(&format!("/v1/tenants/{tenant}/connectors"), &webhook_body(name, &hook))?)?;
    }
    assert_eq!(world.openbao().below(&namespace).secrets()?.len(), 2);
    api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}"))?)?;
    assert!(!world.openbao().namespaces()?.contains(&format!("{namespace}/")));
    for table in ["tenant", "connector", "quota"] {
        let column = if table == "tenant" { "id" } else { "tenant_id" };
        let uuid = tenant.trim_start_matches("ten_");
        assert_eq!(world.count(&format!("{table} WHERE {column} = '{uuid}'"))?, 0, "{table}");
    }
    Ok(())
}

#[test]
fn a_suspended_tenant_changes_nothing() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("halt"))?;
    let hook = webhook()?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let id = api.succeeded(&api.post(&connectors, &webhook_body("hook", &hook))?)?;
    let suspended =
        |on: bool| api.patch(&format!("/v1/tenants/{tenant}"), &json!({ "suspended": on }))?.expect(200);
    suspended(true)?;
    api.post(&connectors, &webhook_body("more", &hook))?.problem(403, "suspended")?;
    api.patch(&format!("{connectors}/{id}"), &json!({ "name": "other" }))?.problem(403, "suspended")?;
    api.get(&format!("{connectors}/{id}"))?.expect(200)?;
    suspended(false)?;
    api.succeeded(&api.post(&connectors, &webhook_body("more", &hook))?)?;
    Ok(())
}

/// The limit is checked in the statement that inserts: no two requests get the same last place.
#[test]
fn the_last_place_in_a_quota_is_given_once() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("last"))?;
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 3 } }))?
        .expect(200)?;
    let hook = webhook()?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    let ask = |n: usize| api.post(&path, &webhook_body(&format!("hook-{n}"), &hook));
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = (0..8).map(|n| scope.spawn(move || ask(n))).collect();
        asked.into_iter().filter_map(|it| it.join().ok()?.ok()).collect()
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status == 202);
    assert_eq!((taken.len(), refused.len()), (3, 5));
    for answer in refused {
        answer.problem(409, "quota_exceeded")?;
    }
    for answer in &taken {
        api.succeeded(answer)?;
    }
    assert_eq!(api.get(&format!("/v1/tenants/{tenant}/quota"))?.body["used"]["connectors"], 3);
    Ok(())
}

#[test]
fn comparisons_of_secrets_tell_only_whether_they_differ() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("compare"))?;
    let hook = webhook()?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let id = api.succeeded(&api.post(&connectors, &webhook_body("hook", &hook))?)?;
    let compare = |key: &str| {
        api.post(&format!("{connectors}/{id}/secret-comparisons"), &json!({ "secrets": { "hmac_key": key } }))
    };
    assert_eq!(compare(&hook.key)?.expect(200)?.body, json!({ "differs": false, "secret_version": 1 }));
    assert_eq!(compare("another key of decent length")?.expect(200)?.body["differs"], true);

    // Who guesses is slowed down, and told until when.
    let slowed = (0..200).find_map(|n| match compare(&format!("guess number {n} {}", hook.url)) {
        Ok(answer) if answer.status == 429 => Some(Ok(answer)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let slowed =
        slowed.context("two hundred guesses, and none was refused")??.problem(429, "rate_limited")?;
    assert!(slowed.header("retry-after").parse::<u32>().is_ok_and(|it| it > 0), "{slowed:?}");
    Ok(())
}
