//! Artifactory: it is there, it takes the login, and the repository's root is readable.
//!
//! `GET /api/system/ping` says `OK` to everybody where anonymous access is on, whatever login comes with
//! it, so it tells only that an Artifactory is there. A token proves itself at the access service of the
//! platform, which lies beside Artifactory and tells a token of itself; a password (or an API key) where
//! Artifactory gives a user the encrypted form of what he logged in with, which it never does for the
//! anonymous one. That form is dropped unread. The access service has not looked at a token's audience
//! since 7.68, and nothing of Artifactory's own is closed to the anonymous user and open to every token:
//! that Artifactory is in the audience is not checked. Facts: JFrog REST APIs ("System Health Ping", "Get Token
//! by ID", "Get User Encrypted Password", "Folder Info"). That a server which encrypts no passwords says so
//! by a 409, to who is logged in, is in no document: the open-source edition does it.

use async_trait::async_trait;
use integraci_api::SecretText;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;
use url::Url;

use super::far_side::{Asked, FarSide, basic, bearer, below, json};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const ARTIFACTORY: &str = "Artifactory";
const REPOSITORY_POINTER: &str = "/config/repository";
const USERNAME_POINTER: &str = "/config/username";

pub(super) struct Artifactory;

#[async_trait]
impl Protocol for Artifactory {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let artifactory = Api::of(far_side)?;
        artifactory.ping().await?;
        let expires_at = match artifactory.login {
            Login::Token(_) => artifactory.token_read().await?,
            Login::Password { .. } => {
                artifactory.password_try().await?;
                None
            }
        };
        if let Some(repository) = far_side.text("repository") {
            artifactory.repository_read(repository).await?;
        }
        Ok(Verified { expires_at })
    }
}

/// How the connector logs in.
#[derive(Clone, Copy)]
enum Login<'a> {
    Password { username: &'a str, password: &'a SecretText },
    Token(&'a SecretText),
}

impl<'a> Login<'a> {
    fn of(far_side: &FarSide<'a>) -> Result<Self, VerifyError> {
        let secrets = far_side.subject.secrets;
        match (secrets.get("password"), secrets.get("token")) {
            (None, Some(token)) => Ok(Self::Token(token)),
            (Some(password), None) => match far_side.text("username") {
                None => Err(VerifyError::refused(USERNAME_POINTER, "`username` is required with a password")),
                Some(name) if name.contains(':') => {
                    Err(VerifyError::refused(USERNAME_POINTER, "a user name must not have a colon in it"))
                }
                Some(username) => Ok(Self::Password { username, password }),
            },
            _ => Err(VerifyError::refused("/secrets", "give exactly one of `password`, `token`")),
        }
    }

    const fn pointer(self) -> &'static str {
        match self {
            Self::Password { .. } => "/secrets/password",
            Self::Token(_) => "/secrets/token",
        }
    }

    fn authorization(self) -> Result<HeaderValue, VerifyError> {
        match self {
            Self::Password { username, password } => basic(username, password, self.pointer()),
            Self::Token(token) => bearer(token, self.pointer()),
        }
    }
}

struct Api<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    login: Login<'a>,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "token_id")]
    _token_id: IgnoredAny,
    /// In seconds since 1970; absent where it does not expire.
    expiry: Option<i64>,
}

#[derive(Deserialize)]
struct Folder {
    #[serde(rename = "repo")]
    _repo: IgnoredAny,
}

impl<'a> Api<'a> {
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let login = Login::of(far_side)?;
        let authorization = login.authorization()?;
        Ok(Self { far_side, base: far_side.address("url", "")?, login, authorization })
    }

    async fn ping(&self) -> Result<(), VerifyError> {
        let answer = self.get(below(&self.base, &["api", "system", "ping"])).await?;
        match answer.status.as_u16() {
            200 if answer.body.trim_ascii() == b"OK" => Ok(()),
            200 | 404 => Err(VerifyError::refused(
                URL_POINTER,
                "no Artifactory answers here; its address usually ends in `/artifactory`",
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    /// When the token expires.
    async fn token_read(&self) -> Result<Option<OffsetDateTime>, VerifyError> {
        let answer = self.get(below(&platform(&self.base), &["access", "api", "v1", "tokens", "me"])).await?;
        match answer.status.as_u16() {
            200 => {
                let token: Token = json(self.asked(), &answer)?;
                Ok(token.expiry.and_then(|expiry| OffsetDateTime::from_unix_timestamp(expiry).ok()))
            }
            404 => Err(VerifyError::refused(
                URL_POINTER,
                "there is no access service beside this Artifactory, or it is older than 7.53.1 and cannot tell \
                 a token of itself; give the platform's address with `/artifactory` at its end",
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    async fn password_try(&self) -> Result<(), VerifyError> {
        let answer = self.get(below(&self.base, &["api", "security", "encryptedPassword"])).await?;
        match answer.status.as_u16() {
            200 | 409 => Ok(()),
            404 => Err(VerifyError::refused(
                self.login.pointer(),
                format!("{ARTIFACTORY} knows no password of this user; give an access token as `token`"),
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    async fn repository_read(&self, repository: &str) -> Result<(), VerifyError> {
        let answer = self.get(below(&self.base, &["api", "storage", repository])).await?;
        match answer.status.as_u16() {
            200 => json::<Folder>(self.asked(), &answer).map(drop),
            status @ (403 | 404) => Err(VerifyError::refused(
                REPOSITORY_POINTER,
                format!(
                    "{ARTIFACTORY} has no such repository, or does not show it to this login (status {status})"
                ),
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    async fn get(&self, url: Url) -> Result<Answer, VerifyError> {
        let request = Request::get(url).authorization(self.authorization.clone()).redirect_is_answer();
        self.far_side.send(self.asked(), request).await
    }

    const fn asked(&self) -> Asked<'static> {
        Asked { who: ARTIFACTORY, secret: self.login.pointer(), place: URL_POINTER }
    }

    fn declined(&self, answer: &Answer) -> VerifyError {
        self.far_side.declined(self.asked(), answer)
    }
}

/// The platform that an Artifactory is part of: `…/artifactory` without that.
fn platform(artifactory: &Url) -> Url {
    let mut url = below(artifactory, &[]);
    let is_service = url.path_segments().and_then(Iterator::last) == Some("artifactory");
    if let Ok(mut path) = url.path_segments_mut()
        && is_service
    {
        path.pop();
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_what_artifactory_is_part_of() {
        for (artifactory, expected) in [
            ("https://acme.jfrog.io/artifactory", "https://acme.jfrog.io/"),
            ("https://acme.jfrog.io/artifactory/", "https://acme.jfrog.io/"),
            ("https://x.example/jfrog/artifactory", "https://x.example/jfrog"),
            ("https://artifactory.example/", "https://artifactory.example/"),
            ("https://x.example/repo", "https://x.example/repo"),
        ] {
            assert_eq!(platform(&artifactory.parse().unwrap()).as_str(), expected);
        }
    }
}
