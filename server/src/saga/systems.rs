//! What a system's error means to a saga.

use integraci_api::ProblemCode;

use super::error::StepError;
use crate::isolation::{ErrorClass, SystemError};

impl From<SystemError> for StepError {
    fn from(error: SystemError) -> Self {
        tracing::warn!(%error, "a system did not do what a step asked");
        match error.class {
            // Its own place missing is nothing that time mends: somebody removed it by hand.
            ErrorClass::Refused | ErrorClass::Gone => {
                Self::refused(ProblemCode::Unavailable, error.to_string())
            }
            ErrorClass::Busy { retry_after } => Self::busy(error.reason, retry_after),
            ErrorClass::Broken => Self::gone(error.reason),
        }
    }
}
