//! What a run came to.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a run came to so far.
pub(crate) struct Tally {
    began: Instant,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    cases: usize,
    failures: usize,
    orphans: BTreeSet<String>,
    lost: BTreeSet<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { began: Instant::now(), found: Mutex::default() }
    }
}

impl Tally {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "{:>6.1} s  {what}", self.began.elapsed().as_secs_f32());
    }

    /// A case went as it should.
    pub(crate) fn done(&self, case: &str) {
        self.found().cases += 1;
        self.say(case);
    }

    /// Something did not.
    pub(crate) fn failed(&self, what: &str, error: &anyhow::Error) {
        let mut found = self.found();
        found.cases += 1;
        found.failures += 1;
        self.say(&format!("FAILED {what}: {error:#}"));
    }

    /// Something is left of what should be gone.
    pub(crate) fn orphan(&self, slug: &str, what: &str) {
        self.say(&format!("ORPHAN of {slug}: {what}"));
        self.found().orphans.insert(format!("{slug} {what}"));
    }

    /// Something is gone that should be there.
    pub(crate) fn lost(&self, slug: &str, what: &str) {
        self.say(&format!("LOST of {slug}: {what}"));
        self.found().lost.insert(format!("{slug} {what}"));
    }

    /// The last line, and whether all is well.
    pub(crate) fn told(&self) -> (String, bool) {
        let found = self.found();
        let (orphans, lost) = (found.orphans.len(), found.lost.len());
        if found.failures > 0 {
            self.say(&format!("{} of {} cases failed", found.failures, found.cases));
        }
        let is_good = found.cases > 0 && found.failures + orphans + lost == 0;
        (format!("cases: {}, orphans: {orphans}, lost: {lost}", found.cases), is_good)
    }
}
