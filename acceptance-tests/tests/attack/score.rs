//! What came of the attempts.
//!
//! An attempt is one request with credentials that must not do. It is always made twice: at what is
//! another tenant's, and at what never was. Neither may be granted, and the two answers must be the same.

use std::fmt;

/// An answer, as far as it may be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether it gave what was asked for.
    pub(crate) is_granted: bool,
    /// All of it that is not bound to differ: status, headers, body, or what the client library said.
    pub(crate) answer: String,
}

/// What came of the attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Score {
    attempts: usize,
    controls: usize,
    public: usize,
    ways: usize,
    ways_refused: usize,
    let_through: Vec<String>,
    told_apart: Vec<String>,
}

impl Score {
    /// Takes in an attempt: its answer at what is there, and at what is not.
    pub(crate) fn attempt(&mut self, what: &str, there: &Seen, nowhere: &Seen) {
        self.compare(what, [(there, "another tenant's"), (nowhere, "what never was")]);
    }

    fn compare(&mut self, what: &str, both: [(&Seen, &str); 2]) {
        self.attempts += 2;
        for (seen, at) in both {
            if seen.is_granted {
                self.let_through.push(format!("{what}, at {at}: {}", seen.answer));
            }
        }
        let [(one, _), (other, _)] = both;
        if one.answer != other.answer {
            self.told_apart.push(format!("{what}:\n  {}\n  {}", one.answer, other.answer));
        }
    }

    /// Takes in an attempt at what never was whose answer is everybody's to have: a system tells who asks
    /// which names there are, before it knows who asks. It must be what nobody is told.
    pub(crate) fn public(&mut self, what: &str, nowhere: &Seen, nobody_is_told: &Seen) {
        self.attempts += 1;
        self.public += 1;
        if nowhere.is_granted {
            self.let_through.push(format!("{what}, at what never was: {}", nowhere.answer));
        }
        if nowhere.answer != nobody_is_told.answer {
            self.told_apart.push(format!("{what}:\n  {}\n  {}", nowhere.answer, nobody_is_told.answer));
        }
    }

    /// Takes in a way to a forbidden address: what was said where somebody listens, and where nobody does.
    pub(crate) fn way(&mut self, what: &str, there: &Seen, nowhere: &Seen) {
        self.ways += 1;
        self.ways_refused += usize::from(!there.is_granted && !nowhere.is_granted);
        self.compare(what, [(there, "what is there"), (nowhere, "what is not")]);
    }

    /// Takes in that somebody came where nobody may go.
    pub(crate) fn trespass(&mut self, what: &str) {
        self.ways_refused = self.ways_refused.saturating_sub(1);
        self.let_through.push(what.to_owned());
    }

    /// Takes in that the rightful owner did what an attempt tried.
    pub(crate) const fn control(&mut self) {
        self.controls += 1;
    }

    /// Takes in another score.
    pub(crate) fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.controls += other.controls;
        self.public += other.public;
        self.ways += other.ways;
        self.ways_refused += other.ways_refused;
        self.let_through.extend(other.let_through);
        self.told_apart.extend(other.told_apart);
    }

    /// How many attempts there were.
    pub(crate) const fn attempts(&self) -> usize {
        self.attempts
    }

    /// How often an owner did what was tried.
    pub(crate) const fn controls(&self) -> usize {
        self.controls
    }

    /// How often a system told what it tells everybody: that a name is nobody's.
    pub(crate) const fn public_answers(&self) -> usize {
        self.public
    }

    /// How many ways to a forbidden address were tried.
    pub(crate) const fn ways(&self) -> usize {
        self.ways
    }

    /// How many attempts those were.
    pub(crate) const fn attempts_by_ways(&self) -> usize {
        2 * self.ways
    }

    /// How many of them led nowhere.
    pub(crate) const fn ways_refused(&self) -> usize {
        self.ways_refused
    }

    /// Whether every attempt was refused and told nothing.
    pub(crate) const fn is_clean(&self) -> bool {
        self.let_through.is_empty() && self.told_apart.is_empty()
    }

    /// Each attempt that should not have gone as it did.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> + '_ {
        let let_through = self.let_through.iter().map(|what| format!("let through: {what}"));
        let_through.chain(self.told_apart.iter().map(|what| format!("told apart: {what}")))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempts: {}, let through: {}, told apart: {}",
            self.attempts,
            self.let_through.len(),
            self.told_apart.len()
        )
    }
}
