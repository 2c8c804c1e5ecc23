//! `integraci_tenant`, from its creation to its end.

use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;
use serde_json::json;

use crate::support::{begin, tenant_hcl};

for_each_cli!(
    created_changed_replaced_and_destroyed,
    deleted_outside_is_planned_anew,
    deletion_is_refused_until_protection_is_off,
    changed_outside_is_planned_back,
);

fn created_changed_replaced_and_destroyed(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("acme");

    work.write("main.tf", &tenant_hcl(&slug, r#"labels = { cost_centre = "42" }"#))?;
    assert_eq!(work.apply()?.planned(), ["create integraci_tenant.acme"]);
    work.plan_is_empty()?;
    let id = work.id("integraci_tenant.acme")?;

    let changed = r#"
  name        = "Acme Holdings"
  plan        = "enterprise"
  owner_email = "ops@acme.example"
  labels      = { region = "eu" }
  suspended   = true
"#;
    work.write("main.tf", &tenant_hcl(&slug, changed))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_tenant.acme"]);
    work.plan_is_empty()?;
    let tenant = api.get(&format!("/v1/tenants/{id}"))?.expect(200)?.body;
    assert_eq!(tenant["name"], "Acme Holdings");
    assert_eq!(tenant["plan"], "enterprise");
    assert_eq!(tenant["owner_email"], "ops@acme.example");
    assert_eq!(tenant["labels"], json!({ "region": "eu" }));
    assert_eq!(tenant["suspended"], true);

    // Another slug is another tenant.
    let other = new_slug("acme");
    work.write("main.tf", &tenant_hcl(&other, ""))?;
    assert_eq!(work.apply()?.planned(), ["replace integraci_tenant.acme"]);
    api.get(&format!("/v1/tenants/{id}"))?.problem(404, "not_found")?;
    let id = work.id("integraci_tenant.acme")?;
    assert_eq!(api.get(&format!("/v1/tenants/{id}"))?.expect(200)?.body["slug"], other);

    work.destroy()?;
    api.get(&format!("/v1/tenants/{id}"))?.problem(404, "not_found")?;
    Ok(())
}

fn deleted_outside_is_planned_anew(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("gone");
    work.write("main.tf", &tenant_hcl(&slug, ""))?;
    work.apply()?;
    let id = work.id("integraci_tenant.acme")?;
    api.succeeded(&api.delete(&format!("/v1/tenants/{id}"))?)?;

    let plan = work.plan()?;
    assert_eq!(plan.planned(), ["create integraci_tenant.acme"]);
    assert_eq!(plan.drifted(), ["delete integraci_tenant.acme"]);

    // A slug is never given out again, so that what vanished comes back under another.
    work.write("main.tf", &tenant_hcl(&new_slug("back"), ""))?;
    work.apply()?;
    work.plan_is_empty()
}

fn deletion_is_refused_until_protection_is_off(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("kept");
    work.write("main.tf", &tenant_hcl(&slug, "delete_protection = true"))?;
    work.apply()?;
    let id = work.id("integraci_tenant.acme")?;

    let error = work.run(&["destroy", "-json", "-auto-approve"])?.failed_once()?;
    assert!(error.says("delete_protection"), "{error:#?}");
    assert_eq!(error.address, "integraci_tenant.acme");
    api.get(&format!("/v1/tenants/{id}"))?.expect(200)?;

    work.write("main.tf", &tenant_hcl(&slug, "delete_protection = false"))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_tenant.acme"]);
    work.destroy()?;
    api.get(&format!("/v1/tenants/{id}"))?.problem(404, "not_found")?;
    Ok(())
}

fn changed_outside_is_planned_back(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    work.write("main.tf", &tenant_hcl(&new_slug("drift"), ""))?;
    work.apply()?;
    let path = format!("/v1/tenants/{}", work.id("integraci_tenant.acme")?);
    api.patch(&path, &json!({ "name": "Somebody else's idea" }))?.expect(200)?;

    assert_eq!(work.apply()?.planned(), ["update integraci_tenant.acme"]);
    assert_eq!(api.get(&path)?.expect(200)?.body["name"], "Acme Ltd");
    Ok(())
}
