//! A tenant attacks the network that the platform is in: it gives addresses that the server may not call, in
//! every way in which an address reaches the server, and has far sides that lead there.
//!
//! The server may call one address besides the public ones, 127.0.0.2. A listener is on every address of
//! this machine: at that one it is the tenant's far side, at every other it must hear nothing. Every way is
//! tried twice, at a port where the listener would hear it and at one where nobody listens, or for a name
//! at one that somebody has and at one that nobody has: the answers must be the same in every word, so that
//! nobody can search the platform's network by them. As controls the same ways lead to the far side.
//!
//! Names that change between check and connection are in the server's own tests, which bring their own
//! resolver.

mod addresses;
mod directly;
mod kinds;
mod later;
mod machine;
mod onwards;
mod secure;
mod tenant;

use acceptance_tests::World;
use anyhow::{Result, ensure};

use addresses::{ALLOWED, HOSTS, own_hosts};
use machine::{Machine, Path};
use tenant::{Tenant, Way};

use crate::score::Score;

/// Fewer, and something was not generated.
const WAYS_MIN: usize = 500;
/// Of the forms of an address, so many stand for this machine, whatever its system takes them for.
const HEARD_MIN: usize = 20;

/// Tries everything, in a world of its own.
pub(crate) fn attack() -> Result<Score> {
    let world = World::new("ssrf")?;
    world.outbound_set(&format!("allow = [\"{ALLOWED}/32\"]\nallow_http = true\n"))?;
    let server = world.serve()?;
    let machine = Machine::listen()?;
    let tenant = Tenant::made(server.api()?)?;

    let mut score = listener_hears(&machine)?;
    score.add(listener_hears_the_server(&machine, &tenant)?);
    score.add(directly::fields_lead(&machine, &tenant)?);
    score.add(onwards::redirects_lead(&machine, &tenant)?);
    score.add(onwards::realms_lead(&machine, &tenant)?);
    let batches: [(&str, Vec<Way>); 9] = [
        ("hosts", directly::hosts(&machine)),
        ("addresses", directly::urls(&machine)),
        ("names", directly::names(&machine)?),
        ("fields", directly::fields(&machine)?),
        ("texts", directly::texts(&machine)?),
        ("redirects", onwards::redirects(&machine)),
        ("token services", onwards::realms(&machine)),
        ("hints", onwards::hints(&machine)),
        ("kubeconfigs", onwards::kubeconfigs(&machine)),
    ];
    for (batch, ways) in batches {
        score.add(tenant.try_all(ways)?);
        for at in machine.trespasses() {
            score.trespass(&format!("somebody came to {at} while {batch} were tried"));
        }
    }
    score.add(later::ways(&world, &machine, &tenant)?);
    for at in machine.trespasses() {
        score.trespass(&format!("somebody came to {at} while connectors were changed"));
    }
    drop(server);
    world.outbound_set(&format!("allow = [\"{ALLOWED}/32\"]\nallow_http = false\n"))?;
    let server = world.serve()?;
    let (tenant, secure) = (tenant.at(server.api()?), machine.secure()?);
    score.add(tenant.try_all(secure::downgrades(&machine, &secure))?);
    score.add(secure::downgrades_lead(&machine, &secure, &tenant)?);
    for at in machine.trespasses() {
        score.trespass(&format!("somebody came to {at} of a server that must have TLS"));
    }
    ensure!(score.ways() >= WAYS_MIN, "only {} ways were generated", score.ways());
    Ok(score)
}

/// Whoever calls this machine by any of the forms that stand for it is noted.
fn listener_hears(machine: &Machine) -> Result<Score> {
    let mut score = Score::default();
    let mut heard = 0;
    for host in HOSTS.iter().map(|host| (*host).to_owned()).chain(own_hosts()) {
        if machine.hears_at(&host)? {
            heard += 1;
            score.control();
        }
    }
    ensure!(heard >= HEARD_MIN, "only {heard} forms stand for this machine");
    Ok(score)
}

/// The server itself is heard by the same listener at the allowed address.
fn listener_hears_the_server(machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let path = Path::yes("server");
    let seen = tenant.install(&directly::webhook(&machine.allowed(&path), "required"))?;
    ensure!(seen.is_granted && machine.was_asked(&path), "the server is not heard: {}", seen.answer);
    let mut score = Score::default();
    score.control();
    Ok(score)
}
