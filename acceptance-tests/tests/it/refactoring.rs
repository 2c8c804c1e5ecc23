//! Configurations are renamed, and states outlive the provider that wrote them.

use acceptance_tests::far::webhook;
use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;
use serde_json::json;

use crate::support::{begin, tenant_hcl, webhook_hcl};

for_each_cli!(moved, state_of_another_version);

fn moved(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("moved");
    work.write("main.tf", &tenant_hcl(&slug, ""))?;
    work.apply()?;
    let id = work.id("integraci_tenant.acme")?;

    let renamed = tenant_hcl(&slug, "").replace("\"acme\"", "\"renamed\"");
    let moved = "moved {\n  from = integraci_tenant.acme\n  to   = integraci_tenant.renamed\n}\n";
    work.write("main.tf", &(renamed + moved))?;
    assert_eq!(work.apply()?.planned(), ["move integraci_tenant.renamed"]);
    work.plan_is_empty()?;
    assert_eq!(work.id("integraci_tenant.renamed")?, id);
    api.get(&format!("/v1/tenants/{id}"))?.expect(200)?;
    Ok(())
}

/// A state without attributes that came later, and with one that has gone since.
fn state_of_another_version(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let slug = new_slug("old");
    let hook = webhook()?;
    let of_connector = api.tenant(&new_slug("old"))?;
    work.set_var("key", &hook.key);
    work.write("main.tf", &(tenant_hcl(&slug, "") + &webhook_hcl(&of_connector, &hook, "")))?;
    work.apply()?;

    work.state_edit(|state| {
        for resource in state["resources"].as_array_mut().into_iter().flatten() {
            let instance = &mut resource["instances"][0];
            let Some(attributes) = instance["attributes"].as_object_mut() else { continue };
            attributes.insert("colour".to_owned(), json!("mauve"));
            for later in ["suspended", "labels", "timeouts", "secret_wo_version", "last_verified_at"] {
                attributes.remove(later);
            }
            if let Some(webhook) = attributes.get_mut("webhook").and_then(|it| it.as_object_mut()) {
                webhook.remove("hmac_key_wo");
                webhook.insert("retries".to_owned(), json!(3));
            }
        }
    })?;
    work.plan_is_empty()?;
    work.run(&["apply", "-json", "-auto-approve", "-refresh-only"])?.succeeded()?;
    assert_eq!(work.attributes("integraci_tenant.acme")?.get("colour"), None);
    Ok(())
}
