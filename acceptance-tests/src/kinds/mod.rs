//! A far end for each kind of connector: what a connector of it is configured with, secrets that are good,
//! and ways to make them worthless. What can run here is the real system; the others are the doubles of
//! `local_platform::far_side`.

mod clouds;
mod doubles;
mod real;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use local_platform::Endpoints;
use serde_json::{Value, json};

pub use clouds::Trust;

/// The secrets of a connector by name.
pub type Secrets = BTreeMap<String, String>;

/// The far end of one connector.
pub trait FarEnd: Send {
    /// The configuration of a connector to it, which changes no more.
    fn config(&self) -> Value;

    /// Makes secrets that are good there; those before may stay good. None for a kind without.
    ///
    /// # Errors
    /// When the far end does not do it.
    fn renew(&mut self) -> Result<Secrets>;

    /// Makes worthless what was last renewed, or ends the trust in the platform.
    ///
    /// # Errors
    /// When the far end does not do it.
    fn spoil(&mut self) -> Result<()>;

    /// Whether these secrets are good there, asked past the product; none where that cannot be asked.
    ///
    /// # Errors
    /// When the far end does not answer.
    fn takes(&self, _secrets: &Secrets) -> Result<Option<bool>> {
        Ok(None)
    }
}

/// Where a connector will be, known before there is one.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The tenant's id.
    pub tenant: &'a str,
    /// The connector's name.
    pub name: &'a str,
    /// What a far side that goes without a secret must trust, if that was asked for.
    pub trust: Option<Trust>,
}

/// A new far end of a kind.
///
/// # Errors
/// When it cannot be made, or there is none for the kind.
pub fn far_end(kind: &str, platform: &Endpoints, place: &Place<'_>) -> Result<Box<dyn FarEnd>> {
    Ok(match kind {
        "aws" | "azure" | "gcp" => Box::new(clouds::Cloud::new(kind, place)?),
        "container_registry" => Box::new(real::Registry::new(platform)?),
        "kubernetes_cluster" => Box::new(real::Kubernetes::new(platform)?),
        "vault" => Box::new(real::Vault::new(platform)?),
        "webhook" => Box::new(doubles::Webhook::new()?),
        "github_app" => Box::new(doubles::GitHub::new()?),
        _ => Box::new(doubles::Tokens::new(kind).with_context(|| format!("there is no far end for {kind}"))?),
    })
}

/// The body of a request for a connector.
#[must_use]
pub fn connector_body(kind: &str, name: &str, config: &Value, secrets: &Secrets) -> Value {
    json!({ "name": name, "kind": kind, "config": config, "secrets": secrets })
}

/// A connector as a user writes it, its secrets from the ephemeral variable `<resource>_<secret>` each.
#[must_use]
pub fn connector_hcl(
    resource: &str,
    tenant: &str,
    kind: &str,
    config: &Value,
    secrets: &Secrets,
    more: &str,
) -> String {
    let mut fields = String::new();
    for (name, value) in config.as_object().into_iter().flatten() {
        fields += &format!("    {name} = {}\n", literal(value));
    }
    let mut variables = String::new();
    for name in secrets.keys() {
        fields += &format!("    {name}_wo = var.{resource}_{name}\n");
        variables += &format!(
            "variable \"{resource}_{name}\" {{\n  type      = string\n  sensitive = true\n  ephemeral = true\n}}\n"
        );
    }
    format!(
        "{variables}\nresource \"integraci_connector\" \"{resource}\" {{\n  tenant_id = {tenant}\n  name = \
         \"{resource}\"\n  {kind} = {{\n{fields}  }}\n{more}}}\n"
    )
}

/// JSON is HCL, but for the templates in a text.
fn literal(value: &Value) -> String {
    value.to_string().replace("${", "$${").replace("%{", "%%{")
}
