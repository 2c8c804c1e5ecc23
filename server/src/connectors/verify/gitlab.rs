//! GitLab: the token tells of itself, then whose it is, then what it can read.
//!
//! Personal, group and project access tokens are all "personal access tokens" to this API: a group's or
//! a project's token is one of a bot user. GitLab answers 401 for one that is wrong, revoked or expired,
//! and 403 where its scopes do not reach. Facts: GitLab REST API v4, "Personal access tokens", "Users",
//! "Groups" and "Rate limits".
//!
//! The token is not rotated at GitLab, although `POST …/self/rotate` could: it revokes the old token in
//! the same breath, so that nobody could go on working with it, and an answer that is lost would leave
//! no token at all.

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::far_side::{Asked, FarSide, below, header, json, time_of};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const GITLAB: &str = "GitLab";
const TOKEN_POINTER: &str = "/secrets/token";
const ASKED: Asked<'_> = Asked { who: GITLAB, secret: TOKEN_POINTER, place: "/config/base_url" };
const GROUP: Asked<'_> = Asked { place: "/config/group", ..ASKED };

pub(super) struct GitLab;

#[async_trait]
impl Protocol for GitLab {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let gitlab = Api::of(far_side)?;
        let token: Token = json(ASKED, &gitlab.ask(ASKED, gitlab.myself()).await?)?;
        if token.revoked || !token.active {
            return Err(VerifyError::refused(TOKEN_POINTER, "the token is revoked or expired"));
        }
        let user = below(&gitlab.base, &["user"]);
        let _: User = json(ASKED, &gitlab.ask(ASKED, user).await?)?;
        if let Some(group) = far_side.text("group") {
            let mut url = below(&gitlab.base, &["groups", group]);
            // Without this the answer has the group's projects in it, up to a hundred.
            url.set_query(Some("with_projects=false"));
            let _: Group = json(ASKED, &gitlab.ask(GROUP, url).await?)?;
        }
        Ok(Verified { expires_at: token.expires_at.as_deref().and_then(time_of) })
    }

    async fn revoke(&self, far_side: &FarSide<'_>) -> Result<(), VerifyError> {
        let gitlab = Api::of(far_side)?;
        let answer = gitlab.send(ASKED, Request::delete(gitlab.myself())).await?;
        match answer.status.as_u16() {
            // A 401 is what a token gets that is worthless already.
            204 | 401 => Ok(()),
            _ => Err(gitlab.declined(ASKED, &answer)),
        }
    }
}

struct Api<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    token: HeaderValue,
}

#[derive(Deserialize)]
struct Token {
    active: bool,
    revoked: bool,
    /// A date; GitLab ends the token at its beginning, in UTC.
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "username")]
    _username: IgnoredAny,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "full_path")]
    _full_path: IgnoredAny,
}

impl<'a> Api<'a> {
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let base = below(&far_side.address("base_url", "https://gitlab.com")?, &["api", "v4"]);
        let token = header(far_side.secret("token")?.expose(), TOKEN_POINTER)?;
        Ok(Self { far_side, base, token })
    }

    fn myself(&self) -> Url {
        below(&self.base, &["personal_access_tokens", "self"])
    }

    async fn ask(&self, asked: Asked<'_>, url: Url) -> Result<Answer, VerifyError> {
        let answer = self.send(asked, Request::get(url)).await?;
        if answer.status == 200 { Ok(answer) } else { Err(self.declined(asked, &answer)) }
    }

    async fn send(&self, asked: Asked<'_>, request: Request) -> Result<Answer, VerifyError> {
        let request = request.secret_header("private-token", self.token.clone()).redirect_is_answer();
        self.far_side.send(asked, request).await
    }

    fn declined(&self, asked: Asked<'_>, answer: &Answer) -> VerifyError {
        match answer.status.as_u16() {
            401 => VerifyError::refused(
                TOKEN_POINTER,
                format!("{GITLAB} refused the token (status 401): it is wrong, revoked or expired"),
            ),
            403 => VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{GITLAB} takes the token but not for this (status 403): it needs the scope `read_api`"
                ),
            ),
            _ => self.far_side.declined(asked, answer),
        }
    }
}
