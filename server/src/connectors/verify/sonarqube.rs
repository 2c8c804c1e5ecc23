//! SonarQube Server and SonarQube Cloud: the Web API, by a user's token.
//!
//! Facts: the Web API's own description, and "Web API authentication". The token is sent as the user
//! name of basic authentication: every version takes that. A version that does not know `Bearer`
//! would not look at it and, where anybody may read, say that the login is valid. Whether a token is
//! good is in the body of a 200. A token that ends is told by a header of every answer to it.

use async_trait::async_trait;
use integraci_api::SecretText;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use url::Url;

use super::far_side::{Asked, FarSide, basic, below, json, time_of};
use super::{Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const ORGANIZATION_POINTER: &str = "/config/organization";
const SONARQUBE: Asked<'static> = Asked { who: "SonarQube", secret: "/secrets/token", place: URL_POINTER };

/// `2026-11-24T07:00:00+0000`, which is not RFC 3339.
const EXPIRATION: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second][offset_hour sign:mandatory][offset_minute]"
);

pub(super) struct SonarQube;

#[derive(Deserialize)]
struct Validated {
    valid: bool,
}

#[derive(Deserialize)]
struct Organizations {
    organizations: Vec<Organization>,
}

#[derive(Deserialize)]
struct Organization {
    key: String,
}

#[derive(Deserialize)]
struct Shown {
    component: Component,
}

#[derive(Deserialize)]
struct Component {
    /// On SonarQube Cloud.
    organization: Option<String>,
}

#[async_trait]
impl Protocol for SonarQube {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let base = far_side.address("url", "")?;
        let login =
            basic(user(far_side.secret("token")?)?, &SecretText::new(String::new()), SONARQUBE.secret)?;
        let read = |path: &[&str], query: &[(&str, &str)]| request(&base, path, query, &login);

        let answer = far_side.ask(SONARQUBE, read(&["api", "authentication", "validate"], &[])).await?;
        let Validated { valid } = json(SONARQUBE, &answer)?;
        if !valid {
            let detail = "SonarQube does not take the token: it is unknown, has expired or was revoked";
            return Err(VerifyError::refused(SONARQUBE.secret, detail));
        }
        let expires_at = expiration(&answer);

        let organization = far_side.text("organization");
        if let Some(organization) = organization {
            let asked = Asked { place: ORGANIZATION_POINTER, ..SONARQUBE };
            let query = [("organizations", organization), ("member", "true")];
            let found: Organizations =
                far_side.ask_json(asked, read(&["api", "organizations", "search"], &query)).await?;
            if !found.organizations.iter().any(|known| known.key == organization) {
                return Err(VerifyError::refused(
                    ORGANIZATION_POINTER,
                    "there is no such organisation, or the token's user is no member of it",
                ));
            }
        }
        if let Some(project) = far_side.text("project") {
            let asked = Asked { place: "/config/project", ..SONARQUBE };
            let shown: Shown = far_side
                .ask_json(asked, read(&["api", "components", "show"], &[("component", project)]))
                .await?;
            if organization.is_some() && shown.component.organization.as_deref() != organization {
                return Err(VerifyError::refused(
                    "/config/project",
                    "the project is of another organisation",
                ));
            }
        }
        Ok(Verified { expires_at })
    }
}

fn request(base: &Url, path: &[&str], query: &[(&str, &str)], login: &HeaderValue) -> Request {
    let mut url = below(base, path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Request::get(url).authorization(login.clone()).redirect_is_answer()
}

/// The token as a user name, which a colon would end.
fn user(token: &SecretText) -> Result<&str, VerifyError> {
    let token = token.expose();
    if token.contains(':') {
        return Err(VerifyError::refused(SONARQUBE.secret, "a token has no colon in it"));
    }
    Ok(token)
}

fn expiration(answer: &Answer) -> Option<OffsetDateTime> {
    let text = answer.headers.get("sonarqube-authentication-token-expiration")?.to_str().ok()?;
    OffsetDateTime::parse(text, EXPIRATION).ok().or_else(|| time_of(text))
}
