//! One tenant attacks another, in every way that can be generated: every operation of the API's
//! description and of every system, with every kind of credential that a tenant has, had, or could
//! come by, at another tenant and at one that never was. All must be refused, and nobody may tell by
//! the answers which of the two there is. The same is then done by its rightful owner, and must
//! succeed: an attempt at something that nobody can do shows nothing.
//!
//! And a tenant attacks the platform's own network through the calls that its connectors make: see [`ssrf`].
//!
//! It is apart from the attestation, which runs in the server: what one of them is blind to, the other
//! has not been told to overlook.

mod api;
mod cast;
mod document;
mod http;
mod keycloak;
mod kubernetes;
mod nats;
mod openbao;
mod postgres;
mod score;
mod ssrf;
mod target;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use acceptance_tests::{Api, World};
use anyhow::{Result, bail, ensure};

use cast::Systems;
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
            let _ = writeln!(std::io::stderr(), "the rightful owner did the same {} times", score.controls());
            let public = score.public_answers();
            let _ = writeln!(
                std::io::stderr(),
                "{public} answers were what a system tells everybody: that a name is nobody's"
            );
            let (ways, refused) = (score.ways(), score.ways_refused());
            let _ = writeln!(std::io::stderr(), "ways to a forbidden address: {ways}, refused: {refused}");
            (score.to_string(), score.is_clean())
        }
        Err(error) => (format!("the attack could not be carried out: {error:#}"), false),
    };
    let _ = writeln!(std::io::stdout(), "{last}");
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run() -> Result<Score> {
    let world = World::whole("attack")?;
    let server = world.serve()?;
    let platform = server.api()?;
    let attacker = Target::made(&platform, "attacker")?;
    let victim = Target::made(&platform, "victim")?;
    let suspended = Target::made(&platform, "suspended")?;
    let outcome = attack(&world, &platform, attacker.clone(), victim.clone(), &suspended);
    let removed = [&attacker, &victim, &suspended].map(|target| target.removed(&platform));
    let score = outcome?;
    removed.into_iter().collect::<Result<()>>()?;
    // The ways to forbidden addresses are counted where they are tried.
    let attempts = score.attempts() - score.attempts_by_ways();
    ensure!(attempts >= ATTEMPTS_MIN, "only {attempts} attempts were generated");
    Ok(score)
}

fn attack(
    world: &World,
    platform: &Api,
    mut attacker: Target,
    mut victim: Target,
    suspended: &Target,
) -> Result<Score> {
    let mut credentials = api::credentials(world, platform, &attacker, suspended)?;
    let systems = Systems::new(platform, &mut attacker, suspended, &mut victim)?;
    credentials.extend(systems.bearers()?);

    let (systems, attacker, victim) = (&systems, &attacker, &victim);
    let mut score = thread::scope(|scope| {
        let attacks = [
            scope.spawn(|| postgres::attack(world, attacker, suspended, victim)),
            scope.spawn(|| openbao::attack(world, &systems.openbao, victim)),
            scope.spawn(|| nats::attack(world, &systems.nats, victim)),
            scope.spawn(|| kubernetes::attack(world, &systems.kubernetes, victim)),
            scope.spawn(ssrf::attack),
        ];
        let mut score = api::attack(platform, &credentials, attacker, victim)?;
        for attack in attacks {
            score.add(attack.join().unwrap_or_else(|_| bail!("an attack panicked"))?);
        }
        Ok::<_, anyhow::Error>(score)
    })?;
    // At the end they remove what all the others work on: what is in the realm, and then the tenant.
    score.add(keycloak::attack(world, &systems.keycloak, victim)?);
    score.add(api::controls(platform, victim)?);
    Ok(score)
}
