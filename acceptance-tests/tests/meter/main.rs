//! Many events, sent by several senders in batches that overlap, in no order, some of them twice, while
//! servers are killed and started again; a batch without an answer is sent again, and so is one whose answer
//! is thrown away, as if it was lost on its way. What the API and the database then tell of every hour and every month is held against a count that is made here, of the list
//! that the events were made from.
//!
//! `make meter EVENTS=1000000`.

mod count;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::{Api, Server, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::{Value, json};

use count::{Counts, Event};

/// How many are sent if nothing is said.
const EVENTS: usize = 20_000;
const TENANTS: usize = 3;
const SENDERS: usize = 6;
const SERVERS: usize = 2;
/// How often a server is killed.
const KILLS: usize = 10;
/// How many batches there are of few events, so that some are under way whenever a server is killed.
const BATCHES_MIN: usize = 200;
const BATCH_MAX: usize = 900;
/// Of so many batches the first answer to one is lost.
const LOST_OF: usize = 10;
/// A batch that no server has taken by then is lost.
const SENT_DEADLINE: Duration = Duration::from_secs(120);
const AGAIN_AFTER: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    // `cargo test` hands its own arguments on to every test binary.
    let wanted = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(EVENTS);
    match run(wanted) {
        Ok((counted, differences)) => {
            let last = format!("events: {wanted}, counted: {counted}, differences: {differences}");
            let _ = writeln!(std::io::stdout(), "{last}");
            let is_good = differences == 0 && usize::try_from(counted) == Ok(wanted);
            if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Events of one tenant that are sent together, by their places in the list.
struct Batch {
    tenant: usize,
    events: Vec<usize>,
    /// Whether some of them are in no other batch: if none of it is new, it was counted before.
    has_own: bool,
}

/// What became of what was sent.
#[derive(Default)]
struct Tally {
    /// Batches that a server had begun to read when it was killed.
    unanswered: AtomicUsize,
    /// Batches that were counted without an answer, and were known when they came again.
    known: AtomicUsize,
}

/// The servers, and where each listens.
struct Fleet<'a> {
    world: &'a World,
    servers: Vec<Mutex<Server>>,
    endpoints: Vec<RwLock<String>>,
}

/// Sends so many events; how many were counted, and the differences.
fn run(wanted: usize) -> Result<(i64, u64)> {
    let world = World::new("meter")?;
    let servers = (0..SERVERS).map(|_| world.serve()).collect::<Result<Vec<_>>>()?;
    let api = servers[0].api()?;
    let tenants = (0..TENANTS).map(|_| api.tenant(&new_slug("meter"))).collect::<Result<Vec<_>>>()?;
    for tenant in &tenants {
        let limits = json!({ "pipeline_runs_per_month": wanted, "deploys_per_month": wanted });
        api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": limits }))?.expect(200)?;
    }
    let events = count::events(wanted, TENANTS);
    let expected = Counts::of(&events, &tenants);
    let batches = batches(&events);
    let fleet = Fleet {
        world: &world,
        endpoints: servers.iter().map(|server| RwLock::new(server.endpoint().to_owned())).collect(),
        servers: servers.into_iter().map(Mutex::new).collect(),
    };

    let began = Instant::now();
    let (next, tally) = (AtomicUsize::new(0), Tally::default());
    let between_kills = (batches.len() / (KILLS + 1)).max(1);
    let send = || -> Result<()> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(n) else { return Ok(()) };
            // The others are sending.
            if n % between_kills == 0 && n > 0 {
                fleet.kill(n % SERVERS)?;
            }
            let body =
                json!({ "events": batch.events.iter().map(|n| events[*n].json()).collect::<Vec<_>>() });
            let is_lost = n % LOST_OF == 0;
            let (accepted, is_again) = fleet.send(&tenants[batch.tenant], &body, is_lost, &tally)?;
            if is_again && batch.has_own && accepted == 0 {
                tally.known.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().unwrap_or_else(|_| anyhow::bail!("a sender panicked")))
    })?;
    let (took, unanswered, known) =
        (began.elapsed(), tally.unanswered.into_inner(), tally.known.into_inner());
    let _ = writeln!(
        std::io::stderr(),
        "{} batches in {:.1} s; {unanswered} were cut off, and {known} that were counted without an answer were known again",
        batches.len(),
        took.as_secs_f64()
    );
    ensure!(unanswered > 0, "no batch was cut off: nothing was killed while it mattered");
    ensure!(known > 0, "no batch was counted without an answer");

    let api = fleet.api(0)?;
    let told = Counts::told(&api, &tenants)?;
    let kept = Counts::kept(&world)?;
    let differences = expected.differences(&told, count::TOLD) + expected.differences(&kept, count::KEPT);
    count::control(&world, &expected)?;
    Ok((told.total(), differences))
}

/// The events in batches: each is in one, some of each batch are in another one too, and one batch of five is
/// there twice.
fn batches(events: &[Event]) -> Vec<Batch> {
    let mut rng = rand::rng();
    let size = (events.len() / BATCHES_MIN).clamp(1, BATCH_MAX);
    let mut batches = Vec::new();
    for tenant in 0..TENANTS {
        let mut own: Vec<_> = (0..events.len()).filter(|n| events[*n].tenant == tenant).collect();
        own.shuffle(&mut rng);
        for fresh in own.chunks(size) {
            let again = own.sample(&mut rng, size.div_ceil(10));
            let mut events: Vec<_> = fresh.iter().chain(again).copied().collect();
            events.shuffle(&mut rng);
            if batches.len() % 5 == 0 {
                batches.push(Batch { tenant, events: events.clone(), has_own: false });
            }
            batches.push(Batch { tenant, events, has_own: false });
        }
    }
    let mut times = vec![0; events.len()];
    batches.iter().flat_map(|batch| &batch.events).for_each(|n| times[*n] += 1);
    for batch in &mut batches {
        batch.has_own = batch.events.iter().any(|n| times[*n] == 1);
    }
    batches.shuffle(&mut rng);
    batches
}

impl Fleet<'_> {
    fn api(&self, n: usize) -> Result<Api> {
        let endpoint = self.endpoints[n].read().unwrap_or_else(PoisonError::into_inner).clone();
        Api::new(&endpoint, Some(self.world.token()))
    }

    /// Sends a batch to one server or another until one has taken it, and again if its first answer is to be
    /// lost; how many of its events were accepted at last, and whether it was sent more than once.
    fn send(&self, tenant: &str, body: &Value, mut is_lost: bool, tally: &Tally) -> Result<(u64, bool)> {
        let began = Instant::now();
        let mut is_again = false;
        loop {
            let api = self.api(rand::random_range(0..SERVERS))?;
            let path = format!("/v1/tenants/{tenant}/events");
            match api.request("POST", &path)?.json(body).send() {
                Ok(answer) if answer.status < 500 => {
                    let answer = answer.expect(200)?;
                    ensure!(answer.body["rejected"] == json!([]), "events were rejected: {}", answer.body);
                    if !is_lost {
                        return Ok((answer.body["accepted"].as_u64().context("accepted")?, is_again));
                    }
                    (is_lost, is_again) = (false, true);
                }
                unanswered => {
                    // Where nothing listens nothing was cut off.
                    if unanswered.as_ref().is_err_and(|error| !is_refused(error)) {
                        is_again = true;
                        tally.unanswered.fetch_add(1, Ordering::Relaxed);
                    }
                    if began.elapsed() > SENT_DEADLINE {
                        unanswered.context("a batch was never taken")?.expect(200)?;
                    }
                    thread::sleep(AGAIN_AFTER);
                }
            }
        }
    }

    /// Kills a server as a power cut would, and starts another in its place.
    fn kill(&self, n: usize) -> Result<()> {
        let mut server = self.servers[n].lock().unwrap_or_else(PoisonError::into_inner);
        server.process().kill()?;
        *server = self.world.serve()?;
        let mut endpoint = self.endpoints[n].write().unwrap_or_else(PoisonError::into_inner);
        server.endpoint().clone_into(&mut endpoint);
        Ok(())
    }
}

/// Whether nothing was sent, as no connection was made.
fn is_refused(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}
