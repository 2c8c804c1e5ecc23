//! How a step says what went wrong, and what follows from it.

use std::borrow::Cow;
use std::time::Duration;

use integraci_api::operations::OperationError;
use integraci_api::{FieldProblem, ProblemCode};

use crate::store::StoreError;

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

impl Class {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Busy { .. } => "busy",
            Self::Gone => "gone",
            Self::Broken => "broken",
            Self::LeaseLost => "lease_lost",
        }
    }
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
            Self::gone("The database does not answer, or another change was in the way.")
        } else {
            tracing::error!(error = &error as &dyn std::error::Error, "a step's statement failed");
            Self::broken("The database refused a statement.")
        }
    }
}
