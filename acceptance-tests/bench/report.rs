//! The figures as a page.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::terraform::Walls;
use crate::{
    Figures, MANY_RESOURCES, RESOURCES, RUNS, SPAWNS, connectors, ingestion, machine, preflight, quotas,
    tenants,
};

/// Renders `docs/benchmarks.md`.
pub(crate) fn render(
    [ours, baseline, logging]: &[Figures; 3],
    walls: &Walls,
    tenants: &tenants::Figures,
    connectors: &connectors::Figures,
    preflight: &preflight::Figures,
    quotas: &quotas::Figures,
    ingestion: &ingestion::Figures,
) -> Result<String> {
    let mut page = String::new();
    let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
    let memory_gib = machine::memory_bytes()? >> 30;
    write!(
        page,
        "# Benchmarks\n\n\
         What a tenant costs, beside what the slowest of its systems takes alone; what connectors cost in Terraform, beside \
         what core has built in; and what the provider costs, beside a minimal provider in Go on terraform-plugin-framework 1.19\n\
         (`acceptance-tests/bench/go-provider`). Written by `make bench`; do not edit.\n\n\
         Measured {date} on {} cores and {memory_gib} GiB, with {}. Other machines give other figures; the\n\
         ratios travel better.\n\n",
        machine::cores()?,
        walls.version,
    )?;
    tenants_aims(&mut page, tenants)?;
    page.push_str(&self::connectors(connectors)?);
    page.push_str(&self::preflight(preflight)?);
    page.push_str(&self::quotas(quotas)?);
    page.push_str(&self::ingestion(ingestion));
    aims(&mut page, ours, baseline, walls)?;
    details(&mut page, [ours, baseline, logging])?;
    page.push_str(METHOD);
    Ok(page
        .replace("{SPAWNS}", &SPAWNS.to_string())
        .replace("{RUNS}", &RUNS.to_string())
        .replace("{RESOURCES}", &grouped(RESOURCES))
        .replace("{MANY_RESOURCES}", &grouped(MANY_RESOURCES)))
}

/// One figure, and what it is to be at most, as a share of what it is compared with.
struct Aim {
    what: String,
    ours: String,
    compared: String,
    ratio: f64,
    at_most: f64,
}

fn aims(page: &mut String, ours: &Figures, baseline: &Figures, walls: &Walls) -> Result<()> {
    let [our_wall, go_wall] = *walls.providers else { anyhow::bail!("two providers were planned with") };
    let time = |what: &str, ours: Duration, compared: Duration, at_most| Aim {
        what: what.into(),
        ours: milliseconds(ours),
        compared: milliseconds(compared),
        ratio: ours.as_secs_f64() / compared.as_secs_f64(),
        at_most,
    };
    let memory = |what: &str, ours: u64, compared: u64, at_most| Aim {
        what: what.into(),
        ours: mebibytes(ours),
        compared: mebibytes(compared),
        ratio: fraction(ours) / fraction(compared),
        at_most,
    };
    let aims = [
        time("spawn to handshake", ours.handshake, baseline.handshake, 0.25),
        memory(
            "resident after GetProviderSchema",
            ours.schema_rss_bytes,
            baseline.schema_rss_bytes,
            1.0 / 3.0,
        ),
        memory("peak, planning {RESOURCES} resources", ours.peak_bytes, baseline.peak_bytes, 0.1),
        time("provider CPU, planning {RESOURCES} resources", ours.cpu, baseline.cpu, 0.1),
    ];
    page.push_str("## The provider\n\n| | ours | Go | ratio | aim | |\n|---|--:|--:|--:|--:|---|\n");
    for aim in aims {
        row(page, &aim)?;
    }
    page.push_str("\n| | ours | compared with | ratio | aim | |\n|---|--:|--:|--:|--:|---|\n");
    let mut growth = memory(
        "peak after {MANY_RESOURCES} resources, beside {RESOURCES}",
        ours.many_peak_bytes,
        ours.peak_bytes,
        // "No growth", give or take what an allocator rounds.
        1.05,
    );
    growth.compared.push_str(" (ours)");
    row(page, &growth)?;
    let mut wall = time("`terraform plan` of {RESOURCES}", our_wall, walls.built_in, 1.4);
    wall.compared.push_str(" (`terraform_data`)");
    row(page, &wall)?;
    writeln!(
        page,
        "\nThe same `terraform plan` with the Go provider: {}. What ours takes beyond `terraform_data` is, but for\n\
         the {} of CPU above, core's own work: two remote calls for each resource, and more attributes to\n\
         encode, check and print.\n",
        milliseconds(go_wall),
        milliseconds(ours.cpu),
    )?;
    Ok(())
}

/// What a tenant costs.
fn tenants_aims(page: &mut String, figures: &tenants::Figures) -> Result<()> {
    let (slowest, alone) =
        figures.alone.iter().max_by_key(|(_, took)| **took).context("the systems were measured alone")?;
    let time = |what: String, ours: Duration, compared: Duration, beside: &str, at_most| Aim {
        what,
        ours: milliseconds(ours),
        compared: format!("{} ({beside})", milliseconds(compared)),
        ratio: ours.as_secs_f64() / compared.as_secs_f64(),
        at_most,
    };
    let many = tenants::MANY;
    page.push_str("## A tenant, on all five systems\n\n| | ours | compared with | ratio | aim | |\n|---|--:|--:|--:|--:|---|\n");
    row(page, &time("a tenant, from POST to active".into(), figures.active, *alone, slowest, 1.25))?;
    let apply = format!("{many} tenants by `terraform apply`, 10 at a time");
    row(page, &time(apply, figures.apply, figures.realms, "as many bare realms, 10 at a time", 1.3))?;
    let read = "a tenant read, of 1,000".to_owned();
    row(page, &time(read, figures.read_of_many, figures.read_of_few, "of 10", 1.2))?;
    let peak = Aim {
        what: "the server's memory at its peak".into(),
        ours: mebibytes(figures.server_peak_bytes),
        compared: "100 MB".into(),
        ratio: fraction(figures.server_peak_bytes) / 100e6,
        at_most: 1.0,
    };
    row(page, &peak)?;
    page.push_str("\nEach system's own creation alone:\n\n| | median |\n|---|--:|\n");
    for (system, took) in &figures.alone {
        writeln!(page, "| {system} | {} |", milliseconds(*took))?;
    }
    page.push('\n');
    Ok(())
}

/// What connectors cost in Terraform.
pub(crate) fn connectors(figures: &connectors::Figures) -> Result<String> {
    let connectors::Figures { count, connectors, built_in, requests } = figures;
    let mut page = format!(
        "## {count} connectors over {} tenants, in Terraform\n\n\
         | | connectors | `terraform_data` | ratio |\n|---|--:|--:|--:|\n",
        connectors::TENANTS
    );
    for (what, ours, compared) in [
        ("`terraform apply`", connectors.apply, built_in.apply),
        ("`terraform plan` when nothing has changed", connectors.refresh, built_in.refresh),
    ] {
        let ratio = ours.as_secs_f64() / compared.as_secs_f64();
        writeln!(page, "| {what} | {} | {} | {ratio:.2} |", milliseconds(ours), milliseconds(compared))?;
    }
    writeln!(
        page,
        "\nThat plan makes {requests} requests to the server: a tenant's connectors are listed, 200 to a page, and the list\n\
         answers their reads (docs/decisions/0013-one-list-serves-many-reads.md). One for each would be {count}. An apply\n\
         is that much more than core's own work because each connector is a secret written into OpenBao, two calls to its\n\
         far side, and an operation whose every step is in the database before it is taken.\n"
    )?;
    Ok(page)
}

/// What the quota preflight costs a plan.
pub(crate) fn preflight(figures: &preflight::Figures) -> Result<String> {
    let preflight::Figures { count, warn, off } = figures;
    let mut page =
        "## The quota preflight\n\n| | with it | without it | ratio | aim | |\n|---|--:|--:|--:|--:|---|\n"
            .to_owned();
    let aim = Aim {
        what: format!(
            "`terraform plan` of {count} connectors to be created over {} tenants",
            connectors::TENANTS
        ),
        ours: milliseconds(warn.wall),
        compared: milliseconds(off.wall),
        ratio: warn.wall.as_secs_f64() / off.wall.as_secs_f64(),
        at_most: 1.05,
    };
    row(&mut page, &aim)?;
    writeln!(
        page,
        "\nAll of them fit, so that no answer is held. With it, the plan makes {} requests to the server, one for the quota\n\
         of each tenant; without it, {}. Plans with `quota_preflight` `warn` and `off`, in turn; the median of {} of each.\n",
        warn.requests,
        off.requests,
        preflight::PLANS,
    )?;
    Ok(page)
}

/// What the check of a quota costs.
pub(crate) fn quotas(figures: &quotas::Figures) -> Result<String> {
    let mut page =
        "## A quota\n\n| | ours | compared with | ratio | aim | |\n|---|--:|--:|--:|--:|---|\n".to_owned();
    let micros = |took: Duration| format!("{} µs", took.as_micros());
    let aim = Aim {
        what: "a connector inserted, its places taken in the quota".to_owned(),
        ours: micros(figures.checked),
        compared: format!("{} (without the check)", micros(figures.unchecked)),
        ratio: figures.checked.as_secs_f64() / figures.unchecked.as_secs_f64(),
        at_most: 1.3,
    };
    row(&mut page, &aim)?;
    page.push_str("\nThe transaction that the server makes of it, alone on one connection; the median of 3,000 of each, in turn.\n\n");
    Ok(page)
}

/// How many events are taken.
pub(crate) fn ingestion(figures: &ingestion::Figures) -> String {
    let ingestion::Figures { api, copied, single } = figures;
    let of = |rate: &f64| format!("{rate:.0} | {:.2}", rate / copied);
    format!(
        "## Events\n\n| | events a second | beside COPY |\n|---|--:|--:|\n\
         | through the API: {senders} senders, {batch} to a batch, one tenant | {} |\n\
         | COPY of the same rows into a table without an index | {} |\n\
         | an INSERT for each, on one connection | {} |\n\n\
         What the API adds to COPY is HTTP and JSON, a look at every event, a unique key by which it is known again, and the \
         counts of its hour\nand month, a batch being one transaction. Batches of one tenant come one after another.\n\n",
        of(api),
        of(copied),
        of(single),
        senders = ingestion::SENDERS,
        batch = ingestion::BATCH,
    )
}

fn row(page: &mut String, aim: &Aim) -> Result<()> {
    let verdict = if aim.ratio <= aim.at_most { "met" } else { "**missed**" };
    let Aim { what, ours, compared, ratio, at_most } = aim;
    writeln!(page, "| {what} | {ours} | {compared} | {ratio:.2} | {at_most:.2} | {verdict} |")
        .context("writing a row")
}

fn details(page: &mut String, columns: [&Figures; 3]) -> Result<()> {
    page.push_str("## In full\n\n| | ours | Go, logs off | Go as it is by default |\n|---|--:|--:|--:|\n");
    let mut line = |what: &str, cell: &dyn Fn(&Figures) -> String| {
        let [a, b, c] = columns.map(cell);
        writeln!(page, "| {what} | {a} | {b} | {c} |")
    };
    line("spawn to handshake", &|figures| milliseconds(figures.handshake))?;
    line("GetProviderSchema, first call", &|figures| milliseconds(figures.schema_call))?;
    line("its answer", &|figures| format!("{} bytes", figures.schema_bytes))?;
    line("resident after it", &|figures| mebibytes(figures.schema_rss_bytes))?;
    line("CPU, planning {RESOURCES}", &|figures| milliseconds(figures.cpu))?;
    line("wall, planning {RESOURCES}", &|figures| milliseconds(figures.wall))?;
    line("one PlanResourceChange alone", &|figures| format!("{} µs", figures.latency.as_micros()))?;
    line("peak after {RESOURCES}", &|figures| mebibytes(figures.peak_bytes))?;
    line("peak after {MANY_RESOURCES}", &|figures| mebibytes(figures.many_peak_bytes))?;
    Ok(())
}

const METHOD: &str = "
## How

- Tenants: a release build of the server on the five real systems of `local-platform`, all on this machine, so
  that they share its cores. A tenant and each bare creation, in turn, 15 times. The bare realm has the roles and
  clients of a tenant's and is one POST with a token at hand; half of the bare realms are made before the apply and
  half after it, as every realm makes the next one slower. The read is a GET through HTTP, median of 1,000.
- Connectors: the same server on Postgres and OpenBao alone. GitLab connectors, verified (`required`) against GitLab's
  double in the benchmark's own process, each with a token of its own and `secret_wo_version` set, ten at a time.
  `terraform_data` has the same values without the secret, in a directory without our provider, applied and planned
  in the same run, turn by turn: one apply, and the median of five plans. The requests are counted by a proxy
  before the server, in a plan of its own. Without `secret_wo_version` a plan asks one comparison more for each
  connector.
- Both providers are built for release and driven by the same client: go-plugin's handshake, mutual TLS
  with a P-521 certificate, gRPC over a Unix socket, ten calls at a time as core makes them. A resource
  planned is one ValidateResourceConfig and one PlanResourceChange for a tenant that does not exist yet;
  each answer is checked. Ours serves its whole schema; the Go one has a single resource.
- Logs are off on both sides: ours writes none unless TF_LOG asks, the Go one is told by TF_LOG_SDK=OFF
  and TF_LOG_PROVIDER=OFF. The last column is the Go provider without being told, which is how it is run
  in practice: it writes a trace, and core throws it away.
- Handshake: median of {SPAWNS} starts. All else: median of {RUNS} processes, each fresh. CPU is the
  process's own clock (user and system, all threads) over the planning alone; resident and peak memory
  are VmRSS and VmHWM.
- `terraform plan`: median of {RUNS}, turn by turn, {RESOURCES} instances by `count`, the same values
  in each.
";

fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", fraction(bytes) / fraction(1 << 20))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, of at most a few GiB")]
fn fraction(bytes: u64) -> f64 {
    bytes as f64
}

/// 10,000
fn grouped(number: u32) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}
