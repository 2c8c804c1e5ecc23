//! One history: replicas, a log and far systems under one seeded scheduler.
//!
//! What happens next is always the earliest item of one queue; chance decides when things come, and
//! which go wrong.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use integraci_api::operations::OperationState;

use super::model::{Model, Violation};
use super::plan::{Plan, Rng, TIMING};
use crate::saga::machine::Saga;
use crate::saga::words::{Answer, ClaimedRow, Effect, Event, Record, Shape, Timing, Verb};

/// Far more than the longest history takes; one that needs more would never end.
const ITEMS_MAX: u32 = 50_000;
/// Room for more items than that in a queue's key.
const ITEM_BITS: u32 = 24;
/// The request that holds an operation at first, where a replica's number stands otherwise.
pub(super) const REQUEST: usize = usize::MAX;

/// What comes next, somewhere.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A replica looks for work …
    Look {
        replica: usize,
    },
    /// … its claim comes to the log …
    ClaimArrives {
        replica: usize,
        life: u32,
        sent_at_ms: u64,
    },
    /// … and the answer back.
    Claimed {
        replica: usize,
        life: u32,
        row: ClaimedRow,
        epoch: u64,
    },
    /// A holder's write goes out …
    WriteSent {
        hold: Held,
        record: Record,
    },
    /// … and comes to the log.
    WriteArrives {
        hold: Held,
        record: Record,
        answered: bool,
    },
    RenewArrives {
        hold: Held,
        sent_at_ms: u64,
        answered: bool,
    },
    ReleaseArrives {
        epoch: u64,
        clean: bool,
    },
    /// A call takes effect, all of it or some parts.
    Lands {
        call: usize,
        parts: u8,
        told: Told,
    },
    /// The answer to a call comes back.
    Answers {
        call: usize,
        answer: Answer,
    },
    /// A holder's machine hears something.
    Hears {
        hold: Held,
        event: Event,
    },
    Wakes {
        hold: Held,
        at_ms: u64,
    },
    Dies {
        replica: usize,
    },
    Freezes {
        replica: usize,
    },
    ShutsDown {
        replica: usize,
    },
    Starts {
        replica: usize,
    },
    Resumed,
}

/// How its holder hears of what a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Never,
    Soon,
    /// And again later.
    Twice,
    /// When it has been cut off already.
    Late,
}

/// Names one replica's hold of the operation; both change when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) replica: usize,
    pub(super) epoch: u64,
}

pub(super) struct Replica {
    pub(super) up: bool,
    pub(super) life: u32,
    pub(super) frozen_until_ms: u64,
    /// Its clock counts from its own beginning.
    pub(super) clock_ahead_ms: u64,
    pub(super) hold: Option<Hold>,
}

pub(super) struct Hold {
    pub(super) epoch: u64,
    pub(super) saga: Saga,
    pub(super) lease_ends_ms: u64,
    pub(super) wakes_at_ms: u64,
}

pub(super) struct Call {
    pub(super) hold: Held,
    pub(super) n: usize,
    pub(super) verb: Verb,
    /// The holder's own number for it.
    pub(super) number: u32,
    /// Its holder has heard an answer.
    pub(super) is_answered: bool,
    /// Nobody waits for its answer any more since then.
    pub(super) cut_off_ms: Option<u64>,
}

/// What a history came to.
#[derive(Debug, Default, Clone)]
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) settled: Option<OperationState>,
    /// How many faults there were; each has a number, counted from 0.
    pub(super) faults: u32,
    pub(super) takeovers: u64,
    pub(super) late_effects: u32,
    pub(super) partial_effects: u32,
    pub(super) second_answers: u32,
    pub(super) was_stuck: bool,
    pub(super) items: u32,
    pub(super) trace: Vec<String>,
}

/// How to run a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options<'a> {
    /// Faults that do not happen, by number.
    pub(super) without: &'a [u32],
    pub(super) traced: bool,
    /// What the machine is told of time; [`TIMING`], unless a test lies to it.
    pub(super) timing: Timing,
}

pub(super) struct World<'a> {
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) shape: Arc<Shape>,
    pub(super) options: Options<'a>,
    pub(super) now_ms: u64,
    /// When, and the place in `items`: of what comes at one time, the first queued goes first.
    pub(super) queue: BinaryHeap<Reverse<u64>>,
    pub(super) items: Vec<Option<Item>>,
    pub(super) replicas: Vec<Replica>,
    pub(super) calls: Vec<Call>,
    pub(super) model: Model,
    /// A verb of a step that fails for some calls on end, and how.
    pub(super) down: Option<(usize, Verb, u32, u64)>,
    pub(super) effects: Vec<Effect>,
    pub(super) outcome: Outcome,
}

/// Runs the history of a seed.
pub(super) fn run(seed: u64, options: Options<'_>) -> Outcome {
    let mut rng = Rng::new(seed);
    let plan = Plan::of(&mut rng);
    let replica = |n: usize| Replica {
        up: true,
        life: 0,
        frozen_until_ms: 0,
        clock_ahead_ms: n as u64 * 1_000_000,
        hold: None,
    };
    let mut world = World {
        shape: Arc::new(plan.shape.clone()),
        model: Model::new(&plan),
        replicas: (0..plan.runners).map(replica).collect(),
        rng,
        plan,
        options,
        now_ms: 0,
        queue: BinaryHeap::with_capacity(32),
        items: Vec::with_capacity(128),
        calls: Vec::with_capacity(32),
        down: None,
        effects: Vec::with_capacity(16),
        outcome: Outcome::default(),
    };
    if let Err(violation) = world.go() {
        world.outcome.violation = Some(violation);
    }
    world.outcome.settled = Some(world.model.state);
    world.outcome.takeovers = world.model.epoch.saturating_sub(1);
    world.outcome
}

impl World<'_> {
    fn go(&mut self) -> Result<(), Violation> {
        if self.plan.held {
            self.request();
        }
        for replica in 0..self.replicas.len() {
            let first_ms = self.rng.below(100);
            self.at(first_ms, Item::Look { replica });
        }
        while let Some(Reverse(key)) = self.queue.pop() {
            self.now_ms = key >> ITEM_BITS;
            self.outcome.items += 1;
            if self.outcome.items > ITEMS_MAX {
                return Err("the saga never settles".to_owned());
            }
            let place = usize::try_from(key & ((1 << ITEM_BITS) - 1)).unwrap_or(usize::MAX);
            let Some(item) = self.items.get_mut(place).and_then(Option::take) else { continue };
            if self.options.traced {
                self.outcome.trace.push(format!("{:>6} {item:?}", self.now_ms));
            }
            self.happen(item)?;
        }
        Ok(())
    }

    fn happen(&mut self, item: Item) -> Result<(), Violation> {
        match item {
            Item::Look { replica } => self.look(replica),
            Item::ClaimArrives { replica, life, sent_at_ms } => {
                // Where the answer is lost, the operation is nobody's until its lease has run out.
                if let Some((row, epoch)) = self.model.claim(self.now_ms, sent_at_ms)
                    && !self.fault()
                {
                    self.soon(5, Item::Claimed { replica, life, row, epoch });
                }
            }
            Item::Claimed { replica, life, row, epoch } => return self.claimed(replica, life, row, epoch),
            Item::WriteSent { hold, record } => self.write_sent(hold, record),
            Item::WriteArrives { hold, record, answered } => {
                let held = self.model.write(self.now_ms, hold.epoch, &record)?;
                self.settles(&record);
                match (held, answered) {
                    (true, true) => self.soon(5, Item::Hears { hold, event: Event::Written(record) }),
                    (false, true) => self.soon(5, Item::Hears { hold, event: Event::LeaseLost }),
                    (_, false) => self.soon(40, Item::WriteSent { hold, record }),
                }
            }
            Item::RenewArrives { hold, sent_at_ms, answered } => {
                let event = match (self.model.renew(self.now_ms, hold.epoch), answered) {
                    (true, true) => Event::Renewed { sent_at_ms },
                    (false, true) => Event::LeaseLost,
                    (_, false) => Event::NotRenewed,
                };
                self.soon(5, Item::Hears { hold, event });
            }
            Item::ReleaseArrives { epoch, clean } => self.model.release(self.now_ms, epoch, clean),
            Item::Lands { call, parts, told } => return self.lands(call, parts, told),
            Item::Answers { call, answer } => return self.answered(call, answer),
            Item::Hears { hold, event } => return self.hears(hold, event),
            Item::Wakes { hold, at_ms } => {
                let due = self.hold(hold).is_some_and(|it| it.wakes_at_ms == at_ms);
                return if due { self.hears(hold, Event::TimeCame) } else { Ok(()) };
            }
            Item::Dies { replica } => {
                self.ends(replica);
                let state = &mut self.replicas[replica];
                (state.up, state.life) = (false, state.life + 1);
                self.soon(2 * TIMING.lease_ms, Item::Starts { replica });
            }
            Item::Freezes { replica } => {
                self.replicas[replica].frozen_until_ms =
                    self.now_ms + 1 + self.rng.below(3 * TIMING.lease_ms);
            }
            Item::ShutsDown { replica } => {
                if let Some(hold) = self.held_by(replica) {
                    let grace_ms = self.rng.below(100);
                    self.soon(1, Item::Hears { hold, event: Event::Drain });
                    self.at(self.now_ms + grace_ms, Item::Hears { hold, event: Event::Drained });
                }
            }
            Item::Starts { replica } => self.replicas[replica].up = true,
            Item::Resumed => {
                self.down = None;
                self.model.make_room();
                self.model.resume(self.now_ms);
                for replica in 0..self.replicas.len() {
                    self.soon(50, Item::Look { replica });
                }
            }
        }
        Ok(())
    }

    /// Whether a fault happens here. They have numbers, so that single ones can be left out.
    pub(super) fn fault(&mut self) -> bool {
        if self.plan.fault_once_in == 0 || self.outcome.faults >= self.plan.faults_max {
            return false;
        }
        if !self.rng.once_in(self.plan.fault_once_in) {
            return false;
        }
        self.outcome.faults += 1;
        !self.options.without.contains(&(self.outcome.faults - 1))
    }

    pub(super) fn soon(&mut self, within_ms: u64, item: Item) {
        self.between(self.now_ms + 1, within_ms, item);
    }

    pub(super) fn between(&mut self, from_ms: u64, within_ms: u64, item: Item) {
        let at_ms = from_ms + self.rng.below(within_ms);
        self.at(at_ms, item);
    }

    pub(super) fn at(&mut self, at_ms: u64, item: Item) {
        self.queue.push(Reverse(at_ms << ITEM_BITS | self.items.len() as u64));
        self.items.push(Some(item));
    }
}
