//! `integraci_connector`, from its creation to its end. What is about its secret is in `secrets`.

use acceptance_tests::far::{self, registry, webhook};
use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;

use crate::support::{begin, registry_hcl, webhook_hcl};

for_each_cli!(
    both_kinds_created_changed_and_destroyed,
    another_tenant_or_kind_replaces_it,
    deleted_outside_is_planned_anew,
);

fn both_kinds_created_changed_and_destroyed(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("both"))?;
    let (hook, images) = (webhook()?, registry()?);
    let config = |hook: &far::Webhook| webhook_hcl(&tenant, hook, "") + &registry_hcl(&tenant, &images);
    work.write("main.tf", &config(&hook))?;
    work.set_var("key", &hook.key);
    work.set_var("password", &images.password);

    assert_eq!(
        work.apply()?.planned(),
        ["create integraci_connector.hook", "create integraci_connector.images"]
    );
    work.plan_is_empty()?;
    assert!(hook.taken()? > 0, "the webhook was pinged");

    // In place, and verified at the new address with the same secret.
    let mut moved = webhook()?;
    moved.use_key(&hook.key)?;
    work.write("main.tf", &config(&moved))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_connector.hook"]);
    work.plan_is_empty()?;
    assert!(moved.taken()? > 0, "the new address was pinged");
    let path = format!("/v1/tenants/{tenant}/connectors/{}", work.id("integraci_connector.hook")?);
    let connector = api.get(&path)?.expect(200)?.body;
    assert_eq!(connector["config"]["url"], moved.url.as_str());
    assert_eq!(connector["status"], "active");

    work.destroy()?;
    assert_eq!(api.list(&format!("/v1/tenants/{tenant}/connectors"))?.len(), 0);
    Ok(())
}

fn another_tenant_or_kind_replaces_it(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let (one, other) = (api.tenant(&new_slug("one"))?, api.tenant(&new_slug("other"))?);
    let hook = webhook()?;
    work.set_var("key", &hook.key);
    work.write("main.tf", &webhook_hcl(&one, &hook, ""))?;
    work.apply()?;

    work.write("main.tf", &webhook_hcl(&other, &hook, ""))?;
    assert_eq!(work.apply()?.planned(), ["replace integraci_connector.hook"]);
    assert_eq!(api.list(&format!("/v1/tenants/{one}/connectors"))?.len(), 0);

    let images = registry()?;
    work.set_var("password", &images.password);
    let as_registry = registry_hcl(&other, &images).replace("\"images\"", "\"hook\"");
    work.write("main.tf", &as_registry)?;
    assert_eq!(work.apply()?.planned(), ["replace integraci_connector.hook"]);
    work.plan_is_empty()?;
    let left = api.list(&format!("/v1/tenants/{other}/connectors"))?;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["kind"], "container_registry");
    Ok(())
}

fn deleted_outside_is_planned_anew(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("gone"))?;
    let hook = webhook()?;
    work.set_var("key", &hook.key);
    work.write("main.tf", &webhook_hcl(&tenant, &hook, ""))?;
    work.apply()?;
    let id = work.id("integraci_connector.hook")?;
    api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}/connectors/{id}"))?)?;

    let ran = work.apply()?;
    assert_eq!(ran.planned(), ["create integraci_connector.hook"]);
    assert_eq!(ran.drifted(), ["delete integraci_connector.hook"]);
    work.plan_is_empty()?;

    // With its tenant gone as well, nothing is left to look at.
    api.succeeded(
        &api.delete(&format!("/v1/tenants/{tenant}/connectors/{}", work.id("integraci_connector.hook")?))?,
    )?;
    api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}"))?)?;
    assert_eq!(work.plan()?.drifted(), ["delete integraci_connector.hook"]);
    Ok(())
}
