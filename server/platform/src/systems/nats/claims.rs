//! The few NATS claims that a server needs before anyone can add an account: of the operator, the
//! system account and one user in it. The form is that of nats-io/jwt, version 2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use nkeys::error::Error;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// "No limit". Where a limit is left out, the server takes it for 0.
const UNLIMITED: i64 = -1;

pub(super) fn operator(operator: &KeyPair, signing: &KeyPair, system_account: &str) -> Value {
    json!({
        "name": "local-platform",
        "sub": operator.public_key(),
        "nats": {
            "type": "operator",
            "version": 2,
            "signing_keys": [signing.public_key()],
            "system_account": system_account,
        },
    })
}

/// An account without limits and without `JetStream`, which the system account may not have.
pub(super) fn account(account: &KeyPair, name: &str) -> Value {
    json!({
        "name": name,
        "sub": account.public_key(),
        "nats": {
            "type": "account",
            "version": 2,
            "limits": {
                "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED,
                "imports": UNLIMITED, "exports": UNLIMITED, "wildcards": true,
                "conn": UNLIMITED, "leaf": UNLIMITED,
            },
            "default_permissions": { "pub": {}, "sub": {} },
        },
    })
}

pub(super) fn user(user: &KeyPair, name: &str) -> Value {
    json!({
        "name": name,
        "sub": user.public_key(),
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {}, "sub": {},
            "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED,
        },
    })
}

/// The JWT of these claims, issued now by `issuer`.
pub(super) fn sign(issuer: &KeyPair, claims: &Value, issued_at_s: u64) -> Result<String, Error> {
    let mut claims = claims.clone();
    claims["iss"] = issuer.public_key().into();
    claims["iat"] = issued_at_s.into();
    claims["jti"] = hex::encode(Sha256::digest(claims.to_string())).into();
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

/// A credentials file, as clients read it.
pub(super) fn creds(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_header_and_claims() {
        let (issuer, account_key) = (KeyPair::new_operator(), KeyPair::new_account());
        let jwt = sign(&issuer, &account(&account_key, "A"), 7).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        issuer.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iss"], issuer.public_key());
        assert_eq!(claims["sub"], account_key.public_key());
        assert_eq!(claims["iat"], 7);
    }
}
