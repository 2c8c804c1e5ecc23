//! What connectors cost in Terraform: made by one apply, and refreshed by a plan, beside as many of the resource
//! that core has built in; and how many requests that refresh makes.
//!
//! The connectors are verified as in production (`verify = "required"`): each is a secret in OpenBao and two
//! calls to a far side, GitLab's double in this process. Their `secret_wo_version` is set, so that a plan
//! need not ask whether each secret is still the configured one.

use std::path::Path;
use std::time::{Duration, Instant};

use acceptance_tests::fakes::Fake;
use acceptance_tests::far::new_secret;
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Api, Cli, Ran, Workdir, World, new_slug};
use anyhow::{Result, ensure};
use local_platform::far_side::FarSide;
use local_platform::{Endpoints, Platform, Progress, System, Wanted};
use serde_json::json;

use crate::median;

/// How many connectors there are, over how many tenants.
pub(crate) const CONNECTORS: usize = 500;
pub(crate) const TENANTS: usize = 10;
/// How many resources Terraform works on at once; also its default.
const SIDE_BY_SIDE: usize = 10;
/// How many plans a figure is the median of.
const PLANS: usize = 5;

/// What was measured of one sort of resource.
#[derive(Debug)]
pub(crate) struct Walls {
    /// `terraform apply` of all of them.
    pub(crate) apply: Duration,
    /// `terraform plan` when nothing has changed.
    pub(crate) refresh: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    /// How many there were of each.
    pub(crate) count: usize,
    pub(crate) connectors: Walls,
    /// `terraform_data`: core's own share.
    pub(crate) built_in: Walls,
    /// How often the server was asked for anything in one such refresh.
    pub(crate) requests: usize,
}

/// Starts what is needed, measures `count` connectors, and stops everything. The server and the provider
/// are those beside this program.
pub(crate) fn measure(scratch: &Path, count: usize) -> Result<Figures> {
    let wanted = Wanted::of([System::Postgres, System::OpenBao]).throwaway();
    let place = scratch.join("platform-of-connectors");
    let platform = block_on(Platform::start(&place, &wanted, &Progress::stderr()))?;
    let figures = measure_on(platform.endpoints(), count);
    block_on(platform.stop());
    figures
}

fn measure_on(platform: &Endpoints, count: usize) -> Result<Figures> {
    let world = World::on(platform, "bench-connectors", false)?;
    let server = world.serve()?;
    let side = block_on(FarSide::start())?;
    let tenants = tenants(&server.api()?, count)?;
    let mut ours = Workdir::new(Cli::Terraform, server.endpoint(), server.token())?;
    ours.write("main.tf", &connectors(&side, &tenants, count))?;
    let built_in = Workdir::new(Cli::Terraform, server.endpoint(), server.token())?;
    // Whoever has no resource of ours starts no provider of ours.
    built_in.write("provider.tf", "")?;
    built_in.write("main.tf", &terraform_data(count))?;

    let built_in_apply = apply(&built_in, count)?;
    let apply = apply(&ours, count)?;
    ensure!(side.seen().len() >= 2 * count, "not every connector was verified");

    let (mut refreshes, mut built_in_refreshes) = (Vec::new(), Vec::new());
    for _ in 0..PLANS {
        refreshes.push(refresh(&ours)?);
        built_in_refreshes.push(refresh(&built_in)?);
    }
    // Apart from the figures, as whoever counts takes time as well. It lets everything through.
    let counting = Fake::rate_limited(server.endpoint(), 0, |_| false)?;
    ours.set_env("INTEGRACI_ENDPOINT", counting.endpoint());
    refresh(&ours)?;
    Ok(Figures {
        count,
        connectors: Walls { apply, refresh: median(refreshes) },
        built_in: Walls { apply: built_in_apply, refresh: median(built_in_refreshes) },
        requests: counting.requests(),
    })
}

/// Tenants with room for their share of the connectors.
pub(crate) fn tenants(api: &Api, count: usize) -> Result<Vec<String>> {
    let limits = json!({ "limits": { "connectors": count.div_ceil(TENANTS) } });
    let tenant = |_| {
        let id = api.tenant(&new_slug("bench"))?;
        api.put(&format!("/v1/tenants/{id}/quota"), &limits)?.expect(200)?;
        Ok(id)
    };
    (0..TENANTS).map(tenant).collect()
}

fn connectors(side: &FarSide, tenants: &[String], count: usize) -> String {
    let tokens: Vec<_> = (0..count).map(|_| new_secret()).collect();
    for token in &tokens {
        side.allow("gitlab", &token.clone().into());
    }
    format!(
        "locals {{\n  tenants = {tenants:?}\n  tokens = {tokens:?}\n}}\n\n\
         resource \"integraci_connector\" \"each\" {{\n  count = {count}\n  \
         tenant_id = local.tenants[count.index % {TENANTS}]\n  name = \"gitlab-${{count.index}}\"\n  \
         gitlab = {{\n    base_url = \"{address}\"\n    token_wo = local.tokens[count.index]\n  }}\n  \
         secret_wo_version = \"1\"\n}}\n",
        address = side.address("gitlab"),
    )
}

/// The same values in the resource that core has built in.
fn terraform_data(count: usize) -> String {
    format!(
        "resource \"terraform_data\" \"each\" {{\n  count = {count}\n  input = {{\n    \
         tenant_id = \"tenant-${{count.index % {TENANTS}}}\"\n    name = \"gitlab-${{count.index}}\"\n    \
         gitlab = {{ base_url = \"https://gitlab.acme.example\" }}\n    secret_wo_version = \"1\"\n  }}\n}}\n"
    )
}

fn apply(work: &Workdir, count: usize) -> Result<Duration> {
    let (took, ran) = timed(work, &["apply", "-json", "-input=false", "-auto-approve"])?;
    ensure!(ran.applied() == count, "{} were applied", ran.applied());
    Ok(took)
}

/// A plan that finds everything as it was.
fn refresh(work: &Workdir) -> Result<Duration> {
    let (took, ran) = timed(work, &["plan", "-json", "-input=false"])?;
    ensure!(ran.planned().is_empty(), "the plan is not empty: {:?}", ran.planned());
    Ok(took)
}

/// Runs it, which must succeed, and tells how long it took.
pub(crate) fn timed(work: &Workdir, args: &[&str]) -> Result<(Duration, Ran)> {
    let parallelism = format!("-parallelism={SIDE_BY_SIDE}");
    let began = Instant::now();
    let ran = work.run(&[args, &[&parallelism]].concat())?;
    let took = began.elapsed();
    Ok((took, ran.succeeded()?))
}
