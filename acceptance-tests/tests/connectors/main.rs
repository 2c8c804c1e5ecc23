//! Every kind of connector through its whole life: installed, verified, broken, changed by hand, rotated,
//! imported and destroyed. Each kind by the API; all of them imported, and a sample of them lived through,
//! by both CLIs. The last line says how many kinds there are and how many came through.

mod life;
mod terraform;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use acceptance_tests::kinds::{FarEnd, Secrets};
use acceptance_tests::{Cli, OpenBao, World, new_slug};
use anyhow::{Result, anyhow};
use integraci_api::catalogue::{KINDS, Kind};
use serde_json::json;

/// How many kinds live at once: most of a life is waiting.
const SIDE_BY_SIDE: usize = 4;

fn main() -> ExitCode {
    let outcome = run();
    let (last, is_clean) = match &outcome {
        Ok(faults) => {
            for (kind, fault) in faults {
                let _ = writeln!(std::io::stderr(), "{kind}: {fault:#}");
            }
            let passed =
                KINDS.iter().filter(|kind| faults.iter().all(|(name, _)| *name != kind.name)).count();
            let others = faults.iter().any(|(name, _)| KINDS.iter().all(|kind| *name != kind.name));
            (format!("kinds: {}, passed: {passed}", KINDS.len()), passed == KINDS.len() && !others)
        }
        Err(error) => (format!("the connectors could not be tried: {error:#}"), false),
    };
    let _ = writeln!(std::io::stdout(), "{last}");
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What went wrong, by kind, or by the CLI where it is about all of them.
type Faults = Vec<(&'static str, anyhow::Error)>;

/// A tenant, and its place in OpenBao past the product.
struct Tenant {
    id: String,
    bao: OpenBao,
}

/// A connector that is in force, and its far end.
struct Living {
    kind: &'static Kind,
    name: String,
    id: String,
    far_end: Box<dyn FarEnd>,
    secrets: Secrets,
}

fn run() -> Result<Faults> {
    let world = World::new("connectors")?;
    let server = world.serve()?;
    let api = server.api()?;
    let slug = new_slug("kinds");
    let tenant = Tenant { id: api.tenant(&slug)?, bao: world.openbao().of_tenant(&slug) };
    let room = json!({ "limits": { "connectors": 2 * KINDS.len() } });
    api.put(&format!("/v1/tenants/{}/quota", tenant.id), &room)?.expect(200)?;

    let (mut living, mut faults) = (Vec::new(), Faults::new());
    for (kind, lived) in side_by_side(KINDS.iter().collect(), |kind| life::begin(&world, &api, &tenant, kind))
    {
        match lived {
            Ok(connector) => living.push(connector),
            Err(fault) => faults.push((kind, fault)),
        }
    }
    for cli in [Cli::Terraform, Cli::Tofu] {
        if let Err(fault) = terraform::imports_all(cli, &server, &tenant.id, &living) {
            faults.push((cli.name(), fault));
        }
    }
    for (kind, ended) in side_by_side(living, |connector| life::end(&api, &tenant, &connector)) {
        faults.extend(ended.err().map(|fault| (kind, fault)));
    }
    for (cli, lived) in
        side_by_side(vec![Cli::Terraform, Cli::Tofu], |cli| terraform::sample(cli, &world, &server))
    {
        faults.extend(lived.err().map(|fault| (cli, fault)));
    }
    Ok(faults)
}

/// Does the work for each, a few at a time, and says what came of it.
fn side_by_side<T: About + Send, R: Send>(
    all: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Vec<(&'static str, Result<R>)> {
    let waiting = Mutex::new(all);
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(one) = next() {
                    let about = one.about();
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(one)));
                    let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("it panicked")));
                    if let Ok(mut done) = done.lock() {
                        done.push((about, outcome));
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default()
}

/// What a thread of work is about.
trait About {
    fn about(&self) -> &'static str;
}

impl About for &'static Kind {
    fn about(&self) -> &'static str {
        self.name
    }
}

impl About for Living {
    fn about(&self) -> &'static str {
        self.kind.name
    }
}

impl About for Cli {
    fn about(&self) -> &'static str {
        self.name()
    }
}
