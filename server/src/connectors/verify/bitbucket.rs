//! Bitbucket Cloud: whose the token is and what he may in the workspace, where it is an account's; else the
//! workspace.
//!
//! An API token is an account's and goes with its email, as a password. An access token belongs to a
//! workspace, a project or a repository and goes by itself, as a bearer; it has no user, so
//! what lies below `/2.0/user` is not for it. Bitbucket answers 401 to any token that it does not know,
//! also where the thing that is asked for is public, as a workspace's name is: so the workspace tells that
//! an access token is good, but not that it is this workspace's. Nothing does that is open to each of the
//! three: a repository's may not even list the workspace's repositories. Facts: Bitbucket Cloud REST API
//! 2.0, "Authentication methods", "Users" and "Workspaces" ("Get user permission on a workspace").

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;

use super::far_side::{Asked, FarSide, basic, bearer, below, json};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const BITBUCKET: &str = "Bitbucket";
const TOKEN_POINTER: &str = "/secrets/token";
const EMAIL_POINTER: &str = "/config/email";
const WORKSPACE_POINTER: &str = "/config/workspace";
const ASKED: Asked<'_> = Asked { who: BITBUCKET, secret: TOKEN_POINTER, place: "/config/base_url" };

pub(super) struct Bitbucket;

#[async_trait]
impl Protocol for Bitbucket {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let bitbucket = Api::of(far_side)?;
        let workspace = far_side
            .text("workspace")
            .ok_or_else(|| VerifyError::refused(WORKSPACE_POINTER, "`workspace` is required"))?;
        if bitbucket.email.is_some() {
            let answer = bitbucket.get(&["2.0", "user"]).await?;
            let _: User = bitbucket.read(&answer)?;
            let answer = bitbucket.get(&["2.0", "user", "workspaces", workspace, "permission"]).await?;
            let _: Permission = bitbucket.read_of_workspace(&answer)?;
        } else {
            let answer = bitbucket.get(&["2.0", "workspaces", workspace]).await?;
            let _: Workspace = bitbucket.read_of_workspace(&answer)?;
        }
        // When a token ends is told to nobody.
        Ok(Verified::default())
    }
}

struct Api<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    email: Option<&'a str>,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "uuid")]
    _uuid: IgnoredAny,
}

/// What the account may in the workspace.
#[derive(Deserialize)]
struct Permission {
    #[serde(rename = "permission")]
    _permission: IgnoredAny,
}

#[derive(Deserialize)]
struct Workspace {
    #[serde(rename = "slug")]
    _slug: IgnoredAny,
}

impl<'a> Api<'a> {
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let base = far_side.address("base_url", "https://api.bitbucket.org")?;
        let email = far_side.text("email");
        let token = far_side.secret("token")?;
        let authorization = match email {
            None => bearer(token, TOKEN_POINTER)?,
            Some(email) if email.contains(':') => {
                return Err(VerifyError::refused(EMAIL_POINTER, "an email must not have a colon in it"));
            }
            Some(email) => basic(email, token, TOKEN_POINTER)?,
        };
        Ok(Self { far_side, base, email, authorization })
    }

    async fn get(&self, path: &[&str]) -> Result<Answer, VerifyError> {
        let request = Request::get(below(&self.base, path))
            .header(ACCEPT.as_str(), HeaderValue::from_static("application/json"))
            .authorization(self.authorization.clone())
            .redirect_is_answer();
        self.far_side.send(ASKED, request).await
    }

    fn read_of_workspace<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, VerifyError> {
        if answer.status != 404 {
            return self.read(answer);
        }
        let detail = match self.email {
            Some(_) => "has no such workspace, or the account is no member of it (status 404)",
            None => "has no such workspace, or does not show it to this login (status 404)",
        };
        Err(VerifyError::refused(WORKSPACE_POINTER, format!("{BITBUCKET} {detail}")))
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, VerifyError> {
        match answer.status.as_u16() {
            200 => json(ASKED, answer),
            401 if self.email.is_some() => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{BITBUCKET} refused the login (status 401): the token is wrong, revoked or expired, or not \
                     this email's"
                ),
            )),
            401 => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{BITBUCKET} refused the token (status 401): it is wrong, revoked or expired, or an account's, \
                     which needs `email`"
                ),
            )),
            403 => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{BITBUCKET} takes the token but not for this (status 403): an account's token needs the scopes \
                     that read the user and the workspace, and the account must be a member of it"
                ),
            )),
            _ => Err(self.far_side.declined(ASKED, answer)),
        }
    }
}
