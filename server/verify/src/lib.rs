//! Checks what the platform signs: offline, with the document and the public keys alone.
//!
//! Pure: takes bytes, gives a verdict, reads no file, no clock and no network. Knows nothing of the
//! server, which signs by what stands here (see [`dsse::pae`]), so that both sides mean the same bytes.
//!
//! - [`json`]: JSON that has one meaning.
//! - [`keys`]: the published keys (RFC 7517, RFC 8037).
//! - [`dsse`]: signed envelopes (DSSE 1.0).
//! - [`attestation`]: what a tenant's isolation was found to be.

pub mod attestation;
pub mod dsse;
pub mod json;
pub mod keys;
pub mod report;

/// Why a document is not to be trusted, or a key set not to be used. The text says what to do about
/// it, where there is anything to do, and quotes nothing of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not JSON, or JSON that two readers could read differently.
    #[error("{0} is not JSON with one meaning: it is cut off, malformed, or names a member twice")]
    NotJson(What),
    /// JSON, but something else.
    #[error("{0} is not what its name says: a member is missing, or of another type")]
    Malformed(What),
    /// Something in base64 is not, or not in the one form that stands for its bytes.
    #[error("{0} is not in canonical base64")]
    NotBase64(What),
    /// The envelope holds another kind of document.
    #[error("the document is of another type than an attestation")]
    OtherType,
    /// The envelope is signed by nobody.
    #[error("the document is not signed")]
    Unsigned,
    /// The key is not in the set.
    #[error(
        "it is signed by a key that the key set does not hold: get the key set anew, and ask the platform if that does not help"
    )]
    UnknownKey,
    /// The signature is not the key's over these bytes.
    #[error("the signature does not match: the document was changed after it was signed, or never was")]
    BadSignature,
    /// What is shown beside the envelope is not what was signed.
    #[error("what the document shows is not what was signed in it")]
    ShownOtherwise,
    /// The key set names two keys alike.
    #[error("the key set gives one name to two keys")]
    AmbiguousKeys,
    /// The key set has no usable key.
    #[error("the key set holds no Ed25519 key")]
    NoKeys,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The signed document.
    Document,
    /// The statement inside the envelope.
    Payload,
    /// A signature of the envelope.
    Signature,
    /// The public keys.
    KeySet,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Document => "the document",
            Self::Payload => "the signed statement",
            Self::Signature => "a signature",
            Self::KeySet => "the key set",
        })
    }
}
