//! Far systems in memory, steps over them that fail as told, and runners to carry them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::operations::{Operation, OperationKind, StepState};
use integraci_api::{OperationId, ProblemCode, TenantId};
use integraci_server::saga::log::{NewOperation, operation_get, operation_insert};
use integraci_server::saga::{
    Definition, Definitions, Direction, Probe, Runner, RunnerConfig, Step, StepCx, StepError,
};
use integraci_server::store::Changes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Database;

/// Far longer than anything here takes; reached only when something hangs.
const LONGEST: Duration = Duration::from_secs(30);

/// How long what hangs and takes effect late takes.
pub(crate) const LANDS_AFTER: Duration = Duration::from_millis(300);

/// What a call does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens, and the answer is a no.
    Refuse,
    /// Nothing happens, and there is no answer.
    Gone,
    /// It takes effect, and the answer makes no sense.
    BrokenAfter,
    /// It takes effect, and no answer ever comes.
    HangAfter,
    /// No answer ever comes; it takes effect [`LANDS_AFTER`] it was sent, whether or not anyone waits.
    HangLate,
    /// No effect and no answer, until [`World::open`].
    Wait,
    /// The step's code panics.
    Panic,
}

/// The far systems, and all that was asked of them.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    gate: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[derive(Default)]
struct State {
    /// What is in place: operation and step.
    places: BTreeSet<(OperationId, &'static str)>,
    /// For each verb and step, what its next calls do.
    faults: BTreeMap<String, Vec<Fault>>,
    /// Faults that never end.
    always: BTreeMap<String, Fault>,
    /// Every call that took effect, as `apply a`.
    effects: Vec<String>,
    /// Every call, by whichever replica.
    calls: Vec<String>,
}

impl World {
    /// The next call of this verb and step, such as `apply a`, does this.
    pub(crate) fn fail(&self, call: &str, fault: Fault) {
        self.state.lock().unwrap().faults.entry(call.to_owned()).or_default().push(fault);
    }

    /// Every call of it does, until [`World::mend`].
    pub(crate) fn fail_always(&self, call: &str, fault: Fault) {
        self.state.lock().unwrap().always.insert(call.to_owned(), fault);
    }

    /// No call fails any more.
    pub(crate) fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.always.clear();
    }

    /// Lets those go on that wait.
    pub(crate) fn open(&self) {
        self.gate.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// What is in place for an operation.
    pub(crate) fn remains(&self, operation: OperationId) -> Vec<&'static str> {
        let state = self.state.lock().unwrap();
        state.places.iter().filter(|(of, _)| *of == operation).map(|(_, step)| *step).collect()
    }

    /// Puts something in place, as a request that holds its operation does.
    pub(crate) fn put(&self, operation: OperationId, step: &'static str) {
        self.state.lock().unwrap().places.insert((operation, step));
    }

    fn take_effect(&self, call: String, effect: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        effect(&mut state);
        state.effects.push(call);
    }

    /// Every call so far that took effect.
    pub(crate) fn effects(&self) -> Vec<String> {
        self.state.lock().unwrap().effects.clone()
    }

    /// Forgets what was asked so far.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.effects.clear();
        state.calls.clear();
    }

    /// How often this was called.
    pub(crate) fn calls(&self, call: &str) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|called| *called == call).count()
    }

    #[expect(clippy::panic, reason = "a step's panic is one of the faults")]
    async fn call(
        self: &Arc<Self>,
        verb: &str,
        step: &'static str,
        effect: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<(), StepError> {
        let call = format!("{verb} {step}");
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call.clone());
            let next = state.faults.get_mut(&call).filter(|faults| !faults.is_empty());
            next.map(|faults| faults.remove(0)).or_else(|| state.always.get(&call).copied())
        };
        match fault {
            Some(Fault::Refuse) => {
                let refused =
                    StepError::refused(ProblemCode::VerificationFailed, format!("{step} is refused."));
                return Err(refused.at("/config/url"));
            }
            Some(Fault::Gone) => return Err(StepError::gone("The system does not answer.")),
            Some(Fault::Panic) => panic!("as told"),
            Some(Fault::HangLate) => {
                let (world, late) = (self.clone(), format!("late {call}"));
                tokio::spawn(async move {
                    tokio::time::sleep(LANDS_AFTER).await;
                    world.take_effect(late, effect);
                });
                return std::future::pending().await;
            }
            Some(Fault::Wait) => drop(self.gate.0.acquire().await),
            None | Some(Fault::BrokenAfter | Fault::HangAfter) => {}
        }
        self.take_effect(call, effect);
        match fault {
            Some(Fault::BrokenAfter) => Err(StepError::broken("The answer makes no sense.")),
            Some(Fault::HangAfter) => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

/// One step over the world: a place that is there or not.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [&'static str],
    pub(crate) deadline: Duration,
    /// Whether its effect can only be brought about by the request: `apply` finds the secret lost.
    pub(crate) by_request: bool,
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl Step for Place {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs(&self) -> &'static [&'static str] {
        self.needs
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        self.world.call("probe", self.name, |_| {}).await?;
        let there = self.world.remains(cx.operation).contains(&self.name);
        Ok(if there { Probe::Present } else { Probe::Absent })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        if self.by_request {
            return Err(StepError::refused(ProblemCode::SecretLost, "The secret was not received."));
        }
        let place = (cx.operation, self.name);
        let put = move |state: &mut State| {
            state.places.insert(place);
        };
        self.world.call("apply", self.name, put).await
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let place = (cx.operation, self.name);
        let take = move |state: &mut State| {
            state.places.remove(&place);
        };
        self.world.call("undo", self.name, take).await
    }
}

/// A saga of four: `a`, then `b` and `c` side by side, then `d`.
pub(crate) const STEPS: [&str; 4] = ["a", "b", "c", "d"];

/// The same four as the steps of an operation that is made or leaves nothing, and of one that only
/// goes forward.
pub(crate) fn definitions(world: &Arc<World>, shape: impl Fn(&mut Place)) -> Arc<Definitions> {
    let steps = || {
        let needs: [&[&str]; 4] = [&[], &["a"], &["a"], &["b", "c"]];
        let place = |(name, needs): (&'static str, &'static [&'static str])| {
            let mut place = Place { name, needs, deadline: LONGEST, by_request: false, world: world.clone() };
            shape(&mut place);
            Box::new(place) as Box<dyn Step>
        };
        STEPS.into_iter().zip(needs).map(place).collect()
    };
    let definition = |kind, direction| Definition { kind, direction, steps: steps() };
    let both = vec![
        definition(OperationKind::ConnectorCreate, Direction::OrNothing),
        definition(OperationKind::ConnectorDelete, Direction::ForwardOnly),
    ];
    Arc::new(Definitions::new(both).unwrap())
}

/// A replica that works.
pub(crate) struct Replica {
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Replica {
    /// Starts one whose pauses are those of tests. Its lease is long, so that a slow machine costs no
    /// test its operation.
    pub(crate) fn start(database: &Database, definitions: &Arc<Definitions>, name: &str) -> Self {
        Self::start_with(database, definitions, name, |_| {})
    }

    /// Starts one that differs from that.
    pub(crate) fn start_with(
        database: &Database,
        definitions: &Arc<Definitions>,
        name: &str,
        differ: impl FnOnce(&mut RunnerConfig),
    ) -> Self {
        let mut config = RunnerConfig::new(name);
        config.lease = LONGEST;
        config.poll = Duration::from_millis(50);
        config.grace = LONGEST;
        config.late = Duration::from_millis(30);
        config.pause = Duration::from_millis(2);
        config.pause_max = Duration::from_millis(10);
        differ(&mut config);
        let (store, changes, stop) = (database.store.clone(), Changes::default(), CancellationToken::new());
        let listen = changes.clone().listen(store.clone(), stop.clone());
        let runner = Runner::new(store, changes, definitions.clone(), config).run(stop.clone());
        let run = tokio::spawn(async move {
            tokio::join!(listen, runner);
        });
        Self { stop, run }
    }

    /// Stops it as a shutdown does.
    pub(crate) async fn shut_down(self) {
        self.stop.cancel();
        self.run.await.unwrap();
    }

    /// Stops it as a power failure does: nothing of it runs on, and nothing is handed over.
    pub(crate) async fn die(self) {
        self.run.abort();
        let _ = self.run.await;
    }
}

/// An operation of a kind, not yet enqueued.
pub(crate) fn new_operation(kind: OperationKind) -> NewOperation<'static> {
    NewOperation {
        id: OperationId::from_uuid(Uuid::now_v7()),
        tenant: TenantId::from_uuid(Uuid::now_v7()),
        kind,
        target_id: "con_of_a_test".to_owned(),
        input: serde_json::json!({}),
        steps: &STEPS,
    }
}

/// Enqueues one.
pub(crate) async fn enqueue(database: &Database, kind: OperationKind) -> OperationId {
    let new = new_operation(kind);
    let mut tx = database.store.platform_tx().await.unwrap();
    operation_insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    new.id
}

/// The operation as it is now.
pub(crate) async fn read(database: &Database, id: OperationId) -> Operation {
    let mut tx = database.store.platform_tx().await.unwrap();
    operation_get(&mut tx, id).await.unwrap().unwrap()
}

/// The operation once it is settled.
pub(crate) async fn settled(database: &Database, id: OperationId) -> Operation {
    until(database, id, |operation| operation.state.is_settled()).await
}

/// The operation once it is as wanted.
pub(crate) async fn until(
    database: &Database,
    id: OperationId,
    wanted: impl Fn(&Operation) -> bool,
) -> Operation {
    let mut seen = read(database, id).await;
    let poll = async {
        while !wanted(&seen) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = read(database, id).await;
        }
    };
    let in_time = tokio::time::timeout(LONGEST, poll).await;
    assert!(in_time.is_ok(), "never as wanted: {seen:?}");
    seen
}

/// Waits until something of the world's is so.
pub(crate) async fn until_called(world: &World, call: &str, times: usize) {
    let poll = async {
        while world.calls(call) < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(LONGEST, poll).await;
    assert!(in_time.is_ok(), "{call} was never called {times} times");
}

/// The states of an operation's steps.
pub(crate) fn states(operation: &Operation) -> Vec<StepState> {
    operation.steps.iter().map(|step| step.state).collect()
}
