//! The token itself: a JWT (RFC 7519) in the compact serialisation of a JWS (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::{SecretText, TenantId};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Identity;

/// How long a token is good: a far side trades it at once, and the clocks of both may differ by minutes.
const LIFE_S: i64 = 10 * 60;

/// What is said in a token.
pub(super) const CLAIMS: &[&str] =
    &["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "tenant_id", "connector"];

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
    tenant_id: TenantId,
    connector: &'a str,
}

/// What is signed: header and claims.
pub(super) fn message(kid: &str, identity: &Identity, now: OffsetDateTime, id: Uuid) -> String {
    let now = now.unix_timestamp();
    let claims = Claims {
        iss: &identity.issuer,
        sub: &identity.subject,
        aud: &identity.audience,
        iat: now,
        nbf: now,
        exp: now + LIFE_S,
        jti: id,
        tenant_id: identity.tenant,
        connector: &identity.connector,
    };
    format!("{}.{}", encoded(&Header { alg: "RS256", typ: "JWT", kid }), encoded(&claims))
}

/// The token.
pub(super) fn with_signature(message: &str, signature: &[u8]) -> SecretText {
    SecretText::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn encoded(part: &impl Serialize) -> String {
    // Strings and numbers alone: they always become JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_says_all_that_it_is_said_to_say_and_nothing_else() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(6));
        let identity = Identity {
            tenant,
            connector: "prod".to_owned(),
            issuer: "https://ci.example/oidc/ten_6".to_owned(),
            subject: super::super::subject(tenant, "prod"),
            audience: "sts.amazonaws.com".to_owned(),
        };
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let token = with_signature(&message("k-v1", &identity, now, Uuid::from_u128(7)), b"signature");
        let parts: Vec<_> =
            token.expose().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let json = |part: &[u8]| serde_json::from_slice::<Value>(part).unwrap();
        assert_eq!(json(&parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "k-v1"}));
        assert_eq!(
            json(&parts[1]),
            json!({
                "iss": "https://ci.example/oidc/ten_6",
                "sub": "tenant:ten_00000000000000000000000000000006:prod",
                "aud": "sts.amazonaws.com",
                "iat": 1_700_000_000,
                "nbf": 1_700_000_000,
                "exp": 1_700_000_600,
                "jti": "00000000-0000-0000-0000-000000000007",
                "tenant_id": "ten_00000000000000000000000000000006",
                "connector": "prod",
            })
        );
        let said: Vec<_> = json(&parts[1]).as_object().unwrap().keys().cloned().collect();
        let mut claims: Vec<_> = CLAIMS.iter().map(|claim| (*claim).to_owned()).collect();
        claims.sort_unstable();
        assert_eq!(said, claims);
        assert_eq!(parts[2], b"signature");
    }
}
