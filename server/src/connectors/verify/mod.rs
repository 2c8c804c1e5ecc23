//! Verification: whether the far side takes a connector's configuration and secret, asked by the far
//! side's own protocol. One file a kind, each a `Protocol`;
//! [`catalogue`](integraci_api::catalogue) says which there are.
//!
//! Calls the far side through [`Outbound`] alone, does not retry and keeps nothing. What the far side
//! says is judged and never passed on: every text here is ours, so there is nothing in it to scrub.

mod artifactory;
mod aws;
mod azure;
mod azure_devops;
mod bitbucket;
mod container_registry;
mod datadog;
mod far_side;
mod gcp;
mod github_app;
mod gitlab;
mod jira;
mod kubernetes_cluster;
mod pagerduty;
mod slack;
mod sonarqube;
mod vault;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::{ConnectorId, FieldProblem, SecretText, TenantId};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::outbound::Outbound;
use crate::oidc::Issuer;
use far_side::FarSide;

/// Where the address stands in the request for most kinds.
const URL_POINTER: &str = "/config/url";

/// Verifies connectors of every kind, and has their far sides make and revoke secrets.
#[derive(Debug, Clone)]
pub struct Verifier {
    outbound: Outbound,
    issuer: Issuer,
}

/// A connector as it is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// The connector.
    pub connector: ConnectorId,
    /// Its name: the far side of a kind without secrets knows it by that.
    pub name: &'a str,
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

/// What a far side told of what it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// When the secret expires.
    pub expires_at: Option<OffsetDateTime>,
}

/// A secret that a far side made.
pub struct Minted {
    /// The kind's secrets by name, all of them.
    pub secrets: BTreeMap<String, SecretText>,
    /// When they expire.
    pub expires_at: Option<OffsetDateTime>,
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
                vec![FieldProblem::new("/config", "the far side asks to be called later; try again then")]
            }
            Self::Unreachable { detail } => vec![FieldProblem::new("/config", detail.clone())],
        }
    }

    /// A no, and the one field that it is about.
    pub fn refused(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Refused { errors: vec![FieldProblem::new(pointer, detail)] }
    }
}

/// How a kind's far side is asked.
#[async_trait]
trait Protocol: Sync {
    /// Whether it takes the connector's configuration and secret.
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError>;

    /// Makes the secret worthless at the far side. One that is worthless already is success. Only for
    /// kinds whose entry says how (`revoked_by`).
    async fn revoke(&self, _far_side: &FarSide<'_>) -> Result<(), VerifyError> {
        Err(VerifyError::refused("/old_secret", "secrets of this kind cannot be revoked from here"))
    }

    /// Has the far side make another secret, by the one there is. Only for kinds whose entry says how
    /// (`minted_by`).
    async fn mint(&self, _far_side: &FarSide<'_>) -> Result<Minted, VerifyError> {
        Err(VerifyError::refused("/secrets", "the far side of this kind makes no secrets; give the new one"))
    }
}

fn protocol(kind: &str) -> Option<&'static dyn Protocol> {
    Some(match kind {
        "artifactory" => &artifactory::Artifactory,
        "aws" => &aws::Aws,
        "azure" => &azure::Azure,
        "azure_devops" => &azure_devops::AzureDevOps,
        "bitbucket" => &bitbucket::Bitbucket,
        "container_registry" => &container_registry::ContainerRegistry,
        "datadog" => &datadog::Datadog,
        "gcp" => &gcp::Gcp,
        "github_app" => &github_app::GitHubApp,
        "gitlab" => &gitlab::GitLab,
        "jira" => &jira::Jira,
        "kubernetes_cluster" => &kubernetes_cluster::KubernetesCluster,
        "pagerduty" => &pagerduty::PagerDuty,
        "slack" => &slack::Slack,
        "sonarqube" => &sonarqube::SonarQube,
        "vault" => &vault::Vault,
        "webhook" => &webhook::Webhook,
        _ => return None,
    })
}

impl Verifier {
    /// A verifier that calls through `outbound`, and signs tokens as `issuer` for kinds without secrets.
    #[must_use]
    pub const fn new(outbound: Outbound, issuer: Issuer) -> Self {
        Self { outbound, issuer }
    }

    /// Asks the far side whether it takes the connector's configuration and secret.
    ///
    /// # Errors
    /// It does not, or could not be asked.
    pub async fn verify(&self, subject: &Subject<'_>) -> Result<Verified, VerifyError> {
        let (protocol, far_side) = self.reach(subject)?;
        protocol.verify(&far_side).await
    }

    /// Makes the connector's secret worthless at the far side.
    ///
    /// # Errors
    /// It does not, or could not be asked; the secret may or may not be good there.
    pub async fn revoke(&self, subject: &Subject<'_>) -> Result<(), VerifyError> {
        let (protocol, far_side) = self.reach(subject)?;
        protocol.revoke(&far_side).await
    }

    /// Has the far side make another secret, by the one there is. Where the answer is lost, there may be
    /// one that nobody has; it ends by itself.
    ///
    /// # Errors
    /// It does not, or could not be asked.
    pub async fn mint(&self, subject: &Subject<'_>) -> Result<Minted, VerifyError> {
        let (protocol, far_side) = self.reach(subject)?;
        protocol.mint(&far_side).await
    }

    fn reach<'a>(
        &self,
        subject: &'a Subject<'a>,
    ) -> Result<(&'static dyn Protocol, FarSide<'a>), VerifyError> {
        let protocol = protocol(subject.kind)
            .ok_or_else(|| VerifyError::refused("/kind", "connectors of this kind cannot be verified"))?;
        Ok((protocol, FarSide::new(&self.outbound, &self.issuer, subject)?))
    }
}

#[cfg(test)]
mod tests {
    use integraci_api::catalogue;

    use super::*;

    #[test]
    fn every_kind_of_the_catalogue_is_verified_and_no_other() {
        for kind in catalogue::KINDS {
            assert!(protocol(kind.name).is_some(), "{} has no verifier", kind.name);
        }
        assert!(protocol("carrier_pigeon").is_none());
    }

    #[test]
    fn what_is_unreachable_points_at_the_address() {
        let faults = VerifyError::Unreachable { detail: "no answer".to_owned() }.faults();
        assert_eq!(faults, [FieldProblem::new("/config", "no answer")]);
    }
}
