//! Container registries: the OCI distribution API (1.1), and the token protocol of its challenge.
//!
//! `GET /v2/` without credentials tells how to log in: `Basic`, or `Bearer` with the `realm` of a
//! token service that takes the password and gives a token. A named repository is then read by its
//! list of tags; where that takes a token of another scope, its 401 names it. Credentials go to the
//! registry's own origin, and to the realm that it names from that origin; an answer from elsewhere says
//! nothing of them and is refused, whatever it is. So is a registry that is open to everyone and lets in
//! any login: nothing can be learnt there.

use async_trait::async_trait;
use http_auth::ChallengeRef;
use integraci_api::SecretText;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::far_side::{self, Asked, FarSide, below};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const REGISTRY: &str = "the registry";
const TOKEN_SERVICE: &str = "the registry's token service";

pub(super) struct ContainerRegistry;

#[async_trait]
impl Protocol for ContainerRegistry {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let repository = far_side.text("repository").map(repository_checked).transpose()?;
        let base = far_side.address("url", "")?;
        let registry = Registry { far_side, base, login: Login::of(far_side)?, repository };
        let authorization = registry.log_in().await?;
        registry.read_api(&authorization).await?;
        registry.read_repository(&authorization).await?;
        Ok(Verified::default())
    }
}

/// How the connector logs in.
enum Login<'a> {
    Password { username: &'a str, password: &'a SecretText },
    Token(&'a SecretText),
}

impl<'a> Login<'a> {
    fn of(far_side: &'a FarSide<'_>) -> Result<Self, VerifyError> {
        const USERNAME: &str = "/config/username";
        let secrets = far_side.subject.secrets;
        match (secrets.get("password"), secrets.get("token")) {
            (None, Some(token)) => Ok(Self::Token(token)),
            (Some(password), None) => match far_side.text("username") {
                None => Err(VerifyError::refused(USERNAME, "`username` is required with a password")),
                Some(name) if name.contains(':') => {
                    Err(VerifyError::refused(USERNAME, "a user name must not have a colon in it"))
                }
                Some(username) => Ok(Self::Password { username, password }),
            },
            _ => Err(VerifyError::refused("/secrets", "give exactly one of `password`, `token`")),
        }
    }

    const fn pointer(&self) -> &'static str {
        match self {
            Self::Password { .. } => "/secrets/password",
            Self::Token(_) => "/secrets/token",
        }
    }

    /// What is sent where no other token is traded for it.
    fn authorization(&self) -> Result<HeaderValue, VerifyError> {
        match self {
            Self::Password { username, password } => far_side::basic(username, password, self.pointer()),
            Self::Token(token) => far_side::bearer(token, self.pointer()),
        }
    }
}

struct Registry<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    login: Login<'a>,
    repository: Option<&'a str>,
}

/// How a registry wants to be logged in to.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What a token service answers; the two names are the same thing.
#[derive(Deserialize)]
struct Token {
    token: Option<SecretText>,
    access_token: Option<SecretText>,
}

impl Registry<'_> {
    /// What to send as `Authorization`.
    async fn log_in(&self) -> Result<HeaderValue, VerifyError> {
        let as_it_is = self.login.authorization()?;
        let answer = self.send(REGISTRY, Request::get(self.endpoint(&[""]))).await?;
        match (answer.status.as_u16(), &self.login) {
            // Open to everyone; whether it takes the login is seen when it is sent.
            (200, _) => {
                self.refuses_others().await?;
                Ok(as_it_is)
            }
            (401, Login::Token(_)) => Ok(as_it_is),
            (401, Login::Password { .. }) => match challenge(&answer.headers) {
                Some(Challenge::Basic) => Ok(as_it_is),
                Some(Challenge::Bearer { realm, service, scope }) => {
                    let scope = self.repository.map(pull).or(scope);
                    self.token(&realm, service, scope, as_it_is).await
                }
                None => Err(VerifyError::refused(
                    URL_POINTER,
                    format!("{REGISTRY} asks for neither a Basic nor a Bearer login"),
                )),
            },
            _ => Err(self.declined(REGISTRY, &answer)),
        }
    }

    /// That a login which cannot be good is refused by a registry that asks for none: it would otherwise
    /// take any.
    async fn refuses_others(&self) -> Result<(), VerifyError> {
        // A user of its own: a real one might be locked out.
        let nobodys = SecretText::new(Uuid::new_v4().simple().to_string());
        let authorization = match self.login {
            Login::Token(_) => far_side::bearer(&nobodys, URL_POINTER)?,
            Login::Password { .. } => far_side::basic(nobodys.expose(), &nobodys, URL_POINTER)?,
        };
        let request = Request::get(self.endpoint(&[""])).authorization(authorization);
        let answer = self.send(REGISTRY, request).await?;
        match answer.status.as_u16() {
            401 | 403 => Ok(()),
            200 => Err(VerifyError::refused(
                URL_POINTER,
                format!("{REGISTRY} is open to everyone and looks at no login, so none can be verified"),
            )),
            _ => Err(self.declined(REGISTRY, &answer)),
        }
    }

    /// Trades the password for a token, as the challenge says.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
        basic: HeaderValue,
    ) -> Result<HeaderValue, VerifyError> {
        let no_token = || VerifyError::refused(URL_POINTER, format!("{TOKEN_SERVICE} gives no token"));
        let mut url = Url::parse(realm).map_err(|_| no_token())?;
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let answer = self.send(TOKEN_SERVICE, Request::get(url).authorization(basic)).await?;
        match answer.status.as_u16() {
            200 => {
                let given: Token = serde_json::from_slice(&answer.body).map_err(|_| no_token())?;
                let token = given.token.or(given.access_token).ok_or_else(no_token)?;
                far_side::bearer(&token, URL_POINTER).map_err(|_| no_token())
            }
            status @ (401 | 403) => Err(self.secret_refused(TOKEN_SERVICE, status)),
            _ => Err(self.declined(TOKEN_SERVICE, &answer)),
        }
    }

    async fn read_api(&self, authorization: &HeaderValue) -> Result<(), VerifyError> {
        let request = Request::get(self.endpoint(&[""])).authorization(authorization.clone());
        let answer = self.send(REGISTRY, request).await?;
        match answer.status.as_u16() {
            200 => Ok(()),
            status @ (401 | 403) => Err(self.secret_refused(REGISTRY, status)),
            _ => Err(self.declined(REGISTRY, &answer)),
        }
    }

    async fn read_repository(&self, authorization: &HeaderValue) -> Result<(), VerifyError> {
        let Some(repository) = self.repository else {
            return Ok(());
        };
        let mut answer = self.tags(repository, authorization.clone()).await?;
        if let Some(wider) = self.token_for(repository, &answer).await? {
            answer = self.tags(repository, wider).await?;
        }
        match answer.status.as_u16() {
            200 => Ok(()),
            404 => Err(VerifyError::refused(
                "/config/repository",
                format!("{REGISTRY} has no such repository, or does not show it to this login"),
            )),
            status @ (401 | 403) => Err(VerifyError::refused(
                self.login.pointer(),
                format!(
                    "{REGISTRY} takes the login but does not let it read the repository (status {status})"
                ),
            )),
            _ => Err(self.declined(REGISTRY, &answer)),
        }
    }

    async fn tags(&self, repository: &str, authorization: HeaderValue) -> Result<Answer, VerifyError> {
        let path: Vec<_> = repository.split('/').chain(["tags", "list"]).collect();
        let mut url = self.endpoint(&path);
        url.set_query(Some("n=1"));
        self.send(REGISTRY, Request::get(url).authorization(authorization)).await
    }

    /// A token of the scope that a 401 names, where that is not what was asked for: Azure's registries list
    /// tags by `metadata_read`.
    async fn token_for(&self, repository: &str, answer: &Answer) -> Result<Option<HeaderValue>, VerifyError> {
        if answer.status != 401 || matches!(self.login, Login::Token(_)) {
            return Ok(None);
        }
        match challenge(&answer.headers) {
            Some(Challenge::Bearer { realm, service, scope: Some(scope) }) if scope != pull(repository) => {
                self.token(&realm, service, Some(scope), self.login.authorization()?).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Makes a call, whose answer comes from the origin that was called.
    async fn send(&self, who: &str, request: Request) -> Result<Answer, VerifyError> {
        let answer = self.far_side.send(self.asked(who), request).await?;
        if answer.left_origin {
            let detail = format!("{who} redirects to another host; give the address that it redirects to");
            return Err(VerifyError::refused(URL_POINTER, detail));
        }
        Ok(answer)
    }

    /// An address below `/v2/`.
    fn endpoint(&self, path: &[&str]) -> Url {
        below(&self.base, &[&["v2"], path].concat())
    }

    const fn asked<'b>(&self, who: &'b str) -> Asked<'b> {
        Asked { who, secret: self.login.pointer(), place: URL_POINTER }
    }

    fn secret_refused(&self, who: &str, status: u16) -> VerifyError {
        VerifyError::refused(self.login.pointer(), format!("{who} refused the login (status {status})"))
    }

    /// What any other status means.
    fn declined(&self, who: &str, answer: &Answer) -> VerifyError {
        if let Some(busy) = self.far_side.busy(answer) {
            return busy;
        }
        match answer.status.as_u16() {
            status @ 500..=599 => {
                VerifyError::Unreachable { detail: format!("{who} failed on its side (status {status})") }
            }
            status => VerifyError::refused(
                URL_POINTER,
                format!("{who} does not answer as the OCI distribution API does (status {status})"),
            ),
        }
    }
}

/// The scope that reads a repository.
fn pull(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// The challenge to answer: Bearer before Basic, as it gives away least.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<_> = texts.filter_map(|text| http_auth::parse_challenges(text).ok()).flatten().collect();
    let is =
        |scheme: &'static str| move |known: &&ChallengeRef<'_>| known.scheme.eq_ignore_ascii_case(scheme);
    let bearer = all.iter().filter(is("bearer")).find_map(|known| {
        Some(Challenge::Bearer {
            realm: parameter(known, "realm")?,
            service: parameter(known, "service"),
            scope: parameter(known, "scope"),
        })
    });
    bearer.or_else(|| all.iter().find(is("basic")).map(|_| Challenge::Basic))
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let found = challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_unescaped())
}

/// A repository's name, as the OCI distribution API has it; what is not one must not become a path.
fn repository_checked(name: &str) -> Result<&str, VerifyError> {
    let separators = |c: char| matches!(c, '.' | '_' | '-');
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with(separators)
            && !part.ends_with(separators)
            && !part.contains("..")
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
    };
    if name.len() <= 255 && name.split('/').all(component) {
        Ok(name)
    } else {
        Err(VerifyError::refused(
            "/config/repository",
            "expected a repository such as `acme/app`: lower-case letters, digits, `.`, `_`, `-` and `/`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge_of(values: &[&'static str]) -> Option<Challenge> {
        challenge(&values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_static(value))).collect())
    }

    #[test]
    fn a_bearer_challenge_is_read_whole() {
        let bearer = challenge_of(&[
            r#"Basic realm="x", bearer Realm="https://auth.example/token",service="reg,1",scope="a b""#,
        ]);
        assert_eq!(
            bearer,
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".into(),
                service: Some("reg,1".into()),
                scope: Some("a b".into()),
            })
        );
    }

    #[test]
    fn basic_is_taken_where_there_is_no_usable_bearer() {
        assert_eq!(challenge_of(&[r#"Bearer service="no realm""#, "Basic realm=x"]), Some(Challenge::Basic));
        assert_eq!(challenge_of(&["Negotiate", "garbage, \"=,"]), None);
        assert_eq!(challenge_of(&[]), None);
    }

    #[test]
    fn what_is_and_is_not_a_repository() {
        for good in ["app", "acme/app", "a/b/c", "a.b_c--d/e1"] {
            assert!(repository_checked(good).is_ok(), "{good}");
        }
        for bad in
            ["", "/", "a//b", "../v2", "a/../b", "a/.", "Acme/app", "a b", "a?n=1", "a%2fb", "-a", "a/", "é"]
        {
            assert!(repository_checked(bad).is_err(), "{bad}");
        }
    }
}
