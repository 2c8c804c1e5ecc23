//! One tenant attacks another, in every way that can be generated: every operation of the API's
//! description and of every system, with every kind of credential that a tenant has, had, or could
//! come by, at another tenant and at one that never was. All must be refused, and nobody may tell by
//! the answers which of the two there is. The same is then done by its rightful owner, and must
//! succeed: an attempt at something that nobody can do shows nothing.
//!
//! It is apart from the attestation, which runs in the server: what one of them is blind to, the other
//! has not been told to overlook.

mod api;
mod document;
mod score;
mod target;

use std::io::Write as _;
use std::process::ExitCode;

use acceptance_tests::World;
use anyhow::{Result, ensure};

use score::Score;
use target::Target;

/// Fewer, and something was not generated.
const ATTEMPTS_MIN: usize = 1000;

fn main() -> ExitCode {
    let outcome = run();
    let (last, is_clean) = match &outcome {
        Ok(score) => {
            for fault in score.faults() {
                let _ = writeln!(std::io::stderr(), "{fault}");
            }
            let _ = writeln!(std::io::stderr(), "{} times the rightful owner did the same", score.controls());
            (score.to_string(), score.is_clean())
        }
        Err(error) => (format!("the attack could not be carried out: {error:#}"), false),
    };
    let _ = writeln!(std::io::stdout(), "{last}");
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run() -> Result<Score> {
    let world = World::new("attack")?;
    let server = world.serve()?;
    let platform = server.api()?;
    let attacker = Target::made(&platform, "attacker")?;
    let victim = Target::made(&platform, "victim")?;
    let credentials = api::credentials(&world, &platform, &attacker)?;

    let mut score = api::attack(&platform, &credentials, &attacker, &victim)?;
    score.add(api::controls(&platform, &victim)?);
    ensure!(score.attempts() >= ATTEMPTS_MIN, "only {} attempts were generated", score.attempts());
    Ok(score)
}
