//! A suspended tenant gets in nowhere and loses nothing; resumed, all is as it was.

use acceptance_tests::far::webhook;
use acceptance_tests::{Api, World, new_slug};
use anyhow::{Context as _, Result};
use serde_json::json;

use crate::support::webhook_body;

/// A token of the tenant that may do all that a tenant may.
fn token(api: &Api, tenant: &str) -> Result<String> {
    let scopes = [
        "tenants:read",
        "tenants:write",
        "connectors:read",
        "connectors:write",
        "quotas:read",
        "quotas:write",
        "tokens:write",
    ];
    let body = json!({ "name": "owner", "scopes": scopes, "tenant_id": tenant });
    let made = api.post("/v1/tokens", &body)?.expect(201)?;
    Ok(made.body["value"].as_str().context("a token has a value")?.to_owned())
}

#[test]
fn its_api_tokens_are_refused_and_work_again_when_it_is_resumed() -> Result<()> {
    let api = World::shared()?.1.api()?;
    let hook = webhook()?;
    let tenant = api.tenant(&new_slug("suspended"))?;
    let owner = api.with_token(Some(&token(&api, &tenant)?));
    let path = format!("/v1/tenants/{tenant}");
    let connectors = format!("{path}/connectors");
    owner.succeeded(&owner.post(&connectors, &webhook_body("kept", &hook))?)?;
    let before = owner.list(&connectors)?;

    let suspended = api.patch(&path, &json!({ "suspended": true }))?.expect(200)?;
    // From the very next request on, whatever it asks for, a way out included.
    owner.get(&path)?.problem(403, "suspended")?;
    owner.get("/v1/plans")?.problem(403, "suspended")?;
    owner.list(&connectors).unwrap_err();
    owner
        .post("/v1/tokens", &json!({ "name": "more", "scopes": ["tenants:read"] }))?
        .problem(403, "suspended")?;
    owner.patch(&path, &json!({ "suspended": false }))?.problem(403, "suspended")?;
    owner.delete(&path)?.problem(403, "suspended")?;
    // The platform sees it all, and changes nothing in it but that it is suspended.
    assert_eq!(api.list(&connectors)?, before);
    api.post(&connectors, &webhook_body("more", &hook))?.problem(403, "suspended")?;
    if let Some(operation) = suspended.body["operation_id"].as_str() {
        api.operation_settled(operation)?;
    }

    api.patch(&path, &json!({ "suspended": false }))?.expect(200)?;
    assert_eq!(owner.list(&connectors)?, before);
    owner.get(&path)?.expect(200)?;
    Ok(())
}
