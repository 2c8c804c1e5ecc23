//! A tenant's place in each system: one file or folder a system, behind one trait.
//!
//! Knows a tenant only by what it is [`Wanted`] to have, under names derived from its slug, which never
//! change, and keeps no record of what it did: what is there is found by asking the system. Knows no
//! HTTP of ours and no saga; the saga calls it, retries it and undoes it. Facts about each system stand
//! in its own file.

pub mod cells;
pub mod http;
pub mod keycloak;
pub mod kubernetes;
pub mod nats;
pub mod openbao;
pub mod postgres;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::attestations::Check;
pub use integraci_api::isolation::System;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText, TenantId};

pub use cells::{Cell, Cells};

/// What a tenant is to have in every system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The tenant.
    pub tenant: TenantId,
    /// What it is called.
    pub names: TenantNames,
    /// Whether its places are to be closed: all is kept, and nobody gets in.
    pub suspended: bool,
    /// How much it may use.
    pub limits: Limits,
}

/// How much a tenant may use of each system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pods in its Kubernetes namespace.
    pub pods: u32,
    /// Thousandths of a processor that its pods may ask for.
    pub cpu_millis: u64,
    /// Memory that its pods may ask for.
    pub memory_bytes: u64,
    /// Storage that its claims may ask for.
    pub storage_bytes: u64,
    /// Connections to its NATS account.
    pub nats_connections: u32,
    /// Bytes in its streams.
    pub nats_stream_bytes: u64,
    /// Bytes in one message.
    pub nats_payload_bytes: u32,
    /// Requests to its OpenBao namespace.
    pub openbao_requests_per_second: u32,
}

impl Limits {
    /// What every tenant gets: a small team's pipelines fit, and no tenant can crowd out the others.
    pub const SHIPPED: Self = Self {
        pods: 50,
        cpu_millis: 8_000,
        memory_bytes: 16 << 30,
        storage_bytes: 100 << 30,
        nats_connections: 100,
        nats_stream_bytes: 256 << 20,
        nats_payload_bytes: 1 << 20,
        openbao_requests_per_second: 100,
    };

    /// Those of these dimensions, in base units; what is not among them is as shipped.
    #[must_use]
    pub fn of(effective: &BTreeMap<String, i64>) -> Self {
        fn read<T: TryFrom<i64>>(effective: &BTreeMap<String, i64>, dimension: &str, shipped: T) -> T {
            effective.get(dimension).and_then(|amount| T::try_from(*amount).ok()).unwrap_or(shipped)
        }
        let shipped = Self::SHIPPED;
        Self {
            pods: read(effective, "pods", shipped.pods),
            cpu_millis: read(effective, "cpu", shipped.cpu_millis),
            memory_bytes: read(effective, "memory", shipped.memory_bytes),
            storage_bytes: read(effective, "storage", shipped.storage_bytes),
            nats_connections: read(effective, "nats_connections", shipped.nats_connections),
            nats_stream_bytes: read(effective, "nats_stream_bytes", shipped.nats_stream_bytes),
            nats_payload_bytes: read(effective, "nats_payload_bytes", shipped.nats_payload_bytes),
            openbao_requests_per_second: read(
                effective,
                "openbao_requests_per_second",
                shipped.openbao_requests_per_second,
            ),
        }
    }
}

/// What a system tells of a tenant's place: the words of the API (`issuer_url`, `account` …), none
/// of them secret.
pub type Facts = BTreeMap<&'static str, String>;

/// How much of each dimension a tenant uses, by the dimension's name and in its base unit.
pub type Usage = BTreeMap<&'static str, i64>;

/// In what a place differs from what it should be, in fixed words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift(pub &'static str);

/// Credentials for a tenant's own place, just made. Its `Debug` shows no secret.
#[derive(Debug)]
pub struct Issued {
    /// What the system calls them, where that is needed to revoke them. Not secret by itself.
    pub handle: Option<String>,
    /// What is not secret, such as an address.
    pub fields: BTreeMap<&'static str, String>,
    /// What is.
    pub secrets: BTreeMap<&'static str, SecretText>,
}

/// What every system can do for a tenant.
///
/// Each verb may be called again at any time, whether the last call of it succeeded, failed or was
/// never answered, and by another replica: it looks at what is there and does what is missing.
#[async_trait]
pub trait Isolation: Send + Sync {
    /// Which system this is.
    fn system(&self) -> System;

    /// Gives the tenant its place, exactly as wanted: made if it is not there, mended if it differs,
    /// closed if the tenant is suspended and opened again if it is not. A place already as wanted is
    /// success. Tells what the API shows of it.
    ///
    /// # Errors
    /// [`ErrorClass::Refused`] also where the name is taken by something that is not ours: it is left
    /// alone.
    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError>;

    /// Removes the tenant's place and all that is in it. Success means that it is gone, not that its
    /// removal has begun; what is not ours is left alone and is success.
    ///
    /// # Errors
    /// [`ErrorClass::Busy`] while the system is still removing it: call again.
    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError>;

    /// What of the tenant is left, by asking the system; empty when nothing is. What is not ours, under
    /// the same name, is not counted.
    ///
    /// # Errors
    /// The system could not be asked. Never answers "nothing" instead.
    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError>;

    /// In what the place differs from what is wanted, by asking the system; empty when in nothing.
    /// [`Isolation::ensure`] mends all of it.
    ///
    /// # Errors
    /// The system could not be asked.
    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError>;

    /// What the tenant uses now of each dimension that this system holds and of which there is a stock, by
    /// asking the system; what it counts is what it refuses by. A dimension that is a rate or a size of one
    /// thing is not in it, as nothing is for a system that holds no stock: the default.
    ///
    /// # Errors
    /// The system could not be asked, or the tenant has no place there ([`ErrorClass::Gone`]). Never
    /// answers 0 instead.
    async fn usage(&self, _wanted: &Wanted) -> Result<Usage, SystemError> {
        Ok(Usage::new())
    }

    /// Tries, with short-lived credentials of the tenant's own, to reach what is another's (the
    /// canary's, a tenant of the platform's own whose place is there), and, as controls, to reach what
    /// is its own. What cannot be tried is a check that did not pass, never one left out.
    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check>;

    /// Makes credentials for the tenant's place that stop working after `ttl` at the latest.
    ///
    /// # Errors
    /// [`ErrorClass::Refused`] for a suspended tenant.
    async fn credentials_issue(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError>;

    /// Makes them work for `ttl` from now, where the system gives shorter leases than it was asked for.
    ///
    /// # Errors
    /// The system refused: they are revoked, or run out.
    async fn credentials_renew(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        handle: Option<&str>,
        ttl: Duration,
    ) -> Result<(), SystemError>;

    /// Makes them stop working now. Finding them gone is success.
    ///
    /// # Errors
    /// The system could not be asked.
    async fn credentials_revoke(
        &self,
        tenant: &TenantNames,
        credential: CredentialId,
        handle: Option<&str>,
    ) -> Result<(), SystemError>;

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
