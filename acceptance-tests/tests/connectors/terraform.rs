//! Connectors of every kind imported, and some of them lived through, by a CLI.

use acceptance_tests::far::side;
use acceptance_tests::kinds::{FarEnd, Place, Secrets, connector_hcl, far_end};
use acceptance_tests::{Cli, Server, Workdir, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Living;

/// Imports every connector with its secrets in the configuration: nothing is to do, then or later.
pub(crate) fn imports_all(cli: Cli, server: &Server, tenant: &str, living: &[Living]) -> Result<()> {
    let mut work = Workdir::new(cli, server.endpoint(), server.token())?;
    let (mut config, mut expected) = (String::new(), Vec::new());
    let tenant_text = format!("{tenant:?}");
    for it in living {
        let (resource, kind) = (it.name.replace('-', "_"), it.kind.name);
        let more = if it.kind.minted_by.is_some() { "  rotate_every_days = 30\n" } else { "" };
        let hcl = connector_hcl(&resource, &tenant_text, kind, &it.far_end.config(), &it.secrets, more);
        config += &hcl.replace(&format!("name = \"{resource}\""), &format!("name = \"{}\"", it.name));
        let to = format!("integraci_connector.{resource}");
        config += &format!("import {{\n  to = {to}\n  id = \"{tenant}/{}\"\n}}\n", it.name);
        set_secrets(&mut work, &resource, &it.secrets);
        expected.push(format!("import {to}"));
    }
    work.write("main.tf", &config)?;
    let planned = work.plan()?.planned();
    expected.sort();
    let mut sorted = planned.clone();
    sorted.sort();
    ensure!(sorted == expected, "an import plans more than imports: {planned:?}");
    work.apply()?;
    work.plan_is_empty()
}

fn set_secrets(work: &mut Workdir, resource: &str, secrets: &Secrets) {
    for (name, secret) in secrets {
        work.set_var(&format!("{resource}_{name}"), secret);
    }
}

/// A forge with a token, an app with a key, a cloud that is trusted in two phases, and a vault: from the
/// first apply to the last.
pub(crate) fn sample(cli: Cli, world: &World, server: &Server) -> Result<()> {
    let api = server.api()?;
    let slug = new_slug("sample");
    let tenant = api.tenant(&slug)?;
    let mut work = Workdir::new(cli, server.endpoint(), server.token())?;
    let place = Place { tenant: &tenant, name: "", trust: None };
    let new = |kind: &str| far_end(kind, world.platform(), &place);
    let mut far_ends =
        vec![("gitlab", new("gitlab")?), ("github_app", new("github_app")?), ("vault", new("vault")?)];
    for (kind, far_end) in &mut far_ends {
        set_secrets(&mut work, kind, &far_end.renew()?);
    }
    let config = |far_ends: &[(&str, Box<dyn FarEnd>)]| -> String {
        let of = |(kind, far_end): &(&str, Box<dyn FarEnd>)| {
            let secrets = match *kind {
                "github_app" => Secrets::from([("private_key".to_owned(), String::new())]),
                _ => Secrets::from([("token".to_owned(), String::new())]),
            };
            let more = if *kind == "github_app" { "" } else { "  on_destroy = \"revoke\"\n" };
            connector_hcl(kind, &format!("{tenant:?}"), kind, &far_end.config(), &secrets, more)
        };
        far_ends.iter().map(of).collect::<String>() + &two_phases(&tenant)
    };
    work.write("main.tf", &config(&far_ends))?;

    // The first phase: what the cloud must trust is known before there is a connector.
    work.run(&["apply", "-auto-approve", "-target=data.integraci_oidc_trust.aws"])?.succeeded()?;
    let trust = work.attributes("data.integraci_oidc_trust.aws")?;
    let text = |name: &str| {
        trust[name].as_str().with_context(|| format!("`{name}` of the trust")).map(str::to_owned)
    };
    side()?.trust("aws", &text("issuer")?, &text("subject")?, &text("audience")?);
    work.apply()?;
    work.plan_is_empty()?;

    // A new secret is planned by itself, and nothing else is.
    let secrets = far_ends[0].1.renew()?;
    set_secrets(&mut work, "gitlab", &secrets);
    ensure!(work.apply()?.planned() == ["update integraci_connector.gitlab"], "a new secret is no update");
    work.plan_is_empty()?;

    // What somebody changed by hand is sent anew.
    let id = work.id("integraci_connector.gitlab")?;
    world.openbao().of_tenant(&slug).connector_change(&id, "changed by hand")?;
    ensure!(work.apply()?.planned() == ["update integraci_connector.gitlab"], "drift is no update");
    work.plan_is_empty()?;

    // What the far side says now is told, and is no change.
    far_ends[0].1.spoil()?;
    let path = format!("/v1/tenants/{tenant}/connectors/{id}");
    let said = api.post(&format!("{path}/verifications"), &Value::Null)?.expect(200)?.body;
    ensure!(said["verification_status"] == "refused", "{said}");
    ensure!(work.plan()?.planned().is_empty(), "a far side's word is planned as a change");
    work.run(&["apply", "-refresh-only", "-auto-approve"])?.succeeded()?;
    let seen = work.attributes("integraci_connector.gitlab")?;
    ensure!(seen["verification_status"] == "refused", "state does not say so: {seen}");
    let secrets = far_ends[0].1.renew()?;
    set_secrets(&mut work, "gitlab", &secrets);
    work.apply()?;

    // Rotated past Terraform: no plan.
    let mut rotated = far_ends[2].1.renew()?;
    let vault = format!("/v1/tenants/{tenant}/connectors/{}", work.id("integraci_connector.vault")?);
    let body = json!({ "secrets": rotated, "overlap_s": 0 });
    api.succeeded(&api.post(&format!("{vault}/rotations"), &body)?.expect(202)?)?;
    set_secrets(&mut work, "vault", &rotated);
    work.plan_is_empty()?;

    let state = work.state()?.to_string();
    rotated.extend(secrets);
    ensure!(rotated.values().all(|secret| !state.contains(secret)), "a secret is in the state");

    work.destroy()?;
    ensure!(far_ends[2].1.takes(&rotated)? == Some(false), "on_destroy = \"revoke\" left the token good");
    ensure!(api.list(&format!("/v1/tenants/{tenant}/connectors"))?.is_empty(), "a connector is left");
    Ok(())
}

/// A role of a cloud that trusts a connector which is not there yet.
fn two_phases(tenant: &str) -> String {
    let url = side().map(|side| side.address("aws")).unwrap_or_default();
    format!(
        r#"
data "integraci_oidc_trust" "aws" {{
  tenant_id = "{tenant}"
  connector = "cloud"
  kind      = "aws"
}}

resource "integraci_connector" "cloud" {{
  tenant_id = "{tenant}"
  name      = "cloud"
  aws = {{
    role_arn = "arn:aws:iam::123456789012:role/integraci"
    audience = data.integraci_oidc_trust.aws.audience
    sts_url  = "{url}"
  }}
}}
"#
    )
}
