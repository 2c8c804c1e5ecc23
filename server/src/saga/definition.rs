//! What a capability writes: a saga's steps, and how a step says what went wrong.
//!
//! Knows neither the log nor the runner. Every step may run twice and may be cut off anywhere, so
//! all three of its verbs are safe to repeat and work on names derived from the operation's input.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::operations::{OperationError, OperationKind};
use integraci_api::{FieldProblem, OperationId, ProblemCode, TenantId};
use time::OffsetDateTime;

use super::log::Fence;
use crate::store::StoreError;

/// Long enough for a slow system to answer, short enough that a hung one is noticed.
const DEADLINE: Duration = Duration::from_secs(30);

/// Which way a saga may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Every step, or none: what fails is undone.
    OrNothing,
    /// Never back: what fails is tried for long, and then waits for an operator.
    ForwardOnly,
}

/// One kind of saga.
pub struct Definition {
    /// The kind of operation that it carries out.
    pub kind: OperationKind,
    /// Which way it may go.
    pub direction: Direction,
    /// Its steps. One that needs another comes after it; others run side by side.
    pub steps: Vec<Box<dyn Step>>,
}

/// Whether a step's effect is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It is, and whole.
    Present,
    /// It is not, or only in part.
    Absent,
    /// It cannot be told; asked again later.
    Unknown,
}

/// One step. All verbs may run twice, at any time, and be cut off in the middle.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name in the log and in the API. Never renamed.
    fn name(&self) -> &'static str;

    /// The steps whose effect must be in place before this one begins.
    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether there is no way back once this step is done: what fails after it is tried for long and
    /// then waits for an operator, as in a definition that only goes forward. A pivot needs, directly
    /// or through others, every step declared before it.
    fn is_pivot(&self) -> bool {
        false
    }

    /// The longest that one call of any verb may take; it is cut off then, and its outcome unknown.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// Looks whether the effect is in place. Asked when the outcome of an earlier `apply` is unknown.
    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError>;

    /// Brings the effect about. Finding it in place already is success.
    async fn apply(&self, cx: &StepCx) -> Result<(), StepError>;

    /// Takes the effect away. Finding nothing is success. Steps of a definition that only goes
    /// forward are never undone and leave this as it is; called all the same, it fails loudly.
    async fn undo(&self, _cx: &StepCx) -> Result<(), StepError> {
        Err(StepError::broken("This step cannot be undone."))
    }
}

/// What a step works with.
#[derive(Debug, Clone)]
pub struct StepCx {
    /// The operation it is part of.
    pub operation: OperationId,
    /// The tenant it is about.
    pub tenant: TenantId,
    /// The id of the object that the operation makes, changes or removes.
    pub target: String,
    /// What the capability wrote down when it enqueued the operation. Never holds a secret.
    pub input: serde_json::Value,
    /// Held first by every step that writes Postgres, in the same transaction.
    pub fence: Fence,
    /// The time at which the call began.
    pub now: OffsetDateTime,
}

impl StepCx {
    /// The input as the capability's own type.
    ///
    /// # Errors
    /// It is not of that shape: another build wrote it.
    pub fn input<T: serde::de::DeserializeOwned>(&self) -> Result<T, StepError> {
        serde_json::from_value(self.input.clone())
            .map_err(|_| StepError::broken("The operation's input cannot be read by this build."))
    }
}

/// What kind of failure it was, which decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A definite no: nothing was done, and asking again will not help.
    Refused,
    /// A definite "not now": nothing was done, and asking later will help.
    Busy {
        /// How long the far side asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or not reachable; what was asked may have been done.
    Gone,
    /// An answer that makes no sense, or a fault of our own; what was asked may have been done.
    Broken,
    /// Another replica has taken the operation over; nothing more is written.
    LeaseLost,
}

/// Why a step failed, in our own words: they are shown to callers and kept in the log, so the text of
/// a far system, which may quote a secret, has no way in.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct StepError {
    class: Class,
    code: ProblemCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
}

impl std::fmt::Debug for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepError")
            .field("class", &self.class)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl StepError {
    fn new(class: Class, code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { class, code, detail: detail.into(), errors: Vec::new() }
    }

    /// A definite no. `detail` says what is wrong and what to do, in words of our own.
    pub fn refused(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::Refused, code, detail)
    }

    /// The same, with the fields of the request that are at fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, with one field at fault whose detail is the error's own.
    #[must_use]
    pub fn at(mut self, pointer: &'static str) -> Self {
        self.errors.push(FieldProblem::new(pointer, self.detail.clone()));
        self
    }

    /// A definite "not now".
    #[must_use]
    pub const fn busy(detail: &'static str, retry_after: Option<Duration>) -> Self {
        Self {
            class: Class::Busy { retry_after },
            code: ProblemCode::Unavailable,
            detail: Cow::Borrowed(detail),
            errors: Vec::new(),
        }
    }

    /// No answer, or not reachable: `detail` names the system.
    #[must_use]
    pub fn gone(detail: &'static str) -> Self {
        Self::new(Class::Gone, ProblemCode::Unavailable, detail)
    }

    /// An answer that makes no sense, or a fault of our own.
    #[must_use]
    pub fn broken(detail: &'static str) -> Self {
        Self::new(Class::Broken, ProblemCode::Internal, detail)
    }

    /// The operation is another replica's now.
    #[must_use]
    pub fn lease_lost() -> Self {
        Self::new(Class::LeaseLost, ProblemCode::Internal, "Another replica has taken the operation over.")
    }

    /// The same, told to callers under another code.
    #[must_use]
    pub fn with_code(mut self, code: ProblemCode) -> Self {
        self.code = code;
        self
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Whether what was asked may yet have been done, or may still be done late.
    #[must_use]
    pub const fn outcome_is_unknown(&self) -> bool {
        matches!(self.class, Class::Gone | Class::Broken)
    }

    /// As the API shows it on a failed operation.
    #[must_use]
    pub fn to_operation_error(&self, step: &str) -> OperationError {
        OperationError {
            code: self.code,
            detail: self.detail.clone().into_owned(),
            step: step.to_owned(),
            errors: self.errors.clone(),
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            Self::gone("The database does not answer.")
        } else {
            tracing::error!(error = &error as &dyn std::error::Error, "a step's statement failed");
            Self::broken("The database refused a statement.")
        }
    }
}

/// What is wrong with a definition. A fault of the build, found at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Two definitions of one kind.
    #[error("{} is defined twice", .0.as_str())]
    KindTwice(OperationKind),
    /// No steps, or two of one name.
    #[error("{}: its steps are none, or two of one name", .0.as_str())]
    Steps(OperationKind),
    /// A step needs one that is not declared before it.
    #[error("{}: {step} needs a step that is not declared before it", kind.as_str())]
    Needs {
        /// The definition.
        kind: OperationKind,
        /// The step.
        step: &'static str,
    },
}

/// Every saga of this build.
#[derive(Default)]
pub struct Definitions {
    by_kind: BTreeMap<&'static str, Definition>,
}

impl Definitions {
    /// Takes the definitions, checked.
    ///
    /// # Errors
    /// One is not sound; the error names it.
    pub fn new(definitions: Vec<Definition>) -> Result<Self, DefinitionError> {
        let mut by_kind = BTreeMap::new();
        for definition in definitions {
            let kind = definition.kind;
            definition.check()?;
            if by_kind.insert(kind.as_str(), definition).is_some() {
                return Err(DefinitionError::KindTwice(kind));
            }
        }
        Ok(Self { by_kind })
    }

    /// The definition of a kind, if this build has one.
    #[must_use]
    pub fn get(&self, kind: OperationKind) -> Option<&Definition> {
        self.by_kind.get(kind.as_str())
    }

    /// The words of the kinds that this build can carry out.
    #[must_use]
    pub fn kinds(&self) -> Vec<&'static str> {
        self.by_kind.keys().copied().collect()
    }
}

impl Definition {
    /// The names of its steps in order, as [`super::log::NewOperation`] wants them.
    #[must_use]
    pub fn step_names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }

    fn check(&self) -> Result<(), DefinitionError> {
        let names = self.step_names();
        for (n, step) in self.steps.iter().enumerate() {
            if names[..n].contains(&step.name()) {
                return Err(DefinitionError::Steps(self.kind));
            }
            if step.needs().iter().any(|needed| !names[..n].contains(needed)) {
                return Err(DefinitionError::Needs { kind: self.kind, step: step.name() });
            }
        }
        if names.is_empty() { Err(DefinitionError::Steps(self.kind)) } else { Ok(()) }
    }
}
