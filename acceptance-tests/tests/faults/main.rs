//! The fault matrix: every step of every saga × every fault, on the way forward and on the way back, and
//! the faults that are no step's. After each, everything is in place or nothing is left, which all five
//! systems are asked as their administrators; and the same request then succeeds.
//!
//! The cases come from the operations' own steps: each deed is done once undisturbed, and once refused
//! so that it turns back. A fault that does not happen fails its case. Lanes work side by side, each in
//! a world of its own, where a bystander, a tenant that nothing is done to, must not notice anything.
//!
//! `make faults`; one case again: `make faults CASE=tenant_create/openbao_place/lost`.

mod case;
mod deed;
mod lane;
mod other;
mod tally;

use std::collections::VecDeque;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use case::{Case, survey};
use deed::DEEDS;
use lane::Lane;
use other::{OTHERS, Other};
use tally::Tally;

/// How many worlds there are: most of a case is waiting for a lease to end or a system to come back.
const LANES: usize = 6;

fn main() -> ExitCode {
    // `cargo test` hands its own arguments on to every test binary.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let tally = Tally::default();
    run(&tally, wanted.as_deref().unwrap_or_default());
    let (last, is_good) = tally.told();
    let _ = writeln!(std::io::stdout(), "{last}");
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a lane takes up next.
enum Work {
    Case(Case),
    Other(Other),
}

impl Work {
    fn name(&self) -> String {
        match self {
            Self::Case(case) => case.name(),
            Self::Other(other) => other.name(),
        }
    }

    fn run(&self, lane: &mut Lane<'_>) -> Result<()> {
        match self {
            Self::Case(case) => case.run(lane),
            Self::Other(other) => other.run(lane),
        }
    }
}

type Queue<T> = Mutex<VecDeque<T>>;

fn take<T>(queue: &Queue<T>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Runs every case whose name begins with `wanted`.
fn run(tally: &Tally, wanted: &str) {
    let is_wanted = |name: &str| name.starts_with(wanted) || wanted.starts_with(name);
    let deeds: Queue<_> = Mutex::new(DEEDS.into_iter().filter(|deed| is_wanted(deed.name())).collect());
    let others = OTHERS.into_iter().map(Work::Other).filter(|work| work.name().starts_with(wanted));
    let queue: Queue<Work> = Mutex::new(others.collect());
    let surveyed = Barrier::new(LANES);
    let work = |lane: Result<Lane<'_>>| {
        let mut lane = lane.map_err(|error| tally.failed("a world", &error)).ok();
        while let (Some(lane), Some(deed)) = (&mut lane, take(&deeds)) {
            match survey(lane, deed) {
                Ok(found) => queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(found.into_iter().map(Work::Case).filter(|work| work.name().starts_with(wanted))),
                Err(error) => {
                    tally.failed(deed.name(), &error);
                    lane.restart();
                }
            }
        }
        surveyed.wait();
        while let (Some(lane), Some(work)) = (&mut lane, take(&queue)) {
            match work.run(lane) {
                Ok(()) => tally.done(&work.name()),
                Err(error) => {
                    tally.failed(&work.name(), &error);
                    lane.restart();
                }
            }
        }
        if let Some(lane) = lane
            && let Err(error) = lane.close()
        {
            tally.failed("the end of a world", &error);
        }
    };
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| work(Lane::new(tally)));
        }
    });
}
