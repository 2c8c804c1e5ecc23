//! The far systems' side: a call is refused, hangs, is lost, late, doubled or cut off in the middle, or
//! simply answered; an answer comes late, or twice.

use integraci_api::ProblemCode;

use super::model::Violation;
use super::place::PARTS;
use super::plan::{DEADLINE_MS, TIMING};
use super::world::{Call, Held, Item, REQUEST, Told, World};
use crate::saga::definition::Probe;
use crate::saga::error::StepError;
use crate::saga::words::{Answer, Event, Verb};

impl World<'_> {
    pub(super) fn call(&mut self, hold: Held, n: usize, verb: Verb, number: u32) -> Result<(), Violation> {
        self.model.may_call(hold.epoch, n, verb)?;
        let call = self.calls.len();
        self.calls.push(Call { hold, n, verb, number, is_answered: false, cut_off_ms: None });
        let lands_ms = self.now_ms + 1 + self.rng.below(30);
        let lands = |parts: u8, told: Told| Item::Lands { call, parts, told };
        if let Some((down_n, down_verb, left, how)) = &mut self.down
            && (*down_n, *down_verb) == (n, verb)
            && *left > 0
        {
            *left -= 1;
            let failed = Answer::Failed(failure(*how));
            self.answer(lands_ms, call, failed);
            return Ok(());
        }
        if !self.fault() {
            self.at(lands_ms, lands(PARTS, Told::Soon));
            return Ok(());
        }
        let cut_off_ms = self.now_ms + DEADLINE_MS;
        match self.rng.below(10) {
            // It takes effect and is reported as failed.
            0 => {
                self.at(lands_ms, lands(PARTS, Told::Never));
                let answers_ms = lands_ms + 1 + self.rng.below(20);
                self.answer(answers_ms, call, Answer::Failed(failure(3)));
            }
            // It hangs, and nothing of it happens.
            1 => self.answer(cut_off_ms, call, Answer::Failed(failure(2))),
            // It hangs, and takes effect after nobody waits any more.
            2 | 3 => {
                self.answer(cut_off_ms, call, Answer::Failed(failure(2)));
                self.between(cut_off_ms, TIMING.late_ms, lands(PARTS, Told::Soon));
            }
            // It takes effect, and its answer comes when it has been cut off already.
            4 => {
                self.answer(cut_off_ms, call, Answer::Failed(failure(2)));
                self.at(lands_ms, lands(PARTS, Told::Late));
            }
            // The connection breaks, and it takes effect after that.
            5 => {
                self.answer(lands_ms, call, Answer::Failed(failure(2)));
                self.between(lands_ms, TIMING.late_ms, lands(PARTS, Told::Never));
            }
            // It is delivered twice, and answered twice.
            6 => {
                self.at(self.now_ms + 1, lands(PARTS, Told::Never));
                self.at(lands_ms, lands(PARTS, Told::Twice));
            }
            // It is cut off in the middle.
            7 => {
                let parts = u8::try_from(self.rng.below(u64::from(PARTS))).unwrap_or(0);
                self.at(lands_ms, lands(parts, Told::Never));
                let how = 2 + self.rng.below(2);
                self.answer(lands_ms + 1, call, Answer::Failed(failure(how)));
            }
            // The system fails for a while.
            8 => {
                let how = self.rng.below(4);
                self.down = Some((n, verb, u32::try_from(self.rng.below(30)).unwrap_or(0), how));
                self.answer(lands_ms, call, Answer::Failed(failure(how)));
            }
            _ if verb == Verb::Probe => self.answer(lands_ms, call, Answer::Found(Probe::Unknown)),
            _ => {
                let how = self.rng.below(4);
                self.answer(lands_ms, call, Answer::Failed(failure(how)));
            }
        }
        Ok(())
    }

    pub(super) fn lands(&mut self, call: usize, parts: u8, told: Told) -> Result<(), Violation> {
        let Call { hold, n, verb, cut_off_ms, .. } = self.calls[call];
        let lease_ends_ms = if hold.replica == REQUEST {
            TIMING.lease_ms
        } else {
            self.hold(hold).map_or(u64::MAX, |it| it.lease_ends_ms)
        };
        // The one thing taken for granted: see the machine's module docs.
        let cut_off_ms = cut_off_ms.unwrap_or(u64::MAX).min(lease_ends_ms);
        if self.now_ms >= cut_off_ms.saturating_add(TIMING.late_ms) {
            return Ok(());
        }
        let is_late = verb != Verb::Probe && self.now_ms > cut_off_ms;
        // Whoever was to go on with it may be gone.
        let parts = if is_late { parts.min(u8::try_from(self.rng.below(8)).unwrap_or(PARTS)) } else { parts };
        let by_request = self.plan.held && n == 0 && hold.replica != REQUEST;
        let is_done = !(by_request && verb == Verb::Apply) && self.model.land(n, verb, parts)?;
        if is_done {
            self.outcome.late_effects += u32::from(is_late);
            self.outcome.partial_effects += u32::from(verb != Verb::Probe && parts < PARTS);
        }
        if told != Told::Never {
            let answer = match verb {
                Verb::Probe if self.model.is_whole(n) => Answer::Found(Probe::Present),
                Verb::Probe => Answer::Found(Probe::Absent),
                _ if !is_done && !self.model.is_whole(n) => Answer::Failed(failure(0)),
                _ => Answer::Done,
            };
            let from_ms = if told == Told::Late { cut_off_ms } else { self.now_ms };
            let answers_ms = from_ms + 1 + self.rng.below(20);
            if told == Told::Twice {
                self.between(answers_ms, TIMING.late_ms, Item::Answers { call, answer: answer.clone() });
            }
            self.answer(answers_ms, call, answer);
        }
        Ok(())
    }

    /// A call's answer is on its way to its holder.
    fn answer(&mut self, at_ms: u64, call: usize, answer: Answer) {
        let cut_off_ms = &mut self.calls[call].cut_off_ms;
        *cut_off_ms = Some(cut_off_ms.map_or(at_ms, |cut_off| cut_off.min(at_ms)));
        self.at(at_ms, Item::Answers { call, answer });
    }

    /// It comes there.
    pub(super) fn answered(&mut self, call: usize, answer: Answer) -> Result<(), Violation> {
        let Call { hold, n, number, .. } = self.calls[call];
        self.hears(hold, Event::Answered { n, call: number, answer })
    }
}

/// A failure of each class.
fn failure(how: u64) -> StepError {
    match how {
        0 => StepError::refused(ProblemCode::VerificationFailed, "Refused."),
        1 => StepError::busy("Not now.", None),
        2 => StepError::gone("No answer."),
        _ => StepError::broken("Broken."),
    }
}
