//! The calls to Keycloak, by hand over reqwest.
//!
//! Not the crate `keycloak`: it reads answers of any size, puts the far side's text into its errors,
//! and its service account asks for a new token at every call. What is left is JSON over four verbs
//! and one login, which is this file.
//!
//! Knows nothing of tenants. The platform's own token is kept until it runs out and asked for by one
//! caller at a time, however many wait for it; where Keycloak does not take it any more, the call is
//! made once more with a fresh one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use bytes::Bytes;
use integraci_api::SecretText;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};
use zeroize::Zeroizing;

use super::{ErrorClass, KeycloakConfig, System, SystemError};
use crate::isolation::http::{Answer, Http, HttpSetupError};

/// How long before its end a token is no longer used: a call must not outlast it.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// Room for the largest body: a whole realm. A buffer that grew would leave a secret behind.
const BODY_BYTES: usize = 32 * 1024;

/// A connection to one Keycloak. Cheap to clone; its `Debug` shows the address alone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: Http,
    base: String,
    client_id: String,
    client_secret: SecretText,
    token: Mutex<Option<Held>>,
    issuer_base: OnceCell<String>,
}

/// The platform's token and until when it is used.
struct Held {
    token: Token,
    until: Instant,
}

/// A bearer token. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(HeaderValue);

/// Whose call it is.
#[derive(Clone)]
pub(super) enum By {
    /// The platform's client in `master`, which has every right in the realms that it created.
    Platform,
    /// Whoever the token is of.
    Bearer(Token),
    /// Nobody, or whoever the body says.
    Nobody,
}

/// One call.
pub(super) struct Call<'a> {
    operation: &'static str,
    method: Method,
    path: &'a str,
    by: &'a By,
    body: Option<(&'static str, Bytes)>,
}

/// What came of a login with a client's secret.
pub(super) enum Login {
    /// It is the client's.
    Token(GivenToken),
    /// There is no such realm.
    NoRealm,
    /// The realm is disabled.
    Closed,
    /// The realm knows no such client, or another secret of it.
    Rejected,
}

/// A token just given.
pub(super) struct GivenToken {
    pub(super) token: Token,
    lifetime: Duration,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretText,
    expires_in: u64,
}

/// What Keycloak answers when it declines (OAuth 2.0, RFC 6749 section 5.2). The admin API says
/// `errorMessage` at times.
#[derive(Deserialize)]
struct Declined {
    #[serde(alias = "errorMessage")]
    error: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.0.base).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    pub(super) const fn new(operation: &'static str, method: Method, path: &'a str, by: &'a By) -> Self {
        Self { operation, method, path, by, body: None }
    }

    pub(super) const fn get(operation: &'static str, path: &'a str, by: &'a By) -> Self {
        Self::new(operation, Method::GET, path, by)
    }

    pub(super) const fn post(operation: &'static str, path: &'a str, by: &'a By) -> Self {
        Self::new(operation, Method::POST, path, by)
    }

    pub(super) const fn put(operation: &'static str, path: &'a str, by: &'a By) -> Self {
        Self::new(operation, Method::PUT, path, by)
    }

    pub(super) const fn delete(operation: &'static str, path: &'a str, by: &'a By) -> Self {
        Self::new(operation, Method::DELETE, path, by)
    }

    /// With a body, which may hold a secret.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES));
        // Fails for maps whose keys are no text, and there are none.
        let written = serde_json::to_writer(&mut *bytes, body);
        debug_assert!(written.is_ok());
        self.body = Some(("application/json", Bytes::from_owner(bytes)));
        self
    }

    /// With a form, whose values may be secrets.
    pub(super) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        // A byte takes three at the most.
        let room = fields.iter().map(|(name, value)| 2 + name.len() + 3 * value.len()).sum();
        let mut form = url::form_urlencoded::Serializer::new(String::with_capacity(room));
        let bytes = Zeroizing::new(form.extend_pairs(fields).finish().into_bytes());
        self.body = Some(("application/x-www-form-urlencoded", Bytes::from_owner(bytes)));
        self
    }
}

impl Client {
    /// A client by its configuration. Reads the CA file; connects to nothing.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn new(config: &KeycloakConfig) -> Result<Self, HttpSetupError> {
        Ok(Self(Arc::new(Inner {
            http: Http::new(System::Keycloak, config.ca_certificate.as_deref(), config.timeout)?,
            base: config.url.as_str().trim_end_matches('/').to_owned(),
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            token: Mutex::new(None),
            issuer_base: OnceCell::new(),
        })))
    }

    /// Where a realm's own endpoints are, as the server reaches them.
    pub(super) fn oidc(realm: &str, endpoint: &str) -> String {
        format!("/realms/{realm}/protocol/openid-connect/{endpoint}")
    }

    /// What every issuer's URL begins with, as Keycloak says it: its tokens name it, and it may differ
    /// from the address that the server uses.
    pub(super) async fn issuer_base(&self) -> Result<&str, SystemError> {
        const OPERATION: &str = "issuer_read";
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
        }
        let read = || async {
            let path = "/realms/master/.well-known/openid-configuration";
            let found: Discovery = self.parsed(Call::get(OPERATION, path, &By::Nobody)).await?;
            let base = found.issuer.strip_suffix("/realms/master").map(str::to_owned);
            base.ok_or_else(|| self.strange(OPERATION))
        };
        self.0.issuer_base.get_or_try_init(read).await.map(String::as_str)
    }

    /// The secret of a client of a realm.
    pub(super) async fn secret_of(&self, by: &By, realm: &str, id: &str) -> Result<SecretText, SystemError> {
        const OPERATION: &str = "client_secret_read";
        #[derive(Deserialize)]
        struct Found {
            secret: Option<SecretText>,
        }
        let path = format!("/admin/realms/{realm}/clients?clientId={id}");
        let found: Vec<Found> = self.parsed(Call::get(OPERATION, &path, by)).await?;
        let missing = || super::error(OPERATION, ErrorClass::Gone, "the client is missing, or has no secret");
        found.into_iter().next().and_then(|it| it.secret).ok_or_else(missing)
    }

    /// Reads what is at a path; nothing there is `None`.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, SystemError> {
        let operation = call.operation;
        match self.done(call).await {
            Ok(body) => self.parse(operation, &body).map(Some),
            Err(gone) if gone.class == ErrorClass::Gone => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Makes a call whose answer is JSON.
    pub(super) async fn parsed<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, SystemError> {
        let operation = call.operation;
        let body = self.done(call).await?;
        self.parse(operation, &body)
    }

    /// Makes a call; anything else than success is an error.
    pub(super) async fn done(&self, call: Call<'_>) -> Result<Zeroizing<Vec<u8>>, SystemError> {
        Ok(self.answered(call).await?.body)
    }

    async fn answered(&self, call: Call<'_>) -> Result<Answer, SystemError> {
        let operation = call.operation;
        let answer = self.send(call).await?;
        let is_ours = || answer.body.is_empty() || serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok();
        match answer.status.is_success() {
            true if is_ours() => Ok(answer),
            // Something between us and Keycloak says yes to anything.
            true => Err(self.strange(operation)),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    /// Makes a call that changes something; the status says what came of it.
    async fn changed(&self, call: Call<'_>) -> Result<StatusCode, SystemError> {
        Ok(self.answered(call).await?.status)
    }

    /// Makes something; tells whether it was made, as opposed to being there already.
    pub(super) async fn make(&self, call: Call<'_>) -> Result<bool, SystemError> {
        let operation = call.operation;
        match self.changed(call).await {
            Ok(StatusCode::CREATED | StatusCode::NO_CONTENT) => Ok(true),
            // Something that answers for it, and has made nothing.
            Ok(_) => Err(self.strange(operation)),
            Err(there) if there.status == Some(409) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// Removes something. Finding it gone is success.
    pub(super) async fn remove(&self, call: Call<'_>) -> Result<(), SystemError> {
        let operation = call.operation;
        match self.changed(call).await {
            Ok(StatusCode::NO_CONTENT) => Ok(()),
            Ok(_) => Err(self.strange(operation)),
            Err(gone) if gone.class == ErrorClass::Gone => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// Makes a call. Any status is an answer.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, SystemError> {
        match call.by {
            By::Platform => {
                let token = self.platform_token(None).await?;
                let answer = self.exchange(&call, Some(&token)).await?;
                if answer.status != StatusCode::UNAUTHORIZED {
                    return Ok(answer);
                }
                // Keycloak forgot it: it was restarted with other keys, or its sessions were ended.
                let token = self.platform_token(Some(&token)).await?;
                self.exchange(&call, Some(&token)).await
            }
            By::Bearer(token) => self.exchange(&call, Some(token)).await,
            By::Nobody => self.exchange(&call, None).await,
        }
    }

    async fn exchange(&self, call: &Call<'_>, token: Option<&Token>) -> Result<Answer, SystemError> {
        let url = format!("{}{}", self.0.base, call.path);
        let mut request = self.0.http.client().request(call.method.clone(), url);
        if let Some(Token(value)) = token {
            request = request.header(reqwest::header::AUTHORIZATION, value.clone());
        }
        if let Some((kind, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *kind).body(body.clone());
        }
        self.0.http.send(call.operation, request).await
    }

    /// The platform's token, unless it is the one that was found to be stale. Whoever waits for it
    /// meanwhile gets the one that this call fetched.
    async fn platform_token(&self, stale: Option<&Token>) -> Result<Token, SystemError> {
        const OPERATION: &str = "platform_login";
        let mut held = self.0.token.lock().await;
        if let Some(Held { token, until }) = &*held
            && stale != Some(token)
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let (id, secret) = (&self.0.client_id, &self.0.client_secret);
        let asked_at = Instant::now();
        let given = match self.login(OPERATION, "master", id, secret, &[]).await? {
            Login::Token(given) => given,
            Login::NoRealm => return Err(self.strange(OPERATION)),
            Login::Closed | Login::Rejected => {
                return Err(super::error(
                    OPERATION,
                    ErrorClass::Refused,
                    "it does not take the platform's client or its secret",
                ));
            }
        };
        let until = asked_at + given.lifetime.saturating_sub(TOKEN_MARGIN);
        *held = Some(Held { token: given.token.clone(), until });
        Ok(given.token)
    }

    /// Throws the platform's token away: one from before a realm was made may say nothing about it.
    pub(super) async fn platform_token_forget(&self) {
        *self.0.token.lock().await = None;
    }

    /// Whether the platform's tokens are lightweight: they tell of no roles.
    pub(super) async fn platform_token_is_light(&self) -> Result<bool, SystemError> {
        self.platform_token_forget().await;
        Ok(self.platform_token(None).await?.tells_of_no_roles())
    }

    /// Logs in with a client's secret (the grant `client_credentials`).
    pub(super) async fn login(
        &self,
        operation: &'static str,
        realm: &str,
        client_id: &str,
        secret: &SecretText,
        more: &[(&str, &str)],
    ) -> Result<Login, SystemError> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret.expose()),
        ];
        form.extend_from_slice(more);
        let path = Self::oidc(realm, "token");
        let call = Call::post(operation, &path, &By::Nobody).form(&form);
        let answer = self.exchange(&call, None).await?;
        if answer.status.is_success() {
            let given: TokenAnswer = self.parse(operation, &answer.body)?;
            let token = Token::new(&given.access_token).ok_or_else(|| self.strange(operation))?;
            let lifetime = Duration::from_secs(given.expires_in);
            return Ok(Login::Token(GivenToken { token, lifetime }));
        }
        let declined: Option<Declined> = serde_json::from_slice(&answer.body).ok();
        match (answer.status.as_u16(), declined.as_ref().map(|it| it.error.as_str())) {
            (404, Some(_)) => Ok(Login::NoRealm),
            (403, Some("access_denied")) => Ok(Login::Closed),
            (400 | 401, Some("invalid_client" | "unauthorized_client")) => Ok(Login::Rejected),
            _ => Err(self.refusal(operation, &answer)),
        }
    }

    fn parse<T: DeserializeOwned>(&self, operation: &'static str, body: &[u8]) -> Result<T, SystemError> {
        serde_json::from_slice(body)
            .map_err(|_| self.0.http.broken(operation, "the answer is not what Keycloak sends"))
    }

    fn strange(&self, operation: &'static str) -> SystemError {
        self.0.http.broken(operation, "something else than Keycloak answers at its address")
    }

    /// What a status other than success means.
    pub(super) fn refusal(&self, operation: &'static str, answer: &Answer) -> SystemError {
        let busy = ErrorClass::Busy { retry_after: answer.retry_after };
        let (class, reason) = match answer.status.as_u16() {
            // A proxy's 404, or another program's, says nothing about what is there.
            404 if serde_json::from_slice::<Declined>(&answer.body).is_err() => {
                return self.strange(operation);
            }
            404 => (ErrorClass::Gone, "it is not there"),
            401 | 403 => (ErrorClass::Refused, "the client in use may not do this"),
            // Of two requests to make one realm at once, the second may be told this instead of a conflict.
            400 if says(answer, "Database operation failed") => {
                (busy, "another request is at the same realm")
            }
            409 => (ErrorClass::Refused, "there is one of this name already"),
            429 => (busy, "its rate limit is reached"),
            503 => (busy, "it is starting, overloaded or under maintenance"),
            300..=399 => (ErrorClass::Broken, "it redirects elsewhere; give its own address"),
            500..=599 => (ErrorClass::Broken, "it failed on its side; see its own log"),
            _ => (ErrorClass::Refused, "the request was refused as invalid"),
        };
        let status = Some(answer.status.as_u16());
        SystemError { system: System::Keycloak, operation, class, reason, status }
    }
}

/// Whether it declined in these words.
fn says(answer: &Answer, words: &str) -> bool {
    serde_json::from_slice::<Declined>(&answer.body).is_ok_and(|declined| declined.error == words)
}

impl Token {
    fn new(text: &SecretText) -> Option<Self> {
        let bearer = Zeroizing::new(format!("Bearer {}", text.expose()));
        let mut value = HeaderValue::from_str(&bearer).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The token itself.
    pub(super) fn text(&self) -> &str {
        self.0.to_str().ok().and_then(|bearer| bearer.strip_prefix("Bearer ")).unwrap_or_default()
    }

    /// What it says of itself (RFC 7519), unverified: it came from Keycloak a moment ago. `None` where
    /// it is no JWT.
    pub(super) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        let payload = self.text().split('.').nth(1)?;
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
        serde_json::from_slice(&json).ok()
    }

    fn tells_of_no_roles(&self) -> bool {
        #[derive(Deserialize)]
        struct Roles {
            realm_access: Option<IgnoredAny>,
            resource_access: Option<IgnoredAny>,
        }
        self.claims().is_some_and(|it: Roles| it.realm_access.is_none() && it.resource_access.is_none())
    }
}
