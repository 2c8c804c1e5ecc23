//! The command, as an auditor runs it.

use std::path::Path;
use std::process::{Command, Output};

use integraci_api::attestations::Attestation;

use crate::{KID, published, signed, statement};

fn run(directory: &Path, document: &[u8], keys: &[u8]) -> Output {
    let (file, key_file) = (directory.join("attestation.json"), directory.join("keys.json"));
    std::fs::write(&file, document).unwrap();
    std::fs::write(&key_file, keys).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_integraci-verify"));
    command.arg("attestation").arg(&file).arg("--keys").arg(&key_file).output().unwrap()
}

fn json(attestation: &Attestation) -> Vec<u8> {
    serde_json::to_vec(attestation).unwrap()
}

#[test]
fn the_exit_code_tells_good_bad_and_not_to_be_trusted_apart() {
    let directory = tempfile::tempdir().unwrap();
    let keys = published(&[(KID, 1)]);
    let said = |document: &[u8]| {
        let output = run(directory.path(), document, &keys);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };

    let (code, text) = said(&json(&signed(&statement(), KID, 1)));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("pass  OpenBao     attempt  read_of_another_tenant"), "{text}");
    assert!(text.contains("off   Kubernetes"), "{text}");
    assert!(text.ends_with("Signed, and every check passed.\n"), "{text}");

    let mut red = statement();
    red.checks[2].passed = false;
    red.passed = false;
    let (code, text) = said(&json(&signed(&red, KID, 1)));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAIL  OpenBao     attempt  read_of_another_tenant"), "{text}");
    assert!(text.contains("  - OpenBao: read_of_another_tenant did not pass"), "{text}");

    let (code, text) = said(&json(&signed(&statement(), KID, 2)));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the signature does not match"), "{text}");
    let (code, text) = said(b"not JSON");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("not to be trusted"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_no_verdict() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_integraci-verify"));
    let output = command.args(["attestation", "/nowhere", "--keys", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere cannot be read"));
}
