//! The far systems' side: a call is refused, hangs, is lost, late or doubled, or simply answered.

use integraci_api::ProblemCode;

use super::model::Violation;
use super::plan::{DEADLINE_MS, TIMING};
use super::world::{Call, Held, Item, REQUEST, World};
use crate::saga::definition::Probe;
use crate::saga::error::StepError;
use crate::saga::words::{Answer, Event, Verb};

impl World<'_> {
    pub(super) fn call(&mut self, hold: Held, n: usize, verb: Verb) -> Result<(), Violation> {
        self.model.may_call(hold.epoch, n, verb)?;
        let call = self.calls.len();
        self.calls.push(Call { hold, n, verb, cut_off_ms: None });
        let lands_ms = self.now_ms + 1 + self.rng.below(30);
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
            self.at(lands_ms, Item::Lands { call, answers: true });
            return Ok(());
        }
        match self.rng.below(8) {
            // It takes effect and is reported as failed.
            0 => {
                self.at(lands_ms, Item::Lands { call, answers: false });
                let answers_ms = lands_ms + 1 + self.rng.below(20);
                self.answer(answers_ms, call, Answer::Failed(failure(3)));
            }
            // It hangs, and nothing of it happens.
            1 => self.answer(self.now_ms + DEADLINE_MS, call, Answer::Failed(failure(2))),
            // It hangs, and takes effect after nobody waits any more.
            2 | 3 => {
                let cut_off_ms = self.now_ms + DEADLINE_MS;
                self.answer(cut_off_ms, call, Answer::Failed(failure(2)));
                self.between(cut_off_ms, TIMING.late_ms, Item::Lands { call, answers: false });
            }
            // The connection breaks, and it takes effect after that.
            4 => {
                self.answer(lands_ms, call, Answer::Failed(failure(2)));
                self.between(lands_ms, TIMING.late_ms, Item::Lands { call, answers: false });
            }
            // It is delivered twice.
            5 => {
                self.at(self.now_ms + 1, Item::Lands { call, answers: false });
                self.at(lands_ms, Item::Lands { call, answers: true });
            }
            // The system fails for a while.
            6 => {
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

    pub(super) fn lands(&mut self, call: usize, answers: bool) -> Result<(), Violation> {
        let Call { hold, n, verb, cut_off_ms } = self.calls[call];
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
        let by_request = self.plan.held && n == 0 && hold.replica != REQUEST;
        let refused = verb == Verb::Apply && (by_request || self.plan.refused == Some(n));
        if !refused {
            self.model.land(n, verb)?;
            self.outcome.late_effects += u32::from(verb != Verb::Probe && self.now_ms > cut_off_ms);
        }
        if answers {
            let answer = match verb {
                Verb::Probe if self.model.is_in_force(n) => Answer::Found(Probe::Present),
                Verb::Probe => Answer::Found(Probe::Absent),
                _ if refused && !self.model.is_in_force(n) => Answer::Failed(failure(0)),
                _ => Answer::Done,
            };
            let answers_ms = self.now_ms + 1 + self.rng.below(20);
            self.answer(answers_ms, call, answer);
        }
        Ok(())
    }

    /// A call's answer comes to its holder, sometimes twice.
    fn answer(&mut self, at_ms: u64, call: usize, answer: Answer) {
        let Call { hold, n, cut_off_ms, .. } = &mut self.calls[call];
        let (hold, n) = (*hold, *n);
        *cut_off_ms = Some(cut_off_ms.map_or(at_ms, |cut_off| cut_off.min(at_ms)));
        self.at(at_ms, Item::Hears { hold, event: Event::Answered { n, answer } });
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
