//! The clouds, as far as letting somebody in by a token of another issuer goes: each looks the issuer up,
//! checks the token by its keys, and compares what it says with what was trusted.
//!
//! Rules: OpenID Connect Discovery 1.0 and Core 1.0, section 3.1.3.7 (issuer, audience, signature, times);
//! RFC 7515 and 7518 for RS256. What each cloud calls for and answers is in its own file.

mod aws;
mod azure;
mod gcp;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::Shared;

pub use self::aws::AWS_ROLE_ARN;
pub use self::azure::{AZURE_CLIENT_ID, AZURE_DIRECTORY_ID};
pub use self::gcp::{GCP_PROVIDER, GCP_SERVICE_ACCOUNT};

/// AWS gives an issuer five seconds.
const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);
/// How much the clocks of the cloud and of the issuer may differ.
const LEEWAY_S: u64 = 5 * 60;

#[derive(Debug, Default)]
pub(super) struct Clouds {
    /// By kind.
    trusts: BTreeMap<String, BTreeSet<Trust>>,
    /// Digests of the tokens that Google Cloud has given out in exchange.
    exchanged: BTreeSet<[u8; 32]>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trust {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: String,
}

impl Clouds {
    pub(super) fn trust(&mut self, kind: &str, trust: Trust) {
        self.trusts.entry(kind.to_owned()).or_default().insert(trust);
    }

    pub(super) fn distrust(&mut self, kind: &str, trust: &Trust) {
        if let Some(trusts) = self.trusts.get_mut(kind) {
            trusts.remove(trust);
        }
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().merge(aws::routes()).nest("/gcp", gcp::routes()).nest("/azure", azure::routes())
}

/// Why a token does not let anybody in. What is told apart here, each cloud tells apart in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Not a JWT that is signed by RS256.
    Malformed,
    /// Nobody trusts its issuer.
    Issuer,
    /// The issuer does not answer, or not as an issuer does.
    Unreachable,
    /// None of the issuer's keys signed it.
    Signature,
    /// Too old, or not yet good.
    Expired,
    /// It is meant for somebody else.
    Audience,
    /// The issuer is trusted, but not with this subject.
    Subject,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    nbf: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    response_types_supported: Vec<String>,
    subject_types_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: String,
    n: String,
    e: String,
}

/// What a token says, if it is trusted.
async fn checked(shared: &Shared, kind: &str, token: &str) -> Result<Claims, Fault> {
    let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Fault::Malformed)?;
    let header: Header = part(header)?;
    let claims: Claims = part(claims)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Fault::Malformed)?;
    if header.alg != "RS256" {
        return Err(Fault::Malformed);
    }
    let mut trusts = shared.lock().clouds.trusts.get(kind).cloned().unwrap_or_default();
    trusts.retain(|trust| trust.issuer == claims.iss);
    if trusts.is_empty() {
        return Err(Fault::Issuer);
    }
    let key = key(&claims.iss, &header.kid).await?;
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).map_err(|_| Fault::Signature)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if claims.exp <= now_s || claims.nbf > now_s + LEEWAY_S {
        return Err(Fault::Expired);
    }
    trusts.retain(|trust| trust.audience == claims.aud);
    if trusts.is_empty() {
        return Err(Fault::Audience);
    }
    if trusts.iter().any(|trust| trust.subject == claims.sub) { Ok(claims) } else { Err(Fault::Subject) }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::Malformed)
}

/// A key that the issuer publishes.
async fn key(issuer: &str, kid: &str) -> Result<RsaPublicKeyComponents<Vec<u8>>, Fault> {
    let discovery: Discovery = fetched(&format!("{issuer}/.well-known/openid-configuration")).await?;
    let has = |list: &[String], word: &str| list.iter().any(|known| known == word);
    let is_usable = discovery.issuer == issuer
        && has(&discovery.response_types_supported, "id_token")
        && has(&discovery.subject_types_supported, "public")
        && has(&discovery.id_token_signing_alg_values_supported, "RS256");
    if !is_usable {
        return Err(Fault::Unreachable);
    }
    let set: KeySet = fetched(&discovery.jwks_uri).await?;
    let key = set.keys.iter().find(|key| key.kty == "RSA" && key.kid == kid).ok_or(Fault::Signature)?;
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Unreachable);
    Ok(RsaPublicKeyComponents { n: number(&key.n)?, e: number(&key.e)? })
}

async fn fetched<T: DeserializeOwned>(url: &str) -> Result<T, Fault> {
    let fetch = async {
        let client = reqwest::Client::builder().no_proxy().timeout(ISSUER_TIMEOUT).build()?;
        client.get(url).send().await?.error_for_status()?.json().await
    };
    fetch.await.map_err(|_: reqwest::Error| Fault::Unreachable)
}

/// The fields of a form, if it is one and says nothing twice.
fn form(headers: &HeaderMap, body: &[u8]) -> Option<BTreeMap<String, String>> {
    if headers.get(header::CONTENT_TYPE)?.as_bytes() != b"application/x-www-form-urlencoded" {
        return None;
    }
    let mut fields = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(fields)
}
