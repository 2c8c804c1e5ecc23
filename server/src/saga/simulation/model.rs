//! The log and the far systems as models, and what must hold of them at every moment.
//!
//! The log's rows and fences are those of `lease.rs`, which the tests on a real Postgres keep honest.

use integraci_api::operations::{OperationState, StepState};

use super::place::Place;
use super::plan::{Plan, TIMING};
use crate::saga::definition::{Direction, Probe};
use crate::saga::error::Class;
use crate::saga::words::{Answer, ClaimedRow, Record, StepRow, Verb};

/// No step is tried more often than this, however it fails.
const ATTEMPTS_MAX: u32 = 25;

/// A broken promise, in words.
pub(super) type Violation = String;

#[derive(Debug)]
struct LoggedStep {
    state: StepState,
    attempts: u32,
    not_before_ms: u64,
}

/// The rows of one operation, and the effects of its steps in the far systems.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) state: OperationState,
    pub(super) epoch: u64,
    lease_until_ms: u64,
    owned: bool,
    steps: Vec<LoggedStep>,
    places: Vec<Place>,
    /// Whether the last apply's outcome is unknown to the log's holders, and nobody has looked since.
    in_doubt: Vec<bool>,
    direction: Direction,
    pivot: Option<usize>,
    needs: Vec<Vec<usize>>,
}

impl Model {
    pub(super) fn new(plan: &Plan) -> Self {
        let first =
            LoggedStep { state: plan.first_state(), attempts: u32::from(plan.held), not_before_ms: 0 };
        let later = || LoggedStep { state: StepState::Waiting, attempts: 0, not_before_ms: 0 };
        Self {
            state: OperationState::Running,
            epoch: u64::from(plan.held),
            lease_until_ms: if plan.held { TIMING.lease_ms } else { 0 },
            owned: plan.held,
            steps: std::iter::once(first).chain((1..plan.steps()).map(|_| later())).collect(),
            places: (0..plan.steps())
                .map(|n| if plan.refused == Some(n) { Place::theirs() } else { Place::default() })
                .collect(),
            in_doubt: (0..plan.steps()).map(|n| n == 0 && plan.held).collect(),
            direction: plan.shape.direction,
            pivot: plan.shape.pivot,
            needs: plan.shape.needs.clone(),
        }
    }

    const fn is_open(&self) -> bool {
        matches!(self.state, OperationState::Running | OperationState::Undoing)
    }

    /// Claims the operation if nobody holds it: its row, and the epoch of the claim.
    pub(super) fn claim(&mut self, now_ms: u64, sent_at_ms: u64) -> Option<(ClaimedRow, u64)> {
        if !self.is_open() || self.lease_until_ms > now_ms {
            return None;
        }
        let cut_off = std::mem::replace(&mut self.owned, true);
        self.epoch += 1;
        self.lease_until_ms = now_ms + TIMING.lease_ms;
        let step = |step: &LoggedStep| StepRow {
            state: step.state,
            attempts: step.attempts,
            wait_ms: step.not_before_ms.saturating_sub(now_ms),
        };
        let steps = self.steps.iter().map(step).collect();
        Some((ClaimedRow { state: self.state, steps, cut_off, sent_at_ms }, self.epoch))
    }

    pub(super) const fn renew(&mut self, now_ms: u64, epoch: u64) -> bool {
        let held = self.epoch == epoch && self.owned;
        if held {
            self.lease_until_ms = now_ms + TIMING.lease_ms;
        }
        held
    }

    pub(super) const fn release(&mut self, now_ms: u64, epoch: u64, clean: bool) {
        if self.epoch == epoch {
            self.lease_until_ms = now_ms;
            self.owned = self.owned && !clean;
        }
    }

    pub(super) fn resume(&mut self, now_ms: u64) {
        if self.state != OperationState::Stuck {
            return;
        }
        self.epoch += 1;
        let undo = self.steps.iter().any(|step| step.state == StepState::Undoing);
        self.state = if undo { OperationState::Undoing } else { OperationState::Running };
        (self.lease_until_ms, self.owned) = (now_ms, false);
        for step in &mut self.steps {
            if matches!(step.state, StepState::Started | StepState::Undoing | StepState::Failed) {
                (step.attempts, step.not_before_ms) = (0, 0);
            }
            if step.state == StepState::Failed {
                step.state = StepState::Started;
            }
        }
    }

    /// Takes a record, if the epoch is the current one.
    pub(super) fn write(&mut self, now_ms: u64, epoch: u64, record: &Record) -> Result<bool, Violation> {
        if self.epoch != epoch {
            return Ok(false);
        }
        let one_way = self.only_forward();
        let (n, to, wait_ms) = match *record {
            Record::Settled(state) => return self.settle(state).map(|()| true),
            Record::Intent { n, .. } => (n, StepState::Started, 0),
            Record::Done { n, wait_ms } => (n, StepState::Done, wait_ms),
            Record::Retry { n, wait_ms, attempts, ref error } => {
                let one_way = one_way || self.state == OperationState::Undoing;
                if attempts > ATTEMPTS_MAX || (error.class() == Class::Refused && !one_way) {
                    return Err(format!("step {n} is tried again after {attempts} tries and {error:?}"));
                }
                (n, self.steps[n].state, wait_ms)
            }
            Record::Failed { n, wait_ms, turn_back, .. } => {
                if turn_back && one_way {
                    return Err(format!("turned back at step {n}, where there is no way back"));
                }
                if turn_back {
                    self.state = OperationState::Undoing;
                }
                (n, StepState::Failed, wait_ms)
            }
            Record::UndoIntent { n, .. } => (n, StepState::Undoing, 0),
            Record::Undone { n, wait_ms } => (n, StepState::Undone, wait_ms),
        };
        let from = self.steps[n].state;
        let legal = match to {
            _ if to == from => true,
            // Also while undoing: an intent under way when another step failed. No call follows it.
            StepState::Started => from == StepState::Waiting && self.is_open(),
            StepState::Done | StepState::Failed => from == StepState::Started,
            StepState::Undoing => {
                self.state == OperationState::Undoing
                    && matches!(from, StepState::Started | StepState::Done | StepState::Failed)
            }
            StepState::Undone => from == StepState::Undoing,
            StepState::Waiting => false,
        };
        if !legal {
            return Err(format!("step {n} goes from {from:?} to {to:?} while the saga is {:?}", self.state));
        }
        if to == StepState::Done && !self.places[n].is_whole() {
            return Err(format!("step {n} is written down as done and is not whole"));
        }
        if to == StepState::Undone && self.places[n].remains() > 0 {
            return Err(format!("step {n} is written down as undone and something of it is left"));
        }
        let step = &mut self.steps[n];
        step.state = to;
        step.not_before_ms = if wait_ms == 0 { 0 } else { now_ms + wait_ms };
        if let Record::Intent { attempts, .. }
        | Record::UndoIntent { attempts, .. }
        | Record::Retry { attempts, .. } = *record
        {
            step.attempts = attempts;
        }
        Ok(true)
    }

    fn settle(&mut self, state: OperationState) -> Result<(), Violation> {
        let all = |wanted: &[StepState]| self.steps.iter().all(|step| wanted.contains(&step.state));
        let sound = match state {
            OperationState::Succeeded => {
                all(&[StepState::Done]) && self.places.iter().all(|it| it.is_whole())
            }
            OperationState::Failed => {
                all(&[StepState::Waiting, StepState::Undone])
                    && self.places.iter().all(|it| it.remains() == 0)
            }
            OperationState::Stuck => {
                let stuck = if self.only_forward() { StepState::Failed } else { StepState::Undoing };
                self.steps.iter().any(|step| step.state == stuck)
            }
            OperationState::Running | OperationState::Undoing => false,
        };
        if !sound {
            return Err(format!("settled as {state:?} with {:?}, places {:?}", self.steps, self.places));
        }
        self.state = state;
        Ok(())
    }

    /// Whether a holder of this epoch may make this call now.
    pub(super) fn may_call(&mut self, epoch: u64, n: usize, verb: Verb) -> Result<(), Violation> {
        if self.epoch != epoch {
            return Err(format!("{verb:?} {n} is called by a holder that has lost its lease"));
        }
        let (saga, step) = match verb {
            Verb::Probe | Verb::Apply => (OperationState::Running, StepState::Started),
            Verb::Undo => (OperationState::Undoing, StepState::Undoing),
        };
        if self.state != saga || self.steps[n].state != step {
            return Err(format!("{verb:?} {n} is called without its intent in the log"));
        }
        if verb == Verb::Undo && self.only_forward() {
            return Err(format!("step {n} is undone, where there is no way back"));
        }
        if verb == Verb::Apply && self.in_doubt[n] {
            return Err(format!("apply {n} is called again before anyone has looked"));
        }
        self.in_doubt[n] |= verb == Verb::Apply;
        Ok(())
    }

    /// A holder heard what came of a call.
    pub(super) fn heard(&mut self, n: usize, answer: &Answer) {
        self.in_doubt[n] &= match answer {
            Answer::Done => false,
            Answer::Found(found) => *found == Probe::Unknown,
            Answer::Failed(error) => error.outcome_is_unknown(),
        };
    }

    /// A call takes effect in the far system, whoever sent it and whenever; cut off in the middle, only
    /// `parts` of it. False if the name is not ours to take.
    pub(super) fn land(&mut self, n: usize, verb: Verb, parts: u8) -> Result<bool, Violation> {
        if verb == Verb::Probe {
            return Ok(true);
        }
        if !self.is_open() && self.state != OperationState::Stuck {
            return Err(format!("{verb:?} {n} takes effect after the saga has settled"));
        }
        let state = self.steps[n].state;
        if verb == Verb::Apply {
            if matches!(state, StepState::Undoing | StepState::Undone | StepState::Waiting) {
                return Err(format!("apply {n} takes effect while the step is {state:?}"));
            }
            if let Some(missing) = self.needs[n].iter().find(|needed| !self.places[**needed].is_whole()) {
                return Err(format!("apply {n} takes effect without {missing}, which it needs"));
            }
            return Ok(self.places[n].ensure(parts).is_ok());
        }
        let dependent =
            (n + 1..self.needs.len()).find(|m| self.needs[*m].contains(&n) && self.places[*m].remains() > 0);
        if let Some(dependent) = dependent {
            return Err(format!("undo {n} takes effect before that of {dependent}, which needs it"));
        }
        self.places[n].ensure_none(parts);
        Ok(true)
    }

    /// Whether all of a step's effect is there.
    pub(super) fn is_whole(&self, n: usize) -> bool {
        self.places[n].is_whole()
    }

    /// Somebody takes away what is not ours.
    pub(super) fn make_room(&mut self) {
        self.places.iter_mut().filter(|place| place.is_theirs()).for_each(|place| *place = Place::default());
    }

    fn only_forward(&self) -> bool {
        let past_pivot = self.pivot.is_some_and(|n| self.steps[n].state == StepState::Done);
        past_pivot || self.direction == Direction::ForwardOnly
    }
}
