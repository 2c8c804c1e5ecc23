//! Azure: an access token of a Microsoft Entra application by client credentials, where the client assertion
//! is a token that the platform signs for the tenant (federated identity credential).
//!
//! Facts, from the Microsoft identity platform's "OAuth 2.0 client credentials flow", third case, and its
//! list of AADSTS error codes: the token endpoint is `/<directory>/oauth2/v2.0/token` and takes a form; an
//! error is JSON with `error` (RFC 6749) and `error_codes`, numbers of which more digits say the same more
//! exactly: 70021 is that no federated credential matches, 700211 that its issuer, 700212 that its audience,
//! 700213 that its subject does not, 7002138 that it does but for upper and lower case. The codes may
//! change, so an error that is not known is judged by its `error`.

use async_trait::async_trait;
use integraci_api::SecretText;
use serde::Deserialize;

use super::far_side::{self, Asked, FarSide, below, post_form};
use super::{Protocol, Verified, VerifyError};
use crate::oidc::Identity;

const ENTRA: &str = "Microsoft Entra";
const AUTHORITY_URL: &str = "https://login.microsoftonline.com";
/// Of Azure itself: whoever may use Azure at all may ask for it.
const SCOPE: &str = "https://management.azure.com/.default";

const DIRECTORY: &str = "/config/directory_id";
const CLIENT: &str = "/config/client_id";
const SCOPE_FIELD: &str = "/config/scope";

pub(super) struct Azure;

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "access_token")]
    _access_token: SecretText,
}

/// What is wrong. Its description is not read.
#[derive(Default, Deserialize)]
struct EntraError {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

#[async_trait]
impl Protocol for Azure {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let directory = uuid_checked(far_side, "directory_id")?;
        let client = uuid_checked(far_side, "client_id")?;
        let scope = scope_checked(far_side.text("scope").unwrap_or(SCOPE))?;
        let authority = far_side.address("authority_url", AUTHORITY_URL)?;
        let identity = far_side.identity("")?;
        let assertion = far_side.token_of(&identity).await?;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.expose()),
        ];
        let url = below(&authority, &[directory, "oauth2", "v2.0", "token"]);
        let asked = Asked { who: ENTRA, secret: CLIENT, place: "/config/authority_url" };
        let answer = far_side.send(asked, post_form(url, &fields)).await?;
        if answer.status.is_success() {
            far_side::json::<Granted>(asked, &answer)?;
            return Ok(Verified::default());
        }
        if let Some(busy) = far_side.busy(&answer) {
            return Err(busy);
        }
        let said: EntraError = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(said.meaning(&identity).unwrap_or_else(|| far_side.declined(asked, &answer)))
    }
}

impl EntraError {
    /// What it means; none where its status says it as well.
    fn meaning(&self, identity: &Identity) -> Option<VerifyError> {
        let by_code = self.error_codes.iter().find_map(|code| code_meaning(*code, identity));
        by_code.or_else(|| match self.error.as_str() {
            "invalid_client" | "unauthorized_client" => {
                Some(VerifyError::refused(CLIENT, no_credential(identity)))
            }
            "invalid_scope" | "invalid_resource" => Some(VerifyError::refused(SCOPE_FIELD, NO_SCOPE)),
            "temporarily_unavailable" => Some(VerifyError::Busy { retry_after: None }),
            _ => None,
        })
    }
}

const NO_SCOPE: &str = "Microsoft Entra knows no such resource in this directory, or it does not take this scope: expected the \
     resource's address and `/.default`";

fn code_meaning(code: u64, identity: &Identity) -> Option<VerifyError> {
    let at_client = |what: String| Some(VerifyError::refused(CLIENT, what));
    match code {
        90_002 | 900_023 | 50_059 => {
            Some(VerifyError::refused(DIRECTORY, "there is no such directory at this authority"))
        }
        700_016 => {
            at_client("the directory has no such application, or it was not consented to there".into())
        }
        7_000_112 => at_client("the application is disabled in the directory".into()),
        53_003 | 530_031..=530_039 => {
            at_client("a Conditional Access policy of the directory does not let the application in".into())
        }
        700_211 => at_client(format!(
            "no federated credential of the application has the issuer `{}`",
            identity.issuer()
        )),
        700_212 => at_client(format!(
            "no federated credential of the application has the audience `{}`",
            identity.audience()
        )),
        700_213 | 7_002_130..=7_002_139 => at_client(format!(
            "no federated credential of the application has the subject `{}`, upper and lower case included",
            identity.subject()
        )),
        70_021 | 700_210 | 700_214..=700_219 => at_client(no_credential(identity)),
        70_011 | 1_002_012 | 500_011 | 650_057 => Some(VerifyError::refused(SCOPE_FIELD, NO_SCOPE)),
        50_166 | 501_661 => Some(VerifyError::Unreachable {
            detail: format!("Microsoft Entra could not reach the issuer `{}`", identity.issuer()),
        }),
        700_024 => Some(VerifyError::Unreachable {
            detail:
                "Microsoft Entra takes the token for expired or not yet good: the platform's clock is wrong"
                    .into(),
        }),
        700_027 | 50_027 => Some(VerifyError::Unreachable {
            detail: "Microsoft Entra cannot check the token's signature by the issuer's keys".into(),
        }),
        90_033 | 90_055 | 50_196 => Some(VerifyError::Busy { retry_after: None }),
        _ => None,
    }
}

fn no_credential(identity: &Identity) -> String {
    format!("the application needs a federated credential for {identity}")
}

/// A UUID as Entra writes it, which becomes part of a path.
fn uuid_checked<'a>(far_side: &FarSide<'a>, field: &str) -> Result<&'a str, VerifyError> {
    far_side.text(field).filter(|text| is_uuid(text)).ok_or_else(|| {
        let detail = "expected a UUID, such as `8eaef023-2b34-4da1-9baa-8bc8c9d6a490`";
        VerifyError::refused(format!("/config/{field}"), detail)
    })
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// One scope, of all that the application was granted for a resource: client credentials take no other.
fn scope_checked(scope: &str) -> Result<&str, VerifyError> {
    if scope.ends_with("/.default") && scope.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(scope)
    } else {
        let detail =
            "expected one scope that ends in `/.default`, such as `https://graph.microsoft.com/.default`";
        Err(VerifyError::refused(SCOPE_FIELD, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_and_is_not_a_uuid() {
        assert!(is_uuid("8eaef023-2b34-4da1-9baa-8bc8c9d6a490"));
        assert!(is_uuid("8EAEF023-2B34-4DA1-9BAA-8BC8C9D6A490"));
        for bad in [
            "",
            "common",
            "organizations",
            "contoso.onmicrosoft.com",
            "8eaef0232b344da19baa8bc8c9d6a490",
            "8eaef023-2b34-4da1-9baa-8bc8c9d6a49/",
            "8eaef023-2b34-4da1-9baa-8bc8c9d6a4900",
            "{8eaef023-2b34-4da1-9baa-8bc8c9d6a49}",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }

    #[test]
    fn a_scope_is_one_and_of_everything() {
        for good in [SCOPE, "https://graph.microsoft.com/.default", "api://8eaef023/.default"] {
            assert!(scope_checked(good).is_ok(), "{good}");
        }
        for bad in ["", "https://graph.microsoft.com/User.Read", "openid a/.default", "https://x/.default "] {
            assert!(scope_checked(bad).is_err(), "{bad}");
        }
    }
}
