//! `integraci_isolation_attestation`.

use std::time::Duration;

use integraci_api::attestations::{self, CheckKind};
use integraci_api::{ProblemCode, TenantId};
use tfplugin::{Cx, DataSource, Diagnostics, Schema, Text, Value};
use time::OffsetDateTime;

use crate::api::{IdempotencyKey, duration_parse};
use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::time;

/// What a tenant's isolation was found to be: the platform tries, in every system that the tenant has a
/// place in, to get from there at what is another's, and signs what it saw.
///
/// Reading this has it tried anew, which takes some seconds, unless there is an attestation not older than
/// `max_age` in which everything passed. Use it in a `check` block: then a tenant that is not isolated is
/// told as a warning with every plan. From the places of a suspended tenant nothing can be tried: then
/// `passed` is `false`, `failed_checks` says `suspended`, and there is no attestation.
#[derive(Schema)]
pub(crate) struct Attestation {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// How old an attestation may be, such as `24h`, to be taken instead of a new one, if everything passed
    /// in it. Without it, a new one is made every time.
    #[attribute(optional, validate = checks::age)]
    max_age: Value<String>,
    /// Identifier of the attestation, `att_…`.
    #[attribute(computed)]
    id: Value<String>,
    /// Whether every check passed.
    #[attribute(computed)]
    passed: Value<bool>,
    /// The checks that did not pass, each as `system.check`.
    #[attribute(computed)]
    failed_checks: Value<Vec<Value<String>>>,
    /// The systems that the platform does not use: nothing was tried there.
    #[attribute(computed)]
    off: Value<Vec<Value<String>>>,
    /// When the checks were over (RFC 3339).
    #[attribute(computed)]
    issued_at: Value<String>,
    /// Everything that was tried.
    #[attribute(computed)]
    checks: Value<Vec<Check>>,
    /// The attestation as it was signed, in JSON: write it to a file, and `integraci-verify attestation`
    /// checks it with the platform's public keys alone.
    #[attribute(computed)]
    envelope: Value<String>,
}

/// One thing that was tried.
#[derive(Schema)]
pub(crate) struct Check {
    /// Where: `postgres`, `openbao`, `keycloak`, `nats` or `kubernetes`.
    #[attribute(computed)]
    system: Value<String>,
    /// Its name.
    #[attribute(computed)]
    check: Value<String>,
    /// `attempt`: it must not succeed. `control`: it must, or the attempts prove nothing.
    #[attribute(computed)]
    kind: Value<String>,
    /// What was tried.
    #[attribute(computed)]
    attempted: Value<String>,
    /// What had to happen.
    #[attribute(computed)]
    expected: Value<String>,
    /// What happened.
    #[attribute(computed)]
    observed: Value<String>,
    /// Whether it was as expected.
    #[attribute(computed)]
    passed: Value<bool>,
    /// When (RFC 3339).
    #[attribute(computed)]
    at: Value<String>,
}

impl DataSource for Attestation {
    type Api = Connection;
    const NAME: &'static str = "integraci_isolation_attestation";

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let told = |error| diagnose(api, "Cannot attest the tenant's isolation", error, NOWHERE);
        let Some(tenant) = config.tenant_id.as_known().map(|id| id.0) else { return Ok(config) };
        if let Some(max_age) = config.max_age.as_known().and_then(|text| duration_parse(text))
            && let Some(newest) = api.attestation_newest(tenant, &patience).await.map_err(told)?
            && is_good(&newest.statement, max_age, OffsetDateTime::now_utc())
        {
            return Ok(config.with(newest));
        }
        // One that somebody else has under way may have begun before what this is to tell of.
        let make = async || api.attestation_make(tenant, &IdempotencyKey::fresh(), &patience).await;
        match api.once_free(&patience, make).await {
            Ok(made) => Ok(config.with(made)),
            Err(error) if error.code() == Some(ProblemCode::Suspended) => Ok(config.without()),
            Err(error) => Err(told(error)),
        }
    }
}

/// Whether an attestation can stand for a new one. One that did not pass cannot: it may be mended by now.
fn is_good(statement: &attestations::Statement, max_age: Duration, now: OffsetDateTime) -> bool {
    statement.passed && now - statement.issued_at <= max_age
}

impl Attestation {
    /// Nothing can be tried.
    fn without(self) -> Self {
        let because = ProblemCode::Suspended.as_str().to_owned();
        Self {
            passed: false.into(),
            failed_checks: vec![because.into()].into(),
            off: Vec::new().into(),
            checks: Vec::new().into(),
            id: Value::Null,
            issued_at: Value::Null,
            envelope: Value::Null,
            ..self
        }
    }

    fn with(self, made: attestations::Attestation) -> Self {
        let attestations::Attestation { statement, envelope } = made;
        let failed = statement.checks.iter().filter(|check| !check.passed);
        let failed = failed.map(|check| format!("{}.{}", check.system.as_str(), check.check).into());
        let off = statement.off.iter().map(|system| system.as_str().to_owned().into());
        Self {
            id: statement.id.to_string().into(),
            passed: statement.passed.into(),
            failed_checks: failed.collect::<Vec<_>>().into(),
            off: off.collect::<Vec<_>>().into(),
            issued_at: time(statement.issued_at),
            checks: statement.checks.into_iter().map(Check::from).collect::<Vec<_>>().into(),
            envelope: serde_json::to_string(&envelope).ok().into(),
            ..self
        }
    }
}

impl From<attestations::Check> for Check {
    fn from(check: attestations::Check) -> Self {
        let kind = match check.kind {
            CheckKind::Attempt => "attempt",
            CheckKind::Control => "control",
        };
        Self {
            system: check.system.as_str().to_owned().into(),
            check: check.check.into(),
            kind: kind.to_owned().into(),
            attempted: check.attempted.into(),
            expected: check.expected.into(),
            observed: check.observed.into(),
            passed: check.passed.into(),
            at: time(check.at),
        }
    }
}
