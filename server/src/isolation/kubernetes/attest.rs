//! An attestation: the probes, with tokens that live for it alone, and what is read back where no probe
//! can show it. Nothing is left out when something fails: what could not be tried did not pass.

use std::time::Duration;

use futures_util::future::join_all;
use integraci_api::attestations::{Check, CheckKind};
use integraci_api::tenants::TenantNames;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::params::{DeleteParams, GetParams, PostParams};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::client::{Client, failure, make};
use super::drift::{Area, look};
use super::objects::metadata;
use super::probes::{self, By, Expected, Ground, Probe};
use super::token::Token;
use super::{Drift, ErrorClass, System, SystemError, Wanted, leases};
use crate::source::Source;

/// The parts of the 15 s that an attestation of one system may take.
const TOKENS: Duration = Duration::from_secs(4);
const PROBES: Duration = Duration::from_secs(6);
const REMOVAL: Duration = Duration::from_secs(4);

/// How long the tokens are asked for; deleting their Secrets ends them before.
const TOKEN_TTL: Duration = Duration::from_secs(60);

const OPERATION: &str = "attest";

/// A tenant's own way in, for as long as the attestation lasts.
type Way = Result<Client, SystemError>;

/// There was none: why, for everything that was to be tried with it.
const UNTRIED: &str = "there was no token to try it with";

pub(super) async fn attest(client: &Client, source: &Source, own: &Wanted, canary: &Wanted) -> Vec<Check> {
    let name = format!("integraci-probe-{}", source.uuid().simple());
    let (by_own, by_canary) = tokio::join!(way(client, &own.names, &name), way(client, &canary.names, &name));
    let ground = Ground {
        own: &own.names.kubernetes_namespace,
        canary: &canary.names.kubernetes_namespace,
        secret: &name,
    };
    let run = Run { source, by_own: &by_own, by_canary: &by_canary };
    let (probed, kept, read_back) = tokio::join!(
        join_all(probes::all(&ground).into_iter().map(|probe| run.probe(probe))),
        run.config_map(&ground),
        run.read_back(client, own),
    );
    tokio::join!(remove(client, &own.names, &name), remove(client, &canary.names, &name));
    probed.into_iter().chain([kept]).chain(read_back).collect()
}

/// The Secret that the tokens of an attestation are bound to, and that the probes are aimed at.
fn secret(tenant: &TenantNames, name: &str) -> Secret {
    Secret { metadata: metadata(&tenant.kubernetes_namespace, name), ..Secret::default() }
}

async fn way(client: &Client, tenant: &TenantNames, name: &str) -> Way {
    let secret = secret(tenant, name);
    let token =
        in_time(TOKENS, leases::token(client, tenant, &secret, TOKEN_TTL)).await.map_err(|failed| {
            tracing::warn!(error = %failed, "no token for an attestation");
            failure(OPERATION, failed.class, UNTRIED)
        })?;
    let token = Token::fixed(&token).ok_or_else(|| failure(OPERATION, ErrorClass::Broken, UNTRIED))?;
    Ok(client.acting_by(token))
}

/// What a tenant's namespace loses by an attestation is what came into it by it. If this fails, the
/// tokens die by themselves within ten minutes, and a Secret that holds nothing stays.
async fn remove(client: &Client, tenant: &TenantNames, name: &str) {
    let secret = secret(tenant, name);
    if let Err(error) = in_time(REMOVAL, leases::delete(client, tenant, &secret)).await {
        tracing::warn!(%error, "the Secret of an attestation stays behind");
    }
}

async fn in_time<T>(
    most: Duration,
    call: impl Future<Output = Result<T, SystemError>>,
) -> Result<T, SystemError> {
    let late = |_| Err(failure(OPERATION, ErrorClass::Broken, "no answer in time"));
    timeout(most, call).await.unwrap_or_else(late)
}

/// What is tried, and by whom.
struct Run<'a> {
    source: &'a Source,
    by_own: &'a Way,
    by_canary: &'a Way,
}

impl Run<'_> {
    async fn probe(&self, probe: Probe) -> Check {
        let Probe { name, attempted, by, expected, request } = probe;
        let way = match by {
            By::Own => self.by_own,
            By::Canary => self.by_canary,
        };
        let outcome = match way {
            Ok(client) => in_time(PROBES, client.call::<IgnoredAny>(OPERATION, request)).await.map(drop),
            Err(untried) => Err(*untried),
        };
        let (kind, expected, passed) = match expected {
            Expected::Refused => (CheckKind::Attempt, "it is refused", is_refused(&outcome)),
            Expected::Done => (CheckKind::Control, "it is done", outcome.is_ok()),
        };
        self.check(name, kind, attempted, expected, observed(&outcome), passed)
    }

    /// Not a dry run: that the tenant's token really works in the tenant's own namespace.
    async fn config_map(&self, ground: &Ground<'_>) -> Check {
        let outcome = match self.by_own {
            Ok(client) => in_time(PROBES, create_read_delete(client, ground)).await,
            Err(untried) => Err(*untried),
        };
        self.check(
            "keep_a_config_map_of_its_own",
            CheckKind::Control,
            "create, read and delete a ConfigMap of its own",
            "it is done",
            observed(&outcome),
            outcome.is_ok(),
        )
    }

    /// What no token can show: a NetworkPolicy holds pods, not tokens, and a binding that nobody makes
    /// use of is one nonetheless.
    async fn read_back(&self, client: &Client, own: &Wanted) -> Vec<Check> {
        let found = in_time(PROBES, Box::pin(look(client, own))).await;
        let areas = [
            (
                Area::Namespace,
                "pod_security_as_wanted",
                "read back the namespace and its Pod Security labels",
            ),
            (Area::Quota, "quota_as_wanted", "read back the ResourceQuota and the LimitRange"),
            (
                Area::Network,
                "network_policies_as_wanted",
                "read back the NetworkPolicies, and look for others",
            ),
            (
                Area::Access,
                "access_as_wanted",
                "read back the ServiceAccount, Role and RoleBinding, and look for other bindings",
            ),
        ];
        let check = |(area, name, attempted)| {
            let (observed, passed) = match &found {
                Err(failed) => (failed.to_string(), false),
                Ok(found) => told(found, area),
            };
            self.check(name, CheckKind::Control, attempted, "they are as they were made", observed, passed)
        };
        areas.into_iter().map(check).collect()
    }

    fn check(
        &self,
        name: &str,
        kind: CheckKind,
        attempted: &str,
        expected: &str,
        observed: String,
        passed: bool,
    ) -> Check {
        Check {
            system: System::Kubernetes,
            check: name.to_owned(),
            kind,
            attempted: attempted.to_owned(),
            expected: expected.to_owned(),
            observed,
            passed,
            at: self.source.now(),
        }
    }
}

async fn create_read_delete(client: &Client, ground: &Ground<'_>) -> Result<(), SystemError> {
    let make = || make::<ConfigMap>(Some(ground.own));
    let name = ground.secret;
    let created = make().create(&PostParams::default(), probes::config_map(name));
    client.call::<IgnoredAny>(OPERATION, created).await?;
    let read = client.call::<IgnoredAny>(OPERATION, make().get(name, &GetParams::default())).await;
    let deleted = client.call::<IgnoredAny>(OPERATION, make().delete(name, &DeleteParams::default())).await;
    read.and(deleted).map(drop)
}

/// Only the refusal of a token that is known: 401 would be that of one that does not work at all.
fn is_refused(outcome: &Result<(), SystemError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.status == Some(403))
}

fn observed(outcome: &Result<(), SystemError>) -> String {
    match outcome {
        Ok(()) => "it was done".to_owned(),
        Err(_) if is_refused(outcome) => "it was refused (status 403)".to_owned(),
        Err(SystemError { status: Some(status), .. }) => format!("it was answered with status {status}"),
        Err(failed) => failed.reason.to_owned(),
    }
}

/// What differs in an area.
fn told(found: &[(Area, Drift)], area: Area) -> (String, bool) {
    let concerns = |at: Area| at == area || at == Area::Whole;
    let words: Vec<_> = found.iter().filter(|(at, _)| concerns(*at)).map(|(_, drift)| drift.0).collect();
    if words.is_empty() { ("they are as they were made".to_owned(), true) } else { (words.join("; "), false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Result<(), SystemError> {
        Err(SystemError { status: Some(status), ..failure(OPERATION, ErrorClass::Refused, "x") })
    }

    #[test]
    fn only_a_refusal_is_one() {
        assert!(is_refused(&answered(403)));
        assert!(!is_refused(&answered(401)), "a token that does not work shows nothing");
        assert!(!is_refused(&answered(404)), "nor does a target that is not there");
        assert!(!is_refused(&answered(503)));
        assert!(!is_refused(&Err(failure(OPERATION, ErrorClass::Broken, "no answer in time"))));
        assert!(!is_refused(&Ok(())));
    }

    #[test]
    fn a_namespace_that_is_not_there_fails_every_area() {
        let found = [(Area::Whole, Drift("the namespace is missing"))];
        assert_eq!(told(&found, Area::Network), ("the namespace is missing".to_owned(), false));
        let found = [(Area::Quota, Drift("the ResourceQuota was changed"))];
        assert!(told(&found, Area::Network).1);
        assert!(!told(&found, Area::Quota).1);
    }
}
