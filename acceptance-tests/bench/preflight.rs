//! What the quota preflight costs a plan: one that creates connectors which fit, with the preflight and without,
//! turn by turn. Nothing is created.

use std::path::Path;
use std::time::Duration;

use acceptance_tests::fakes::Fake;
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Cli, Workdir, World};
use anyhow::{Result, ensure};
use local_platform::{Endpoints, Platform, Progress, System, Wanted};

use crate::connectors::{TENANTS, tenants, timed};
use crate::median;

/// How many plans a figure is the median of.
pub(crate) const PLANS: usize = 7;

/// What was measured of a plan.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `terraform plan`, wall time.
    pub(crate) wall: Duration,
    /// How often the server was asked for anything in one.
    pub(crate) requests: usize,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    /// How many connectors were to be created.
    pub(crate) count: usize,
    pub(crate) warn: Plan,
    pub(crate) off: Plan,
}

/// Starts what is needed, measures plans of `count` connectors, and stops everything. The server and the
/// provider are those beside this program.
pub(crate) fn measure(scratch: &Path, count: usize) -> Result<Figures> {
    let wanted = Wanted::of([System::Postgres, System::OpenBao]).throwaway();
    let place = scratch.join("platform-of-preflight");
    let platform = block_on(Platform::start(&place, &wanted, &Progress::stderr()))?;
    let figures = measure_on(platform.endpoints(), count);
    block_on(platform.stop());
    figures
}

fn measure_on(platform: &Endpoints, count: usize) -> Result<Figures> {
    let world = World::on(platform, "bench-preflight", false)?;
    let server = world.serve()?;
    let tenants = tenants(&server.api()?, count)?;
    let mut work = Workdir::new(Cli::Terraform, server.endpoint(), server.token())?;
    work.write("main.tf", &connectors(&tenants, count))?;

    // Once each before it counts, as the first plan finds nothing in the caches.
    plan(&mut work, "warn", count)?;
    plan(&mut work, "off", count)?;
    let (mut warn, mut off) = (Vec::new(), Vec::new());
    for _ in 0..PLANS {
        warn.push(plan(&mut work, "warn", count)?);
        off.push(plan(&mut work, "off", count)?);
    }
    // Apart from the figures, as whoever counts takes time as well. It lets everything through.
    let mut requests = |preflight| {
        let counting = Fake::rate_limited(server.endpoint(), 0, |_| false)?;
        work.set_env("INTEGRACI_ENDPOINT", counting.endpoint());
        plan(&mut work, preflight, count)?;
        anyhow::Ok(counting.requests())
    };
    Ok(Figures {
        count,
        warn: Plan { wall: median(warn), requests: requests("warn")? },
        off: Plan { wall: median(off), requests: requests("off")? },
    })
}

/// Each takes a place among its tenant's connectors and one among its secrets. Nobody asks its far side anything
/// at plan, so there is none.
fn connectors(tenants: &[String], count: usize) -> String {
    format!(
        "locals {{\n  tenants = {tenants:?}\n}}\n\n\
         resource \"integraci_connector\" \"each\" {{\n  count = {count}\n  \
         tenant_id = local.tenants[count.index % {TENANTS}]\n  name = \"gitlab-${{count.index}}\"\n  \
         gitlab = {{\n    base_url = \"https://gitlab.acme.example\"\n    token_wo = \"glpat-${{count.index}}\"\n  }}\n  \
         secret_wo_version = \"1\"\n}}\n"
    )
}

/// A plan that creates them all, of which nothing is said.
fn plan(work: &mut Workdir, preflight: &str, count: usize) -> Result<Duration> {
    work.set_env("INTEGRACI_QUOTA_PREFLIGHT", preflight);
    let (took, ran) = timed(work, &["plan", "-json", "-input=false"])?;
    ensure!(ran.planned().len() == count, "{} were planned", ran.planned().len());
    let told = ran.diagnostics("warning").into_iter().find(|it| it.says("quota"));
    ensure!(told.is_none(), "they do not fit: {told:?}");
    Ok(took)
}
