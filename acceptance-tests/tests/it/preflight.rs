//! The quota preflight: what a plan says of connectors that their tenant has no room for.

use acceptance_tests::{Api, Cli, Diagnostic, Ran, Workdir, for_each_cli, new_slug};
use anyhow::Result;
use serde_json::json;

use crate::support::begin;

for_each_cli!(warned_of_once, refused_or_not_looked_at, room_is_made, a_quota_is_raised);

/// A tenant with room for so many.
fn tenant_of(api: &Api, connectors: usize) -> Result<String> {
    let tenant = api.tenant(&new_slug("preflight"))?;
    let limits = json!({ "limits": { "connectors": connectors } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &limits)?.expect(200)?;
    Ok(tenant)
}

/// Connectors without a secret, of which nobody asks anything, numbered.
fn configure(work: &Workdir, tenant: &str, numbers: std::ops::Range<usize>, more: &str) -> Result<()> {
    let names: Vec<_> = numbers.map(|number| format!("cloud-{number}")).collect();
    work.write(
        "main.tf",
        &format!(
            r#"
resource "integraci_connector" "each" {{
  for_each  = toset({names:?})
  tenant_id = "{tenant}"
  name      = each.key
  verify    = "off"
  aws       = {{ role_arn = "arn:aws:iam::123456789012:role/it" }}
}}
{more}
"#
        ),
    )
}

/// What is said of quotas; that the provider is an override is another warning.
fn warnings(plan: &Ran) -> Vec<Diagnostic> {
    let mut warnings = plan.diagnostics("warning");
    warnings.retain(|it| it.says("quota"));
    warnings
}

fn warned_of_once(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = tenant_of(&api, 20)?;
    configure(&work, &tenant, 0..30, "")?;
    let plan = work.plan()?;
    assert_eq!(plan.planned().len(), 30);
    let warnings = warnings(&plan);
    let [warning] = &*warnings else { anyhow::bail!("one warning: {warnings:#?}") };
    for words in [&*tenant, "creates 30 connectors", "20 fit (limit 20, 0 in use)", "raise `connectors`"] {
        assert!(warning.says(words), "the warning does not say `{words}`: {warning:#?}");
    }
    assert!(warning.address.starts_with("integraci_connector.each["), "{warning:#?}");
    Ok(())
}

fn refused_or_not_looked_at(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = tenant_of(&api, 1)?;
    configure(&work, &tenant, 0..3, "")?;
    work.set_env("INTEGRACI_QUOTA_PREFLIGHT", "error");
    let error = work.try_plan()?.failed_once()?;
    assert!(error.says("creates 3 connectors") && error.says("1 fit (limit 1, 0 in use)"), "{error:#?}");
    work.set_env("INTEGRACI_QUOTA_PREFLIGHT", "off");
    let plan = work.plan()?;
    assert!(warnings(&plan).is_empty(), "{}", plan.said());
    Ok(())
}

fn room_is_made(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    work.set_env("INTEGRACI_QUOTA_PREFLIGHT", "error");
    let tenant = tenant_of(&api, 3)?;
    configure(&work, &tenant, 0..3, "")?;
    work.apply()?;
    // Two go and two come; then one goes and two come.
    configure(&work, &tenant, 2..5, "")?;
    assert_eq!(work.plan()?.planned().len(), 4);
    configure(&work, &tenant, 1..5, "")?;
    let error = work.try_plan()?.failed_once()?;
    assert!(error.says("destroys 1, and 1 fit (limit 3, 3 in use)"), "{error:#?}");
    configure(&work, &tenant, 0..3, "")?;
    work.destroy().map(drop)
}

fn a_quota_is_raised(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    work.set_env("INTEGRACI_QUOTA_PREFLIGHT", "error");
    let tenant = api.tenant(&new_slug("preflight"))?;
    let quota = |connectors: usize| {
        format!(
            "resource \"integraci_quota\" \"own\" {{\n  tenant_id = \"{tenant}\"\n  limits    = {{ connectors = {connectors} }}\n}}\n"
        )
    };
    configure(&work, &tenant, 0..0, &quota(1))?;
    work.apply()?;
    configure(&work, &tenant, 0..3, &quota(3))?;
    assert_eq!(work.plan()?.planned().len(), 4);
    configure(&work, &tenant, 0..3, &quota(2))?;
    assert!(work.try_plan()?.failed_once()?.says("2 fit (limit 2, 0 in use)"));
    Ok(())
}
