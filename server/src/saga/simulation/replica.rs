//! The replicas' side: what `runner.rs` does with a machine's effects, on processes that die, freeze and
//! shut down, over a connection to the log that loses what is sent and what is answered.

use integraci_api::operations::OperationState;

use super::model::Violation;
use super::place::PARTS;
use super::plan::TIMING;
use super::world::{Call, Held, Hold, Item, REQUEST, Replica, Told, World};
use crate::saga::machine::Saga;
use crate::saga::words::{At, ClaimedRow, Effect, Ending, Event, Record, Verb};

impl World<'_> {
    /// The first holder is the request that made the operation.
    pub(super) fn request(&mut self) {
        let hold = Held { replica: REQUEST, epoch: 1 };
        self.calls.push(Call {
            hold,
            n: 0,
            verb: Verb::Apply,
            number: 0,
            is_answered: false,
            cut_off_ms: None,
        });
        let takes_ms = self.rng.below(100);
        if !self.fault() {
            self.at(takes_ms, Item::Lands { call: 0, parts: PARTS, told: Told::Never });
            self.between(takes_ms + 1, 20, Item::ReleaseArrives { epoch: 1, clean: true });
        } else if self.rng.once_in(2) {
            // It died; what it had sent may still land.
            self.between(
                0,
                TIMING.lease_ms + TIMING.late_ms,
                Item::Lands { call: 0, parts: PARTS, told: Told::Never },
            );
        }
    }

    pub(super) fn look(&mut self, replica: usize) {
        if matches!(self.model.state, OperationState::Running | OperationState::Undoing) {
            self.between(self.now_ms + 20, TIMING.lease_ms / 2, Item::Look { replica });
        }
        let Replica { up, life, frozen_until_ms, ref hold, .. } = self.replicas[replica];
        if up && hold.is_none() && frozen_until_ms <= self.now_ms {
            self.soon(5, Item::ClaimArrives { replica, life, sent_at_ms: self.now_ms });
        }
    }

    pub(super) fn claimed(
        &mut self,
        replica: usize,
        life: u32,
        row: ClaimedRow,
        epoch: u64,
    ) -> Result<(), Violation> {
        let state = &self.replicas[replica];
        if state.life != life {
            return Ok(());
        }
        if state.frozen_until_ms > self.now_ms {
            self.at(state.frozen_until_ms, Item::Claimed { replica, life, row, epoch });
            return Ok(());
        }
        let lease_ends_ms = row.sent_at_ms + TIMING.lease_ms;
        let row = ClaimedRow { sent_at_ms: row.sent_at_ms + state.clock_ahead_ms, ..row };
        let at = self.machine_at(replica);
        let saga = Saga::claimed(self.shape.clone(), self.options.timing, &row, at, &mut self.effects);
        self.replicas[replica].hold = Some(Hold { epoch, saga, lease_ends_ms, wakes_at_ms: 0 });
        self.carry_out(Held { replica, epoch })
    }

    pub(super) fn hears(&mut self, hold: Held, event: Event) -> Result<(), Violation> {
        let frozen_until_ms = self.replicas[hold.replica].frozen_until_ms;
        if self.hold(hold).is_none() {
            return Ok(());
        }
        if frozen_until_ms > self.now_ms {
            // All that came meanwhile is heard then, in some order.
            self.at(frozen_until_ms, Item::Hears { hold, event });
            return Ok(());
        }
        let at = self.machine_at(hold.replica);
        let ahead_ms = self.replicas[hold.replica].clock_ahead_ms;
        let Some(Hold { saga, lease_ends_ms, .. }) = &mut self.replicas[hold.replica].hold else {
            return Ok(());
        };
        let event = match event {
            Event::Renewed { sent_at_ms } => {
                *lease_ends_ms = (*lease_ends_ms).max(sent_at_ms + TIMING.lease_ms);
                Event::Renewed { sent_at_ms: sent_at_ms + ahead_ms }
            }
            other => other,
        };
        if let Event::Answered { n, call, answer } = &event
            && let Some(asked) = self.calls.iter_mut().rev().find(|it| it.hold == hold && it.number == *call)
        {
            // Only the first answer to a call says anything.
            if std::mem::replace(&mut asked.is_answered, true) {
                self.outcome.second_answers += 1;
            } else {
                self.model.heard(*n, answer);
            }
        }
        let lost = matches!(event, Event::LeaseLost);
        saga.handle(at, event, &mut self.effects);
        if lost && !matches!(self.effects[..], [Effect::Over(Ending::Lost)]) {
            return Err("a holder goes on that was told that its lease is lost".to_owned());
        }
        self.carry_out(hold)
    }

    /// Does what a machine said, as the runner does.
    pub(super) fn carry_out(&mut self, hold: Held) -> Result<(), Violation> {
        let lease_ends_ms = self.hold(hold).map_or(0, |it| it.lease_ends_ms);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            if !matches!(effect, Effect::Over(_)) && self.now_ms >= lease_ends_ms {
                return Err(format!("{effect:?} by a holder whose lease has run out"));
            }
            match effect {
                Effect::Write(record) => self.write_sent(hold, record),
                Effect::Call { n, verb, call } => self.call(hold, n, verb, call)?,
                Effect::Renew => self.renew(hold),
                Effect::Over(ending) => {
                    self.ends(hold.replica);
                    if let Ending::HandedOver { clean } = ending
                        && !self.fault()
                    {
                        self.soon(5, Item::ReleaseArrives { epoch: hold.epoch, clean });
                    }
                }
            }
        }
        self.effects = effects;
        let ahead_ms = self.replicas[hold.replica].clock_ahead_ms;
        let now_ms = self.now_ms;
        if let Some(held) = self.replicas[hold.replica].hold.as_mut() {
            let at_ms = held.saga.wakes_at(now_ms + ahead_ms) - ahead_ms;
            if held.wakes_at_ms != at_ms {
                held.wakes_at_ms = at_ms;
                self.at(at_ms, Item::Wakes { hold, at_ms });
            }
        }
        self.strike(hold.replica);
        Ok(())
    }

    /// What may happen to a replica at any moment.
    pub(super) fn strike(&mut self, replica: usize) {
        if self.rng.once_in(4) && self.fault() {
            let item = match self.rng.below(3) {
                0 => Item::Dies { replica },
                1 => Item::Freezes { replica },
                _ => Item::ShutsDown { replica },
            };
            self.soon(30, item);
        }
    }

    pub(super) fn write_sent(&mut self, hold: Held, record: Record) {
        if self.hold(hold).is_none() {
            return;
        }
        if !self.fault() {
            self.soon(5, Item::WriteArrives { hold, record, answered: true });
        } else if self.rng.once_in(2) {
            // Lost on the way; the runner writes it again.
            self.soon(40, Item::WriteSent { hold, record });
        } else {
            self.soon(40, Item::WriteArrives { hold, record, answered: false });
        }
    }

    pub(super) fn renew(&mut self, hold: Held) {
        let sent_at_ms = self.now_ms;
        if !self.fault() {
            self.soon(5, Item::RenewArrives { hold, sent_at_ms, answered: true });
        } else if self.rng.once_in(2) {
            self.soon(40, Item::Hears { hold, event: Event::NotRenewed });
        } else {
            self.soon(40, Item::RenewArrives { hold, sent_at_ms, answered: false });
        }
    }

    /// A replica holds the operation no more: its calls are cut off.
    pub(super) fn ends(&mut self, replica: usize) {
        let Some(Hold { epoch, lease_ends_ms, .. }) = self.replicas[replica].hold.take() else { return };
        let hold = Held { replica, epoch };
        // One that was frozen hears of the end of its lease late; to the systems it was silent from then.
        let ended_ms = self.now_ms.min(lease_ends_ms);
        for call in self.calls.iter_mut().filter(|call| call.hold == hold) {
            call.cut_off_ms = Some(call.cut_off_ms.map_or(ended_ms, |cut_off| cut_off.min(ended_ms)));
        }
    }

    pub(super) fn settles(&mut self, record: &Record) {
        if matches!(record, Record::Settled(OperationState::Stuck))
            && self.model.state == OperationState::Stuck
        {
            self.outcome.was_stuck = true;
            self.soon(500, Item::Resumed);
        }
    }

    pub(super) fn hold(&self, hold: Held) -> Option<&Hold> {
        self.replicas.get(hold.replica)?.hold.as_ref().filter(|it| it.epoch == hold.epoch)
    }

    pub(super) fn held_by(&self, replica: usize) -> Option<Held> {
        self.replicas[replica].hold.as_ref().map(|hold| Held { replica, epoch: hold.epoch })
    }

    pub(super) fn machine_at(&mut self, replica: usize) -> At {
        let jitter = u16::try_from(self.rng.below(1 << 16)).unwrap_or(0);
        At { now_ms: self.now_ms + self.replicas[replica].clock_ahead_ms, jitter }
    }
}
