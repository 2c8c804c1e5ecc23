//! Servers that are not there, not the right ones, or busy: one clear diagnostic, no panic, no storm.

use std::net::Ipv4Addr;

use acceptance_tests::fakes::Fake;
use acceptance_tests::{Cli, Diagnostic, Workdir, World, for_each_cli, new_slug};
use anyhow::Result;
use tokio::net::TcpSocket;

use crate::support::{begin, tenant_hcl};

for_each_cli!(
    wrong_token,
    somebody_elses_web_site,
    nobody_listens,
    expired_certificate,
    settings_are_missing,
    settings_are_unknown_at_plan,
    rate_limited,
);

/// A read of a list is asked for once, and perhaps once more; a storm would be dozens.
const FEW: usize = 3;

/// The one error of a plan that has to talk to the server.
fn refusal(work: &Workdir) -> Result<Diagnostic> {
    work.write("main.tf", "data \"integraci_tenants\" \"all\" {}\n")?;
    work.try_plan()?.failed_once()
}

fn wrong_token(cli: Cli) -> Result<()> {
    let (_, server) = World::shared()?;
    let counted = Fake::rate_limited(server.endpoint(), 0, |_| false)?;
    // Well formed, and unknown.
    let (world, _) = World::shared()?;
    let other = World::new("other-token")?;
    assert_ne!(world.token(), other.token());
    let error = refusal(&Workdir::new(cli, counted.endpoint(), other.token())?)?;
    assert!(error.says("token"), "{error:#?}");
    assert!(!error.says(other.token()), "the token is shown");
    assert!(counted.requests() <= FEW, "{} requests", counted.requests());

    let error = refusal(&Workdir::new(cli, counted.endpoint(), "not-a-token")?)?;
    assert!(error.says("INTEGRACI_TOKEN"), "{error:#?}");
    Ok(())
}

fn somebody_elses_web_site(cli: Cli) -> Result<()> {
    let site = Fake::web_site()?;
    let (world, _) = World::shared()?;
    let error = refusal(&Workdir::new(cli, site.endpoint(), world.token())?)?;
    assert!(error.says(site.endpoint()), "{error:#?}");
    assert!(error.says("not an IntegraCI server"), "{error:#?}");
    assert!(site.requests() <= FEW, "{} requests", site.requests());
    Ok(())
}

fn nobody_listens(cli: Cli) -> Result<()> {
    // Bound, so that nobody else gets the port, and not listening.
    let bound = TcpSocket::new_v4()?;
    bound.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let endpoint = format!("http://{}", bound.local_addr()?);
    let (world, _) = World::shared()?;
    let error = refusal(&Workdir::new(cli, &endpoint, world.token())?)?;
    assert!(error.says(&endpoint), "{error:#?}");
    assert!(error.says("cannot be reached"), "{error:#?}");
    Ok(())
}

fn expired_certificate(cli: Cli) -> Result<()> {
    let (server, authority) = Fake::expired_tls()?;
    let (world, _) = World::shared()?;
    let work = Workdir::new(cli, server.endpoint(), world.token())?;
    let error = refusal(&work.env("INTEGRACI_CA_CERTIFICATE", &authority))?;
    assert!(error.says("expired"), "{error:#?}");
    assert!(server.requests() <= FEW, "{} connections", server.requests());
    Ok(())
}

fn settings_are_missing(cli: Cli) -> Result<()> {
    let (world, server) = World::shared()?;
    for (endpoint, token, variable) in
        [("", world.token(), "INTEGRACI_ENDPOINT"), (server.endpoint(), "", "INTEGRACI_TOKEN")]
    {
        let error = refusal(&Workdir::new(cli, endpoint, token)?)?;
        assert!(error.says(variable), "{error:#?}");
    }
    Ok(())
}

/// The control plane may be made by the same configuration: at plan nobody knows its address yet.
fn settings_are_unknown_at_plan(cli: Cli) -> Result<()> {
    let (world, server) = World::shared()?;
    let work = Workdir::new(cli, "", world.token())?;
    work.write(
        "provider.tf",
        &format!(
            r#"
terraform {{
  required_providers {{
    integraci = {{ source = "integraci/integraci" }}
  }}
}}

resource "terraform_data" "platform" {{ input = "{}" }}

provider "integraci" {{ endpoint = terraform_data.platform.output }}
"#,
            server.endpoint()
        ),
    )?;
    work.write("main.tf", &tenant_hcl(&new_slug("later"), ""))?;
    assert_eq!(work.plan()?.planned(), ["create integraci_tenant.acme", "create terraform_data.platform"]);
    work.apply()?;
    work.plan_is_empty()
}

fn rate_limited(cli: Cli) -> Result<()> {
    let (world, server) = World::shared()?;
    let limited = Fake::rate_limited(server.endpoint(), 2, |request| request.method() == "POST")?;
    let work = Workdir::new(cli, limited.endpoint(), world.token())?;
    work.write("main.tf", &tenant_hcl(&new_slug("patient"), ""))?;
    work.apply()?;
    work.plan_is_empty()?;

    // For ever is too long: it gives up, and says why.
    let closed = Fake::rate_limited(server.endpoint(), usize::MAX, |_| true)?;
    let (impatient, _) = begin(cli)?;
    let mut impatient = impatient;
    impatient.set_env("INTEGRACI_ENDPOINT", closed.endpoint());
    impatient.write("main.tf", &tenant_hcl(&new_slug("late"), "timeouts = { create = \"4s\" }"))?;
    let error = impatient.try_apply()?.failed_once()?;
    assert!(error.says("limits how many requests"), "{error:#?}");
    Ok(())
}
