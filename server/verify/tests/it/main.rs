//! Attestations as they come, and as somebody would like them to be.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod command;
mod tampering;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use integraci_api::attestations::{Attestation, Check, CheckKind, PAYLOAD_TYPE, Statement};
use integraci_api::isolation::System;
use integraci_api::keys::KeySet;
use integraci_api::{AttestationId, TenantId};
use integraci_verify::{dsse, keys};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) const KID: &str = "attestation-v1";

/// A key pair of the tests' own.
pub(crate) fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// The published keys: each name with the seed of its pair.
pub(crate) fn published(named: &[(&str, u8)]) -> Vec<u8> {
    let key = |seed| pair(seed).public_key().as_ref().try_into().unwrap();
    let keys = named.iter().map(|(kid, seed)| keys::jwk(kid, &key(*seed))).collect();
    serde_json::to_vec(&KeySet { keys }).unwrap()
}

/// A statement in which everything passed, with Kubernetes off.
pub(crate) fn statement() -> Statement {
    let at = OffsetDateTime::UNIX_EPOCH;
    let check = |system, kind: CheckKind, name: &str| Check {
        system,
        check: name.to_owned(),
        kind,
        attempted: "read a secret of the canary's".to_owned(),
        expected: "a refusal".to_owned(),
        observed: "it was refused (status 403)".to_owned(),
        passed: true,
        at,
    };
    let both = |system| {
        [
            check(system, CheckKind::Attempt, "read_of_another_tenant"),
            check(system, CheckKind::Control, "read_of_its_own"),
        ]
    };
    Statement {
        id: AttestationId::from_uuid(Uuid::from_u128(1)),
        tenant_id: TenantId::from_uuid(Uuid::from_u128(2)),
        slug: "acme".parse().unwrap(),
        issued_at: at,
        off: vec![System::Kubernetes],
        checks: [System::Postgres, System::OpenBao, System::Keycloak, System::Nats]
            .into_iter()
            .flat_map(both)
            .collect(),
        passed: true,
    }
}

/// The attestation of a statement, signed by the pair of the seed.
pub(crate) fn signed(statement: &Statement, kid: &str, seed: u8) -> Attestation {
    let payload = serde_json::to_vec(statement).unwrap();
    let signature = pair(seed).sign(&dsse::pae(PAYLOAD_TYPE, &payload));
    let envelope = dsse::envelope(PAYLOAD_TYPE, &payload, kid, signature.as_ref());
    Attestation { statement: statement.clone(), envelope }
}
