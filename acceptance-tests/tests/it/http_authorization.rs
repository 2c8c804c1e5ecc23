//! Who may do what: every route of the API's own description refuses who has no right to it, and a
//! token bound to a tenant finds nothing of any other.

use std::time::{Duration, Instant};

use acceptance_tests::api::new_key;
use acceptance_tests::far::webhook;
use acceptance_tests::{Answer, Api, World, new_slug};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::support::webhook_body;

/// Open to everyone: liveness, readiness and the API's description.
const OPEN: &[&str] = &["/healthz", "/readyz", "/openapi.json", "/docs"];
const UNKNOWN_TENANT: &str = "ten_01890a5dac96774bbcceb302099a8057";

fn shared() -> Result<Api> {
    World::shared()?.1.api()
}

/// Method and path of every operation in the API's description, ids filled in.
fn routes(api: &Api) -> Result<Vec<(String, String)>> {
    let described = api.with_token(None).get("/openapi.json")?.expect(200)?.body;
    let paths = described["paths"].as_object().context("an OpenAPI document has paths")?;
    let mut routes = Vec::new();
    for (path, methods) in paths {
        let filled = path.split('/').map(|part| match part.trim_matches(['{', '}']) {
            _ if !part.starts_with('{') => part,
            name if name.starts_with("con") => "con_01890a5dac96774bbcceb302099a8057",
            name if name.starts_with("op") => "op_01890a5dac96774bbcceb302099a8057",
            name if name.starts_with("tok") => "tok_01890a5dac96774bbcceb302099a8057",
            "attestation_id" => "att_01890a5dac96774bbcceb302099a8057",
            "credential_id" => "crd_01890a5dac96774bbcceb302099a8057",
            "system" => "openbao",
            "day" => "2026-01-31",
            _ => UNKNOWN_TENANT,
        });
        let filled = filled.collect::<Vec<_>>().join("/");
        for method in methods.as_object().into_iter().flat_map(|it| it.keys()) {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                routes.push((method.to_uppercase(), filled.clone()));
            }
        }
    }
    Ok(routes)
}

fn call(api: &Api, method: &str, path: &str) -> Result<Answer> {
    let mut request = api.request(method, path)?;
    if method == "POST" {
        request = request.header("idempotency-key", &new_key());
    }
    if ["POST", "PUT", "PATCH"].contains(&method) {
        request = request.json(&body_for(method, path));
    }
    request.send()
}

/// A body with which the request would be done, if its sender might.
fn body_for(method: &str, path: &str) -> Value {
    let secrets = json!({ "hmac_key": "0123456789abcdef" });
    match (method, path.rsplit('/').next()) {
        ("POST", Some("tenants")) => acceptance_tests::api::tenant_body(&new_slug("forbidden")),
        ("POST", Some("connectors")) => json!({
            "name": "forbidden",
            "kind": "webhook",
            "config": { "url": "http://127.0.0.1:1/", "events": ["quota.set"] },
            "secrets": secrets,
        }),
        ("POST", Some("secret-comparisons")) => json!({ "secrets": secrets }),
        ("POST", Some("events")) => json!({
            "events": [{ "source": "ci", "id": "1", "type": "deploy", "at": "2026-01-01T00:00:00Z" }],
        }),
        ("POST", Some("tokens")) => token_body("forbidden", &["tenants:read"], None),
        ("PUT", _) => json!({ "limits": { "connectors": 1 } }),
        _ => json!({}),
    }
}

fn token_body(name: &str, scopes: &[&str], tenant: Option<&str>) -> Value {
    match tenant {
        Some(tenant) => json!({ "name": name, "scopes": scopes, "tenant_id": tenant }),
        None => json!({ "name": name, "scopes": scopes }),
    }
}

fn token(api: &Api, body: &Value) -> Result<(String, String)> {
    let made = api.post("/v1/tokens", body)?.expect(201)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a token has an id and a value");
    Ok((text(&made.body["token"]["id"])?, text(&made.body["value"])?))
}

#[test]
fn every_route_refuses_who_has_no_valid_token() -> Result<()> {
    let api = shared()?;
    let (revoked_id, revoked) = token(&api, &token_body("revoked", &["tenants:read"], None))?;
    api.delete(&format!("/v1/tokens/{revoked_id}"))?.expect(204)?;
    let expired = expired_token(&api)?;
    // Well formed, down to its checksum, and of another control plane.
    let other = World::new("strangers")?;
    let tampered = format!("{}x", World::shared()?.0.token());

    let routes = routes(&api)?;
    let guarded: Vec<_> = routes.iter().filter(|(_, path)| !OPEN.contains(&path.as_str())).collect();
    assert!(guarded.len() >= 19, "the description lacks routes: {routes:?}");
    for (method, path) in guarded {
        for credential in [
            None,
            Some(""),
            Some("nonsense"),
            Some(&revoked),
            Some(&expired),
            Some(other.token()),
            Some(&tampered),
        ] {
            let answer = call(&api.with_token(credential), method, path)?;
            let answer =
                answer.problem(401, "unauthenticated").with_context(|| format!("{method} {path}"))?;
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
    }
    Ok(())
}

/// A token that has run out by now.
fn expired_token(api: &Api) -> Result<String> {
    let soon = time::OffsetDateTime::now_utc() + Duration::from_secs(2);
    let mut body = token_body("short", &["tenants:read"], None);
    body["expires_at"] = json!(soon.format(&time::format_description::well_known::Rfc3339)?);
    let (_, value) = token(api, &body)?;
    let holder = api.with_token(Some(&value));
    let began = Instant::now();
    while holder.get("/v1/tenants?limit=1")?.status == 200 {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "the token does not expire");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(value)
}

#[test]
fn every_route_refuses_a_token_without_its_scope() -> Result<()> {
    let api = shared()?;
    let scopes = [
        ("/v1/tenants", "tenants"),
        ("/connectors", "connectors"),
        ("/quota", "quotas"),
        ("/v1/tokens", "tokens"),
    ];
    // One scope of another part of the API is not enough anywhere else.
    let (_, quotas) = token(&api, &token_body("quotas", &["quotas:read"], None))?;
    let (_, tenants) = token(&api, &token_body("tenants", &["tenants:read"], None))?;
    for (method, path) in routes(&api)? {
        if OPEN.contains(&path.as_str()) || path.starts_with("/v1/operations") || path == "/v1/plans" {
            continue;
        }
        let part = scopes.iter().rev().find(|(mark, _)| path.contains(mark)).map(|(_, part)| *part);
        let holder = api.with_token(Some(if part == Some("quotas") { &tenants } else { &quotas }));
        call(&holder, &method, &path)?
            .problem(403, "forbidden")
            .with_context(|| format!("{method} {path}"))?;
        if method != "GET" {
            // Nor is reading enough for changing.
            let reader = api.with_token(Some(&tenants));
            call(&reader, &method, &path)?
                .problem(403, "forbidden")
                .with_context(|| format!("{method} {path} with a reading token"))?;
        }
    }
    Ok(())
}

#[test]
fn a_token_of_a_tenant_sees_nothing_of_another() -> Result<()> {
    let api = shared()?;
    let hook = webhook()?;
    let (own, other) = (api.tenant(&new_slug("own"))?, api.tenant(&new_slug("other"))?);
    let made = api.post(&format!("/v1/tenants/{other}/connectors"), &webhook_body("hook", &hook))?;
    let operation = made.body["id"].as_str().context("an operation has an id")?.to_owned();
    let connector = api.succeeded(&made)?;
    let scopes = [
        "tenants:read",
        "tenants:write",
        "connectors:read",
        "connectors:write",
        "quotas:read",
        "quotas:write",
        "usage:read",
        "usage:write",
        "tokens:write",
    ];
    let (_, value) = token(&api, &token_body("own", &scopes, Some(&own)))?;
    let holder = api.with_token(Some(&value));

    // Its own is there.
    holder.get(&format!("/v1/tenants/{own}"))?.expect(200)?;
    let listed = holder.list("/v1/tenants")?;
    assert_eq!(listed.iter().map(|it| it["id"].clone()).collect::<Vec<_>>(), [json!(own)]);

    // Another's is answered exactly as what does not exist, whatever is asked.
    let blank = |answer: Answer| {
        let mut body = answer.body.clone();
        body["request_id"] = Value::Null;
        (answer.status, body)
    };
    let nothing = "01890a5dac96774bbcceb302099a8057";
    for (existing, absent) in [
        (format!("/v1/tenants/{other}"), format!("/v1/tenants/{UNKNOWN_TENANT}")),
        (format!("/v1/tenants/{other}/quota"), format!("/v1/tenants/{UNKNOWN_TENANT}/quota")),
        (format!("/v1/tenants/{other}/connectors"), format!("/v1/tenants/{UNKNOWN_TENANT}/connectors")),
        (
            format!("/v1/tenants/{other}/connectors/{connector}"),
            format!("/v1/tenants/{other}/connectors/con_{nothing}"),
        ),
        (
            format!("/v1/tenants/{own}/connectors/{connector}"),
            format!("/v1/tenants/{own}/connectors/con_{nothing}"),
        ),
        (format!("/v1/operations/{operation}"), format!("/v1/operations/op_{nothing}")),
    ] {
        let (there, not_there) = (holder.get(&existing)?, holder.get(&absent)?);
        assert_eq!(there.code(), "not_found", "{existing}: {there:?}");
        assert_eq!(blank(there), blank(not_there), "{existing} and {absent} can be told apart");
    }
    holder.delete(&format!("/v1/tenants/{other}"))?.problem(404, "not_found")?;
    holder.patch(&format!("/v1/tenants/{other}"), &json!({ "name": "Mine" }))?.problem(404, "not_found")?;
    let body = webhook_body("mine", &hook);
    holder.post(&format!("/v1/tenants/{other}/connectors"), &body)?.problem(404, "not_found")?;

    // Nor does it make tenants, or tokens that reach further than itself.
    let tenant = acceptance_tests::api::tenant_body(&new_slug("more"));
    holder.post("/v1/tenants", &tenant)?.problem(403, "forbidden")?;
    let wider = holder.post("/v1/tokens", &token_body("wider", &["tenants:read"], None))?;
    assert!(matches!(wider.status, 403 | 422), "{wider:?}");
    let others = holder.post("/v1/tokens", &token_body("others", &["tenants:read"], Some(&other)))?;
    assert!(matches!(others.status, 403 | 404 | 422), "{others:?}");
    Ok(())
}

#[test]
fn a_token_gives_no_more_than_its_maker_has() -> Result<()> {
    let api = shared()?;
    let (_, maker) = token(&api, &token_body("maker", &["tokens:write", "tenants:read"], None))?;
    let maker = api.with_token(Some(&maker));
    token(&maker, &token_body("reader", &["tenants:read"], None))?;
    let wider = maker.post("/v1/tokens", &token_body("writer", &["tenants:write"], None))?;
    assert!(matches!(wider.status, 403 | 422), "{wider:?}");
    let listed = api.list("/v1/tokens")?;
    assert!(listed.iter().all(|it| !it.to_string().contains("ici_")), "a list shows values");
    Ok(())
}
