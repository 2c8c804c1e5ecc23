//! Bitbucket Cloud: whose the token is, where it is an account's, and the workspace.
//!
//! An API token is an account's and goes with its email, as a password. An access token belongs to a
//! workspace, a project or a repository and goes by itself, as a bearer; it has no user, so
//! `/2.0/user` is not for it. Bitbucket answers 401 to any token that it does not know, also where the
//! thing that is asked for is public, as a workspace's name is: so the workspace tells of the token even
//! so. Facts: Bitbucket Cloud REST API 2.0, "Authentication methods", "Users" and "Workspaces".

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::far_side::{Asked, FarSide, basic, bearer, below, json};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const BITBUCKET: &str = "Bitbucket";
const TOKEN_POINTER: &str = "/secrets/token";
const EMAIL_POINTER: &str = "/config/email";
const ASKED: Asked<'_> = Asked { who: BITBUCKET, secret: TOKEN_POINTER, place: "/config/base_url" };

pub(super) struct Bitbucket;

#[async_trait]
impl Protocol for Bitbucket {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let bitbucket = Api::of(far_side)?;
        if bitbucket.email.is_some() {
            let answer = bitbucket.get(&["2.0", "user"]).await?;
            let _: User = bitbucket.read(&answer)?;
        }
        let workspace = far_side
            .text("workspace")
            .ok_or_else(|| VerifyError::refused("/config/workspace", "`workspace` is required"))?;
        let answer = bitbucket.get(&["2.0", "workspaces", workspace]).await?;
        if answer.status == 404 {
            return Err(VerifyError::refused(
                "/config/workspace",
                format!("{BITBUCKET} has no such workspace, or does not show it to this login (status 404)"),
            ));
        }
        let _: Workspace = bitbucket.read(&answer)?;
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

    fn read<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, VerifyError> {
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
                     that read the user and the workspace"
                ),
            )),
            _ => Err(self.far_side.declined(ASKED, answer)),
        }
    }
}
