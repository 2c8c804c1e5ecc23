//! What varies from history to history, all of it from one seed.

use integraci_api::operations::StepState;

use super::shapes;
use crate::saga::definition::Direction;
use crate::saga::words::{Shape, Timing};

/// SplitMix64: small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, `end`.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        ((self.next() >> 32) * end) >> 32
    }

    /// True once in `times`.
    pub(super) const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Milliseconds are small here, so that a history is short: what matters is which of two things comes
/// first, and everything can.
pub(super) const TIMING: Timing = Timing { lease_ms: 600, late_ms: 150, pause_ms: 10, pause_max_ms: 80 };
/// When a call that hangs is cut off.
pub(super) const DEADLINE_MS: u64 = 250;

/// One history's givens.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) runners: usize,
    /// A fault at one chance in so many; 0 for none.
    pub(super) fault_once_in: u64,
    /// At most so many, so that every history can settle.
    pub(super) faults_max: u32,
    /// The step whose name in its system is taken by something that is not ours, until an operator has
    /// seen to it.
    pub(super) refused: Option<usize>,
    /// A request holds the operation at first and brings about the first step's effect; no `apply` can.
    pub(super) held: bool,
}

impl Plan {
    pub(super) fn of(rng: &mut Rng) -> Self {
        let shape = if rng.once_in(3) { shapes::of_the_product(rng) } else { Self::any_shape(rng) };
        let steps = shape.needs.len() as u64;
        let held =
            shape.direction == Direction::OrNothing && shape.pivot.is_none_or(|n| n > 0) && rng.once_in(8);
        Self {
            shape,
            runners: 1 + usize::try_from(rng.below(3)).unwrap_or(0),
            fault_once_in: [0, 2, 4, 8, 16][usize::try_from(rng.below(5)).unwrap_or(0)],
            faults_max: 1 + u32::try_from(rng.below(8)).unwrap_or(0),
            refused: rng.once_in(2).then(|| usize::try_from(rng.below(steps)).unwrap_or(0)),
            held,
        }
    }

    fn any_shape(rng: &mut Rng) -> Shape {
        let steps = 1 + usize::try_from(rng.below(5)).unwrap_or(0);
        let mut needs: Vec<Vec<usize>> = Vec::with_capacity(steps);
        let denser = 2 + rng.below(3);
        for n in 0..steps {
            needs.push((0..n).filter(|_| rng.once_in(denser)).collect());
        }
        let direction = if rng.once_in(4) { Direction::ForwardOnly } else { Direction::OrNothing };
        let pivot = (direction == Direction::OrNothing && rng.once_in(4))
            .then(|| usize::try_from(rng.below(steps as u64)).unwrap_or(0));
        if let Some(pivot) = pivot {
            needs[pivot] = (0..pivot).collect();
            for later in &mut needs[pivot + 1..] {
                later.retain(|needed| *needed != pivot);
                later.push(pivot);
            }
        }
        Shape { direction, needs, pivot }
    }

    pub(super) const fn steps(&self) -> usize {
        self.shape.needs.len()
    }

    /// The first step's state when the operation is enqueued.
    pub(super) const fn first_state(&self) -> StepState {
        if self.held { StepState::Started } else { StepState::Waiting }
    }
}
