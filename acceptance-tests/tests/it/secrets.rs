//! A connector's secret: changed, rotated, refused by the far side, and never read back.

use acceptance_tests::far::{new_secret, registry, webhook};
use acceptance_tests::{Api, Cli, Workdir, World, for_each_cli, new_slug};
use anyhow::{Context as _, Result};

use crate::support::{begin, registry_hcl, webhook_hcl};

for_each_cli!(
    a_changed_secret_is_planned_without_a_version,
    with_a_version_only_the_version_counts,
    a_refused_secret_is_told_at_its_attribute_and_leaves_nothing,
    a_refused_rotation_keeps_the_old_secret,
);

fn a_changed_secret_is_planned_without_a_version(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("rotate"))?;
    let (mut hook, mut images) = (webhook()?, registry()?);
    work.write("main.tf", &(webhook_hcl(&tenant, &hook, "") + &registry_hcl(&tenant, &images)))?;
    work.set_var("key", &hook.key);
    work.set_var("password", &images.password);
    work.apply()?;
    work.plan_is_empty()?;

    hook.rekey()?;
    work.set_var("key", &hook.key);
    assert_eq!(work.plan()?.planned(), ["update integraci_connector.hook"]);
    assert_eq!(work.apply()?.planned(), ["update integraci_connector.hook"]);
    work.plan_is_empty()?;
    assert_eq!(secret_version(&work, &api, &tenant)?, 2);
    assert_eq!(stored(&tenant, &api)?, [hook.key.clone(), images.password.clone()].into());

    images.repassword()?;
    work.set_var("password", &images.password);
    assert_eq!(work.apply()?.planned(), ["update integraci_connector.images"]);
    assert_eq!(stored(&tenant, &api)?, [hook.key, images.password].into());
    Ok(())
}

fn with_a_version_only_the_version_counts(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("version"))?;
    let mut hook = webhook()?;
    work.write("main.tf", &webhook_hcl(&tenant, &hook, r#"secret_wo_version = "2026-11""#))?;
    work.set_var("key", &hook.key);
    work.apply()?;

    hook.rekey()?;
    work.set_var("key", &hook.key);
    work.plan_is_empty()?;

    work.write("main.tf", &webhook_hcl(&tenant, &hook, r#"secret_wo_version = "2026-12""#))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_connector.hook"]);
    work.plan_is_empty()?;
    assert_eq!(stored(&tenant, &api)?, [hook.key].into());
    Ok(())
}

fn a_refused_secret_is_told_at_its_attribute_and_leaves_nothing(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("refused"))?;
    let (hook, images) = (webhook()?, registry()?);
    let wrong = new_secret();
    work.write("main.tf", &(webhook_hcl(&tenant, &hook, "") + &registry_hcl(&tenant, &images)))?;
    work.set_var("key", &wrong);
    work.set_var("password", &wrong);

    let ran = work.try_apply()?;
    let said = ran.finished.stdout.clone();
    let mut errors = ran.failed()?;
    errors.sort_by(|a, b| a.address.cmp(&b.address));
    let told: Vec<_> = errors.iter().map(|error| error.address.as_str()).collect();
    assert_eq!(told, ["integraci_connector.hook", "integraci_connector.images"]);
    assert!(errors[0].says("webhook.hmac_key_wo"), "{errors:#?}");
    assert!(errors[1].says("container_registry.password_wo"), "{errors:#?}");
    assert!(!said.contains(&wrong), "an error shows the secret");
    assert_eq!(api.list(&format!("/v1/tenants/{tenant}/connectors"))?.len(), 0);
    assert!(stored(&tenant, &api)?.is_empty());

    work.set_var("key", &hook.key);
    work.set_var("password", &images.password);
    assert_eq!(
        work.apply()?.planned(),
        ["create integraci_connector.hook", "create integraci_connector.images"]
    );
    work.plan_is_empty()
}

fn a_refused_rotation_keeps_the_old_secret(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("keep"))?;
    let hook = webhook()?;
    work.write("main.tf", &webhook_hcl(&tenant, &hook, ""))?;
    work.set_var("key", &hook.key);
    work.apply()?;

    work.set_var("key", &new_secret());
    let error = work.try_apply()?.failed_once()?;
    assert!(error.says("webhook.hmac_key_wo"), "{error:#?}");
    assert_eq!(secret_version(&work, &api, &tenant)?, 1);
    assert_eq!(stored(&tenant, &api)?, [hook.key.clone()].into());

    work.set_var("key", &hook.key);
    work.plan_is_empty()
}

/// The version in force of the webhook's secret.
fn secret_version(work: &Workdir, api: &Api, tenant: &str) -> Result<i64> {
    let id = work.id("integraci_connector.hook")?;
    let connector = api.get(&format!("/v1/tenants/{tenant}/connectors/{id}"))?.expect(200)?;
    connector.body["secret_version"].as_i64().context("a connector has a secret version")
}

/// Every secret text that OpenBao holds for a tenant now.
fn stored(tenant: &str, api: &Api) -> Result<std::collections::BTreeSet<String>> {
    let (world, _) = World::shared()?;
    let tenant = api.get(&format!("/v1/tenants/{tenant}"))?.expect(200)?;
    let namespace = tenant.body["names"]["openbao_namespace"].as_str().context("a tenant has its names")?;
    world.openbao().below(namespace).secret_texts()
}
