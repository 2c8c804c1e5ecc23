//! Histories by the hundred thousand: the machine under a seeded scheduler that breaks whatever can
//! break, with every promise checked at every event.
//!
//! | what goes wrong | how it is made |
//! |---|---|
//! | a call fails before it does anything | refused, busy, gone or broken; a system may go on failing |
//! | it is done and reported as failed, or not at all | broken after it took effect; cut off, and answered late |
//! | it is answered late, or twice | the second answer comes while the step is at something else |
//! | it is done late, twice, or in part | as long after it was cut off as the machine has to reckon with |
//! | an undo fails, or is repeated | all of the above, for undos as well |
//! | the name is taken by something that is not ours | refused until an operator has seen to it |
//! | a runner dies before or after it has written a record | at any moment after it said what it does |
//! | two runners on one lease | one is frozen, or not heard, until another has taken over |
//! | the log does not hear, or is not heard | writes, renewals, claims and releases |
//!
//! The same seed gives the same history. A seed that breaks a promise is shrunk to the faults that it
//! needs and printed with its trace; `SAGA_SEED` and `SAGA_WITHOUT` run it again. `SAGA_SEEDS` sets how
//! many there are.

mod far;
mod model;
mod place;
mod plan;
mod replica;
mod shapes;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};

use integraci_api::operations::OperationState;

use super::words::Timing;
use plan::TIMING;
use world::{Options, Outcome, run};

const SEEDS: u64 = 1_000_000;

fn options(without: &[u32]) -> Options<'_> {
    Options { without, traced: false, timing: TIMING }
}

/// What a batch of histories came to, for seeing that they went everywhere.
#[derive(Debug, Default)]
struct Tally {
    histories: u64,
    violations: Vec<u64>,
    succeeded: u64,
    failed: u64,
    stuck: u64,
    takeovers: u64,
    late_effects: u64,
    partial_effects: u64,
    second_answers: u64,
    items: u64,
}

impl Tally {
    fn count(&mut self, seed: u64, outcome: &Outcome) {
        self.histories += 1;
        self.succeeded += u64::from(outcome.settled == Some(OperationState::Succeeded));
        self.failed += u64::from(outcome.settled == Some(OperationState::Failed));
        self.stuck += u64::from(outcome.was_stuck);
        self.takeovers += outcome.takeovers;
        self.late_effects += u64::from(outcome.late_effects);
        self.partial_effects += u64::from(outcome.partial_effects);
        self.second_answers += u64::from(outcome.second_answers);
        self.items += u64::from(outcome.items);
        if outcome.violation.is_some() {
            self.violations.push(seed);
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.histories += other.histories;
        self.violations.extend(other.violations);
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.stuck += other.stuck;
        self.takeovers += other.takeovers;
        self.late_effects += other.late_effects;
        self.partial_effects += other.partial_effects;
        self.second_answers += other.second_answers;
        self.items += other.items;
        self
    }
}

/// Runs seeds on every core, each its share; all stop soon after one has found a violation.
fn run_all(seeds: u64, timing: Timing) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let found = AtomicBool::new(false);
    let share = |thread: u64| {
        let mut tally = Tally::default();
        for seed in (thread..seeds).step_by(usize::try_from(threads).unwrap()) {
            if found.load(Ordering::Relaxed) {
                break;
            }
            let outcome = run(seed, Options { timing, ..options(&[]) });
            tally.count(seed, &outcome);
            if outcome.violation.is_some() {
                found.store(true, Ordering::Relaxed);
            }
        }
        tally
    };
    std::thread::scope(|scope| {
        let share = &share;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        running.into_iter().map(|it| it.join().unwrap()).fold(Tally::default(), Tally::add)
    })
}

/// Leaves out faults one by one for as long as the seed still breaks a promise without them.
fn shrunk(seed: u64, timing: Timing) -> Vec<u32> {
    let breaks = |without: &[u32]| run(seed, Options { timing, ..options(without) }).violation.is_some();
    let mut without = Vec::new();
    let mut fault = 0;
    while fault < run(seed, Options { timing, ..options(&without) }).faults {
        without.push(fault);
        if !breaks(&without) {
            without.pop();
        }
        fault += 1;
    }
    without
}

/// Words for a violation: how to see it again, what happened, and what was broken.
fn report(seed: u64, timing: Timing) -> String {
    let without = shrunk(seed, timing);
    let outcome = run(seed, Options { without: &without, traced: true, timing });
    let list = without.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let trace = outcome.trace.join("\n");
    let violation = outcome.violation.unwrap_or_default();
    format!(
        "SAGA_SEED={seed} SAGA_WITHOUT={list} cargo test -p integraci-server --lib saga::simulation::replay -- --nocapture\n{trace}\n{violation}"
    )
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_history_breaks_a_promise() {
    let seeds = number("SAGA_SEEDS").unwrap_or(SEEDS);
    let tally = run_all(seeds, TIMING);
    let last = format!("histories: {}, violations: {}", tally.histories, tally.violations.len());
    if let Some(seed) = tally.violations.first() {
        panic!("{}\n{last}", report(*seed, TIMING));
    }
    // They went everywhere, unless there were so few that some places are left out by chance.
    let some = seeds / 1000;
    for (what, count) in [
        ("succeeded", tally.succeeded),
        ("failed", tally.failed),
        ("stuck", tally.stuck),
        ("takeovers", tally.takeovers),
        ("late effects", tally.late_effects),
        ("effects in part", tally.partial_effects),
        ("second answers", tally.second_answers),
    ] {
        assert!(count > some || seeds < 10_000, "{what} in {count} of {seeds} histories: {tally:?}");
    }
    println!("{tally:?}\n{last}");
}

#[test]
fn the_same_seed_twice_is_the_same_history() {
    for seed in 0..500 {
        let traced = || run(seed, Options { traced: true, ..options(&[]) }).trace;
        assert_eq!(traced(), traced(), "seed {seed}");
    }
}

/// A machine that does not wait for late effects is found out, and what it takes is shown.
#[test]
fn a_machine_that_trusts_a_cut_off_call_is_caught() {
    caught(Timing { late_ms: 0, ..TIMING });
}

/// So is one that takes its lease for longer than it is.
#[test]
fn a_machine_that_outlives_its_lease_is_caught() {
    caught(Timing { lease_ms: TIMING.lease_ms * 2, ..TIMING });
}

/// The same seeds are looked at in every run. Leaving out one fault after the other does not get every
/// history down to what it takes; of some, it does one.
fn caught(wrong: Timing) {
    let breaks = |seed: &u64| run(*seed, Options { timing: wrong, ..options(&[]) }).violation.is_some();
    let seeds: Vec<u64> = (0..200_000).filter(breaks).take(10).collect();
    let takes = |seed: &u64| {
        let without = shrunk(*seed, wrong);
        let faults = run(*seed, Options { timing: wrong, ..options(&without) }).faults as usize;
        faults - without.len()
    };
    let simplest = *seeds.iter().min_by_key(|seed| takes(seed)).expect("a violation");
    assert!(takes(&simplest) <= 3, "{}", report(simplest, wrong));
    assert!(
        seeds.iter().all(|seed| run(*seed, options(&[])).violation.is_none()),
        "the right machine is not"
    );
}

/// Runs one seed from the environment and shows it; without one, nothing.
#[test]
fn replay() {
    let Some(seed) = number("SAGA_SEED") else { return };
    let list = std::env::var("SAGA_WITHOUT").unwrap_or_default();
    let without: Vec<u32> = list.split(',').filter_map(|fault| fault.parse().ok()).collect();
    let outcome = run(seed, Options { without: &without, traced: true, timing: TIMING });
    println!("{}", outcome.trace.join("\n"));
    assert_eq!(outcome.violation, None);
}
