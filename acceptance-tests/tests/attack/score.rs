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
    let_through: Vec<String>,
    told_apart: Vec<String>,
}

impl Score {
    /// Takes in an attempt: its answer at what is there, and at what is not.
    pub(crate) fn attempt(&mut self, what: &str, there: &Seen, nowhere: &Seen) {
        self.attempts += 2;
        for (seen, at) in [(there, "another tenant's"), (nowhere, "what never was")] {
            if seen.is_granted {
                self.let_through.push(format!("{what}, at {at}: {}", seen.answer));
            }
        }
        if there.answer != nowhere.answer {
            self.told_apart.push(format!("{what}:\n  {}\n  {}", there.answer, nowhere.answer));
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

    /// Takes in that the rightful owner did what an attempt tried.
    pub(crate) const fn control(&mut self) {
        self.controls += 1;
    }

    /// Takes in another score.
    pub(crate) fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.controls += other.controls;
        self.public += other.public;
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
