//! `integraci_quota`: set, changed, under what is in use, used up.

use acceptance_tests::far::webhook;
use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;
use serde_json::json;

use crate::support::{begin, webhook_body, webhook_hcl};

for_each_cli!(set_changed_and_given_back, under_what_is_in_use, used_up);

fn quota_hcl(tenant: &str, connectors: u32) -> String {
    format!(
        "resource \"integraci_quota\" \"acme\" {{\n  tenant_id = \"{tenant}\"\n  limits    = {{ connectors = {connectors} }}\n}}\n"
    )
}

fn set_changed_and_given_back(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("quota"))?;
    let effective = || -> Result<_> {
        Ok(api.get(&format!("/v1/tenants/{tenant}/quota"))?.expect(200)?.body["effective"]["connectors"]
            .clone())
    };
    let of_plan = effective()?;

    work.write("main.tf", &quota_hcl(&tenant, 7))?;
    assert_eq!(work.apply()?.planned(), ["create integraci_quota.acme"]);
    assert_eq!(effective()?, 7);
    work.plan_is_empty()?;

    work.write("main.tf", &quota_hcl(&tenant, 8))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    // Changed outside: planned back.
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 9 } }))?
        .expect(200)?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    // Given back to the plan outside: planned back as well.
    api.delete(&format!("/v1/tenants/{tenant}/quota"))?.expect(204)?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    work.destroy()?;
    assert_eq!(effective()?, of_plan);
    Ok(())
}

fn under_what_is_in_use(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("below"))?;
    let hook = webhook()?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    for name in ["one", "two"] {
        api.succeeded(&api.post(&path, &webhook_body(name, &hook))?)?;
    }

    work.write("main.tf", &quota_hcl(&tenant, 1))?;
    let error = work.try_apply()?.failed_once()?;
    assert!(error.line.starts_with("limits"), "{error:#?}");
    assert!(error.says("2"), "the error says how much is in use: {error:#?}");

    work.write("main.tf", &quota_hcl(&tenant, 2))?;
    work.apply()?;
    work.plan_is_empty()
}

fn used_up(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("full"))?;
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 1 } }))?
        .expect(200)?;
    let hook = webhook()?;
    api.succeeded(&api.post(&format!("/v1/tenants/{tenant}/connectors"), &webhook_body("first", &hook))?)?;

    work.set_var("key", &hook.key);
    work.write("main.tf", &webhook_hcl(&tenant, &hook, ""))?;
    let error = work.try_apply()?.failed_once()?;
    assert_eq!(error.address, "integraci_connector.hook");
    for words in ["quota is used up", "may have 1", "1 are in use", "raise the tenant's quota"] {
        assert!(error.says(words), "the error does not say `{words}`: {error:#?}");
    }

    // What the error says to do is what helps.
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 2 } }))?
        .expect(200)?;
    work.apply()?;
    work.plan_is_empty()
}
