//! Tokens that the platform signs for a tenant, for far sides that take them in place of a secret
//! (OpenID Connect workload identity federation).
//!
//! Each tenant has an issuer of its own, `<public_url>/oidc/<tenant id>`: a cloud whose trust policy forgets
//! to name the subject still trusts no other tenant. The discovery document and the keys of an issuer
//! follow from its address alone, so they say nothing of which tenants there are. Tokens are signed with
//! RS256, which every cloud takes, by a key that never leaves OpenBao.
//!
//! A version of the key signs only once everybody who keeps the key set can have heard of it; so rotating
//! the key in OpenBao is all that there is to do, and no far side ever meets a token that it cannot check.
//!
//! Facts: OpenID Connect Discovery 1.0, sections 3 and 4; what AWS (IAM user guide, "Create an OpenID
//! Connect identity provider"), Google Cloud ("Workload Identity Federation with other identity providers")
//! and Microsoft Entra ("Workload identity federation") read of it: `issuer` as in the token and
//! `jwks_uri`, and AWS the lists of what is supported too.

mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::oidc::OidcTrust;
use integraci_api::{FieldProblem, SecretText, TenantId, catalogue, connectors};
use serde::Serialize;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::error::Error;
use crate::isolation::openbao::{RsaKey, Signer, TOKEN_KEY};
use crate::isolation::{ErrorClass, System, SystemError};
use crate::kept::Kept;

/// How long far sides may keep the discovery document and the keys.
pub const PUBLISHED_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How long we take the keys to be as OpenBao last told them.
const KEYS_KEPT: Duration = Duration::from_secs(60);

/// How old a version of the key is before it signs: both of the above, and some for clocks that differ.
const SIGNS_FROM_AGE: Duration = Duration::from_secs(10 * 60);

/// What people are told where the platform is no issuer.
pub const OFF: &str = "this platform signs no tokens; its operator can let it, by setting `public_url`";

/// Signs tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `<public_url>/oidc`, if it is known where the platform is reached from outside.
    base: Option<Arc<str>>,
    signer: Signer,
    keys: Kept<Arc<[RsaKey]>>,
}

/// Who a token says that a connector is, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    tenant: TenantId,
    connector: String,
    issuer: String,
    subject: String,
    audience: String,
}

/// As it is told to people who have to trust it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, subject, audience, .. } = self;
        write!(f, "issuer `{issuer}`, subject `{subject}`, audience `{audience}`")
    }
}

impl Identity {
    /// Where the far side learns how to check the token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it knows the connector by.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the far side calls itself.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }
}

/// The discovery document of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovery {
    issuer: String,
    jwks_uri: String,
    response_types_supported: [&'static str; 1],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
    scopes_supported: [&'static str; 1],
    claims_supported: &'static [&'static str],
}

/// The keys of every issuer: a JWK Set (RFC 7517, section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RsaKeySet {
    keys: Vec<RsaJwk>,
}

/// An RSA public key (RFC 7518, section 6.3.1); numbers are big-endian in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RsaJwk {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    n: String,
    e: String,
}

/// What a tenant's connector is called in a token: at most 107 bytes, and Google Cloud, which takes the
/// least, takes 127.
#[must_use]
pub fn subject(tenant: TenantId, connector: &str) -> String {
    format!("tenant:{tenant}:{connector}")
}

impl Issuer {
    /// Issuers below this address, whose keys are this signer's.
    #[must_use]
    pub fn new(public_url: Option<Url>, signer: Signer) -> Self {
        // A URL without a path is written with a slash at its end.
        let base = public_url.map(|url| format!("{}/oidc", url.as_str().trim_end_matches('/')).into());
        Self { base, signer, keys: Kept::new(KEYS_KEPT) }
    }

    /// Whom the tenant's connector is to be taken for by who calls itself `audience`. None where the
    /// platform is no issuer.
    #[must_use]
    pub fn identity(&self, tenant: TenantId, connector: &str, audience: &str) -> Option<Identity> {
        Some(Identity {
            tenant,
            connector: connector.to_owned(),
            issuer: self.issuer(tenant)?,
            subject: subject(tenant, connector),
            audience: audience.to_owned(),
        })
    }

    /// A token that says so, good for some minutes from `now`; `id` is in no other.
    ///
    /// # Errors
    /// OpenBao did not sign.
    pub async fn token(
        &self,
        identity: &Identity,
        now: OffsetDateTime,
        id: Uuid,
    ) -> Result<SecretText, SystemError> {
        let keys = self.keys().await?;
        let key = signing_key(&keys, now).ok_or(SystemError {
            system: System::OpenBao,
            operation: "sign",
            class: ErrorClass::Gone,
            reason: "every version of the signing key is withdrawn; rotate it",
            status: None,
        })?;
        let message = token::message(&key.kid, identity, now, id);
        let signature = self.signer.sign_rs256(TOKEN_KEY, key.version, message.as_bytes()).await?;
        Ok(token::with_signature(&message, &signature))
    }

    /// The discovery document of a tenant's issuer, whether or not there is that tenant. None where the
    /// platform is no issuer.
    #[must_use]
    pub fn discovery(&self, tenant: TenantId) -> Option<Discovery> {
        let issuer = self.issuer(tenant)?;
        Some(Discovery {
            jwks_uri: jwks_url(&issuer),
            issuer,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["RS256"],
            scopes_supported: ["openid"],
            claims_supported: token::CLAIMS,
        })
    }

    /// The public keys. None where the platform is no issuer.
    ///
    /// # Errors
    /// OpenBao could not be asked, and never was.
    pub async fn key_set(&self) -> Result<Option<RsaKeySet>, SystemError> {
        if self.base.is_none() {
            return Ok(None);
        }
        let keys = self.keys().await?;
        Ok(Some(RsaKeySet { keys: keys.iter().map(RsaJwk::of).collect() }))
    }

    /// What a far side must be told to trust for a connector that there may not be yet.
    ///
    /// # Errors
    /// `invalid_request` at `/connector` or `/kind`; the latter also where the platform is no issuer.
    pub fn trust(&self, tenant: TenantId, connector: &str, kind: &str) -> Result<OidcTrust, Error> {
        let mut faults = Vec::new();
        let bad_name = connectors::name_check(connector).err();
        faults.extend(bad_name.map(|detail| FieldProblem::new("/connector", detail)));
        let keyless = catalogue::kind(kind).and_then(|kind| kind.keyless);
        match (keyless, self.issuer(tenant)) {
            (Some(keyless), Some(issuer)) if faults.is_empty() => {
                return Ok(OidcTrust {
                    discovery_url: discovery_url(&issuer),
                    jwks_url: jwks_url(&issuer),
                    issuer,
                    subject: subject(tenant, connector),
                    audience: keyless.audience.map(str::to_owned),
                });
            }
            (None, _) => faults.push(FieldProblem::new("/kind", not_keyless())),
            (Some(_), None) => faults.push(FieldProblem::new("/kind", OFF)),
            (Some(_), Some(_)) => {}
        }
        Err(Error::invalid(faults))
    }

    fn issuer(&self, tenant: TenantId) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}/{tenant}"))
    }

    async fn keys(&self) -> Result<Arc<[RsaKey]>, SystemError> {
        self.keys.get(async { self.signer.rsa_keys(TOKEN_KEY).await.map(Arc::from) }).await
    }
}

fn not_keyless() -> String {
    let keyless = catalogue::KINDS.iter().filter(|kind| kind.keyless.is_some());
    let names: Vec<_> = keyless.map(|kind| kind.name).collect();
    format!("expected a kind that does without a secret: {}", names.join(", "))
}

fn discovery_url(issuer: &str) -> String {
    format!("{issuer}/.well-known/openid-configuration")
}

fn jwks_url(issuer: &str) -> String {
    format!("{issuer}/jwks.json")
}

/// The newest version of the key that is old enough; where none is, the first there is.
fn signing_key(keys: &[RsaKey], now: OffsetDateTime) -> Option<&RsaKey> {
    let mut signing = keys.iter().filter(|key| key.signs);
    let known = signing.clone().rfind(|key| key.created_at + SIGNS_FROM_AGE <= now);
    known.or_else(|| signing.next())
}

impl RsaJwk {
    fn of(key: &RsaKey) -> Self {
        Self {
            kty: "RSA",
            usage: "sig",
            alg: "RS256",
            kid: key.kid.clone(),
            n: URL_SAFE_NO_PAD.encode(&key.modulus),
            e: URL_SAFE_NO_PAD.encode(&key.exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::openbao::{Client, OpenBaoConfig};

    fn issuer(public_url: Option<&str>) -> Issuer {
        let nowhere = Client::new(&OpenBaoConfig {
            address: "http://nowhere.invalid".parse().unwrap(),
            token: SecretText::new(String::new()),
            namespace: None,
            ca_certificate: None,
            timeout: Duration::from_secs(1),
        });
        Issuer::new(public_url.map(|url| url.parse().unwrap()), Signer::new(nowhere.unwrap()))
    }

    fn tenant() -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(6))
    }

    fn pointers(error: &Error) -> Vec<&str> {
        let Error::Refused(problem) = error else { panic!("{error}") };
        problem.errors.iter().map(|error| error.pointer.as_str()).collect()
    }

    #[test]
    fn a_trust_follows_from_the_address_and_the_names() {
        let trust = issuer(Some("https://ci.example/")).trust(tenant(), "prod", "aws").unwrap();
        let own = "https://ci.example/oidc/ten_00000000000000000000000000000006";
        assert_eq!(trust.issuer, own);
        assert_eq!(trust.discovery_url, format!("{own}/.well-known/openid-configuration"));
        assert_eq!(trust.jwks_url, format!("{own}/jwks.json"));
        assert_eq!(trust.subject, "tenant:ten_00000000000000000000000000000006:prod");
        assert_eq!(trust.audience.as_deref(), Some("sts.amazonaws.com"));
        let below = issuer(Some("https://ci.example/api")).trust(tenant(), "prod", "gcp").unwrap();
        assert!(below.issuer.starts_with("https://ci.example/api/oidc/ten_"), "{}", below.issuer);
        assert_eq!(below.audience, None);
    }

    #[test]
    fn what_needs_no_trust_has_none() {
        let on = issuer(Some("https://ci.example"));
        let refused = |issuer: &Issuer, connector: &str, kind: &str| {
            let error = issuer.trust(tenant(), connector, kind).unwrap_err();
            pointers(&error).join(" ")
        };
        assert_eq!(refused(&on, "", "aws"), "/connector");
        assert_eq!(refused(&on, "a:b", "aws"), "/connector");
        assert_eq!(refused(&on, "prod", "github_app"), "/kind");
        assert_eq!(refused(&on, "A", "carrier_pigeon"), "/connector /kind");
        assert_eq!(refused(&issuer(None), "prod", "aws"), "/kind");
        assert_eq!(issuer(None).discovery(tenant()), None);
        assert_eq!(issuer(None).identity(tenant(), "prod", "x"), None);
    }

    #[test]
    fn the_longest_subject_is_short_enough_for_every_cloud() {
        assert_eq!(subject(tenant(), &"x".repeat(63)).len(), 107);
    }

    #[test]
    fn a_version_signs_once_it_is_known_and_until_it_is_withdrawn() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let key = |version: u32, age_min: i64, signs: bool| RsaKey {
            kid: format!("k-v{version}"),
            version,
            modulus: vec![1],
            exponent: vec![1],
            created_at: now - time::Duration::minutes(age_min),
            signs,
        };
        let signing = |keys: &[RsaKey]| signing_key(keys, now).map(|key| key.version);
        assert_eq!(signing(&[key(1, 0, true)]), Some(1), "there is no other");
        assert_eq!(signing(&[key(1, 100, true), key(2, 9, true)]), Some(1));
        assert_eq!(signing(&[key(1, 100, true), key(2, 10, true), key(3, 1, true)]), Some(2));
        assert_eq!(signing(&[key(1, 100, false), key(2, 1, true)]), Some(2), "the other is withdrawn");
        assert_eq!(signing(&[key(1, 100, false)]), None);
        assert_eq!(signing(&[]), None);
    }
}
