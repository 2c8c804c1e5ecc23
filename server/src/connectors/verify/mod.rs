//! Verification: whether the far side takes a connector's configuration and secret, asked by the far
//! side's own protocol. One file a kind; [`catalogue`](integraci_api::catalogue) says which there are.
//!
//! Calls the far side through [`Outbound`] alone, does not retry and keeps nothing. What the far side
//! says is judged and never passed on: every text here is ours.

mod container_registry;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use integraci_api::{ConnectorId, FieldProblem, SecretText};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use super::outbound::{Answer, Outbound, OutboundError, Request};

/// Where the address stands in a connector's request.
const URL_POINTER: &str = "/config/url";

/// Verifies connectors of every kind.
#[derive(Debug, Clone)]
pub struct Verifier {
    outbound: Outbound,
}

/// A connector as it is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The connector.
    pub connector: ConnectorId,
    /// One of the catalogue's kinds.
    pub kind: &'a str,
    /// The kind's configuration, already checked against the catalogue.
    pub config: &'a Map<String, Value>,
    /// The kind's secrets, already checked against the catalogue.
    pub secrets: &'a BTreeMap<String, SecretText>,
    /// The time of this attempt; a signature carries it.
    pub now: OffsetDateTime,
    /// The id of this attempt; a message carries it.
    pub attempt: Uuid,
}

/// Why a connector is not verified. Holds no text of the far side's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The far side, or a rule of ours, says no: somebody must change the fields at fault.
    #[error("the far side refused the connector")]
    Refused {
        /// The fields at fault, as pointers into the request that made the connector.
        errors: Vec<FieldProblem>,
    },
    /// The far side asks to be left alone for a while.
    #[error("the far side asks to be called later")]
    Busy {
        /// How long, where it says so.
        retry_after: Option<Duration>,
    },
    /// No usable answer; it may be another time.
    #[error("the far side could not be asked")]
    Unreachable {
        /// What happened, in words for people.
        detail: String,
    },
}

impl VerifyError {
    /// The fields to point at when nothing more will be tried.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldProblem> {
        match self {
            Self::Refused { errors } => errors.clone(),
            Self::Busy { .. } => {
                vec![FieldProblem::new(URL_POINTER, "it asks to be called later; try again then")]
            }
            Self::Unreachable { detail } => vec![FieldProblem::new(URL_POINTER, detail.clone())],
        }
    }

    fn refused(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Refused { errors: vec![FieldProblem::new(pointer, detail)] }
    }
}

/// The kinds that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    ContainerRegistry,
    Webhook,
}

impl Method {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "container_registry" => Some(Self::ContainerRegistry),
            "webhook" => Some(Self::Webhook),
            _ => None,
        }
    }
}

impl Verifier {
    /// A verifier that calls through `outbound`.
    #[must_use]
    pub const fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Asks the far side whether it takes the connector's configuration and secret.
    ///
    /// # Errors
    /// It does not, or could not be asked.
    pub async fn verify(&self, subject: &Subject<'_>) -> Result<(), VerifyError> {
        let far_side = FarSide { outbound: &self.outbound, subject };
        match Method::of(subject.kind) {
            Some(Method::ContainerRegistry) => container_registry::verify(&far_side).await,
            Some(Method::Webhook) => webhook::verify(&far_side).await,
            None => Err(VerifyError::refused("/kind", "connectors of this kind cannot be verified")),
        }
    }
}

/// The far side of one connector, with what each kind's file needs of it.
struct FarSide<'a> {
    outbound: &'a Outbound,
    subject: &'a Subject<'a>,
}

impl FarSide<'_> {
    /// A text of the configuration.
    fn text(&self, field: &str) -> Option<&str> {
        self.subject.config.get(field)?.as_str()
    }

    /// The address.
    fn url(&self) -> Result<Url, VerifyError> {
        let text = self.text("url").unwrap_or_default();
        Url::parse(text).map_err(|_| {
            VerifyError::refused(URL_POINTER, "expected a URL such as https://host.example/path")
        })
    }

    /// Makes a call; `who` names the one called, for people.
    async fn send(&self, who: &str, request: Request) -> Result<Answer, VerifyError> {
        self.outbound.send(request).await.map_err(|error| {
            let detail = format!("{who}: {error}");
            match error {
                OutboundError::Unresolved
                | OutboundError::Unreachable
                | OutboundError::Timeout
                | OutboundError::Broken => VerifyError::Unreachable { detail },
                OutboundError::SchemeNotAllowed
                | OutboundError::CredentialsInUrl
                | OutboundError::AddressNotAllowed
                | OutboundError::Tls
                | OutboundError::TooLarge
                | OutboundError::TooManyRedirects => VerifyError::refused(URL_POINTER, detail),
            }
        })
    }

    /// What an answer means that says "later", if it is one.
    fn busy(&self, answer: &Answer) -> Option<VerifyError> {
        let retry_after = answer.retry_after(self.subject.now);
        match answer.status.as_u16() {
            429 => Some(VerifyError::Busy { retry_after }),
            503 if retry_after.is_some() => Some(VerifyError::Busy { retry_after }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use integraci_api::catalogue;

    use super::*;

    #[test]
    fn every_kind_of_the_catalogue_is_verified_and_no_other() {
        for kind in catalogue::KINDS {
            assert!(Method::of(kind.name).is_some(), "{} has no verifier", kind.name);
        }
        assert_eq!(Method::of("carrier_pigeon"), None);
    }

    #[test]
    fn what_is_unreachable_points_at_the_address() {
        let faults = VerifyError::Unreachable { detail: "no answer".to_owned() }.faults();
        assert_eq!(faults, [FieldProblem::new("/config/url", "no answer")]);
    }
}
