//! What most scenarios begin with.

use acceptance_tests::far::{Registry, Webhook};
use acceptance_tests::{Api, Cli, Workdir, World};
use anyhow::Result;
use serde_json::{Value, json};

/// An empty directory whose provider talks to the shared server, and a client for the same server.
pub(crate) fn begin(cli: Cli) -> Result<(Workdir, Api)> {
    let (world, server) = World::shared()?;
    Ok((Workdir::new(cli, server.endpoint(), world.token())?, server.api()?))
}

/// `integraci_tenant.acme`, with these lines besides its slug; plan, address and no protection unless
/// the lines say otherwise.
pub(crate) fn tenant_hcl(slug: &str, lines: &str) -> String {
    let defaults = [
        ("name", r#""Acme Ltd""#),
        ("plan", r#""team""#),
        ("owner_email", r#""it@acme.example""#),
        ("delete_protection", "false"),
    ];
    let mut text = format!("resource \"integraci_tenant\" \"acme\" {{\n  slug = \"{slug}\"\n");
    for (name, value) in defaults {
        if !lines.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))) {
            text.push_str(&format!("  {name} = {value}\n"));
        }
    }
    text.push_str(lines);
    text.push_str("\n}\n");
    text
}

/// `integraci_connector.hook` of a tenant, whose key is `var.key`, with more lines.
pub(crate) fn webhook_hcl(tenant: &str, webhook: &Webhook, lines: &str) -> String {
    format!(
        r#"
variable "key" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

resource "integraci_connector" "hook" {{
  tenant_id = "{tenant}"
  name      = "hook"
  webhook = {{
    url         = "{url}"
    events      = ["tenant.updated"]
    hmac_key_wo = var.key
  }}
  {lines}
}}
"#,
        url = webhook.url,
    )
}

/// `integraci_connector.images` of a tenant, whose password is `var.password`.
pub(crate) fn registry_hcl(tenant: &str, registry: &Registry) -> String {
    format!(
        r#"
variable "password" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

resource "integraci_connector" "images" {{
  tenant_id = "{tenant}"
  name      = "images"
  container_registry = {{
    url         = "{url}"
    repository  = "{repository}"
    username    = "{username}"
    password_wo = var.password
  }}
}}
"#,
        url = registry.url,
        repository = registry.repository,
        username = registry.username,
    )
}

/// The request for a webhook connector.
pub(crate) fn webhook_body(name: &str, webhook: &Webhook) -> Value {
    json!({
        "name": name,
        "kind": "webhook",
        "config": { "url": webhook.url, "events": ["tenant.updated"] },
        "secrets": { "hmac_key": webhook.key },
    })
}

/// The request for a registry connector.
pub(crate) fn registry_body(name: &str, registry: &Registry) -> Value {
    json!({
        "name": name,
        "kind": "container_registry",
        "config": {
            "url": registry.url,
            "repository": registry.repository,
            "username": registry.username,
        },
        "secrets": { "password": registry.password },
    })
}
