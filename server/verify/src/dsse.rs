//! Signed envelopes: DSSE 1.0 (<https://github.com/secure-systems-lab/dsse>) with Ed25519 (RFC 8032).
//!
//! Stricter than DSSE, which takes an envelope as soon as one signature is good: here every signature
//! has to be, and by a key of the set. There is nothing in a document that nobody vouches for.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::attestations::{Envelope, EnvelopeSignature};

use crate::keys::Keys;
use crate::{Distrust, What};

/// The bytes that are signed: the type and the payload, each with its length, so that no byte of one
/// can pass for a byte of the other ("pre-authentication encoding").
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The envelope of a payload and its one signature.
#[must_use]
pub fn envelope(payload_type: &str, payload: &[u8], kid: &str, signature: &[u8]) -> Envelope {
    Envelope {
        payload_type: payload_type.to_owned(),
        payload: STANDARD.encode(payload),
        signatures: vec![EnvelopeSignature { keyid: kid.to_owned(), sig: STANDARD.encode(signature) }],
    }
}

/// The payload of an envelope, once every signature of it was found good.
///
/// # Errors
/// It is of another type, unsigned, or a signature is not that of a key of the set.
pub fn open(envelope: &Envelope, payload_type: &str, keys: &Keys) -> Result<Vec<u8>, Distrust> {
    if envelope.payload_type != payload_type {
        return Err(Distrust::OtherType);
    }
    if envelope.signatures.is_empty() {
        return Err(Distrust::Unsigned);
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| Distrust::NotBase64(What::Payload))?;
    let signed = pae(payload_type, &payload);
    for signature in &envelope.signatures {
        let key = keys.get(&signature.keyid).ok_or(Distrust::UnknownKey)?;
        let bytes = STANDARD.decode(&signature.sig).map_err(|_| Distrust::NotBase64(What::Signature))?;
        UnparsedPublicKey::new(&ED25519, key).verify(&signed, &bytes).map_err(|_| Distrust::BadSignature)?;
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        // The example of the specification.
        let bytes = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn lengths_keep_type_and_payload_apart() {
        assert_ne!(pae("a", b" 1 b"), pae("a ", b"1 b"));
        assert_eq!(pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
    }
}
