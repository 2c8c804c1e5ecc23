//! A tenant's place in each system: one file a system, behind one trait.
//!
//! Knows a tenant only by the names derived from its slug, which never change, and keeps no record of
//! what it did: what is there is found by asking the system. Knows no HTTP of ours, no SQL and no
//! saga; the saga calls it, retries it and undoes it. Facts about each system stand in its own file.

pub mod openbao;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::tenants::TenantNames;

/// A system that a tenant has a place in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// OpenBao: a namespace with a key-value store of its own.
    OpenBao,
}

impl System {
    /// The word in logs, in the store and in the API. Never renamed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenBao => "openbao",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OpenBao => "OpenBao",
        }
    }
}

/// What every system can do for a tenant.
///
/// Each verb may be called again at any time, whether the last call of it succeeded, failed or was
/// never answered, and by another replica: it looks at what is there and does what is missing.
#[async_trait]
pub trait Isolation: Send + Sync {
    /// Which system this is.
    fn system(&self) -> System;

    /// Gives the tenant its place, as it should be. A place already as wanted is success.
    ///
    /// # Errors
    /// [`ErrorClass::Refused`] also where the name is taken by something that is not ours: it is left
    /// alone.
    async fn ensure(&self, tenant: &TenantNames) -> Result<(), SystemError>;

    /// Removes the tenant's place and all that is in it. Success means that it is gone, not that its
    /// removal has begun; what is not ours is left alone and is success.
    ///
    /// # Errors
    /// [`ErrorClass::Busy`] while the system is still removing it: call again.
    async fn ensure_none(&self, tenant: &TenantNames) -> Result<(), SystemError>;

    /// What of the tenant is left, by asking the system; empty when nothing is.
    ///
    /// # Errors
    /// The system could not be asked. Never answers "nothing" instead.
    async fn remains(&self, tenant: &TenantNames) -> Result<Vec<Remnant>, SystemError>;

    /// Looks whether the system can be worked with, for `doctor`. That it does not answer is a finding.
    async fn check(&self) -> Vec<Finding>;
}

/// Something of a tenant that is still in a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remnant {
    /// What sort of thing, such as `namespace`.
    pub class: &'static str,
    /// What the system calls it.
    pub name: String,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The system.
    pub system: System,
    /// What was looked at, in a few words.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// How to mend it; absent when it is as it should be.
    pub remedy: Option<String>,
}

impl Finding {
    /// Whether it is as it should be.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.remedy.is_none()
    }
}

/// A call to a system that did not do what was asked.
///
/// It is made of fixed words and numbers only, so nothing that the system said, and no argument of the
/// call, can get into a log or an answer through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemError {
    /// The system.
    pub system: System,
    /// What was being done, such as `namespace_create`.
    pub operation: &'static str,
    /// What follows from it.
    pub class: ErrorClass,
    /// Why, in words that a person can act on.
    pub reason: &'static str,
    /// The HTTP status that the system answered with, where it did.
    pub status: Option<u16>,
}

/// What a saga does about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Understood and declined: the same call will be declined again until somebody changes something.
    Refused,
    /// Not now: nothing is wrong that time does not mend.
    Busy {
        /// How long the system asks to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// What the call was about is not there.
    Gone,
    /// No answer, or none that makes sense. Whether the call took effect is unknown.
    Broken,
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.system.title(), self.operation, self.reason)?;
        match self.status {
            Some(status) => write!(f, " (status {status})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SystemError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_system_operation_and_reason() {
        let error = SystemError {
            system: System::OpenBao,
            operation: "namespace_create",
            class: ErrorClass::Refused,
            reason: "the platform's token may not do this",
            status: Some(403),
        };
        assert_eq!(
            error.to_string(),
            "OpenBao (namespace_create): the platform's token may not do this (status 403)"
        );
    }
}
