//! Nothing of a signed attestation can be changed unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::attestations::{CheckKind, EnvelopeSignature};
use integraci_api::isolation::System;
use integraci_verify::attestation::{Doubt, doubts, verify};
use integraci_verify::keys::Keys;
use integraci_verify::{Distrust, json};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{KID, published, signed, statement};

fn keys() -> Keys {
    Keys::parse(&published(&[(KID, 1)])).unwrap()
}

fn document() -> Value {
    serde_json::to_value(signed(&statement(), KID, 1)).unwrap()
}

fn verdict(document: &Value) -> Result<(), Distrust> {
    verify(document.to_string().as_bytes(), &keys()).map(drop)
}

#[test]
fn what_was_signed_is_taken_as_it_comes_and_as_a_bare_envelope() {
    let whole = signed(&statement(), KID, 1);
    let bare = serde_json::to_vec(&whole.envelope).unwrap();
    for document in [serde_json::to_vec(&whole).unwrap(), serde_json::to_vec_pretty(&whole).unwrap(), bare] {
        let attested = verify(&document, &keys()).unwrap();
        assert_eq!(attested.statement, statement());
        assert_eq!(attested.kids, [KID]);
        assert_eq!(doubts(&attested.statement), []);
    }
}

#[test]
fn each_part_that_is_changed_is_told() {
    let change = |pointer: &str, value: Value| {
        let mut changed = document();
        *changed.pointer_mut(pointer).unwrap() = value;
        verdict(&changed).unwrap_err()
    };
    let other = signed(&integraci_api::attestations::Statement { passed: false, ..statement() }, KID, 1);
    for (pointer, value, why) in [
        ("/passed", json!(false), Distrust::ShownOtherwise),
        ("/checks/0/observed", json!("it was let in"), Distrust::ShownOtherwise),
        ("/envelope/payload", json!(other.envelope.payload), Distrust::BadSignature),
        ("/envelope/signatures/0/sig", json!(other.envelope.signatures[0].sig), Distrust::BadSignature),
        ("/envelope/signatures/0/sig", json!(""), Distrust::BadSignature),
        ("/envelope/signatures/0/keyid", json!("attestation-v2"), Distrust::UnknownKey),
        ("/envelope/payloadType", json!("application/json"), Distrust::OtherType),
        ("/envelope/signatures", json!([]), Distrust::Unsigned),
    ] {
        assert_eq!(change(pointer, value), why, "{pointer}");
    }
    let mut more = document();
    more["note"] = json!("seen and found good");
    assert_eq!(verdict(&more), Err(Distrust::ShownOtherwise));
}

#[test]
fn another_key_under_the_same_name_is_not_the_key() {
    let swapped = Keys::parse(&published(&[(KID, 2)])).unwrap();
    assert_eq!(verify(document().to_string().as_bytes(), &swapped), Err(Distrust::BadSignature));
    // Each key is looked for under its own name only.
    let both = Keys::parse(&published(&[(KID, 2), ("attestation-v2", 1)])).unwrap();
    assert_eq!(verify(document().to_string().as_bytes(), &both), Err(Distrust::BadSignature));
}

#[test]
fn a_signature_that_nobody_vouches_for_spoils_the_document() {
    let mut attestation = signed(&statement(), KID, 1);
    let sig = STANDARD.encode([7; 64]);
    attestation.envelope.signatures.push(EnvelopeSignature { keyid: KID.to_owned(), sig });
    let document = serde_json::to_vec(&attestation).unwrap();
    assert_eq!(verify(&document, &keys()), Err(Distrust::BadSignature));
}

/// What a document means, for telling a change of it from another spelling of the same.
fn meaning(document: &[u8]) -> Option<Value> {
    json::parse(document).ok()
}

#[test]
fn every_byte_counts() {
    let original = serde_json::to_vec(&signed(&statement(), KID, 1)).unwrap();
    let meant = meaning(&original);
    let keys = keys();
    for at in 0..original.len() {
        for flipped in [0x01, 0x20, 0x80] {
            let mut changed = original.clone();
            changed[at] ^= flipped;
            let caught = verify(&changed, &keys).is_err() || meaning(&changed) == meant;
            assert!(caught, "byte {at} ^ {flipped:#x}: {}", String::from_utf8_lossy(&changed));
        }
        assert!(verify(&original[..at], &keys).is_err(), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn no_edit_goes_unseen(at in any::<prop::sample::Index>(), take in 0_usize..8, put in prop::collection::vec(any::<u8>(), 0..8)) {
        let original = serde_json::to_vec(&signed(&statement(), KID, 1)).unwrap();
        let start = at.index(original.len());
        let end = (start + take).min(original.len());
        let mut changed = original.clone();
        changed.splice(start..end, put);
        prop_assert!(verify(&changed, &keys()).is_err() || meaning(&changed) == meaning(&original));
    }

    #[test]
    fn no_bytes_upset_it(document in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(verify(&document, &keys()).is_err());
    }
}

#[test]
fn a_statement_that_proves_nothing_is_doubted() {
    let doubted = |change: &dyn Fn(&mut integraci_api::attestations::Statement)| {
        let mut changed = statement();
        change(&mut changed);
        doubts(&changed)
    };
    assert_eq!(
        doubted(&|it| it.checks[2].passed = false),
        [Doubt::Failed(System::OpenBao, "read_of_another_tenant".to_owned()), Doubt::OwnVerdict]
    );
    assert_eq!(
        doubted(&|it| it.checks.retain(|check| check.system != System::Nats)),
        [Doubt::Untried(System::Nats), Doubt::OwnVerdict]
    );
    assert_eq!(
        doubted(&|it| it
            .checks
            .retain(|check| check.system != System::Nats || check.kind != CheckKind::Control)),
        [Doubt::OneSided(System::Nats), Doubt::OwnVerdict]
    );
    assert_eq!(
        doubted(&|it| it.off.push(System::Nats)),
        [Doubt::OffAndTried(System::Nats), Doubt::OwnVerdict]
    );
    assert_eq!(doubted(&|it| it.passed = false), [Doubt::OwnVerdict]);
    assert_eq!(
        doubted(&|it| {
            it.passed = false;
            it.checks[0].passed = false;
        }),
        [Doubt::Failed(System::Postgres, "read_of_another_tenant".to_owned())]
    );
}
