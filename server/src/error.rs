//! What a capability answers when it does not do what it was asked.

use std::time::Duration;

use integraci_api::{FieldProblem, Problem, ProblemCode};

use crate::isolation::{ErrorClass, SystemError};
use crate::store::StoreError;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can do something about it; this is the answer.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Come back later.
    #[error("{problem}")]
    Later {
        /// The answer.
        problem: Box<Problem>,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The database's fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault of our own, named for the log; the caller learns only that there is one.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

/// How long a caller is asked to wait for a system that says nothing of it.
const SYSTEM_RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<SystemError> for Error {
    fn from(error: SystemError) -> Self {
        tracing::warn!(%error, "a system did not do what a request asked");
        let problem = Problem::new(ProblemCode::Unavailable, error.to_string());
        match error.class {
            // Nothing that waiting mends.
            ErrorClass::Refused | ErrorClass::Gone => problem.into(),
            ErrorClass::Busy { retry_after } => {
                let retry_after = retry_after.unwrap_or(SYSTEM_RETRY_AFTER);
                Self::Later { problem: Box::new(problem), retry_after }
            }
            ErrorClass::Broken => Self::Later { problem: Box::new(problem), retry_after: SYSTEM_RETRY_AFTER },
        }
    }
}

impl Error {
    /// No such thing, or not for this caller: the two must not be told apart, so the words are the same
    /// wherever it is found out.
    #[must_use]
    pub fn not_found() -> Self {
        Problem::new(ProblemCode::NotFound, "there is nothing of this id, or it is not for this token").into()
    }

    /// The request has these faults.
    #[must_use]
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("`{}`: {}", only.pointer, only.detail),
            several => format!("{} fields are not valid; see `errors`", several.len()),
        };
        Problem::new(ProblemCode::InvalidRequest, detail).with_errors(errors).into()
    }

    /// One field is at fault.
    #[must_use]
    pub fn invalid_at(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::new(pointer, detail)])
    }

    /// A system that the platform needs does not answer.
    #[must_use]
    pub fn unavailable(system: &str, retry_after: Duration) -> Self {
        let problem =
            Problem::new(ProblemCode::Unavailable, format!("{system} does not answer; try again shortly"));
        Self::Later { problem: Box::new(problem), retry_after }
    }
}
