//! Azure DevOps: who is connected, and the project where one is named.
//!
//! A personal access token is the password of a user without a name. What is wrong with one is told in
//! several ways: 401, a 203 whose body is a sign-in page, a redirect (302) to that page, and, in an
//! organisation that has public projects, a 200 by which the connected user is the anonymous one. Facts:
//! Azure DevOps Services REST API 7.1 ("Connection data", "Projects - Get", "Rate and usage limits"); the
//! anonymous user's id is that of the `PublicAccess` principal.

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;
use uuid::Uuid;

use super::far_side::{Asked, FarSide, basic, below, json};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const AZURE_DEVOPS: &str = "Azure DevOps";
const TOKEN_POINTER: &str = "/secrets/token";
const ASKED: Asked<'_> = Asked { who: AZURE_DEVOPS, secret: TOKEN_POINTER, place: "/config/base_url" };

/// Whoever is not signed in.
const ANONYMOUS: Uuid = Uuid::from_u128(0xaaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa);

pub(super) struct AzureDevOps;

#[async_trait]
impl Protocol for AzureDevOps {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let azure = Api::of(far_side)?;
        let answer = azure.get(&["_apis", "connectionData"], "7.1-preview.1").await?;
        let connected: ConnectionData = azure.read(&answer, "/config/organization", "organisation")?;
        if [ANONYMOUS, Uuid::nil()].contains(&connected.authenticated_user.id) {
            return Err(VerifyError::refused(
                TOKEN_POINTER,
                format!("{AZURE_DEVOPS} takes the token for nobody's: it is wrong, revoked or expired"),
            ));
        }
        if let Some(project) = far_side.text("project") {
            let answer = azure.get(&["_apis", "projects", project], "7.1").await?;
            let _: Project = azure.read(&answer, "/config/project", "project")?;
        }
        // When a token ends is told to who manages tokens, and not to the token.
        Ok(Verified::default())
    }
}

struct Api<'a> {
    far_side: &'a FarSide<'a>,
    organization: Url,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionData {
    authenticated_user: User,
}

#[derive(Deserialize)]
struct User {
    id: Uuid,
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "id")]
    _id: IgnoredAny,
}

impl<'a> Api<'a> {
    fn of(far_side: &'a FarSide<'a>) -> Result<Self, VerifyError> {
        let base = far_side.address("base_url", "https://dev.azure.com")?;
        let organization = far_side
            .text("organization")
            .ok_or_else(|| VerifyError::refused("/config/organization", "`organization` is required"))?;
        let authorization = basic("", far_side.secret("token")?, TOKEN_POINTER)?;
        Ok(Self { far_side, organization: below(&base, &[organization]), authorization })
    }

    async fn get(&self, path: &[&str], api_version: &str) -> Result<Answer, VerifyError> {
        let mut url = below(&self.organization, path);
        url.query_pairs_mut().append_pair("api-version", api_version);
        let request = Request::get(url)
            .header(ACCEPT.as_str(), HeaderValue::from_static("application/json"))
            // Rather a 401 than the sign-in page; not every server of theirs heeds it.
            .header("x-tfs-fedauthredirect", HeaderValue::from_static("Suppress"))
            .authorization(self.authorization.clone())
            .redirect_is_answer();
        self.far_side.send(ASKED, request).await
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        answer: &Answer,
        place: &str,
        thing: &str,
    ) -> Result<T, VerifyError> {
        match answer.status.as_u16() {
            200 => json(ASKED, answer),
            // An address that moved is told by 301, 307 or 308.
            status @ (203 | 302) => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{AZURE_DEVOPS} answers with its sign-in page (status {status}): the token is wrong, revoked or \
                     expired"
                ),
            )),
            401 => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!(
                    "{AZURE_DEVOPS} refused the token (status 401): it is wrong, revoked or expired, or its scopes \
                     do not show the {thing}"
                ),
            )),
            403 => Err(VerifyError::refused(
                TOKEN_POINTER,
                format!("{AZURE_DEVOPS} takes the token but does not show it the {thing} (status 403)"),
            )),
            404 => Err(VerifyError::refused(
                place,
                format!("{AZURE_DEVOPS} has no such {thing}, or does not show it to this login (status 404)"),
            )),
            _ => Err(self.far_side.declined(ASKED, answer)),
        }
    }
}
