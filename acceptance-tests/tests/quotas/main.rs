//! Every dimension of a quota, gone over through the real system: a small limit is set by `apply` of
//! `integraci_quota`, all that fits is taken and one more is refused by whoever enforces it; then `apply`
//! raises the limit, and what was refused is done. In between, the API tells what is used. Each CLI with a
//! tenant of its own. A dimension that nobody wrote a case for is one that did not hold.
//!
//! The last line says how many dimensions there are and how many held, unless something else went wrong.

mod kubernetes;
mod nats;
mod openbao;
mod server;
mod tenant;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use acceptance_tests::{Admin, Cli, Server, World};
use anyhow::{Context as _, Result, anyhow};
use integraci_api::quotas::DIMENSIONS;

use tenant::Tenant;

/// What a case was refused, to be done again when there is room.
type Refused<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;

/// A dimension, and how its limit is gone over.
struct Case {
    dimension: &'static str,
    /// The limit that is gone over, as a user writes it,
    small: &'static str,
    /// and the one that has room for what was refused.
    large: &'static str,
    /// Takes what fits, sees one more refused and what the API tells of it, and gives what was refused.
    exceed: for<'a> fn(&'a Tenant<'a>, &Case) -> Result<Refused<'a>>,
}

/// In an order in which none is in another's way. What is in a place of several dimensions, a connector
/// with its secret, a pod with its memory, has room in all but the one that is gone over.
const CASES: &[Case] = &[
    Case { dimension: "secrets", small: "2", large: "20", exceed: server::secrets },
    Case { dimension: "connectors", small: "4", large: "20", exceed: server::connectors },
    Case { dimension: "api_tokens", small: "3", large: "10", exceed: server::api_tokens },
    Case { dimension: "api_requests_per_minute", small: "25", large: "5000", exceed: server::requests },
    Case { dimension: "pipeline_runs_per_month", small: "3", large: "10", exceed: server::pipeline_runs },
    Case { dimension: "deploys_per_month", small: "2", large: "10", exceed: server::deploys },
    Case { dimension: "memory", small: "64Mi", large: "256Mi", exceed: kubernetes::memory },
    Case { dimension: "cpu", small: "300m", large: "1500m", exceed: kubernetes::cpu },
    Case { dimension: "pods", small: "3", large: "8", exceed: kubernetes::pods },
    Case { dimension: "storage", small: "1Gi", large: "2Gi", exceed: kubernetes::storage },
    Case { dimension: "nats_payload_bytes", small: "8Ki", large: "64Ki", exceed: nats::payload },
    Case { dimension: "nats_stream_bytes", small: "2Mi", large: "8Mi", exceed: nats::streams },
    Case { dimension: "nats_connections", small: "10", large: "50", exceed: nats::connections },
    Case { dimension: "openbao_requests_per_second", small: "30", large: "10000", exceed: openbao::requests },
];

/// What did not hold, by dimension, and what else went wrong.
type Faults = Vec<(&'static str, anyhow::Error)>;

fn main() -> ExitCode {
    let outcome = run();
    let (last, is_clean) = match &outcome {
        Ok(faults) => {
            for (dimension, fault) in faults {
                let _ = writeln!(std::io::stderr(), "{dimension}: {fault:#}");
            }
            let held = |name: &str| faults.iter().all(|(dimension, _)| *dimension != name);
            let held = DIMENSIONS.iter().filter(|it| held(it.name)).count();
            let is_of_none = |name: &str| DIMENSIONS.iter().all(|it| it.name != name);
            let last = match faults.iter().find(|(name, _)| is_of_none(name)) {
                Some((what, _)) => format!("dimensions: {}, and {what} failed", DIMENSIONS.len()),
                None => format!("dimensions: {}, held: {held}", DIMENSIONS.len()),
            };
            (last, faults.is_empty())
        }
        Err(error) => (format!("the quotas could not be tried: {error:#}"), false),
    };
    let _ = writeln!(std::io::stdout(), "{last}");
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run() -> Result<Faults> {
    let untried = DIMENSIONS.iter().filter(|it| CASES.iter().all(|case| case.dimension != it.name));
    let mut faults: Faults = untried
        .map(|it| (it.name, anyhow!("there is no case for it in acceptance-tests/tests/quotas")))
        .collect();
    let world = World::whole("quotas")?;
    let (server, admin) = (world.serve()?, Admin::new(world.platform())?);
    let tried = |cli| tried(cli, &world, &server, &admin);
    let (terraform, tofu) = thread::scope(|scope| {
        let other = scope.spawn(|| tried(Cli::Tofu));
        (tried(Cli::Terraform), other.join().unwrap_or_else(|_| Err(anyhow!("it panicked"))))
    });
    faults.extend(terraform.context("terraform")?);
    faults.extend(tofu.context("tofu")?);
    Ok(faults)
}

/// All cases by one CLI.
fn tried(cli: Cli, world: &World, server: &Server, admin: &Admin) -> Result<Faults> {
    let tenant = Tenant::new(cli, world, server, admin)?;
    let mut faults = Faults::new();
    let mut fault = |case: &Case, error: anyhow::Error| {
        faults.push((case.dimension, error.context(format!("{}, {}", cli.name(), tenant.slug))));
    };
    tenant.apply(CASES.iter().map(|case| (case.dimension, case.small)))?;
    let mut all_refused = Vec::new();
    for case in CASES {
        match (case.exceed)(&tenant, case).context("at the small limit") {
            Ok(refused) => all_refused.push((case, refused)),
            Err(error) => fault(case, error),
        }
    }
    tenant.apply(CASES.iter().map(|case| (case.dimension, case.large)))?;
    for (case, refused) in all_refused {
        let done = refused().and_then(|()| tenant.limit_is(case.dimension, case.large));
        if let Err(error) = done.context("with the limit raised") {
            fault(case, error);
        }
    }
    let removed = kubernetes::claims_let_go(&tenant).and_then(|()| tenant.removed());
    faults.extend(removed.err().map(|error| ("the tenant's removal", error)));
    Ok(faults)
}
