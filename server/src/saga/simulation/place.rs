//! A model of a tenant's place in a far system, made and removed in parts.
//!
//! The simulation's systems are made of these. `tests/it/conformance.rs` includes this file too, and
//! asks of it what it asks of the real systems, so that the simulation assumes nothing of a system
//! that the real ones do not do. So it depends on nothing.

/// How many parts a place has: a first, a last and one between them.
pub(crate) const PARTS: u8 = 3;

/// A place, or the name for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Parts that are there, from the first.
    made: u8,
    /// The name is taken by something that is not ours.
    theirs: bool,
}

/// The name is taken by something that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken;

impl Place {
    /// A name that is taken by something that is not ours.
    pub(crate) const fn theirs() -> Self {
        Self { made: 0, theirs: true }
    }

    /// Makes what is missing, or is cut off after `at_most` parts of it.
    pub(crate) fn ensure(&mut self, at_most: u8) -> Result<(), Taken> {
        if self.theirs {
            return Err(Taken);
        }
        self.made = self.made.saturating_add(at_most).min(PARTS);
        Ok(())
    }

    /// Removes what is there, or is cut off after `at_most` parts of it. What is not ours stays.
    pub(crate) const fn ensure_none(&mut self, at_most: u8) {
        self.made = self.made.saturating_sub(at_most);
    }

    /// Whether all of it is there.
    pub(crate) const fn is_whole(self) -> bool {
        self.made == PARTS
    }

    /// How much of it is left.
    pub(crate) const fn remains(self) -> u8 {
        self.made
    }

    /// Whether the name is taken by something that is not ours.
    pub(crate) const fn is_theirs(self) -> bool {
        self.theirs
    }
}
