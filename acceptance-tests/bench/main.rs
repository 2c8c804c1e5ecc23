//! `make bench`: what a tenant costs beside the slowest of its systems, what connectors cost in Terraform beside
//! what core has built in, and what our provider costs beside the same provider in Go, measured in one run.
//!
//! `bench connectors [N]` measures N connectors alone, with the server and the provider that are built beside
//! it, and prints their part of the page; `bench preflight [N]` measures alone what the quota preflight costs a plan
//! of N, and `bench quotas` the check of a quota.
//!
//! Both providers are spoken to as core does: go-plugin's handshake, mutual TLS, gRPC. Neither creates
//! anything; the tenants are real, on the five real systems. The figures go to `docs/benchmarks.md`, with the aims they are held against; an aim
//! that is missed is written down as missed.

#![expect(clippy::print_stderr, reason = "a program for people, which says what it is doing")]

mod codec;
mod connectors;
mod ingestion;
mod machine;
mod plugin;
mod preflight;
mod quotas;
mod report;
mod subject;
mod tenants;
mod terraform;
mod tls;
mod wire;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use plugin::Plugin;
use subject::Subject;
use workload::Workload;

/// The sizes of a run. A plan asks twice about each resource: whether its configuration is valid,
/// and what is planned.
const RESOURCES: u32 = 2_000;
const MANY_RESOURCES: u32 = 10_000;
/// Spawns are short and vary, plans are long and do not.
const SPAWNS: u32 = 40;
const RUNS: u32 = 3;

/// What was measured of one provider.
#[derive(Default)]
pub(crate) struct Figures {
    /// From spawn to the handshake's line.
    pub(crate) handshake: Duration,
    pub(crate) schema_call: Duration,
    pub(crate) schema_bytes: u64,
    pub(crate) schema_rss_bytes: u64,
    /// Time on any processor while [`RESOURCES`] were planned.
    pub(crate) cpu: Duration,
    /// Wall time of the same, as the client sees it.
    pub(crate) wall: Duration,
    pub(crate) peak_bytes: u64,
    pub(crate) many_peak_bytes: u64,
    /// One planning call with nothing else going on.
    pub(crate) latency: Duration,
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate lies in the workspace")?;
    let scratch = tempfile::tempdir().context("making a directory for the run")?;
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => {}
        Some("connectors") => {
            let count = args.next().map_or(Ok(connectors::CONNECTORS), |count| count.parse())?;
            let figures = connectors::measure(scratch.path(), count)?;
            eprintln!("\n{}", report::connectors(&figures)?);
            return Ok(());
        }
        Some("preflight") => {
            let count = args.next().map_or(Ok(connectors::CONNECTORS), |count| count.parse())?;
            let figures = preflight::measure(scratch.path(), count)?;
            eprintln!("\n{}", report::preflight(&figures)?);
            return Ok(());
        }
        Some("quotas") => {
            let figures = quotas::measure(scratch.path())?;
            eprintln!("\n{}", report::quotas(&figures)?);
            return Ok(());
        }
        Some("ingestion") => {
            let figures = ingestion::measure(scratch.path())?;
            eprintln!("\n{}", report::ingestion(&figures));
            return Ok(());
        }
        Some(other) => anyhow::bail!("there is nothing called {other} to measure"),
    }
    eprintln!("building the server, in release, and making tenants on all five systems");
    let tenants = tenants::measure(root, scratch.path())?;
    eprintln!("{tenants:#?}");
    eprintln!("{} connectors, by terraform", connectors::CONNECTORS);
    let connectors = connectors::measure(scratch.path(), connectors::CONNECTORS)?;
    eprintln!("{connectors:#?}");
    let preflight = preflight::measure(scratch.path(), connectors::CONNECTORS)?;
    eprintln!("{preflight:#?}");
    let quotas = quotas::measure(scratch.path())?;
    eprintln!("{quotas:#?}");
    let ingestion = ingestion::measure(scratch.path())?;
    eprintln!("{ingestion:#?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(providers(root, scratch.path(), &tenants, &connectors, &preflight, &quotas, &ingestion))
}

/// What our provider costs, beside the same in Go; and the report of all.
async fn providers(
    root: &Path,
    scratch: &Path,
    tenants: &tenants::Figures,
    connectors: &connectors::Figures,
    preflight: &preflight::Figures,
    quotas: &quotas::Figures,
    ingestion: &ingestion::Figures,
) -> Result<()> {
    eprintln!("building both providers, in release");
    let ours = Subject::ours(root)?;
    let baseline = Subject::baseline(root, scratch)?;
    let logging = baseline.logging();
    let subjects = [&ours, &baseline, &logging];

    let mut figures = [Figures::default(), Figures::default(), Figures::default()];
    let mut spawns: [Vec<Duration>; 3] = Default::default();
    eprintln!("starting each {SPAWNS} times");
    for _ in 0..SPAWNS {
        for (subject, spawns) in subjects.iter().zip(&mut spawns) {
            let plugin = Plugin::spawn(subject, scratch)?;
            spawns.push(plugin.handshake);
        }
    }
    for ((subject, spawns), figures) in subjects.iter().zip(spawns).zip(&mut figures) {
        figures.handshake = median(spawns);
        eprintln!("{}: schema, and planning {RESOURCES} and {MANY_RESOURCES}, {RUNS} times", subject.name);
        measure(subject, scratch, figures).await?;
    }

    eprintln!("terraform plan of {RESOURCES}, {RUNS} times each");
    let plans = terraform::walls(&[&ours, &baseline], RESOURCES, RUNS, scratch)?;
    let report = report::render(&figures, &plans, tenants, connectors, preflight, quotas, ingestion)?;
    let path: PathBuf = root.join("docs/benchmarks.md");
    std::fs::write(&path, &report).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("\n{report}");
    Ok(())
}

/// Each run is a new process, so that none inherits another's memory.
async fn measure(subject: &Subject, scratch: &Path, figures: &mut Figures) -> Result<()> {
    let (mut calls, mut rss, mut cpu, mut wall, mut peak, mut many_peak, mut latency) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    for _ in 0..RUNS {
        let plugin = Plugin::spawn(subject, scratch)?.connect().await?;
        let (schema, bytes, took) = plugin.schema().await?;
        calls.push(took);
        figures.schema_bytes = bytes;
        rss.push(machine::resident_bytes(plugin.pid())?);

        let workload = Workload::new(subject, &schema)?;
        plugin.configure(&workload).await?;
        let before = machine::cpu(plugin.pid())?;
        wall.push(plugin.plan(&workload, 0..RESOURCES).await?);
        cpu.push(machine::cpu(plugin.pid())?.saturating_sub(before));
        peak.push(machine::peak_bytes(plugin.pid())?);
        plugin.plan(&workload, RESOURCES..MANY_RESOURCES).await?;
        many_peak.push(machine::peak_bytes(plugin.pid())?);
        latency.push(plugin.plan_latency(&workload).await?);
        plugin.shutdown().await;
    }
    figures.schema_call = median(calls);
    figures.schema_rss_bytes = median(rss);
    figures.cpu = median(cpu);
    figures.wall = median(wall);
    figures.peak_bytes = median(peak);
    figures.many_peak_bytes = median(many_peak);
    figures.latency = median(latency);
    Ok(())
}

/// The middle one, or the zero of the type if there are none.
pub(crate) fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
