//! A case: one deed, one step of it, and what goes wrong there.

use std::thread;
use std::time::Duration;

use acceptance_tests::api::new_key;
use acceptance_tests::faults::Armed;
use acceptance_tests::{Gate, Mode};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::deed::{Deed, Scene};
use crate::lane::{Lane, TIMEOUT};

/// Longer than it takes any operation to come to any of its steps.
const COMES_WITHIN: Duration = Duration::from_secs(60);
/// How long a system is down: a few tries of a step, and fewer than a step is given.
const OUTAGE: Duration = Duration::from_millis(1200);

/// How late an answer comes that is too late.
const TOO_LATE: Duration = TIMEOUT.saturating_add(Duration::from_secs(1));

/// What goes wrong at a step. The words are the server's: `saga/faults.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The server is killed before it has written down that it makes the call …
    KilledBeforeIntent,
    /// … or after that, before the call …
    KilledBefore,
    /// … or after the call, before it has written down what came of it …
    KilledAfter,
    /// … or after that.
    KilledAfterDone,
    /// The call takes effect, and its answer does not come.
    Lost,
    /// The call is refused.
    Refused,
    /// The step's system is down when the call is made, and comes back.
    Down,
    /// It answers too late.
    Slow,
    /// The way to it is cut when the call has gone out.
    Cut,
    /// It answers with what means nothing.
    Garbled,
    /// The database is down while the call is made, and comes back.
    DatabaseDown,
}

const FAULTS: [Fault; 7] = [
    Fault::KilledBeforeIntent,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::KilledAfterDone,
    Fault::Lost,
    Fault::Refused,
    Fault::Down,
];

/// What else may be wrong with a system: tried at one step of each.
const FAULTS_OF_SYSTEMS: [Fault; 4] = [Fault::Slow, Fault::Cut, Fault::Garbled, Fault::DatabaseDown];

/// The intent to store a secret is written with the operation itself, by the request that brings it.
const WITH_THE_REQUEST: &str = "secret_stored/before_intent";

impl Fault {
    const fn word(self) -> &'static str {
        match self {
            Self::KilledBeforeIntent => "before_intent",
            Self::KilledBefore => "before",
            Self::KilledAfter => "after",
            Self::KilledAfterDone => "after_done",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Down | Self::Slow | Self::Cut | Self::Garbled | Self::DatabaseDown => "held",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Garbled => "garbled",
            Self::DatabaseDown => "database_down",
            _ => self.word(),
        }
    }
}

impl Fault {
    /// Does to a gate what is done to a system for a time, with the call that waits let go once it is done.
    fn pass(self, gate: &Gate, call: Armed) -> Result<()> {
        let (mode, lasts) = match self {
            Self::Slow => (Mode::Slow, TOO_LATE),
            Self::Cut => (Mode::Deaf, OUTAGE / 2),
            Self::Garbled => (Mode::Garbled, OUTAGE),
            _ => (Mode::Shut, OUTAGE),
        };
        gate.set(mode);
        call.let_go()?;
        thread::sleep(lasts);
        if self == Self::Cut {
            gate.set(Mode::Shut);
            thread::sleep(lasts);
        }
        Ok(())
    }
}

/// One deed, one step, one fault.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    deed: Deed,
    step: String,
    fault: Fault,
    /// The step that is refused first, so that the deed turns back, for a fault on the way back.
    turns_at: Option<String>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let undo = if self.turns_at.is_some() { "undo_" } else { "" };
        format!("{}/{}/{undo}{}", self.deed.name(), self.step, self.fault.name())
    }

    fn arm(&self, lane: &Lane<'_>) -> Result<(Vec<Armed>, Armed)> {
        let kind = self.deed.kind();
        let turn = self.turns_at.iter().map(|step| lane.arm(&format!("{kind}/{step}/refused")));
        let undo = if self.turns_at.is_some() { "undo_" } else { "" };
        let fault = lane.arm(&format!("{kind}/{}/{undo}{}", self.step, self.fault.word()))?;
        Ok((turn.collect::<Result<_>>()?, fault))
    }

    /// Does the deed, lets the fault happen, and looks at what has become of it.
    pub(crate) fn run(&self, lane: &mut Lane<'_>) -> Result<()> {
        let scene = Scene::set(self.deed, lane)?;
        let (turn, fault) = self.arm(lane)?;
        let (api, key) = (lane.api()?, new_key());
        let asked = thread::scope(|scope| {
            let asking = scope.spawn(|| scene.ask(&api, &key));
            let befallen = self.befall(lane, fault);
            let asked = asking.join().map_err(|_| anyhow::anyhow!("asking panicked"));
            befallen.and(asked)
        })?;
        let operation = scene.ended(lane, asked.ok().as_ref(), &key)?;
        for turn in turn {
            ensure!(turn.came(), "the deed was not refused: {operation}");
        }
        scene.check(lane, &operation)?;
        scene.do_for_good(lane, &operation)
    }

    /// Waits for the fault, and sees it through.
    fn befall(&self, lane: &mut Lane<'_>, fault: Armed) -> Result<()> {
        let came = fault.awaited(COMES_WITHIN);
        match self.fault {
            _ if came.is_err() => fault.disarm(),
            Fault::Lost | Fault::Refused => {}
            Fault::KilledBeforeIntent | Fault::KilledBefore | Fault::KilledAfter | Fault::KilledAfterDone => {
                lane.replace_dead()?;
            }
            Fault::Down | Fault::Slow | Fault::Cut | Fault::Garbled | Fault::DatabaseDown => {
                let is_database = self.fault == Fault::DatabaseDown;
                let gate = lane.gate(if is_database { "postgres" } else { system_of(&self.step) })?;
                let gone_on = self.fault.pass(gate, fault);
                gate.set(Mode::Open);
                gone_on?;
            }
        }
        came
    }
}

/// The system that a step calls.
fn system_of(step: &str) -> &'static str {
    let begins = |word: &str| step.starts_with(word);
    match step {
        "verified" | "secret_revoked" | "secret_minted" => "far",
        _ if begins("openbao_") || step.contains("secret_") => "openbao",
        _ if begins("keycloak_") => "keycloak",
        _ if begins("nats_") => "nats",
        _ if begins("kubernetes_") => "kubernetes",
        _ => "postgres",
    }
}

/// The cases of a deed, from the steps of one that is undisturbed and of one that is refused.
pub(crate) fn survey(lane: &mut Lane<'_>, deed: Deed) -> Result<Vec<Case>> {
    let undisturbed = done(lane, deed, None)?;
    let steps = steps(&undisturbed, "done")?;
    ensure!(!steps.is_empty(), "no step was done: {undisturbed}");
    let all = |steps: &[String], turns_at: Option<&String>| {
        let case =
            |step: &String, fault| Case { deed, step: step.clone(), fault, turns_at: turns_at.cloned() };
        steps.iter().flat_map(|step| FAULTS.map(|fault| case(step, fault))).collect::<Vec<_>>()
    };
    let mut cases = all(&steps, None);
    if deed == Deed::TenantCreate {
        let is_first = |n: &usize| (0..*n).all(|m| system_of(&steps[m]) != system_of(&steps[*n]));
        let firsts = (0..steps.len()).filter(is_first).map(|n| steps[n].clone());
        let case = |step: String| {
            FAULTS_OF_SYSTEMS.map(|fault| Case { deed, step: step.clone(), fault, turns_at: None })
        };
        cases.extend(firsts.flat_map(case));
    }
    // What only goes forward is not turned back by a refusal, wherever it comes; the rest is turned back
    // by one of the first step, and leaves most to be undone when it is the last that can.
    if done(lane, deed, steps.first())?["state"] == "failed" {
        for turns_at in steps.iter().rev() {
            let turned = done(lane, deed, Some(turns_at))?;
            if turned["state"] == "failed" {
                cases.extend(all(&self::steps(&turned, "undone")?, Some(turns_at)));
                break;
            }
        }
    }
    cases.retain(|case| !case.name().ends_with(WITH_THE_REQUEST));
    Ok(cases)
}

/// Does the deed, with one step refused if so wanted, and gives its operation.
fn done(lane: &mut Lane<'_>, deed: Deed, refused: Option<&String>) -> Result<Value> {
    let scene = Scene::set(deed, lane)?;
    let fault = refused.map(|step| lane.arm(&format!("{}/{step}/refused", deed.kind()))).transpose()?;
    let key = new_key();
    let asked = scene.ask(&lane.api()?, &key);
    let operation = scene.ended(lane, asked.ok().as_ref(), &key)?;
    ensure!(fault.is_none_or(|fault| fault.came()), "nothing was refused: {operation}");
    scene.check(lane, &operation)?;
    scene.do_for_good(lane, &operation)?;
    Ok(operation)
}

fn steps(operation: &Value, state: &str) -> Result<Vec<String>> {
    let steps = operation["steps"].as_array().context("an operation has steps")?;
    let named = steps.iter().filter(|step| step["state"] == state).map(|step| step["name"].as_str());
    named.map(|name| Ok(name.context("a step has a name")?.to_owned())).collect()
}
