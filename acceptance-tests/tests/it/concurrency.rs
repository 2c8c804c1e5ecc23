//! Many at once: what the provider asks for side by side, the server keeps apart.

use acceptance_tests::far::webhook;
use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;

use crate::support::{begin, tenant_hcl, webhook_hcl};

for_each_cli!(thirty_connectors_of_one_tenant_at_twenty_at_once);

const CONNECTORS: usize = 30;

fn thirty_connectors_of_one_tenant_at_twenty_at_once(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let hook = webhook()?;
    work.set_var("key", &hook.key);
    let tenant = tenant_hcl(&new_slug("many"), "plan = \"enterprise\"");
    let connectors = webhook_hcl("TENANT", &hook, &format!("count = {CONNECTORS}"))
        .replace("\"TENANT\"", "integraci_tenant.acme.id")
        .replace("= \"hook\"", "= \"hook-${count.index}\"");
    work.write("main.tf", &(tenant + &connectors))?;

    let ran = work.run(&["apply", "-json", "-auto-approve", "-parallelism=20"])?.succeeded()?;
    assert_eq!(ran.applied(), CONNECTORS + 1);
    let path = format!("/v1/tenants/{}/connectors", work.id("integraci_tenant.acme")?);
    let made = api.list(&path)?;
    assert_eq!(made.len(), CONNECTORS);
    assert!(made.iter().all(|it| it["status"] == "active"), "{made:#?}");
    work.plan_is_empty()?;
    work.run(&["destroy", "-json", "-auto-approve", "-parallelism=20"])?.succeeded()?;
    Ok(())
}
