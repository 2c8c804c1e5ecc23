//! Attestation: with a short-lived token of the tenant's own, everything is tried that it must not be
//! able to do, and as controls the same where it must succeed.
//!
//! The attempts are a table, so that what is attested can be read in one place. What they reach for is
//! there: the controls make it or read it first by who may. Each name is used once and removed after.

mod probes;

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use integraci_api::attestations::{Check, CheckKind};
use tokio::time::Instant;

use self::probes::{At, FIRST, How, Probe, THEN, Who};
use super::credentials::{self, Session};
use super::place::{Place, TENANT};
use super::{Call, Client, System, SystemError, Wanted};
use crate::source::Source;

/// How long all attempts together may take, and then the removal of what they left.
const TRYING: Duration = Duration::from_secs(11);
const CLEARING: Duration = Duration::from_secs(4);

/// How many attempts are under way at a time: far fewer than a tenant's rate limit lets through.
const SIDE_BY_SIDE: usize = 6;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Refused,
    /// It says nothing about isolation, in words of ours.
    Unclear(&'static str),
}

impl Outcome {
    fn of<T>(done: &Result<T, SystemError>) -> Self {
        match done {
            Ok(_) => Self::Succeeded,
            Err(refused) if refused.status == Some(403) => Self::Refused,
            Err(failed) => Self::Unclear(failed.reason),
        }
    }

    const fn passed(self, kind: CheckKind) -> bool {
        matches!((kind, self), (CheckKind::Attempt, Self::Refused) | (CheckKind::Control, Self::Succeeded))
    }

    fn words(self) -> String {
        match self {
            Self::Succeeded => "it succeeded".to_owned(),
            Self::Refused => "it was refused".to_owned(),
            Self::Unclear(why) => format!("it could not be told: {why}"),
        }
    }
}

fn checked(check: &str, kind: CheckKind, attempted: &str, outcome: Outcome) -> Check {
    Check {
        system: System::OpenBao,
        check: check.to_owned(),
        kind,
        attempted: attempted.to_owned(),
        expected: match kind {
            CheckKind::Attempt => "it is refused",
            CheckKind::Control => "it succeeds",
        }
        .to_owned(),
        observed: outcome.words(),
        passed: outcome.passed(kind),
        at: Source::real().now(),
    }
}

/// One attestation while it is made.
struct Attestation<'a> {
    platform: &'a Client,
    own: &'a Wanted,
    canary: &'a Wanted,
    tenant: Result<(Client, Session), SystemError>,
    other: Result<(Client, Session), SystemError>,
    /// A name that nothing else has.
    probe: String,
    until: Instant,
}

pub(super) async fn attest(platform: &Client, own: &Wanted, canary: &Wanted) -> Vec<Check> {
    let until = Instant::now() + TRYING;
    let (tenant, other) =
        tokio::join!(within(until, session(platform, own)), within(until, session(platform, canary)));
    let probe = format!("attestation-{}", Source::real().uuid().simple());
    let attestation = Attestation { platform, own, canary, tenant, other, probe, until };
    let mut checks = attestation.try_all(FIRST).await;
    checks.extend(attestation.try_all(THEN).await);
    checks.extend(attestation.try_the_rest().await);
    let _ = tokio::time::timeout(CLEARING, attestation.clear(&checks)).await;
    checks
}

async fn session(platform: &Client, tenant: &Wanted) -> Result<(Client, Session), SystemError> {
    let session = credentials::log_in(platform, tenant).await?;
    let client = platform.with_token(&session.token).map_err(|_| super::unreadable("login"))?;
    Ok((client, session))
}

async fn within<T>(
    until: Instant,
    done: impl Future<Output = Result<T, SystemError>>,
) -> Result<T, SystemError> {
    tokio::time::timeout_at(until, done).await.unwrap_or_else(|_| Err(super::too_late("attest")))
}

impl Attestation<'_> {
    async fn try_all(&self, probes: &'static [Probe]) -> Vec<Check> {
        let tried: Vec<_> = probes.iter().map(|probe| self.try_one(probe)).collect();
        stream::iter(tried).buffered(SIDE_BY_SIDE).collect().await
    }

    async fn try_one(&self, probe: &Probe) -> Check {
        let outcome = match within(self.until, self.send(probe)).await {
            Err(failed) if failed.operation == "login" => {
                Outcome::Unclear("there is no token to try it with")
            }
            done => Outcome::of(&done),
        };
        checked(probe.check, probe.kind, probe.attempted, outcome)
    }

    async fn send(&self, probe: &Probe) -> Result<(), SystemError> {
        let client = match probe.who {
            Who::Tenant => &self.tenant.as_ref().map_err(|failed| as_login(*failed))?.0,
            Who::Canary => &self.other.as_ref().map_err(|failed| as_login(*failed))?.0,
            Who::Platform => self.platform,
        };
        let path = self.path(probe);
        let call = match probe.how {
            How::Read => Call::get("attest", &path),
            How::Write(body) => Call::post("attest", &path).json(&body()),
            How::Delete => Call::delete("attest", &path),
        };
        let call = self.at(call, probe.at);
        client.send(call).await.map(drop)
    }

    fn path(&self, probe: &Probe) -> String {
        probe.path.replace("{probe}", &self.probe).replace("{canary}", &self.canary.names.openbao_namespace)
    }

    fn at<'b>(&'b self, call: Call<'b>, at: At) -> Call<'b> {
        match at {
            At::Own => call.namespace(&self.own.names.openbao_namespace),
            At::Canary => call.namespace(&self.canary.names.openbao_namespace),
            At::Platform => call,
            At::Root => call.root(),
        }
    }

    /// What is not one call.
    async fn try_the_rest(&self) -> [Check; 3] {
        let policies = match &self.tenant {
            Ok((_, session)) if session.policies == [TENANT] => Outcome::Succeeded,
            Ok(_) => Outcome::Unclear("it holds other policies too"),
            Err(failed) => Outcome::Unclear(failed.reason),
        };
        let login = async {
            let secret_id = credentials::secret_id(self.platform, &self.own.names).await?;
            credentials::log_in_at(self.platform, self.own, &self.canary.names, &secret_id).await
        };
        let place = Place::new(self.platform, self.own);
        let (login, differences) =
            tokio::join!(within(self.until, login), within(self.until, place.differences()));
        let login = match login {
            // A login that names a role which is not there is refused as invalid.
            Err(refused) if refused.operation == "login" && refused.status == Some(400) => Outcome::Refused,
            Err(failed) if failed.operation != "login" => {
                Outcome::Unclear("there is no secret id to try it with")
            }
            done => Outcome::of(&done),
        };
        let place = match differences {
            Ok(found) if found.is_empty() => Outcome::Succeeded,
            Ok(found) => Outcome::Unclear(found.first().map_or("it differs", |first| first.drift().0)),
            Err(failed) => Outcome::Unclear(failed.reason),
        };
        let (attempt, control) = (CheckKind::Attempt, CheckKind::Control);
        [
            checked(
                "log_in_at_another_tenant",
                attempt,
                "log in to another tenant's namespace with the tenant's secret id",
                login,
            ),
            checked(
                "token_holds_its_own_policy_only",
                control,
                "see that a token of the tenant holds the policy `tenant` and no other",
                policies,
            ),
            checked(
                "place_is_as_it_was_made",
                control,
                "compare the tenant's policies, roles, logins and store with what they are to be",
                place,
            ),
        ]
    }

    /// Removes what was made, also what should not have been: an attempt that succeeded left something.
    async fn clear(&self, checks: &[Check]) {
        let (own, canary) = (At::Own, At::Canary);
        let mut left: Vec<(At, String)> = vec![
            (own, format!("secret/metadata/{}", self.probe)),
            (own, format!("secret/metadata/connectors/{}", self.probe)),
            (canary, format!("secret/metadata/{}", self.probe)),
            (canary, format!("secret/metadata/{}-written", self.probe)),
        ];
        let succeeded = |probe: &&Probe| {
            matches!(probe.how, How::Write(_))
                && probe.path.ends_with("{probe}")
                && checks.iter().any(|check| check.check == probe.check && !check.passed)
        };
        left.extend(THEN.iter().filter(succeeded).map(|probe| (probe.at, self.path(probe))));
        let removed: Vec<_> = left.iter().map(|(at, path)| self.remove(*at, path)).collect();
        stream::iter(removed).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
        for (session, tenant) in [(&self.tenant, self.own), (&self.other, self.canary)] {
            if let Ok((_, session)) = session {
                // It ends by itself within the hour if this does not succeed.
                let _ = credentials::revoke_token(self.platform, &tenant.names, &session.accessor).await;
            }
        }
    }

    async fn remove(&self, at: At, path: &str) {
        if let Err(failed) = self.platform.send(self.at(Call::delete("attest_clear", path), at)).await {
            tracing::debug!(error = %failed, "what an attestation made may be left");
        }
    }
}

const fn as_login(failed: SystemError) -> SystemError {
    SystemError { operation: "login", ..failed }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: BTreeSet<_> = FIRST.iter().chain(THEN).map(|probe| probe.check).collect();
        assert_eq!(names.len(), FIRST.len() + THEN.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }

    #[test]
    fn only_a_refusal_passes_an_attempt_and_only_success_a_control() {
        let unclear = Outcome::Unclear("no answer in time");
        let passed =
            |kind| [Outcome::Succeeded, Outcome::Refused, unclear].map(|outcome| outcome.passed(kind));
        assert_eq!(passed(CheckKind::Attempt), [false, true, false]);
        assert_eq!(passed(CheckKind::Control), [true, false, false]);
    }
}
