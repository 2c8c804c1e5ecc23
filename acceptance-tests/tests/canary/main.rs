//! Unique secrets are applied, changed, refused and compared by both CLIs with everything logged, and
//! then looked for in all that is left behind: state, backups, plan files, private state, logs of the
//! CLIs and of the server at their most talkative, and Postgres' data directory with its WAL, stopped.
//! They must be in OpenBao and nowhere else.
//!
//! That the search would find one is shown twice: by the unit tests of `acceptance_tests::leaks` for
//! every dress and wrapping, and here by controls, values that are no secrets and have to turn up in
//! each kind of place. The far side is left out: it knows the secrets because it is their other end.

mod kinds;
mod scenario;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acceptance_tests::faults::Faults;
use acceptance_tests::leaks::{Canary, Found, Search};
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Cli, World, scratch};
use anyhow::{Result, ensure};
use local_platform::{Platform, Progress, System, Wanted};

use scenario::{Applied, Tokens};

fn main() -> ExitCode {
    let outcome = run();
    let last = match &outcome {
        Ok(report) => {
            format!(
                "canaries: {}, places searched: {}, found outside OpenBao: {}",
                report.canaries,
                report.places,
                report.found.len()
            )
        }
        Err(error) => format!("the canary test could not be done: {error:#}"),
    };
    for found in outcome.iter().flat_map(|report| &report.found) {
        let _ = writeln!(std::io::stderr(), "{} is in {} ({})", found.what, found.place, found.dress);
    }
    let _ = writeln!(std::io::stdout(), "{last}");
    if outcome.is_ok_and(|report| report.found.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Report {
    canaries: usize,
    places: usize,
    found: BTreeSet<Found>,
}

fn run() -> Result<Report> {
    // Its own, so that it can be stopped, and with the disk waited for, as in production.
    let dir = scratch::dir("canary")?;
    let platform_dir = dir.join("platform");
    let wanted = Wanted::of([System::Postgres, System::OpenBao]);
    let platform = block_on(Platform::start(&platform_dir, &wanted, &Progress::silent()))?;
    let outcome = everything(&platform);
    block_on(platform.stop());
    let Left { canaries, control, places } = outcome?;

    let mut search = Search::new(&canaries);
    for place in &places {
        search.tree(place)?;
    }
    search.tree(&platform_dir.join("postgres"))?;

    let database = platform_dir.join("postgres/data");
    controls_are_found(&control, &places, &database)?;
    Ok(Report { canaries: canaries.len(), places: search.places, found: search.found })
}

/// What the scenarios leave behind.
struct Left {
    canaries: Vec<Canary>,
    control: Canary,
    /// The directories of the CLIs, and the server's.
    places: Vec<PathBuf>,
}

fn everything(platform: &Platform) -> Result<Left> {
    let world = World::on(platform.endpoints(), "canary", false)?;
    let control = Canary::of("a control", &hex::encode(rand::random::<[u8; 16]>()));
    let mut left = Left { canaries: Vec::new(), control, places: vec![world.dir().to_owned()] };

    let faults = Faults::new()?;
    let server = world.serve_with(&[("INTEGRACI_LOG", "trace"), faults.env()])?;
    let tokens = Tokens::new(&world, &server)?;
    for cli in [Cli::Terraform, Cli::Tofu] {
        let Applied { secrets, kept, dir } = scenario::apply(cli, &server, &tokens, &left.control.value)?;
        // The secrets in force are where they belong.
        let stored = world.openbao().secret_texts()?;
        for secret in &kept {
            ensure!(stored.contains(secret), "a secret that was applied is not in OpenBao");
        }
        left.canaries.extend(secrets);
        left.places.push(dir);
    }
    let tried = kinds::all(&world, &server.api()?, &faults)?;
    let stored = world.openbao().secret_texts()?;
    ensure!(
        tried.kept.iter().all(|secret| stored.contains(secret)),
        "a secret that was sent is not in OpenBao"
    );
    left.canaries.extend(tried.secrets);
    left.canaries.extend(scenario::malformed(&server)?);
    left.canaries.extend(scenario::lent(&server)?);
    // The server says in its log which addresses it was asked for in vain.
    server.api()?.get(&format!("/{}", left.control.value))?.expect(404)?;
    left.canaries.extend(tokens.canaries());
    drop(server);
    ensure!(!left.canaries.is_empty(), "no canary was set free");
    Ok(left)
}

/// The control is no secret. It has to be found in each kind of place, or the search is blind there.
fn controls_are_found(control: &Canary, places: &[PathBuf], database: &Path) -> Result<()> {
    let mut search = Search::new(std::slice::from_ref(control));
    for place in places.iter().map(PathBuf::as_path).chain([database]) {
        search.tree(place)?;
    }
    let found: Vec<&str> = search.found.iter().map(|it| it.place.as_str()).collect();
    for kind in [
        "/terraform.tfstate",
        "/terraform.tfstate.backup",
        "create.plan » tfplan",
        "create.plan » tfconfig",
        "/trace.log",
        "/said/",
        "/server.err",
        "/postgres/data/base/",
        "/postgres/data/pg_wal/",
    ] {
        ensure!(
            found.iter().any(|place| place.contains(kind)),
            "the control was not found in {kind}: {found:#?}"
        );
    }
    Ok(())
}
