//! Signatures by a real OpenBao, checked with the public keys alone.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use integraci_server::isolation::ErrorClass;
use integraci_server::isolation::openbao::{
    ATTESTATION_KEY, PublicKey, SIGNING_MOUNT, Signature, Signer, setup,
};
use reqwest::Method;
use serde_json::Value;

use crate::openbao_world::Bao;

fn is_good(keys: &[PublicKey], message: &[u8], signature: &Signature) -> bool {
    keys.iter().find(|key| key.kid == signature.kid).is_some_and(|key| {
        UnparsedPublicKey::new(&ED25519, key.key).verify(message, &signature.bytes).is_ok()
    })
}

#[tokio::test]
async fn a_signature_is_good_before_and_after_its_key_is_rotated() {
    let bao = Bao::new().await;
    let signer = Signer::new(bao.client());

    let first = signer.sign(ATTESTATION_KEY, b"of the first").await.unwrap();
    assert_eq!(first.kid, "attestation-v1");
    let path = format!("{SIGNING_MOUNT}/keys/{ATTESTATION_KEY}/rotate");
    bao.root(Method::POST, "", &path, Value::Null).await;
    let second = signer.sign(ATTESTATION_KEY, b"of the second").await.unwrap();
    // An administrator may run setup again: it makes no other key.
    setup::prepare(&bao.cell()).await.unwrap();

    let keys = signer.public_keys(ATTESTATION_KEY).await.unwrap();
    let kids: Vec<_> = keys.iter().map(|key| key.kid.as_str()).collect();
    assert_eq!(kids, ["attestation-v1", "attestation-v2"]);
    assert!(keys[0].created_at <= keys[1].created_at);
    assert!(is_good(&keys, b"of the first", &first));
    assert!(is_good(&keys, b"of the second", &second));
    assert!(!is_good(&keys, b"of the first", &second));
    assert!(!is_good(&keys[1..], b"of the first", &first));
}

#[tokio::test]
async fn a_key_that_is_not_there_signs_nothing() {
    let signer = Signer::new(Bao::new().await.client());
    let refused = signer.sign("nobodys", b"message").await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("sign", ErrorClass::Refused));
    assert_eq!(signer.public_keys("nobodys").await.unwrap_err().class, ErrorClass::Gone);
}
