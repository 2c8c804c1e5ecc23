//! The words of the machine: what it is told, and what it says.

use integraci_api::operations::{OperationState, StepState};

use super::definition::{Definition, Direction, Probe};
use super::error::StepError;

/// What the machine needs to know of a definition.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) direction: Direction,
    /// For each step the earlier ones that it needs.
    pub(super) needs: Vec<Vec<usize>>,
    /// The step after which there is no way back.
    pub(super) pivot: Option<usize>,
}

impl Shape {
    /// A checked definition's shape.
    pub(super) fn of(definition: &Definition) -> Self {
        let names = definition.step_names();
        let needs = definition.steps.iter().map(|step| {
            let needs = step.needs().iter();
            needs.filter_map(|needed| names.iter().position(|name| name == needed)).collect()
        });
        let pivot = definition.steps.iter().position(|step| step.is_pivot());
        Self { direction: definition.direction, needs: needs.collect(), pivot }
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// How long a lease lasts from the moment at which it was asked for.
    pub(super) lease_ms: u64,
    /// How long after it was cut off a call may still take effect.
    pub(super) late_ms: u64,
    /// The pause after the first failure, doubled by each that follows …
    pub(super) pause_ms: u64,
    /// … up to this.
    pub(super) pause_max_ms: u64,
}

/// What comes with every event.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// On this holder's own steady clock.
    pub(super) now_ms: u64,
    /// Anything, evenly spread.
    pub(super) jitter: u16,
}

/// A step as the log has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepRow {
    pub(super) state: StepState,
    pub(super) attempts: u32,
    /// What is left of `not_before`.
    pub(super) wait_ms: u64,
}

/// An operation just claimed.
#[derive(Debug, Clone)]
pub(super) struct ClaimedRow {
    pub(super) state: OperationState,
    pub(super) steps: Vec<StepRow>,
    /// Its last holder did not let go of it: a call of a step under way may still take effect.
    pub(super) cut_off: bool,
    /// When the claim was sent: the lease counts from there.
    pub(super) sent_at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Probe,
    Apply,
    Undo,
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Applied, or undone.
    Done,
    Found(Probe),
    Failed(StepError),
}

/// What the log is to take; each is whole in itself, so writing it twice is writing it once.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Intent {
        n: usize,
        attempts: u32,
    },
    Done {
        n: usize,
        wait_ms: u64,
    },
    Retry {
        n: usize,
        attempts: u32,
        wait_ms: u64,
        error: StepError,
    },
    /// The step is given up; with `turn_back` the operation is undone from here.
    Failed {
        n: usize,
        wait_ms: u64,
        error: StepError,
        turn_back: bool,
    },
    UndoIntent {
        n: usize,
        attempts: u32,
    },
    Undone {
        n: usize,
        wait_ms: u64,
    },
    Settled(OperationState),
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// The log took it.
    Written(Record),
    /// A call ended, or was cut off at its deadline.
    Answered { n: usize, call: u32, answer: Answer },
    /// The lease was renewed by what was sent then.
    Renewed { sent_at_ms: u64 },
    /// The lease could not be renewed this time.
    NotRenewed,
    /// The log says that the operation is another's.
    LeaseLost,
    /// The moment of [`Saga::wakes_at`] came.
    TimeCame,
    /// Begin nothing new; hand over when nothing is under way.
    Drain,
    /// Hand over now.
    Drained,
}

#[derive(Debug, Clone)]
pub(super) enum Effect {
    Write(Record),
    Call {
        n: usize,
        verb: Verb,
        /// Comes back with the answer.
        call: u32,
    },
    Renew,
    /// Nothing comes after this, and what is under way is to be dropped.
    Over(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Settled(OperationState),
    Lost,
    /// To be released; `clean` if no call may still take effect.
    HandedOver {
        clean: bool,
    },
}
