//! Configurations that cannot be: each is an error on the very attribute, before anything is made
//! wherever that can be known.

use acceptance_tests::far::webhook;
use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::{Context as _, Result};

use crate::support::{begin, tenant_hcl};

for_each_cli!(slugs, tenants, connector_kinds, what_only_the_server_knows);

fn slugs(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    let wrong = ["Acme", "a", "acme-", "ac--me", "1acme", "ac_me", "admin", "kube-system"];
    let named = |n: usize, slug: &str| tenant_hcl(slug, "").replace("\"acme\"", &format!("\"n{n}\""));
    // The name of the resource is replaced as well where the slug is the same word.
    let config: String = wrong.iter().enumerate().map(|(n, slug)| named(n, slug)).collect();
    work.write("main.tf", &config)?;
    let mut errors = work.run(&["validate", "-json"])?.validation_errors()?;
    errors.sort_by(|a, b| a.line.cmp(&b.line));
    assert_eq!(errors.len(), wrong.len(), "{errors:#?}");
    assert!(errors.iter().all(|error| error.line.starts_with("slug")), "{errors:#?}");
    let reserved: Vec<_> = errors.iter().filter(|error| error.says("reserved")).map(|it| &it.line).collect();
    assert_eq!(reserved, ["slug = \"admin\"", "slug = \"kube-system\""]);
    Ok(())
}

fn tenants(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    let one = tenant_hcl(&new_slug("acme"), "name = \" Acme\"\n  owner_email = \"nobody\"");
    let other = tenant_hcl(&new_slug("acme"), "labels = { \"no good\" = \"1\" }");
    work.write("main.tf", &(one + &other.replace("\"acme\"", "\"other\"")))?;
    let errors = work.run(&["validate", "-json"])?.validation_errors()?;
    let mut lines: Vec<_> = errors.iter().map(|error| error.line.as_str()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["labels = { \"no good\" = \"1\" }", "name = \" Acme\"", "owner_email = \"nobody\""]);
    Ok(())
}

fn connector_kinds(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    let connector = |name: &str, kinds: &str| {
        format!(
            "resource \"integraci_connector\" \"{name}\" {{\n  tenant_id = \"ten_01890a5dac96774bbcceb302099a8057\"\n  name = \"{name}\"\n{kinds}}}\n"
        )
    };
    let webhook = "  webhook = {\n    url = \"https://x.example\"\n    events = [\"quota.set\"]\n    hmac_key_wo = \"0123456789abcdef\"\n  }\n";
    let registry =
        "  container_registry = {\n    url = \"https://x.example\"\n    password_wo = \"pw\"\n  }\n";
    let both = "  container_registry = {\n    url = \"https://x.example\"\n    password_wo = \"pw\"\n    token_wo = \"tk\"\n  }\n";
    work.write(
        "main.tf",
        &[
            connector("two_kinds", &format!("{webhook}{registry}")),
            connector("no_kind", ""),
            connector("two_secrets", both),
            connector("bad_event", &webhook.replace("quota.set", "quota.forgotten")),
            connector("short_key", &webhook.replace("0123456789abcdef", "short")),
            connector("bad_url", &webhook.replace("https://x.example", "x.example")),
        ]
        .concat(),
    )?;
    let errors = work.run(&["validate", "-json"])?.validation_errors()?;
    let about = |name: &str| errors.iter().filter(|it| it.address.ends_with(name)).collect::<Vec<_>>();
    for name in ["two_kinds", "no_kind", "two_secrets", "bad_event", "short_key", "bad_url"] {
        assert!(!about(name).is_empty(), "no error about {name}: {errors:#?}");
    }
    assert!(about("two_kinds").iter().all(|it| it.says("exactly one")), "{errors:#?}");
    let kinds = ["webhook = {", "container_registry = {"];
    assert!(about("two_kinds").iter().all(|it| kinds.contains(&it.line.as_str())), "{errors:#?}");
    // An attribute inside a kind is named, because the CLI shows no line for it.
    for (name, attribute) in
        [("bad_event", "webhook.events"), ("short_key", "webhook.hmac_key_wo"), ("bad_url", "webhook.url")]
    {
        assert!(about(name)[0].says(attribute), "{errors:#?}");
    }
    assert!(about("no_kind")[0].says("webhook"), "the error names the kinds: {errors:#?}");
    assert!(!errors.iter().any(|it| it.says("\"short\"")), "a secret is quoted: {errors:#?}");
    Ok(())
}

fn what_only_the_server_knows(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("server"))?;
    let hook = webhook()?;
    work.set_var("key", &hook.key);
    let elsewhere =
        crate::support::webhook_hcl(&tenant, &hook, "").replace(&hook.url, "http://192.0.2.1/hook");
    work.write("main.tf", &(tenant_hcl(&new_slug("plan"), "plan = \"platinum\"") + &elsewhere))?;
    let errors = work.try_apply()?.failed()?;
    assert_eq!(errors.len(), 2, "{errors:#?}");
    let about = |address: &str| errors.iter().find(|it| it.address == address).context("an error about it");
    let plan = about("integraci_tenant.acme")?;
    assert_eq!(plan.line, "plan = \"platinum\"");
    assert!(plan.says("team") && plan.says("enterprise"), "which plans there are: {plan:#?}");
    // The platform calls only where it may.
    let address = about("integraci_connector.hook")?;
    assert!(address.says("webhook.url") && address.says("may not call"), "{address:#?}");
    Ok(())
}
