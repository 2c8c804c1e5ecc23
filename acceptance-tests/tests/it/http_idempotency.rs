//! `Idempotency-Key`: a request that is sent again does nothing again, and gets the same answer.

use std::thread;

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::far::webhook;
use acceptance_tests::{Answer, Api, World, new_slug};
use anyhow::Result;
use serde_json::{Value, json};

use crate::support::webhook_body;

fn shared() -> Result<Api> {
    World::shared()?.1.api()
}

fn post(api: &Api, path: &str, key: &str, body: &Value) -> Result<Answer> {
    api.request("POST", path)?.header("idempotency-key", key).json(body).send()
}

#[test]
fn the_same_request_is_answered_from_memory() -> Result<()> {
    let api = shared()?;
    let (key, body) = (new_key(), tenant_body(&new_slug("again")));
    let first = post(&api, "/v1/tenants", &key, &body)?.expect(202)?;
    assert_eq!(first.header("idempotency-replayed"), "");
    api.succeeded(&first)?;
    let again = post(&api, "/v1/tenants", &key, &body)?.expect(202)?;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(
        (again.body["id"].as_str(), again.header("location")),
        (first.body["id"].as_str(), first.header("location"))
    );
    Ok(())
}

#[test]
fn a_key_belongs_to_one_request() -> Result<()> {
    let api = shared()?;
    let key = new_key();
    post(&api, "/v1/tenants", &key, &tenant_body(&new_slug("one")))?.expect(202)?;
    let other = tenant_body(&new_slug("two"));
    post(&api, "/v1/tenants", &key, &other)?.problem(422, "idempotency_key_reused")?;
    // Another address is another request, too.
    let body = json!({ "name": "t", "scopes": ["tenants:read"] });
    post(&api, "/v1/tokens", &key, &body)?.problem(422, "idempotency_key_reused")?;
    Ok(())
}

#[test]
fn keys_that_are_none() -> Result<()> {
    let api = shared()?;
    for key in ["", " ", "with space", &"x".repeat(129)] {
        post(&api, "/v1/tenants", key, &tenant_body(&new_slug("key")))?.problem(422, "invalid_request")?;
    }
    Ok(())
}

#[test]
fn many_at_once_make_one() -> Result<()> {
    let api = shared()?;
    let (key, slug) = (new_key(), new_slug("race"));
    let body = tenant_body(&slug);
    let answers: Vec<_> = thread::scope(|scope| {
        let sent: Vec<_> = (0..8).map(|_| scope.spawn(|| post(&api, "/v1/tenants", &key, &body))).collect();
        sent.into_iter().map(|it| it.join()).collect()
    });
    let mut operations = std::collections::BTreeSet::new();
    for answer in answers {
        let answer = answer.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        match answer.status {
            202 => drop(operations.insert(answer.body["id"].to_string())),
            // The first one is not answered yet.
            409 => assert_eq!(answer.code(), "idempotency_key_in_use"),
            _ => anyhow::bail!("{answer:?}"),
        }
    }
    assert_eq!(operations.len(), 1, "{operations:?}");
    assert_eq!(api.list(&format!("/v1/tenants?slug={slug}"))?.len(), 1);
    Ok(())
}

/// What is remembered of a request covers no secret: the same request with another secret is the
/// same request, and a stolen database does not let secrets be guessed.
#[test]
fn a_connector_is_remembered_without_its_secret() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("memory"))?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    let hook = webhook()?;
    let (key, body) = (new_key(), webhook_body("hook", &hook));
    let first = post(&api, &path, &key, &body)?.expect(202)?;
    api.succeeded(&first)?;
    let again = post(&api, &path, &key, &body)?.expect(202)?;
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(api.list(&path)?.len(), 1);
    Ok(())
}

#[test]
fn a_token_is_shown_once() -> Result<()> {
    let api = shared()?;
    let (key, body) = (new_key(), json!({ "name": "once", "scopes": ["tenants:read"] }));
    let first = post(&api, "/v1/tokens", &key, &body)?.expect(201)?;
    assert!(first.body["value"].as_str().is_some_and(|it| it.starts_with("ici_")), "{:?}", first.status);
    let again = post(&api, "/v1/tokens", &key, &body)?;
    assert_ne!(again.status, 500);
    assert!(!again.body.to_string().contains("ici_"), "the value is kept somewhere");
    Ok(())
}
