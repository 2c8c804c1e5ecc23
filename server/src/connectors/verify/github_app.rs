//! GitHub Apps: the installation is looked up as the app, and a token of it is asked for and given back.
//!
//! The app proves itself by a JWT (RS256) that its private key signs. GitHub answers 401 where the key
//! is not one of the app's or the clocks differ, 404 where the installation is not the app's or is
//! gone, and 403 to who wants a token of a suspended one. Facts: GitHub REST API 2022-11-28, "GitHub
//! Apps" and "Rate limits for the REST API"; GitHub Enterprise Server does the same below `/api/v3`.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use integraci_api::SecretText;
use reqwest::header::{ACCEPT, DATE, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;
use zeroize::Zeroizing;

use super::far_side::{Asked, FarSide, bearer, below, json};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, RETRY_AFTER_MAX, Request};

const GITHUB: &str = "GitHub";
const KEY_POINTER: &str = "/secrets/private_key";
const APP_POINTER: &str = "/config/app_id";
const INSTALLATION_POINTER: &str = "/config/installation_id";
const ASKED: Asked<'_> = Asked { who: GITHUB, secret: KEY_POINTER, place: "/config/base_url" };

/// How far a JWT's beginning lies back: the difference between clocks that GitHub advises to allow for.
const BACKDATED: time::Duration = time::Duration::seconds(60);
/// How long a JWT is good: with the backdating, the ten minutes that GitHub takes at most.
const GOOD_FOR: time::Duration = time::Duration::minutes(9);

pub(super) struct GitHubApp;

#[async_trait]
impl Protocol for GitHubApp {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let app = App::of(far_side)?;
        app.installation_read().await?;
        let token = app.token_create().await?;
        app.token_revoke(&token).await;
        // The key itself does not expire.
        Ok(Verified::default())
    }
}

/// The app, ready to ask.
struct App<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    app_id: u64,
    installation: String,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
struct Installation {
    app_id: u64,
    suspended_at: Option<String>,
}

#[derive(Deserialize)]
struct InstallationToken {
    token: SecretText,
}

impl<'a> App<'a> {
    /// Refused, before any call, where the key is none that can sign.
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let number = |field: &str| {
            far_side.integer(field).ok_or_else(|| {
                VerifyError::refused(format!("/config/{field}"), format!("`{field}` is required"))
            })
        };
        let (app_id, installation_id) = (number("app_id")?, number("installation_id")?);
        let key = key_pair(far_side.secret("private_key")?.expose())?;
        let jwt = jwt(&key, app_id, far_side.subject.now).ok_or_else(key_unusable)?;
        Ok(Self {
            far_side,
            base: far_side.address("base_url", "https://api.github.com")?,
            app_id,
            installation: installation_id.to_string(),
            authorization: bearer(&jwt, KEY_POINTER)?,
        })
    }

    async fn installation_read(&self) -> Result<(), VerifyError> {
        let path = ["app", "installations", &self.installation];
        let answer = self.send(Request::get(below(&self.base, &path))).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Err(self.app_or_installation_missing().await),
            _ => return Err(self.declined(&answer)),
        }
        let found: Installation = json(ASKED, &answer)?;
        if found.app_id != self.app_id {
            return Err(VerifyError::refused(APP_POINTER, "the installation is one of another app"));
        }
        if found.suspended_at.is_some() { Err(suspended()) } else { Ok(()) }
    }

    async fn token_create(&self) -> Result<SecretText, VerifyError> {
        let path = ["app", "installations", &self.installation, "access_tokens"];
        let answer = self.send(Request::post(below(&self.base, &path), Bytes::new())).await?;
        match answer.status.as_u16() {
            201 => Ok(json::<InstallationToken>(ASKED, &answer)?.token),
            // Suspended or removed since it was read.
            403 if limited(&answer, self.far_side.subject.now).is_none() => Err(suspended()),
            404 => Err(gone()),
            _ => Err(self.declined(&answer)),
        }
    }

    /// Gives the token back. Where that fails it ends by itself within the hour, which says nothing
    /// against the connector.
    async fn token_revoke(&self, token: &SecretText) {
        let url = below(&self.base, &["installation", "token"]);
        let Ok(authorization) = bearer(token, KEY_POINTER) else { return };
        let request = with_headers(Request::delete(url)).authorization(authorization);
        if self.far_side.ask(ASKED, request).await.is_err() {
            tracing::info!("an installation token was not taken back; it ends within the hour");
        }
    }

    /// Both are a 404: the app itself says which it is.
    async fn app_or_installation_missing(&self) -> VerifyError {
        match self.send(Request::get(below(&self.base, &["app"]))).await {
            Err(error) => error,
            Ok(answer) if answer.status == 200 => gone(),
            Ok(answer) if answer.status == 404 => {
                VerifyError::refused(APP_POINTER, format!("{GITHUB} knows no such app at this address"))
            }
            Ok(answer) => self.declined(&answer),
        }
    }

    async fn send(&self, request: Request) -> Result<Answer, VerifyError> {
        let request = with_headers(request).authorization(self.authorization.clone());
        self.far_side.send(ASKED, request.redirect_is_answer()).await
    }

    fn declined(&self, answer: &Answer) -> VerifyError {
        let now = self.far_side.subject.now;
        if let Some(retry_after) = limited(answer, now) {
            return VerifyError::Busy { retry_after: Some(retry_after) };
        }
        match answer.status.as_u16() {
            401 if clocks_differ(answer, now) => VerifyError::Unreachable {
                detail: format!(
                    "{GITHUB} did not take the login, and its clock and the platform's differ by more than a minute"
                ),
            },
            401 => VerifyError::refused(
                KEY_POINTER,
                format!(
                    "{GITHUB} refused the login (status 401): the key is none of the app's, or was deleted there"
                ),
            ),
            _ => self.far_side.declined(ASKED, answer),
        }
    }
}

fn gone() -> VerifyError {
    VerifyError::refused(
        INSTALLATION_POINTER,
        format!("{GITHUB} has no such installation of the app: it was removed, or is another app's"),
    )
}

fn suspended() -> VerifyError {
    VerifyError::refused(
        INSTALLATION_POINTER,
        "the installation is suspended; whoever owns the account must unsuspend it",
    )
}

fn with_headers(request: Request) -> Request {
    request
        .header(ACCEPT.as_str(), HeaderValue::from_static("application/vnd.github+json"))
        .header("x-github-api-version", HeaderValue::from_static("2022-11-28"))
}

/// How long to wait, where an answer is about a rate limit. GitHub says so by 403 as well as by 429:
/// with `Retry-After` for a secondary limit, and with no requests remaining for the primary one.
fn limited(answer: &Answer, now: OffsetDateTime) -> Option<Duration> {
    if !matches!(answer.status.as_u16(), 403 | 429) {
        return None;
    }
    let header = |name: &str| answer.headers.get(name)?.to_str().ok();
    answer.retry_after(now).or_else(|| {
        header("x-ratelimit-remaining").filter(|remaining| *remaining == "0")?;
        let reset: i64 = header("x-ratelimit-reset")?.parse().ok()?;
        let wait = u64::try_from(reset.saturating_sub(now.unix_timestamp())).unwrap_or(0);
        Some(Duration::from_secs(wait).min(RETRY_AFTER_MAX))
    })
}

fn clocks_differ(answer: &Answer, now: OffsetDateTime) -> bool {
    let date = answer.headers.get(DATE).and_then(|value| value.to_str().ok());
    let theirs = date.and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok());
    theirs.is_some_and(|theirs| (theirs - now).abs() > BACKDATED)
}

/// The key of a PEM block that the catalogue has checked the outside of.
fn key_pair(pem: &str) -> Result<RsaKeyPair, VerifyError> {
    let mut lines = pem.lines().map(str::trim).filter(|line| !line.is_empty());
    let parse = match lines.next() {
        Some("-----BEGIN RSA PRIVATE KEY-----") => RsaKeyPair::from_der,
        Some("-----BEGIN PRIVATE KEY-----") => RsaKeyPair::from_pkcs8,
        _ => return Err(key_unusable()),
    };
    let body: Zeroizing<String> = Zeroizing::new(lines.take_while(|line| !line.starts_with('-')).collect());
    let der = STANDARD.decode(body.as_bytes()).map(Zeroizing::new).map_err(|_| key_unusable())?;
    parse(&der).map_err(|_| key_unusable())
}

fn key_unusable() -> VerifyError {
    VerifyError::refused(
        KEY_POINTER,
        "expected an RSA key of at least 2048 bits that is not encrypted, in PEM, as GitHub gives it",
    )
}

/// A token by which the app proves itself. `None` where the key cannot sign.
fn jwt(key: &RsaKeyPair, app_id: u64, now: OffsetDateTime) -> Option<SecretText> {
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let claims = json!({
        "iss": app_id,
        "iat": (now - BACKDATED).unix_timestamp(),
        "exp": (now + GOOD_FOR).unix_timestamp(),
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
    Some(SecretText::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rsa_key_is_refused_and_not_quoted() {
        for pem in [
            "",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
        ] {
            let faults = key_pair(pem).unwrap_err().faults();
            assert_eq!(faults[0].pointer, KEY_POINTER, "{pem}");
            assert!(!faults[0].detail.contains("AAAA"));
        }
    }
}
