//! Attestations: what was tried against a tenant's isolation, and whether that shows it to hold.
//!
//! A document is an attestation as the API gives it, or its envelope alone. Beside the signature, what
//! the platform said of itself is looked at again: that a statement says "passed" is not enough.

use integraci_api::attestations::{CheckKind, Envelope, PAYLOAD_TYPE, Statement};
use integraci_api::isolation::System;
use serde_json::Value;

use crate::keys::Keys;
use crate::{Distrust, What, dsse, json};

/// An attestation that the platform signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// What was tried and seen.
    pub statement: Statement,
    /// The names of the keys that signed it.
    pub kids: Vec<String>,
}

/// Why an attestation that is signed does not show that the tenant is isolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// A check did not pass.
    Failed(System, String),
    /// The system is neither said to be off nor was anything tried in it.
    Untried(System),
    /// Attempts without a control: the system may just have been dead. Or controls without an attempt.
    OneSided(System),
    /// The system is said to be off, and yet something was tried in it.
    OffAndTried(System),
    /// The statement's own verdict is not that of its checks.
    OwnVerdict,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(system, check) => write!(f, "{}: {check} did not pass", system.title()),
            Self::Untried(system) => {
                write!(f, "{}: nothing was tried there, and it is not said to be off", system.title())
            }
            Self::OneSided(system) => write!(
                f,
                "{}: attempts prove nothing without a control that shows they could succeed, nor controls without attempts",
                system.title()
            ),
            Self::OffAndTried(system) => {
                write!(f, "{}: it is said to be off, and yet something was tried there", system.title())
            }
            Self::OwnVerdict => f.write_str("the statement's own verdict is not that of its checks"),
        }
    }
}

/// Checks a document against the published keys.
///
/// # Errors
/// It is not to be trusted; says why.
pub fn verify(document: &[u8], keys: &Keys) -> Result<Attested, Distrust> {
    let document = json::parse(document).map_err(|_| Distrust::NotJson(What::Document))?;
    let (shown, envelope) = apart(document)?;
    let envelope: Envelope = json::typed(envelope).map_err(|_| Distrust::Malformed(What::Document))?;
    let payload = dsse::open(&envelope, PAYLOAD_TYPE, keys)?;
    let signed = json::parse(&payload).map_err(|_| Distrust::NotJson(What::Payload))?;
    if shown.is_some_and(|shown| shown != signed) {
        return Err(Distrust::ShownOtherwise);
    }
    let statement = json::typed(signed).map_err(|_| Distrust::Malformed(What::Payload))?;
    Ok(Attested {
        statement,
        kids: envelope.signatures.into_iter().map(|signature| signature.keyid).collect(),
    })
}

/// What a document shows, and its envelope.
fn apart(document: Value) -> Result<(Option<Value>, Value), Distrust> {
    match document {
        Value::Object(mut members) => match members.remove("envelope") {
            Some(envelope) => Ok((Some(Value::Object(members)), envelope)),
            None => Ok((None, Value::Object(members))),
        },
        _ => Err(Distrust::Malformed(What::Document)),
    }
}

/// Every reason to doubt that the statement shows the tenant to be isolated; none when it does.
#[must_use]
pub fn doubts(statement: &Statement) -> Vec<Doubt> {
    let failed = statement.checks.iter().filter(|check| !check.passed);
    let mut doubts: Vec<_> = failed.map(|check| Doubt::Failed(check.system, check.check.clone())).collect();
    for system in System::ALL.iter().copied() {
        let tried = |kind| statement.checks.iter().any(|check| check.system == system && check.kind == kind);
        match (statement.off.contains(&system), tried(CheckKind::Attempt), tried(CheckKind::Control)) {
            (true, false, false) | (false, true, true) => {}
            (true, ..) => doubts.push(Doubt::OffAndTried(system)),
            (false, false, false) => doubts.push(Doubt::Untried(system)),
            (false, ..) => doubts.push(Doubt::OneSided(system)),
        }
    }
    if statement.passed != doubts.is_empty() {
        doubts.push(Doubt::OwnVerdict);
    }
    doubts
}
