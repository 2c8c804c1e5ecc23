//! What exists already is taken in, with an empty plan afterwards; and what stands in the way of a
//! creation is named, with the command that takes it in.

use acceptance_tests::far::{registry, webhook};
use acceptance_tests::{Cli, Diagnostic, for_each_cli, new_slug};
use anyhow::{Context as _, Result};

use crate::support::{begin, registry_body, registry_hcl, tenant_hcl, webhook_body, webhook_hcl};

for_each_cli!(
    a_tenant_by_command_and_by_block,
    connectors_with_their_secrets,
    a_quota,
    what_is_not_there,
    a_conflict_names_the_command_that_helps,
);

/// What `acceptance_tests::Api::tenant` makes, in HCL.
fn made_by_api(slug: &str) -> String {
    tenant_hcl(slug, "name = \"A tenant\"\n  owner_email = \"it@tenant.example\"")
}

fn import_block(to: &str, id: &str) -> String {
    format!("import {{\n  to = {to}\n  id = \"{id}\"\n}}\n")
}

fn a_tenant_by_command_and_by_block(cli: Cli) -> Result<()> {
    let (by_command, api) = begin(cli)?;
    let slug = new_slug("import");
    let id = api.tenant(&slug)?;

    by_command.write("main.tf", &made_by_api(&slug))?;
    by_command.run(&["import", "integraci_tenant.acme", &id])?.succeeded()?;
    by_command.plan_is_empty()?;

    let (by_block, _) = begin(cli)?;
    by_block.write("main.tf", &(made_by_api(&slug) + &import_block("integraci_tenant.acme", &id)))?;
    let ran = by_block.apply()?;
    assert_eq!(ran.planned(), ["import integraci_tenant.acme"]);
    by_block.plan_is_empty()
}

fn connectors_with_their_secrets(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("import"))?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    let (hook, images) = (webhook()?, registry()?);
    let hook_id = api.succeeded(&api.post(&path, &webhook_body("hook", &hook))?)?;
    let images_id = api.succeeded(&api.post(&path, &registry_body("images", &images))?)?;

    work.set_var("key", &hook.key);
    work.set_var("password", &images.password);
    let config = webhook_hcl(&tenant, &hook, "") + &registry_hcl(&tenant, &images);
    work.write(
        "main.tf",
        &(config + &import_block("integraci_connector.images", &format!("{tenant}/{images_id}"))),
    )?;
    work.run(&["import", "integraci_connector.hook", &format!("{tenant}/{hook_id}")])?.succeeded()?;
    // The secrets of the configuration are those in force, so there is nothing to do.
    let ran = work.apply()?;
    assert_eq!(ran.planned(), ["import integraci_connector.images"]);
    work.plan_is_empty()
}

fn a_quota(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("import"))?;
    let limits = serde_json::json!({ "limits": { "connectors": 4 } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &limits)?.expect(200)?;
    let quota = format!(
        "resource \"integraci_quota\" \"acme\" {{\n  tenant_id = \"{tenant}\"\n  limits    = {{ connectors = 4 }}\n}}\n"
    );
    work.write("main.tf", &quota)?;
    work.run(&["import", "integraci_quota.acme", &tenant])?.succeeded()?;
    work.plan_is_empty()
}

fn what_is_not_there(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    work.write("main.tf", &made_by_api(&new_slug("nobody")))?;
    for id in ["ten_01890a5dac96774bbcceb302099a8057", "acme", "con_1"] {
        let ran = work.run(&["import", "-no-color", "integraci_tenant.acme", id])?;
        assert_eq!(ran.finished.status.code(), Some(1), "{id}: {}", ran.said());
        assert!(ran.finished.stderr.contains("Error: "), "{id}: {}", ran.said());
    }
    Ok(())
}

fn a_conflict_names_the_command_that_helps(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let slug = new_slug("taken");
    let tenant = api.tenant(&slug)?;
    let hook = webhook()?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    let connector = api.succeeded(&api.post(&path, &webhook_body("hook", &hook))?)?;
    work.set_var("key", &hook.key);
    work.write("main.tf", &(made_by_api(&slug) + &webhook_hcl(&tenant, &hook, "")))?;

    let errors = work.try_apply()?.failed()?;
    let [first, second] = &errors[..] else { anyhow::bail!("two errors were expected: {errors:#?}") };
    let about = |address: &str| {
        [first, second].into_iter().find(|error| error.address == address).context("an error about it")
    };
    for (address, attribute, id) in
        [("integraci_tenant.acme", "slug", &tenant), ("integraci_connector.hook", "name", &connector)]
    {
        let error = about(address)?;
        assert!(error.line.starts_with(attribute), "{error:#?}");
        assert!(error.says(id), "the error does not name what exists: {error:#?}");
        let command = import_command(error)?;
        // The provider does not know what the resource is called in the configuration.
        let kind = address.split('.').next().unwrap_or_default();
        assert!(command[2].starts_with(kind) && command[3].contains(id.as_str()), "{command:?}");
        work.run(&["import", address, command[command.len() - 1]])?.succeeded()?;
    }
    work.plan_is_empty()
}

/// The words of the command that an error offers.
fn import_command(error: &Diagnostic) -> Result<Vec<&str>> {
    let line = error.detail.lines().find(|line| line.contains("terraform import "));
    let line = line.with_context(|| format!("no import command: {error:#?}"))?;
    Ok(line.split_whitespace().map(|word| word.trim_matches(['`', '\'', '"', '.'])).collect())
}
