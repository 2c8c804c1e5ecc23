//! Requests that cannot be understood: each is a problem response that points at what is wrong.

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::{Answer, Api, World, new_slug};
use anyhow::Result;
use serde_json::{Value, json};

fn shared() -> Result<Api> {
    World::shared()?.1.api()
}

/// A POST with a body as it is.
fn post(api: &Api, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Answer> {
    let request = api.request("POST", path)?.header("idempotency-key", &new_key());
    request.header("content-type", content_type).body(body).send()
}

#[test]
fn a_body_that_is_no_json() -> Result<()> {
    let api = shared()?;
    for body in ["", "{", "{\"slug\": }", "nonsense", "\"\\ud800\""] {
        post(&api, "/v1/tenants", "application/json", body)?.problem(400, "malformed_json")?;
    }
    post(&api, "/v1/tenants", "application/json", [0xff, 0xfe, b'{'])?.problem(400, "malformed_json")?;
    // Deeper than anyone means; a parser without a limit would run out of stack.
    let deep = format!(r#"{{"config": {{"a": {}"#, "[".repeat(100_000));
    let path = format!("/v1/tenants/{}/connectors", api.tenant(&new_slug("deep"))?);
    post(&api, &path, "application/json", deep)?.problem(400, "malformed_json")?;
    Ok(())
}

#[test]
fn a_body_that_is_no_object() -> Result<()> {
    let api = shared()?;
    for body in ["[]", r#" ["acme", "Acme", "team", "it@acme.example"]"#, "null", "5", "\"text\""] {
        let problem = post(&api, "/v1/tenants", "application/json", body)?.problem(422, "invalid_request")?;
        assert_eq!(problem.pointers(), [""], "{body}");
    }
    Ok(())
}

#[test]
fn another_content_type() -> Result<()> {
    let api = shared()?;
    let body = tenant_body(&new_slug("type")).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
        post(&api, "/v1/tenants", content_type, body.clone())?.problem(415, "unsupported_media_type")?;
    }
    let none = api.request("POST", "/v1/tenants")?.header("idempotency-key", &new_key());
    none.body(body.clone()).send()?.problem(415, "unsupported_media_type")?;
    post(&api, "/v1/tenants", "application/json; charset=utf-8", body)?.expect(202)?;
    Ok(())
}

#[test]
fn a_body_over_the_limit() -> Result<()> {
    let api = shared()?;
    let mut body = tenant_body(&new_slug("large"));
    body["name"] = Value::String("x".repeat(2 * 1024 * 1024));
    post(&api, "/v1/tenants", "application/json", body.to_string())?.problem(413, "body_too_large")?;
    Ok(())
}

#[test]
fn faults_are_pointed_at_all_together() -> Result<()> {
    let api = shared()?;
    let body = json!({
        "slug": "Not A Slug",
        "name": " ",
        "plan": "team",
        "owner_email": "nobody",
        "labels": { "no good": "1" },
    });
    let problem = api.post("/v1/tenants", &body)?.problem(422, "invalid_request")?;
    let mut pointers = problem.pointers();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/labels/no good", "/name", "/owner_email", "/slug"]);
    Ok(())
}

#[test]
fn one_fault_one_pointer() -> Result<()> {
    let api = shared()?;
    let tenant = api.tenant(&new_slug("pointer"))?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let webhook = json!({ "url": "https://x.example", "events": ["quota.set"] });
    let hook = |change: (&str, Value)| {
        let mut body = json!({
            "name": "hook", "kind": "webhook", "config": webhook, "secrets": { "hmac_key": "0123456789abcdef" },
        });
        body[change.0] = change.1;
        body
    };
    let tenant_with = |name: &str, value: Value| {
        let mut body = tenant_body(&new_slug("pointer"));
        body[name] = value;
        body
    };
    for (path, body, pointer) in [
        ("/v1/tenants", tenant_with("colour", json!("red")), "/colour"),
        ("/v1/tenants", tenant_with("name", json!(5)), "/name"),
        ("/v1/tenants", tenant_with("labels", json!({ "a": 1 })), "/labels/a"),
        ("/v1/tenants", tenant_with("labels", json!([])), "/labels"),
        ("/v1/tenants", tenant_with("plan", json!("platinum")), "/plan"),
        ("/v1/tenants", tenant_with("slug", json!("admin")), "/slug"),
        (&connectors, hook(("kind", json!("carrier_pigeon"))), "/kind"),
        (&connectors, hook(("name", json!("No Name"))), "/name"),
        (&connectors, hook(("config", json!({ "url": "https://x.example" }))), "/config/events"),
        (&connectors, hook(("config", json!({ "url": "x", "events": ["quota.set"] }))), "/config/url"),
        (&connectors, hook(("secrets", json!({}))), "/secrets/hmac_key"),
        (&connectors, hook(("secrets", json!({ "hmac_key": "short" }))), "/secrets/hmac_key"),
        (&connectors, hook(("secrets", json!({ "hmac_key": 1234567890123456789_u64 }))), "/secrets/hmac_key"),
        ("/v1/tokens", json!({ "name": "t", "scopes": ["everything"] }), "/scopes/0"),
    ] {
        let problem = api.post(path, &body)?.problem(422, "invalid_request")?;
        assert_eq!(problem.pointers(), [pointer], "{body}: {}", problem.body);
        assert!(!problem.body.to_string().contains("1234567890123456789"), "a secret is quoted");
    }
    let quota = format!("/v1/tenants/{tenant}/quota");
    for (limits, pointer) in [
        (json!({ "unicorns": 1 }), "/limits/unicorns"),
        (json!({ "connectors": -1 }), "/limits/connectors"),
        (json!({ "connectors": 1.5 }), "/limits/connectors"),
    ] {
        let problem = api.put(&quota, &json!({ "limits": limits }))?.problem(422, "invalid_request")?;
        assert_eq!(problem.pointers(), [pointer], "{}", problem.body);
    }
    Ok(())
}

#[test]
fn addresses_and_methods_that_are_none() -> Result<()> {
    let api = shared()?;
    api.get("/v1/unicorns")?.problem(404, "not_found")?;
    api.get("/v2/tenants")?.problem(404, "not_found")?;
    api.put("/v1/tenants", &json!({}))?.problem(405, "method_not_allowed")?;
    for id in ["acme", "ten_", "ten_zzz", "con_01890a5dac96774bbcceb302099a8057", "%00", "..%2f.."] {
        api.get(&format!("/v1/tenants/{id}"))?.problem(404, "not_found")?;
    }
    for query in ["limit=0", "limit=201", "limit=ten", "cursor=nonsense"] {
        api.get(&format!("/v1/tenants?{query}"))?.problem(422, "invalid_request")?;
    }
    Ok(())
}

#[test]
fn a_request_id_is_taken_over_only_when_it_is_one() -> Result<()> {
    let api = shared()?;
    let sane = api.request("GET", "/v1/tenants?limit=1")?.header("x-request-id", "ci-build-4711").send()?;
    assert_eq!(sane.expect(200)?.header("x-request-id"), "ci-build-4711");
    let silly = "x".repeat(4000);
    let answer = api.request("GET", "/v1/tenants?limit=1")?.header("x-request-id", &silly).send()?;
    assert!(!answer.header("x-request-id").contains("xxxxxxxx"), "four thousand characters are no id");
    Ok(())
}
