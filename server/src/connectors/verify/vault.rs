//! Vault and OpenBao: a token that may look itself up, or a login by the JWT auth method.
//!
//! Without a token the platform logs in with a JWT of its own, looks up what it gained and gives it back.
//! A token is minted by a token role (`auth/token/roles/…`) of the far side, which decides what it may do
//! and for how long; it must be an orphan, because revoking a token revokes its children with it.
//!
//! Facts: the HTTP API of OpenBao 2 and Vault 1 (auth/token, auth/jwt, status codes); seen with OpenBao
//! 2.7.2: a token that is wrong, expired or revoked gets 403, as does one whose policies do not allow the
//! path; a login that is refused gets 400, and so does a token role that does not exist; a namespace that
//! does not exist gets 404; a batch token cannot be revoked (400).

use async_trait::async_trait;
use integraci_api::SecretText;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::far_side::{self, Asked, FarSide, below};
use super::{Minted, Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const VAULT: &str = "the vault";
const TOKEN: &str = "/secrets/token";
const NAMESPACE: &str = "/config/namespace";
const MOUNT: &str = "/config/mount";
const ROLE: &str = "/config/role";
const TOKEN_ROLE: &str = "/config/token_role";
const DEFAULT_MOUNT: &str = "jwt";
const AUDIENCE: &str = "integraci";

pub(super) struct Vault;

#[async_trait]
impl Protocol for Vault {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let api = Api::of(far_side)?;
        let Some(token) = far_side.subject.secrets.get("token") else {
            let gained = api.log_in().await?;
            let looked_up = api.lookup_self(&gained).await;
            api.give_back(&gained).await;
            looked_up?.ok_or_else(|| {
                VerifyError::refused(
                    ROLE,
                    "the token that the role gives may not look itself up (status 403); its policies need `read` \
                     on `auth/token/lookup-self`",
                )
            })?;
            // What the platform gained and gave back says nothing of a secret that is kept.
            return Ok(Verified::default());
        };
        let held = api.lookup_self(token).await?.ok_or_else(|| {
            VerifyError::refused(
                TOKEN,
                "the vault refused the token (status 403): it is wrong, expired or revoked, or its policies lack \
                 `read` on `auth/token/lookup-self`",
            )
        })?;
        if held.num_uses > 0 {
            return Err(VerifyError::refused(
                TOKEN,
                "the token is good for a number of uses only, and verification uses it up; give one without \
                 that limit",
            ));
        }
        Ok(Verified { expires_at: held.expires_at() })
    }

    async fn revoke(&self, far_side: &FarSide<'_>) -> Result<(), VerifyError> {
        let Some(token) = far_side.subject.secrets.get("token") else {
            return Ok(());
        };
        let api = Api::of(far_side)?;
        let answer = api.send(api.post(&["auth", "token", "revoke-self"], token, None)?).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            400 => Err(VerifyError::refused(
                TOKEN,
                "the vault does not revoke this token (status 400), as it is with batch tokens; it ends by itself",
            )),
            // Worthless already, unless it is good for other things and may only not do this.
            403 => match api.lookup_self(token).await? {
                Some(_) => Err(VerifyError::refused(
                    TOKEN,
                    "the token may not revoke itself; its policies need `update` on `auth/token/revoke-self`",
                )),
                None => Ok(()),
            },
            _ => Err(api.declined(&answer)),
        }
    }

    async fn mint(&self, far_side: &FarSide<'_>) -> Result<Minted, VerifyError> {
        let Some(token) = far_side.subject.secrets.get("token") else {
            return Err(VerifyError::refused(
                "/secrets",
                "a connector that logs in without a token has none to rotate: each login is a new one",
            ));
        };
        let Some(role) = far_side.text("token_role") else {
            return Err(VerifyError::refused(
                TOKEN_ROLE,
                "`token_role` says by which token role the next token is made; set it, or rotate with a new token",
            ));
        };
        let api = Api::of(far_side)?;
        let made = api.create_by(role, token).await?;
        match api.usable(&made).await {
            Ok(held) => {
                let expires_at = held.expires_at();
                Ok(Minted { secrets: [("token".to_owned(), made)].into(), expires_at })
            }
            Err(unusable) => {
                api.give_back(&made).await;
                Err(unusable)
            }
        }
    }
}

/// What a token is, as it sees itself.
#[derive(Deserialize)]
struct Held {
    /// Every token has one, which tells the answer from any other JSON.
    #[serde(rename = "accessor")]
    _accessor: IgnoredAny,
    /// RFC 3339; none for a token that does not end.
    expire_time: Option<String>,
    #[serde(default)]
    num_uses: u64,
    #[serde(default)]
    orphan: bool,
}

impl Held {
    fn expires_at(&self) -> Option<OffsetDateTime> {
        far_side::time_of(self.expire_time.as_deref()?)
    }
}

#[derive(Deserialize)]
struct LookedUp {
    data: Held,
}

#[derive(Deserialize)]
struct Authenticated {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: SecretText,
}

struct Api<'a> {
    far_side: &'a FarSide<'a>,
    base: url::Url,
    namespace: Option<HeaderValue>,
}

impl<'a> Api<'a> {
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let namespace =
            far_side.text("namespace").map(|name| far_side::header(name, NAMESPACE)).transpose()?;
        Ok(Self { far_side, base: far_side.address("url", "")?, namespace })
    }

    /// None where the vault refuses the token: it is not good any more, or may not do this.
    async fn lookup_self(&self, token: &SecretText) -> Result<Option<Held>, VerifyError> {
        let url = self.endpoint(&["auth", "token", "lookup-self"]);
        let request = Request::get(url).redirect_is_answer();
        let answer = self.send(self.with_headers(request, Some(token))?).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Some(self.json::<LookedUp>(&answer)?.data)),
            403 => Ok(None),
            _ => Err(self.declined(&answer)),
        }
    }

    /// A token by the JWT auth method.
    async fn log_in(&self) -> Result<SecretText, VerifyError> {
        let role = self
            .far_side
            .text("role")
            .ok_or_else(|| VerifyError::refused(ROLE, "`role` is required where there is no token"))?;
        let mount = mount_checked(self.far_side.text("mount").unwrap_or(DEFAULT_MOUNT))?;
        let identity = self.far_side.identity(AUDIENCE)?;
        let jwt = self.far_side.token_of(&identity).await?;
        let body = Zeroizing::new(json!({ "role": role, "jwt": jwt.expose() }).to_string().into_bytes());
        let url = self.endpoint(&[&["auth"], mount.as_slice(), &["login"]].concat());
        let answer = self.send(self.with_headers(Request::post_secret(url, body), None)?).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(self.json::<Authenticated>(&answer)?.auth.client_token),
            400 => Err(VerifyError::refused(
                ROLE,
                format!(
                    "the vault refused the login (status 400): the role must be there, and it and the auth method \
                     must trust {identity}"
                ),
            )),
            status @ (403 | 404) => Err(VerifyError::refused(
                MOUNT,
                format!(
                    "the vault has no JWT auth method there, or does not let it log in (status {status})"
                ),
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    /// A token made by a token role, by the right of another.
    async fn create_by(&self, role: &str, token: &SecretText) -> Result<SecretText, VerifyError> {
        let path = segment_checked(role).map(|role| ["auth", "token", "create", role]);
        let path =
            path.ok_or_else(|| VerifyError::refused(TOKEN_ROLE, "expected the name of a token role"))?;
        let answer = self.send(self.post(&path, token, Some(b"{}"))?).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(self.json::<Authenticated>(&answer)?.auth.client_token),
            400 => Err(VerifyError::refused(
                TOKEN_ROLE,
                "the vault makes no token by this token role (status 400); is there one of that name?",
            )),
            403 => Err(VerifyError::refused(
                TOKEN,
                format!(
                    "the token may not make the next one (status 403): it is not good any more, or its policies \
                     lack `update` on `auth/token/create/{role}`"
                ),
            )),
            _ => Err(self.declined(&answer)),
        }
    }

    /// Whether a token that was made can take the place of the one that made it.
    async fn usable(&self, made: &SecretText) -> Result<Held, VerifyError> {
        let held = self.lookup_self(made).await?.ok_or_else(|| {
            VerifyError::refused(
                TOKEN_ROLE,
                "the token that the role makes may not look itself up; its policies need `read` on \
                 `auth/token/lookup-self`",
            )
        })?;
        if held.num_uses > 0 {
            return Err(VerifyError::refused(
                TOKEN_ROLE,
                "the token that the role makes is good for a number of uses only; set its `token_num_uses` to 0",
            ));
        }
        if !held.orphan {
            return Err(VerifyError::refused(
                TOKEN_ROLE,
                "the token that the role makes would end with the one that made it; set the role's `orphan` to true",
            ));
        }
        Ok(held)
    }

    /// Revokes a token that is not kept. Where that fails, it ends by itself.
    async fn give_back(&self, token: &SecretText) {
        let given_back = match self.post(&["auth", "token", "revoke-self"], token, None) {
            Ok(request) => self.send(request).await.is_ok_and(|answer| answer.status.is_success()),
            Err(_) => false,
        };
        if !given_back {
            tracing::warn!("a token of a connector's vault could not be given back; it ends by itself");
        }
    }

    /// An address below `/v1/`.
    fn endpoint(&self, path: &[&str]) -> url::Url {
        below(&self.base, &[&["v1"], path].concat())
    }

    fn post(
        &self,
        path: &[&str],
        token: &SecretText,
        body: Option<&'static [u8]>,
    ) -> Result<Request, VerifyError> {
        let body = bytes::Bytes::from_static(body.unwrap_or_default());
        self.with_headers(Request::post(self.endpoint(path), body), Some(token))
    }

    fn with_headers(&self, request: Request, token: Option<&SecretText>) -> Result<Request, VerifyError> {
        // Agents that stand before a vault may insist on it: a browser cannot be made to send it.
        let mut request = request.header("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace.clone());
        }
        match token {
            None => Ok(request),
            Some(token) => {
                Ok(request.secret_header("x-vault-token", far_side::header(token.expose(), TOKEN)?))
            }
        }
    }

    async fn send(&self, request: Request) -> Result<Answer, VerifyError> {
        self.far_side.send(self.asked(), request).await
    }

    fn json<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, VerifyError> {
        far_side::json(self.asked(), answer)
    }

    const fn asked(&self) -> Asked<'static> {
        Asked { who: VAULT, secret: TOKEN, place: URL_POINTER }
    }

    /// What a status means that the call itself gives no meaning. Some are a vault's own.
    fn declined(&self, answer: &Answer) -> VerifyError {
        let unreachable = |detail: &str| VerifyError::Unreachable { detail: detail.to_owned() };
        match answer.status.as_u16() {
            404 if self.namespace.is_some() => VerifyError::refused(
                NAMESPACE,
                "the vault has no such namespace, or there is none at this address (status 404)",
            ),
            // It has not yet seen what another of its nodes has.
            412 => unreachable("the vault is behind the one that it follows (status 412)"),
            472 => VerifyError::refused(
                URL_POINTER,
                "the vault is a disaster recovery secondary (status 472); give the address of the primary",
            ),
            473 => unreachable("the vault is a performance standby that does not answer itself (status 473)"),
            501 => unreachable("the vault is not initialised (status 501)"),
            503 if self.far_side.busy(answer).is_none() => {
                unreachable("the vault is sealed or down (status 503)")
            }
            _ => self.far_side.declined(self.asked(), answer),
        }
    }
}

/// The segments of an auth method's path, which may be nested.
fn mount_checked(mount: &str) -> Result<Vec<&str>, VerifyError> {
    let segments: Option<Vec<_>> = mount.trim_end_matches('/').split('/').map(segment_checked).collect();
    segments.ok_or_else(|| VerifyError::refused(MOUNT, "expected the path of an auth method, such as `jwt`"))
}

/// A name that stays a segment of its own in a path.
fn segment_checked(name: &str) -> Option<&str> {
    (!matches!(name, "" | "." | "..") && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_path_and_climbs_nowhere() {
        assert_eq!(mount_checked("jwt").unwrap(), ["jwt"]);
        assert_eq!(mount_checked("team/jwt/").unwrap(), ["team", "jwt"]);
        for bad in ["", "/", "/jwt", "a//b", "../sys", "a/./b"] {
            assert_eq!(mount_checked(bad).unwrap_err().faults()[0].pointer, MOUNT, "{bad}");
        }
    }
}
