//! Sagas on a real Postgres: several replicas, takeover, fencing, hand-over, undo, stuck and resume.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::operations::{OperationKind, OperationState, StepState};
use integraci_api::{OperationId, ProblemCode, TenantId};
use integraci_server::saga::log::{
    operation_get, operation_insert, operation_insert_held, operation_release, operation_release_in_doubt,
    operation_resume,
};
use integraci_server::saga::{
    Class, Definition, Definitions, Direction, Probe, RunnerConfig, Step, StepCx, StepError,
};
use integraci_server::store::{PlatformTx, Store};
use sqlx::Row;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use crate::database::Database;
use crate::saga_world::{
    Fault, LANDS_AFTER, Replica, STEPS, World, definitions, enqueue, new_operation, read, settled, states,
    until, until_called,
};

const CREATE: OperationKind = OperationKind::ConnectorCreate;
const DELETE: OperationKind = OperationKind::ConnectorDelete;

#[tokio::test]
async fn steps_run_in_the_order_of_their_needs() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    let id = enqueue(&database, CREATE).await;
    let operation = settled(&database, id).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(states(&operation), [StepState::Done; 4]);
    assert!(operation.steps.iter().all(|step| step.attempts == 1 && step.error.is_none()));
    assert!(operation.finished_at.is_some() && operation.error.is_none());
    // One change for each intent, each outcome and the end.
    assert_eq!(operation.revision, 1 + 4 * 2 + 1);
    let effects = world.effects();
    assert_eq!((effects[0].as_str(), effects[3].as_str()), ("apply a", "apply d"));
    replica.shut_down().await;
}

#[tokio::test]
async fn whichever_step_is_refused_all_is_undone_backwards() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    for (n, step) in STEPS.into_iter().enumerate() {
        world.fail(&format!("apply {step}"), Fault::Refuse);
        let id = enqueue(&database, CREATE).await;
        let operation = settled(&database, id).await;
        assert_eq!(operation.state, OperationState::Failed, "{step}");
        assert_eq!(world.remains(id), [""; 0], "{step}");
        let error = operation.error.clone().unwrap();
        assert_eq!((error.code, error.step.as_str()), (ProblemCode::VerificationFailed, step));
        assert_eq!(error.errors[0].pointer, "/config/url");
        assert_eq!(operation.steps[n].error.as_deref(), Some(format!("{step} is refused.").as_str()));
        assert!(
            states(&operation).iter().all(|state| matches!(state, StepState::Waiting | StepState::Undone))
        );
        let undone: Vec<_> =
            world.effects().into_iter().filter(|effect| effect.starts_with("undo")).collect();
        let last = undone.last().map(String::as_str);
        assert_eq!(last, Some("undo a"), "{step}: what everything needs goes last");
    }
    replica.shut_down().await;
}

#[tokio::test]
async fn every_call_may_take_effect_and_fail_all_the_same() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    for fault in [Fault::Gone, Fault::BrokenAfter, Fault::Panic] {
        for step in STEPS {
            world.fail(&format!("apply {step}"), fault);
            world.fail(&format!("undo {step}"), fault);
        }
        let id = enqueue(&database, CREATE).await;
        let operation = settled(&database, id).await;
        assert_eq!(operation.state, OperationState::Succeeded, "{fault:?}");
        assert_eq!(world.remains(id), STEPS, "{fault:?}");
        world.fail("apply d", Fault::Refuse);
        let id = enqueue(&database, CREATE).await;
        let operation = settled(&database, id).await;
        assert_eq!(operation.state, OperationState::Failed, "{fault:?}");
        assert_eq!(world.remains(id), [""; 0], "{fault:?}");
        assert!(operation.steps.iter().all(|step| step.attempts == 2), "{fault:?}: {operation:?}");
    }
    replica.shut_down().await;
}

#[tokio::test]
async fn a_call_without_an_answer_is_cut_off_at_its_deadline() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let soon = definitions(&world, |place| place.deadline = Duration::from_millis(100));
    let replica = Replica::start(&database, &soon, "one");
    world.fail("apply b", Fault::HangAfter);
    let id = enqueue(&database, CREATE).await;
    assert_eq!(settled(&database, id).await.state, OperationState::Succeeded);
    assert_eq!((world.calls("apply b"), world.calls("probe b")), (1, 1), "looked for, not done again");
    replica.shut_down().await;
}

#[tokio::test]
async fn what_takes_effect_late_is_undone_all_the_same() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |place| place.deadline = Duration::from_millis(50));
    let late = |config: &mut RunnerConfig| config.late = 2 * LANDS_AFTER;
    for dies in [false, true] {
        world.fail("apply b", Fault::HangLate);
        world.fail("apply d", Fault::Refuse);
        let first = Replica::start_with(&database, &definitions, "first", late);
        let id = enqueue(&database, CREATE).await;
        // Found missing, if it has not landed yet, and done again; then all is undone.
        until(&database, id, |operation| operation.state != OperationState::Running).await;
        let second = if dies {
            // Another replica has to know of it too.
            first.shut_down().await;
            Replica::start_with(&database, &definitions, "second", late)
        } else {
            first
        };
        assert_eq!(settled(&database, id).await.state, OperationState::Failed);
        assert!(world.effects().contains(&"late apply b".to_owned()), "waited for");
        assert_eq!(world.remains(id), [""; 0]);
        world.forget();
        second.shut_down().await;
    }
}

#[tokio::test]
async fn a_dead_replica_is_taken_over() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |_| {});
    world.fail("apply b", Fault::HangAfter);
    world.fail("apply c", Fault::Wait);
    let short = |config: &mut RunnerConfig| config.lease = Duration::from_millis(500);
    let first = Replica::start_with(&database, &definitions, "first", short);
    let id = enqueue(&database, CREATE).await;
    until_called(&world, "apply b", 1).await;
    until_called(&world, "apply c", 1).await;
    first.die().await;
    let second = Replica::start(&database, &definitions, "second");
    let operation = settled(&database, id).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!((world.calls("apply a"), world.calls("probe a")), (1, 0), "done is done");
    assert_eq!((world.calls("apply b"), world.calls("probe b")), (1, 1), "found in place");
    assert_eq!((world.calls("apply c"), world.calls("probe c")), (2, 1), "found missing");
    assert_eq!(holder(&database, id).await, (2, Some("second".to_owned())));
    second.shut_down().await;
}

#[tokio::test]
async fn two_replicas_share_the_work_and_do_none_of_it_twice() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |_| {});
    let replicas = ["first", "second"].map(|name| Replica::start(&database, &definitions, name));
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(enqueue(&database, CREATE).await);
    }
    for id in ids {
        assert_eq!(settled(&database, id).await.state, OperationState::Succeeded);
        assert_eq!(holder(&database, id).await.0, 1, "claimed once");
    }
    assert_eq!(world.effects().len(), 30 * 4);
    for replica in replicas {
        replica.shut_down().await;
    }
}

#[tokio::test]
async fn a_shutdown_lets_a_call_end_and_hands_the_rest_over() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |_| {});
    world.fail("apply a", Fault::Wait);
    let first = Replica::start(&database, &definitions, "first");
    let id = enqueue(&database, CREATE).await;
    until_called(&world, "apply a", 1).await;
    let stopped = tokio::spawn(first.shut_down());
    world.open();
    stopped.await.unwrap();
    let operation = read(&database, id).await;
    assert_eq!(states(&operation)[0], StepState::Done);
    assert_eq!(holder(&database, id).await.1, None, "let go of");
    let second = Replica::start(&database, &definitions, "second");
    assert_eq!(settled(&database, id).await.state, OperationState::Succeeded);
    assert_eq!(world.calls("apply a"), 1);
    second.shut_down().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_call_for_ever() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |_| {});
    world.fail("apply a", Fault::HangAfter);
    let hasty = |config: &mut RunnerConfig| config.grace = Duration::from_millis(100);
    let first = Replica::start_with(&database, &definitions, "first", hasty);
    let id = enqueue(&database, CREATE).await;
    until_called(&world, "apply a", 1).await;
    first.shut_down().await;
    assert_eq!(holder(&database, id).await.1.as_deref(), Some("first"), "its call was cut off");
    let second = Replica::start(&database, &definitions, "second");
    assert_eq!(settled(&database, id).await.state, OperationState::Succeeded);
    assert_eq!((world.calls("apply a"), world.calls("probe a")), (1, 1));
    second.shut_down().await;
}

#[tokio::test]
async fn an_undo_that_keeps_failing_is_stuck_until_resumed() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    world.fail("apply d", Fault::Refuse);
    world.fail_always("undo b", Fault::Refuse);
    let id = enqueue(&database, CREATE).await;
    let stuck = settled(&database, id).await;
    assert_eq!(stuck.state, OperationState::Stuck);
    assert_eq!(world.remains(id), ["a", "b"], "c is undone; a waits for b");
    assert_eq!(states(&stuck)[..3], [StepState::Done, StepState::Undoing, StepState::Undone]);
    assert_eq!(stuck.steps[1].error.as_deref(), Some("b is refused."));
    world.mend();
    assert!(resume(&database, id).await);
    let operation = settled(&database, id).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert_eq!(operation.error.unwrap().step, "d", "why it failed in the first place");
    assert_eq!(world.remains(id), [""; 0]);
    assert!(!resume(&database, id).await, "not stuck any more");
    replica.shut_down().await;
}

#[tokio::test]
async fn what_only_goes_forward_is_never_undone() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    world.fail_always("apply c", Fault::Refuse);
    let id = enqueue(&database, DELETE).await;
    let stuck = settled(&database, id).await;
    assert_eq!(stuck.state, OperationState::Stuck);
    assert_eq!(states(&stuck), [StepState::Done, StepState::Done, StepState::Failed, StepState::Waiting]);
    assert_eq!(stuck.error.unwrap().step, "c");
    world.mend();
    assert!(resume(&database, id).await);
    let operation = settled(&database, id).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(operation.error, None);
    assert!(world.effects().iter().all(|effect| !effect.starts_with("undo")));
    replica.shut_down().await;
}

#[tokio::test]
async fn a_request_may_hold_an_operation_and_do_its_first_step() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let definitions = definitions(&world, |place| place.by_request = place.name == "a");
    let replica = Replica::start(&database, &definitions, "one");
    let lease = Duration::from_secs(60);

    let new = new_operation(CREATE);
    let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
    let (operation, fence) = operation_insert_held(&mut tx, &new, "request", lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(states(&operation)[..2], [StepState::Started, StepState::Waiting]);
    world.put(new.id, "a");
    assert_eq!(read(&database, new.id).await.revision, operation.revision, "nobody else's yet");
    let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
    operation_release(&mut tx, &fence).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(settled(&database, new.id).await.state, OperationState::Succeeded);

    // The request ends before it has brought its effect about: it lets go, in doubt or not, or dies.
    for (lease, lets_go, in_doubt) in
        [(lease, true, false), (lease, true, true), (Duration::from_millis(100), false, false)]
    {
        let new = new_operation(CREATE);
        let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
        let (_, fence) = operation_insert_held(&mut tx, &new, "request", lease).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
        match (lets_go, in_doubt) {
            (true, true) => operation_release_in_doubt(&mut tx, &fence).await.unwrap(),
            (true, false) => operation_release(&mut tx, &fence).await.unwrap(),
            _ => {}
        }
        tx.commit().await.unwrap();
        let operation = settled(&database, new.id).await;
        assert_eq!(operation.state, OperationState::Failed);
        assert_eq!(operation.error.unwrap().code, ProblemCode::SecretLost);
        assert_eq!(world.remains(new.id), [""; 0]);
    }
    replica.shut_down().await;
}

#[tokio::test]
async fn an_operation_is_its_tenants_and_no_other_tenants() {
    let database = Database::new().await;
    let new = new_operation(CREATE);
    let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
    let written = operation_insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = database.store.tenant_tx(new.tenant).await.unwrap();
    assert_eq!(operation_get(&mut tx, new.id).await.unwrap(), Some(written));
    let other = TenantId::from_uuid(Uuid::now_v7());
    let mut tx = database.store.tenant_tx(other).await.unwrap();
    assert_eq!(operation_get(&mut tx, new.id).await.unwrap(), None);
    assert!(operation_insert(&mut tx, &new_operation(CREATE)).await.is_err(), "of a third tenant");
}

#[tokio::test]
async fn another_builds_steps_are_left_to_it() {
    let (database, world) = (Database::new().await, Arc::new(World::default()));
    let replica = Replica::start(&database, &definitions(&world, |_| {}), "one");
    let mut new = new_operation(CREATE);
    new.steps = &["a", "b", "c", "e"];
    let mut tx = database.store.platform_tx().await.unwrap();
    operation_insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    // Others go on meanwhile.
    let id = enqueue(&database, CREATE).await;
    assert_eq!(settled(&database, id).await.state, OperationState::Succeeded);
    let left = read(&database, new.id).await;
    assert_eq!((left.state, left.revision), (OperationState::Running, 1));
    assert_eq!(holder(&database, new.id).await, (0, None), "not even claimed");
    replica.shut_down().await;
}

#[tokio::test]
async fn a_holder_that_lost_its_lease_writes_nothing_more() {
    let database = Database::new().await;
    let step = Arc::new(Fenced::new(&database));
    let steps: Vec<Box<dyn Step>> = vec![Box::new(Shared(step.clone()))];
    let definition = Definition { kind: CREATE, direction: Direction::OrNothing, steps };
    let definitions = Arc::new(Definitions::new(vec![definition]).unwrap());
    let replica = Replica::start(&database, &definitions, "first");
    let mut new = new_operation(CREATE);
    new.steps = &["fenced"];
    let mut tx = database.store.platform_tx().await.unwrap();
    operation_insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    step.begun.notified().await;
    // As another replica's claim does, had this one's lease run out.
    sqlx::query("UPDATE operation SET epoch = epoch + 1, lease_owner = 'second', lease_until = now() + interval '1 h'")
        .execute(&database.superuser)
        .await
        .unwrap();
    step.go_on.notify_one();
    step.ended.notified().await;
    assert_eq!(*step.seen.lock().await, Some(Class::LeaseLost));
    replica.shut_down().await;
    let operation = until(&database, new.id, |_| true).await;
    assert_eq!(states(&operation), [StepState::Started]);
    assert_eq!(holder(&database, new.id).await, (2, Some("second".to_owned())), "nor let go of");
}

/// A step that writes Postgres, behind its fence.
struct Fenced {
    store: Store,
    begun: Notify,
    go_on: Notify,
    ended: Notify,
    seen: Mutex<Option<Class>>,
}

impl Fenced {
    fn new(database: &Database) -> Self {
        Self {
            store: database.store.clone(),
            begun: Notify::new(),
            go_on: Notify::new(),
            ended: Notify::new(),
            seen: Mutex::new(None),
        }
    }
}

struct Shared(Arc<Fenced>);

#[async_trait]
impl Step for Shared {
    fn name(&self) -> &'static str {
        "fenced"
    }

    async fn probe(&self, _cx: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx: PlatformTx = self.0.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        drop(tx);
        self.0.begun.notify_one();
        self.0.go_on.notified().await;
        let mut tx = self.0.store.platform_tx().await?;
        let held = cx.fence.hold(&mut tx).await;
        *self.0.seen.lock().await = held.as_ref().err().map(StepError::class);
        self.0.ended.notify_one();
        held
    }

    async fn undo(&self, _cx: &StepCx) -> Result<(), StepError> {
        Ok(())
    }
}

/// The epoch of an operation and who holds it.
async fn holder(database: &Database, id: OperationId) -> (i64, Option<String>) {
    let row = sqlx::query("SELECT epoch, lease_owner FROM operation WHERE id = $1")
        .bind(id.uuid())
        .fetch_one(&database.superuser)
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

async fn resume(database: &Database, id: OperationId) -> bool {
    let mut tx = database.store.platform_tx().await.unwrap();
    let resumed = operation_resume(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    resumed
}
