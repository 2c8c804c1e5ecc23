//! What to do next: a saga as a pure state machine, events in and effects out.
//!
//! No I/O, no clock, no randomness: the time and the jitter come with each event. One value is one
//! holder's view of one operation, from claiming it to settling it, losing it or handing it over. It
//! holds back until the log has taken what it wrote, makes no call that the log does not show, and
//! says nothing more once its lease may have run out.
//!
//! Of a call that was not answered it takes this for granted, as nothing better can be known: it takes
//! effect at most [`Timing::late_ms`] after it was cut off, by its deadline or by the end of its
//! holder's lease. So a step is not undone, and the operation not settled, before that has passed.

use std::sync::Arc;

use integraci_api::operations::{OperationState, StepState};

use super::definition::{Direction, Probe};
use super::error::{Class, StepError};
use super::words::{Answer, At, ClaimedRow, Effect, Ending, Event, Record, Shape, StepRow, Timing, Verb};

/// Tries of a step by what last came of it, where it may still be undone instead.
const TRIES_BUSY: u32 = 20;
const TRIES_GONE: u32 = 10;
const TRIES_BROKEN: u32 = 5;
/// Tries where there is no other way than on: an undo, or a definition that only goes forward. With
/// the usual pauses that is about a quarter of an hour, longer than most restarts.
const TRIES_ONE_WAY: u32 = 25;
/// The same when the far side refuses: somebody has to change something there.
const TRIES_ONE_WAY_REFUSED: u32 = 5;
/// A far side that asks for more patience than this is asked again earlier.
const RETRY_AFTER_MAX_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Writing,
    Calling { verb: Verb, call: u32 },
}

#[derive(Debug)]
struct StepRun {
    state: StepState,
    attempts: u32,
    doing: Doing,
    /// Whether to look first, the outcome of the last apply being unknown.
    look_first: bool,
    /// No more tries.
    given_up: bool,
    /// The next try is not before this.
    not_before_ms: u64,
    /// Until then a call of unknown outcome may take effect.
    quiet_ms: u64,
}

/// One holder's view of one operation.
#[derive(Debug)]
pub(super) struct Saga {
    shape: Arc<Shape>,
    timing: Timing,
    state: OperationState,
    steps: Vec<StepRun>,
    /// How many calls were made; each goes by its number.
    calls: u32,
    lease_ends_ms: u64,
    renew_at_ms: u64,
    renewing: bool,
    /// A step's failure is being written that turns the operation back.
    turning: bool,
    settling: bool,
    draining: bool,
    over: bool,
}

impl Saga {
    /// Takes up an operation that was just claimed, and says what to do first.
    pub(super) fn claimed(
        shape: Arc<Shape>,
        timing: Timing,
        row: &ClaimedRow,
        at: At,
        out: &mut Vec<Effect>,
    ) -> Self {
        let step = |row_step: &StepRow| {
            let wait_until = if row_step.wait_ms == 0 { 0 } else { at.now_ms + row_step.wait_ms };
            let under_way = matches!(row_step.state, StepState::Started | StepState::Undoing);
            let late_until = if row.cut_off && under_way { at.now_ms + timing.late_ms } else { 0 };
            StepRun {
                state: row_step.state,
                attempts: row_step.attempts,
                doing: Doing::Nothing,
                look_first: true,
                given_up: row.state == OperationState::Running && row_step.state == StepState::Failed,
                not_before_ms: wait_until,
                quiet_ms: wait_until.max(late_until),
            }
        };
        let mut saga = Self {
            steps: row.steps.iter().map(step).collect(),
            shape,
            timing,
            calls: 0,
            state: row.state,
            lease_ends_ms: row.sent_at_ms + timing.lease_ms,
            renew_at_ms: row.sent_at_ms + timing.lease_ms / 3,
            renewing: false,
            turning: false,
            settling: false,
            draining: false,
            over: false,
        };
        saga.handle(at, Event::TimeCame, out);
        saga
    }

    /// Takes an event and says what to do.
    pub(super) fn handle(&mut self, at: At, event: Event, out: &mut Vec<Effect>) {
        if self.over {
            return;
        }
        if let Event::Renewed { sent_at_ms } = event {
            self.lease_ends_ms = self.lease_ends_ms.max(sent_at_ms + self.timing.lease_ms);
        }
        if at.now_ms >= self.lease_ends_ms {
            return self.end(Ending::Lost, out);
        }
        match event {
            Event::Written(record) => self.written(&record, out),
            Event::Answered { n, call, answer } => self.answered(at, n, call, answer, out),
            Event::Renewed { sent_at_ms } => {
                self.renewing = false;
                self.renew_at_ms = sent_at_ms + self.timing.lease_ms / 3;
            }
            Event::NotRenewed => {
                self.renewing = false;
                self.renew_at_ms = at.now_ms + self.timing.lease_ms / 12;
            }
            Event::LeaseLost => self.end(Ending::Lost, out),
            Event::TimeCame => {}
            Event::Drain => self.draining = true,
            Event::Drained => self.end(Ending::HandedOver { clean: false }, out),
        }
        self.advance(at, out);
    }

    /// When to send [`Event::TimeCame`], if nothing else happens before.
    pub(super) fn wakes_at(&self, now_ms: u64) -> u64 {
        let renewal = if self.renewing { self.lease_ends_ms } else { self.renew_at_ms };
        let waits = self.steps.iter().flat_map(|step| [step.not_before_ms, step.quiet_ms]);
        // What is past holds nothing up any more.
        waits.filter(|wait| *wait > now_ms).fold(renewal.min(self.lease_ends_ms), u64::min)
    }

    fn written(&mut self, record: &Record, out: &mut Vec<Effect>) {
        let (n, state) = match *record {
            Record::Settled(state) => return self.end(Ending::Settled(state), out),
            Record::Intent { n, .. } => (n, StepState::Started),
            Record::Done { n, .. } => (n, StepState::Done),
            Record::Retry { n, .. } => (n, self.steps[n].state),
            Record::Failed { n, .. } => (n, StepState::Failed),
            Record::UndoIntent { n, .. } => (n, StepState::Undoing),
            Record::Undone { n, .. } => (n, StepState::Undone),
        };
        let step = &mut self.steps[n];
        step.state = state;
        step.doing = Doing::Nothing;
        match *record {
            Record::Intent { attempts, .. } => {
                step.attempts = attempts;
                // What turned back or is draining meanwhile makes no call: the step is undone, or
                // looked at by the next holder, as if it had been cut off.
                if self.goes_on() && self.state == OperationState::Running {
                    self.call(n, Verb::Apply, out);
                }
            }
            Record::UndoIntent { attempts, .. } => {
                step.attempts = attempts;
                if self.goes_on() {
                    self.call(n, Verb::Undo, out);
                }
            }
            Record::Retry { attempts, .. } => step.attempts = attempts,
            Record::Failed { turn_back: true, .. } => {
                self.state = OperationState::Undoing;
                self.turning = false;
            }
            Record::Failed { turn_back: false, .. } => step.given_up = true,
            Record::Done { .. } | Record::Undone { .. } | Record::Settled(_) => {}
        }
    }

    fn answered(&mut self, at: At, n: usize, call: u32, answer: Answer, out: &mut Vec<Effect>) {
        let step = &mut self.steps[n];
        // A second answer to one call says nothing of the next.
        let Doing::Calling { verb, call: under_way } = step.doing else { return };
        if call != under_way {
            return;
        }
        step.doing = Doing::Nothing;
        if let Answer::Failed(error) = &answer
            && verb != Verb::Probe
            && error.outcome_is_unknown()
        {
            step.quiet_ms = step.quiet_ms.max(at.now_ms + self.timing.late_ms);
        }
        let wait_ms = step.quiet_ms.saturating_sub(at.now_ms);
        match (verb, answer) {
            (_, Answer::Failed(error)) if error.class() == Class::LeaseLost => self.end(Ending::Lost, out),
            (Verb::Undo, Answer::Failed(error)) => self.failed(at, n, verb, error, out),
            (Verb::Undo, _) => self.write(n, Record::Undone { n, wait_ms }, out),
            // Whatever it was, it will be undone.
            _ if self.turning || self.state == OperationState::Undoing => {}
            (Verb::Apply, Answer::Done) | (Verb::Probe, Answer::Found(Probe::Present)) => {
                self.write(n, Record::Done { n, wait_ms }, out);
            }
            (Verb::Probe, Answer::Found(Probe::Absent)) => step.look_first = false,
            (_, Answer::Failed(error)) => self.failed(at, n, verb, error, out),
            _ => {
                let error = StepError::gone("Whether the step took effect cannot be told yet.");
                self.failed(at, n, verb, error, out);
            }
        }
    }

    fn failed(&mut self, at: At, n: usize, verb: Verb, error: StepError, out: &mut Vec<Effect>) {
        let one_way = verb == Verb::Undo || self.only_goes_forward();
        let step = &mut self.steps[n];
        // Begun applies and undos are counted when their intent is written.
        let attempts = step.attempts + u32::from(verb == Verb::Probe);
        step.look_first = verb == Verb::Probe || error.outcome_is_unknown();
        if attempts < tries(error.class(), one_way) {
            let pause_ms = self.timing.pause(attempts, &error, at.jitter);
            step.not_before_ms = at.now_ms + pause_ms;
            let wait_ms = pause_ms.max(step.quiet_ms.saturating_sub(at.now_ms));
            return self.write(n, Record::Retry { n, attempts, wait_ms, error }, out);
        }
        self.give_up(at, n, verb, error, out);
    }

    fn give_up(&mut self, at: At, n: usize, verb: Verb, error: StepError, out: &mut Vec<Effect>) {
        let step = &mut self.steps[n];
        let wait_ms = step.quiet_ms.saturating_sub(at.now_ms);
        if verb == Verb::Undo {
            step.given_up = true;
            let record = Record::Retry { n, attempts: step.attempts, wait_ms, error };
            return self.write(n, record, out);
        }
        let turn_back = !self.only_goes_forward();
        self.turning |= turn_back;
        self.write(n, Record::Failed { n, wait_ms, error, turn_back }, out);
    }

    /// Begins all that can begin, and ends what is at its end.
    fn advance(&mut self, at: At, out: &mut Vec<Effect>) {
        if self.over {
            return;
        }
        if !self.renewing && at.now_ms >= self.renew_at_ms {
            self.renewing = true;
            out.push(Effect::Renew);
        }
        if self.settling {
            return;
        }
        let mut comes_later = false;
        if self.goes_on() {
            for n in 0..self.steps.len() {
                comes_later |= self.begin(at, n, out);
            }
        }
        if self.steps.iter().any(|step| step.doing != Doing::Nothing) {
            return;
        }
        let quiet = self.steps.iter().all(|step| step.quiet_ms <= at.now_ms);
        let finished = |step: &StepRun| match self.state {
            OperationState::Undoing => matches!(step.state, StepState::Waiting | StepState::Undone),
            _ => step.state == StepState::Done,
        };
        let settled = if self.steps.iter().all(finished) {
            match self.state {
                OperationState::Undoing => Some(OperationState::Failed),
                _ => Some(OperationState::Succeeded),
            }
        } else {
            let stuck = self.goes_on() && !comes_later && self.steps.iter().any(|step| step.given_up);
            stuck.then_some(OperationState::Stuck)
        };
        match settled {
            Some(state) if quiet => {
                self.settling = true;
                out.push(Effect::Write(Record::Settled(state)));
            }
            _ if self.draining => self.end(Ending::HandedOver { clean: quiet }, out),
            _ => {}
        }
    }

    /// Begins a step's next write or call if it is its turn. True if all it waits for is time.
    fn begin(&mut self, at: At, n: usize, out: &mut Vec<Effect>) -> bool {
        let step = &self.steps[n];
        if step.doing != Doing::Nothing || step.given_up {
            return false;
        }
        let verb = match (self.state, step.state) {
            (OperationState::Running, StepState::Waiting) if self.needs_are_done(n) => Verb::Apply,
            (OperationState::Running, StepState::Started) if step.look_first => Verb::Probe,
            (OperationState::Running, StepState::Started) => Verb::Apply,
            (OperationState::Undoing, StepState::Undoing) => Verb::Undo,
            (OperationState::Undoing, StepState::Started | StepState::Done | StepState::Failed)
                if self.dependents_are_gone(n) =>
            {
                if step.quiet_ms > at.now_ms {
                    return true;
                }
                self.write(n, Record::UndoIntent { n, attempts: 1 }, out);
                return false;
            }
            _ => return false,
        };
        if step.not_before_ms > at.now_ms {
            return true;
        }
        let attempts = step.attempts + 1;
        if attempts > TRIES_ONE_WAY {
            // Cut off so often without an answer: it may well be what ends its holders.
            self.give_up(
                at,
                n,
                verb,
                StepError::broken("The step was begun too often without an answer."),
                out,
            );
        } else {
            match verb {
                Verb::Probe => self.call(n, Verb::Probe, out),
                Verb::Apply => self.write(n, Record::Intent { n, attempts }, out),
                Verb::Undo => self.write(n, Record::UndoIntent { n, attempts }, out),
            }
        }
        false
    }

    /// Whether new writes and calls may begin.
    const fn goes_on(&self) -> bool {
        !self.draining && !self.turning
    }

    /// Whether what fails cannot be undone instead.
    fn only_goes_forward(&self) -> bool {
        let past_pivot = self.shape.pivot.is_some_and(|n| self.steps[n].state == StepState::Done);
        past_pivot || self.shape.direction == Direction::ForwardOnly
    }

    fn needs_are_done(&self, n: usize) -> bool {
        self.shape.needs[n].iter().all(|needed| self.steps[*needed].state == StepState::Done)
    }

    fn dependents_are_gone(&self, n: usize) -> bool {
        self.steps.iter().zip(&self.shape.needs).all(|(step, needs)| {
            let gone = matches!(step.state, StepState::Waiting | StepState::Undone);
            !needs.contains(&n) || (gone && step.doing == Doing::Nothing)
        })
    }

    fn write(&mut self, n: usize, record: Record, out: &mut Vec<Effect>) {
        self.steps[n].doing = Doing::Writing;
        out.push(Effect::Write(record));
    }

    fn call(&mut self, n: usize, verb: Verb, out: &mut Vec<Effect>) {
        self.calls += 1;
        let call = self.calls;
        self.steps[n].doing = Doing::Calling { verb, call };
        out.push(Effect::Call { n, verb, call });
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<Effect>) {
        self.over = true;
        out.push(Effect::Over(ending));
    }
}

/// How often a step is tried before it is given up, by what its last try came to.
const fn tries(class: Class, one_way: bool) -> u32 {
    match (class, one_way) {
        (Class::Refused | Class::LeaseLost, false) => 1,
        (Class::Refused | Class::LeaseLost, true) => TRIES_ONE_WAY_REFUSED,
        (Class::Busy { .. }, false) => TRIES_BUSY,
        (Class::Gone, false) => TRIES_GONE,
        (Class::Broken, false) => TRIES_BROKEN,
        (_, true) => TRIES_ONE_WAY,
    }
}

impl Timing {
    /// The pause before the next try: doubled each time, with jitter over its upper half, so that many
    /// who failed together do not come back together.
    fn pause(&self, attempts: u32, error: &StepError, jitter: u16) -> u64 {
        let doubled = self.pause_ms << attempts.saturating_sub(1).min(20);
        let pause_ms = doubled.min(self.pause_max_ms);
        let spread_ms = pause_ms / 2 + pause_ms / 2 * u64::from(jitter) / u64::from(u16::MAX);
        let asked_ms = match error.class() {
            Class::Busy { retry_after: Some(asked) } => {
                u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).min(RETRY_AFTER_MAX_MS)
            }
            _ => 0,
        };
        spread_ms.max(asked_ms)
    }
}
