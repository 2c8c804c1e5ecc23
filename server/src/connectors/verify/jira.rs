//! Jira Cloud: REST API version 3, an account's API token being the password of basic authentication.
//!
//! Facts: "Basic auth for REST APIs" and the reference of `myself` and `project`. A token with scopes
//! is taken at `https://api.atlassian.com/ex/jira/<cloud id>` alone, which is the connector's `url`
//! then. Jira shows some things to anybody, also to a caller whose login it did not take: so `myself`,
//! which it shows to nobody without one, comes before the project.

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::far_side::{Asked, FarSide, basic, below, json};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const EMAIL_POINTER: &str = "/config/email";
const JIRA: Asked<'static> = Asked { who: "Jira", secret: "/secrets/api_token", place: URL_POINTER };

pub(super) struct Jira;

/// Of the account, what no other system's answer has.
#[derive(Deserialize)]
struct Myself {
    #[serde(rename = "accountId")]
    _account_id: String,
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "key")]
    _key: String,
}

#[async_trait]
impl Protocol for Jira {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let site = far_side.address("url", "")?;
        let login = basic(email(far_side)?, far_side.secret("api_token")?, JIRA.secret)?;
        let read = |path: &[&str]| request(below(&site, path), login.clone());

        let answer = far_side.send(JIRA, read(&["rest", "api", "3", "myself"])).await?;
        if is_locked_out(&answer) {
            return Err(VerifyError::refused(
                JIRA.secret,
                "Jira asks for a CAPTCHA after too many wrong logins; log in once with a browser, and try again",
            ));
        }
        if !answer.status.is_success() {
            return Err(far_side.declined(JIRA, &answer));
        }
        let _: Myself = json(JIRA, &answer)?;

        if let Some(project) = far_side.text("project") {
            let asked = Asked { place: "/config/project", ..JIRA };
            let _: Project =
                far_side.ask_json(asked, read(&["rest", "api", "3", "project", project])).await?;
        }
        Ok(Verified::default())
    }
}

fn request(url: Url, login: HeaderValue) -> Request {
    Request::get(url)
        .header(ACCEPT.as_str(), HeaderValue::from_static("application/json"))
        .authorization(login)
        .redirect_is_answer()
}

fn email<'a>(far_side: &FarSide<'a>) -> Result<&'a str, VerifyError> {
    match far_side.text("email") {
        // In basic authentication a colon ends the name.
        Some(email) if email.contains('@') && !email.contains(':') => Ok(email),
        _ => Err(VerifyError::refused(EMAIL_POINTER, "expected the email address of the token's account")),
    }
}

/// Whether Jira took no look at the token at all, because of those that came before it.
fn is_locked_out(answer: &Answer) -> bool {
    answer.headers.get("x-seraph-loginreason").is_some_and(|reason| reason == "AUTHENTICATION_DENIED")
}
