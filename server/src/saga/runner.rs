//! The runner: claims operations, and carries out what the machine says.
//!
//! All decisions are the machine's; here are the clock, the database, the calls and their deadlines.
//! Any number of replicas run one each. What a step awaits is polled inside its operation's own task,
//! so when that task stops, because the lease is lost or the server shuts down, all of its calls stop
//! with it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, TryFutureExt};
use integraci_api::ProblemCode;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::definition::{Definition, Definitions, StepCx};
use super::error::StepError;
use super::faults::{Fault, Point, crash_point, fault_point};
use super::lease::{self, Claimed};
use super::log;
use super::machine::Saga;
use super::words::{Answer, At, ClaimedRow, Effect, Ending, Event, Record, Shape, Timing, Verb};
use crate::store::{Changes, Store, StoreError};

/// How long to wait before writing again what the database did not take.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The least time between two looks for work: notices come with every step of every operation.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a runner works. [`RunnerConfig::new`] gives what is right in production.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// This replica's name in the log, for people.
    pub replica: String,
    /// How long an operation is this replica's after it was last heard of.
    pub lease: Duration,
    /// How many operations to work on at once.
    pub concurrency: usize,
    /// How often to look for work without notice: how late a dead replica's is found.
    pub poll: Duration,
    /// How long a shutdown waits for calls under way.
    pub grace: Duration,
    /// How long after it was cut off a call may still take effect in a far system.
    pub late: Duration,
    /// The pause after a step's first failure, doubled by each that follows …
    pub pause: Duration,
    /// … up to this.
    pub pause_max: Duration,
    /// The clock that steps see.
    pub now: fn() -> OffsetDateTime,
    /// Where jitter comes from.
    pub jitter: fn() -> u16,
    /// Where the ids of events come from.
    pub id: fn() -> Uuid,
}

impl RunnerConfig {
    /// For production.
    #[must_use]
    pub fn new(replica: impl Into<String>) -> Self {
        Self {
            replica: replica.into(),
            lease: Duration::from_secs(15),
            concurrency: 64,
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(10),
            late: Duration::from_secs(5),
            pause: Duration::from_millis(200),
            pause_max: Duration::from_secs(60),
            now: OffsetDateTime::now_utc,
            jitter: rand::random,
            id: Uuid::now_v7,
        }
    }

    fn timing(&self) -> Timing {
        Timing {
            lease_ms: as_ms(self.lease),
            late_ms: as_ms(self.late),
            pause_ms: as_ms(self.pause),
            pause_max_ms: as_ms(self.pause_max),
        }
    }
}

/// Carries out operations until told to stop.
pub struct Runner {
    shared: Arc<Shared>,
    changes: Changes,
}

struct Shared {
    store: Store,
    definitions: Arc<Definitions>,
    known: Vec<String>,
    config: RunnerConfig,
    /// What the machines' milliseconds count from.
    began: Instant,
}

impl Runner {
    /// A runner over this store, woken by these changes.
    #[must_use]
    pub fn new(store: Store, changes: Changes, definitions: Arc<Definitions>, config: RunnerConfig) -> Self {
        let known = definitions.known();
        Self {
            shared: Arc::new(Shared { store, definitions, known, config, began: Instant::now() }),
            changes,
        }
    }

    /// Claims and works until told to stop; then lets the calls under way end, hands over what is left,
    /// and returns.
    pub async fn run(self, stop: CancellationToken) {
        let mut held = JoinSet::new();
        let config = &self.shared.config;
        let mut next_look = Instant::now();
        while !stop.is_cancelled() {
            tokio::time::sleep_until(next_look).await;
            next_look = Instant::now() + LOOK_EVERY;
            // Whatever changes after this claim wakes the wait below.
            let mut changes = self.changes.watch();
            let room = config.concurrency.saturating_sub(held.len());
            for claimed in self.shared.claim(room).await {
                held.spawn(self.shared.clone().hold(claimed, stop.clone()));
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = changes.any_changed(config.poll), if held.len() < config.concurrency => {}
                Some(ended) = held.join_next() => report(&ended),
            }
            while let Some(ended) = held.try_join_next() {
                report(&ended);
            }
        }
        while let Some(ended) = held.join_next().await {
            report(&ended);
        }
    }
}

/// A panic outside of any step: the operation is taken up again once its lease has run out.
fn report(ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        tracing::error!("an operation's task panicked; it is taken up again after its lease");
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        as_ms(self.began.elapsed())
    }

    fn at(&self) -> At {
        At { now_ms: self.now_ms(), jitter: (self.config.jitter)() }
    }

    async fn claim(&self, room: usize) -> Vec<(u64, Claimed)> {
        if room == 0 {
            return Vec::new();
        }
        let sent_at_ms = self.now_ms();
        let claim = lease::claim(&self.store, &self.config.replica, self.config.lease, &self.known, room);
        // What a connection claims that has gone silent is taken up again after its lease; waited for any
        // longer, it would be the last that this replica claims.
        let claimed = tokio::time::timeout(self.config.lease, claim).await;
        let Ok(claimed) = claimed else {
            tracing::warn!("the database did not answer; trying again");
            return Vec::new();
        };
        match claimed {
            Ok(claimed) => claimed.into_iter().map(|claimed| (sent_at_ms, claimed)).collect(),
            Err(error) => {
                warn_of(&error, "no operations could be claimed; trying again");
                Vec::new()
            }
        }
    }

    /// Works on one operation until it settles, is lost or is handed over.
    async fn hold(self: Arc<Self>, (sent_at_ms, claimed): (u64, Claimed), stop: CancellationToken) {
        let span =
            tracing::info_span!("operation", id = %claimed.fence.operation(), kind = claimed.kind.as_str());
        // Only what is known is claimed.
        let Some(definition) =
            self.definitions.get(claimed.kind, claimed.steps.iter().map(|(name, _)| name.as_str()))
        else {
            return;
        };
        Holder { shared: &self, definition, claimed: &claimed }
            .drive(sent_at_ms, stop)
            .instrument(span)
            .await;
    }
}

type Work<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send + 'a>>>;

/// One operation in the hands of this replica.
#[derive(Clone, Copy)]
struct Holder<'a> {
    shared: &'a Shared,
    definition: &'a Definition,
    claimed: &'a Claimed,
}

impl<'a> Holder<'a> {
    async fn drive(self, sent_at_ms: u64, stop: CancellationToken) {
        let row = ClaimedRow {
            state: self.claimed.state,
            steps: self.claimed.steps.iter().map(|(_, row)| *row).collect(),
            cut_off: self.claimed.cut_off,
            sent_at_ms,
        };
        let (mut work, mut effects) = (Work::new(), Vec::new());
        let shape = Arc::new(Shape::of(self.definition));
        let timing = self.shared.config.timing();
        let mut saga = Saga::claimed(shape, timing, &row, self.shared.at(), &mut effects);
        let mut drained_at = None;
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Write(record) => work.push(Box::pin(self.write(record))),
                    Effect::Call { n, verb, call } => work.push(Box::pin(self.call(n, verb, call))),
                    Effect::Renew => work.push(Box::pin(self.renew())),
                    Effect::Over(ending) => {
                        drop(work);
                        return self.over(ending).await;
                    }
                }
            }
            let wakes_at_ms = saga.wakes_at(self.shared.now_ms());
            let wakes_at = self.shared.began + Duration::from_millis(wakes_at_ms);
            let event = tokio::select! {
                // Time first: nothing of a call is polled once the lease may have run out.
                biased;
                () = tokio::time::sleep_until(wakes_at) => Event::TimeCame,
                () = stop.cancelled(), if drained_at.is_none() => {
                    drained_at = Some(Instant::now() + self.shared.config.grace);
                    Event::Drain
                }
                () = sleep_until(drained_at), if drained_at.is_some() => Event::Drained,
                Some(event) = work.next() => event,
            };
            saga.handle(self.shared.at(), event, &mut effects);
        }
    }

    /// Writes a record, again and again if the database does not answer: the machine ends it with the
    /// lease.
    async fn write(self, record: Record) -> Event {
        let (before, after) = match record {
            Record::Intent { n, .. } => (Some((n, false, Point::BeforeIntent)), None),
            Record::Done { n, .. } => (None, Some((n, false, Point::AfterDone))),
            Record::UndoIntent { n, .. } => (Some((n, true, Point::BeforeIntent)), None),
            Record::Undone { n, .. } => (None, Some((n, true, Point::AfterDone))),
            _ => (None, None),
        };
        self.crash_point(before);
        let name = |n: usize| self.name(n).to_owned();
        // The same however often it is written.
        let event = (self.shared.config.id)();
        loop {
            match lease::write(&self.shared.store, &self.claimed.fence, &record, name, event).await {
                Ok(true) => break,
                Ok(false) => return Event::LeaseLost,
                Err(error) => warn_of(&error, "a step could not be written down; trying again"),
            }
            tokio::time::sleep(WRITE_AGAIN_AFTER).await;
        }
        self.crash_point(after);
        self.tell(&record);
        Event::Written(record)
    }

    async fn renew(self) -> Event {
        let sent_at_ms = self.shared.now_ms();
        let config = &self.shared.config;
        match lease::renew(&self.shared.store, &self.claimed.fence, &config.replica, config.lease).await {
            Ok(true) => Event::Renewed { sent_at_ms },
            Ok(false) => Event::LeaseLost,
            Err(error) => {
                warn_of(&error, "a lease could not be renewed; trying again");
                Event::NotRenewed
            }
        }
    }

    /// One call of a step, within its deadline. A panic is the step's failure and nobody else's.
    async fn call(self, n: usize, verb: Verb, call: u32) -> Event {
        let step = &self.definition.steps[n];
        let cx = StepCx {
            operation: self.claimed.fence.operation(),
            tenant: self.claimed.tenant,
            target: self.claimed.target.clone(),
            input: self.claimed.input.clone(),
            fence: self.claimed.fence,
            now: (self.shared.config.now)(),
        };
        let undo = verb == Verb::Undo;
        let point = |point| (verb != Verb::Probe).then_some((n, undo, point));
        self.crash_point(point(Point::Before));
        let fault = match verb {
            Verb::Probe => None,
            Verb::Apply | Verb::Undo => fault_point(self.claimed.kind, self.name(n), undo).await,
        };
        let called = async {
            match (verb, fault) {
                (_, Some(Fault::Refused)) => Err(refused()),
                (Verb::Probe, _) => step.probe(&cx).await.map(Answer::Found),
                (Verb::Apply, _) => step.apply(&cx).await.map(|()| Answer::Done),
                (Verb::Undo, _) => step.undo(&cx).await.map(|()| Answer::Done),
            }
        };
        let span = tracing::info_span!("step", name = step.name(), verb = ?verb);
        let caught = AssertUnwindSafe(called.instrument(span)).catch_unwind().unwrap_or_else(|_panic| {
            tracing::error!(step = step.name(), "the step panicked");
            Err(StepError::broken("The step failed by a fault of the server's own."))
        });
        let answered = tokio::time::timeout(step.deadline(), caught).await;
        self.crash_point(point(Point::After));
        let late = || Err(StepError::gone("The step was not answered within its deadline."));
        let answered =
            if fault == Some(Fault::Lost) { late() } else { answered.unwrap_or_else(|_elapsed| late()) };
        let answer = answered.unwrap_or_else(Answer::Failed);
        Event::Answered { n, call, answer }
    }

    async fn over(self, ending: Ending) {
        match ending {
            Ending::Settled(state) => tracing::info!(state = state.as_str(), "settled"),
            Ending::Lost => tracing::warn!("the lease is lost; nothing more is done here"),
            Ending::HandedOver { clean } => {
                if let Err(error) = self.hand_over(clean).await {
                    warn_of(&error, "the operation could not be handed over; its lease must run out");
                }
            }
        }
    }

    async fn hand_over(self, clean: bool) -> Result<(), StoreError> {
        let mut tx = self.shared.store.platform_tx().await?;
        log::release(&mut tx, &self.claimed.fence, clean).await?;
        tx.commit().await
    }

    fn tell(self, record: &Record) {
        match record {
            Record::Retry { n, error, wait_ms, attempts } => {
                tracing::warn!(step = self.name(*n), class = ?error.class(), %error, attempts, wait_ms, "failed");
                count_failure(self.name(*n), error);
            }
            Record::Failed { n, error, .. } => {
                tracing::warn!(step = self.name(*n), class = ?error.class(), %error, "given up");
                count_failure(self.name(*n), error);
            }
            Record::Done { n, .. } => tracing::debug!(step = self.name(*n), "done"),
            Record::Undone { n, .. } => tracing::debug!(step = self.name(*n), "undone"),
            _ => {}
        }
    }

    fn name(self, n: usize) -> &'a str {
        &self.claimed.steps[n].0
    }

    fn crash_point(self, at: Option<(usize, bool, Point)>) {
        if let Some((n, undo, point)) = at {
            crash_point(self.claimed.kind, self.name(n), undo, point);
        }
    }
}

/// What a test has a call answered with.
fn refused() -> StepError {
    StepError::refused(ProblemCode::Unavailable, "A test has this step refused.")
}

fn count_failure(step: &str, error: &StepError) {
    let (step, class) = (step.to_owned(), error.class().as_str());
    metrics::counter!("integraci_step_failures_total", "step" => step, "class" => class).increment(1);
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn warn_of(error: &StoreError, what: &'static str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}

/// Whole milliseconds; what does not fit is longer than anything lasts.
fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
