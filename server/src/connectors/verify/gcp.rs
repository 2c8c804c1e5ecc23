//! Google Cloud: a token that the platform signs for the tenant is exchanged at the Security Token Service
//! (v1, RFC 8693) by a workload identity provider, and, where a service account is named, the outcome is
//! used to get an access token of that (IAM Service Account Credentials API v1).
//!
//! Facts, from both APIs' references and "Workload Identity Federation": the exchange is a form; its
//! audience is the provider's resource name behind `//iam.googleapis.com/`, which the token's own audience
//! is too, unless the provider allows others; its errors are those of RFC 6749: `invalid_target` where the
//! pool or the provider is not there or disabled, `invalid_grant` where the provider does not take the
//! token, `unauthorized_client` where its attribute condition does not. Of the service account an error is
//! `{"error": {"status": …}}`: 403 where the permission is missing or there is no such account.

use async_trait::async_trait;
use integraci_api::SecretText;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::far_side::{self, Asked, FarSide, below, post_form};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};
use crate::oidc::Identity;

const STS: &str = "Google Cloud's token service";
const IAM: &str = "Google Cloud's IAM";
const STS_URL: &str = "https://sts.googleapis.com";
const IAM_URL: &str = "https://iamcredentials.googleapis.com";

const PROVIDER: &str = "/config/workload_identity_provider";
const ACCOUNT: &str = "/config/service_account";

/// What the exchanged token may be used for: IAM asks for it.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What the service account's token may be used for: next to nothing, as it is never used.
const USERINFO: &str = "https://www.googleapis.com/auth/userinfo.email";
const ACCOUNT_TOKEN_LIFETIME: &str = "300s";

pub(super) struct Gcp;

#[derive(Deserialize)]
struct Exchanged {
    access_token: SecretText,
}

/// RFC 6749, section 5.2. Its description is not read.
#[derive(Default, Deserialize)]
struct OAuthError {
    error: String,
}

#[derive(Deserialize)]
struct Generated {
    #[serde(rename = "accessToken")]
    _access_token: SecretText,
}

#[async_trait]
impl Protocol for Gcp {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let provider = provider_checked(far_side.text("workload_identity_provider").unwrap_or_default())?;
        let account = far_side.text("service_account").map(account_checked).transpose()?;
        let sts = below(&far_side.address("sts_url", STS_URL)?, &["v1", "token"]);
        let iam = far_side.address("iam_credentials_url", IAM_URL)?;
        let audience = format!("//iam.googleapis.com/{provider}");
        let identity = far_side.identity(&audience)?;
        let token = exchange(far_side, sts, &audience, &identity).await?;
        if let Some(account) = account {
            impersonate(far_side, &iam, account, &token, &identity).await?;
        }
        Ok(Verified::default())
    }
}

/// Trades the platform's token for one of Google Cloud's.
async fn exchange(
    far_side: &FarSide<'_>,
    url: Url,
    audience: &str,
    identity: &Identity,
) -> Result<SecretText, VerifyError> {
    let asked = Asked { who: STS, secret: PROVIDER, place: "/config/sts_url" };
    let token = far_side.token_of(identity).await?;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", audience),
        ("scope", CLOUD_PLATFORM),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token.expose()),
    ];
    let answer = far_side.send(asked, post_form(url, &fields)).await?;
    if answer.status.is_success() {
        return far_side::json::<Exchanged>(asked, &answer).map(|exchanged| exchanged.access_token);
    }
    let OAuthError { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let detail = match error.as_str() {
        "invalid_target" | "invalid_request" => {
            "there is no such pool or provider, or it is disabled; give its full name, with the project's number"
                .to_owned()
        }
        "invalid_grant" => format!(
            "the provider does not take the platform's token: it must be an OpenID Connect provider for \
             {identity}, and Google Cloud must be able to reach the issuer"
        ),
        "unauthorized_client" => format!(
            "the provider's attribute condition does not take the token: it must let in subject `{}`",
            identity.subject()
        ),
        _ => return Err(far_side.declined(asked, &answer)),
    };
    Err(VerifyError::refused(PROVIDER, detail))
}

/// Gets an access token of the service account, which nobody sees.
async fn impersonate(
    far_side: &FarSide<'_>,
    base: &Url,
    account: &str,
    token: &SecretText,
    identity: &Identity,
) -> Result<(), VerifyError> {
    let asked = Asked { who: IAM, secret: ACCOUNT, place: "/config/iam_credentials_url" };
    let verb = format!("{account}:generateAccessToken");
    let url = below(base, &["v1", "projects", "-", "serviceAccounts", &verb]);
    let body = json!({ "scope": [USERINFO], "lifetime": ACCOUNT_TOKEN_LIFETIME });
    let request = Request::post(url, body.to_string().into())
        .header("content-type", HeaderValue::from_static("application/json"))
        .authorization(far_side::bearer(token, PROVIDER)?);
    let answer = far_side.send(asked, request).await?;
    match answer.status.as_u16() {
        200 => far_side::json::<Generated>(asked, &answer).map(drop),
        401 | 403 | 404 => Err(no_impersonation(identity, &answer)),
        _ => Err(far_side.declined(asked, &answer)),
    }
}

fn no_impersonation(identity: &Identity, answer: &Answer) -> VerifyError {
    VerifyError::refused(
        ACCOUNT,
        format!(
            "there is no such service account, or the connector may not act as it (status {}): grant \
             `roles/iam.workloadIdentityUser` on it to the pool's principal of subject `{}`, and enable the \
             IAM Service Account Credentials API",
            answer.status.as_u16(),
            identity.subject()
        ),
    )
}

/// A provider's resource name. It becomes an audience, so it is compared as text.
fn provider_checked(name: &str) -> Result<&str, VerifyError> {
    let is_number =
        |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    let is_id = |text: &str| {
        (4..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let parts: Vec<_> = name.split('/').collect();
    match parts.as_slice() {
        ["projects", number, "locations", "global", "workloadIdentityPools", pool, "providers", provider]
            if is_number(number) && is_id(pool) && is_id(provider) =>
        {
            Ok(name)
        }
        _ => Err(VerifyError::refused(
            PROVIDER,
            "expected `projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>`, \
             with the project's number and not its name",
        )),
    }
}

/// A service account's email, which becomes part of a path.
fn account_checked(email: &str) -> Result<&str, VerifyError> {
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let in_domain = |b: u8| in_name(b) || b == b'.';
    let fits = email.len() <= 254
        && email.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && name.bytes().all(in_name)
                && domain.bytes().all(in_domain)
                && domain.ends_with(".gserviceaccount.com")
        });
    if fits {
        Ok(email)
    } else {
        Err(VerifyError::refused(
            ACCOUNT,
            "expected a service account's email, such as `integraci@project.iam.gserviceaccount.com`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_and_is_not_a_provider() {
        let of = |project: &str, pool: &str, provider: &str| {
            format!("projects/{project}/locations/global/workloadIdentityPools/{pool}/providers/{provider}")
        };
        assert!(provider_checked(&of("123456789012", "integraci", "prod-1")).is_ok());
        for bad in [
            String::new(),
            of("my-project", "integraci", "prod-1"),
            of("1", "INTEGRACI", "prod-1"),
            of("1", "int", "prod-1"),
            of("1", "integraci", ""),
            of("1", "integraci", "prod-1/x"),
            of("1", "integraci", "prod?1"),
            format!("//iam.googleapis.com/{}", of("1", "integraci", "prod-1")),
            of("1", "integraci", "prod-1").replace("global", "us-east1"),
        ] {
            assert!(provider_checked(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_and_is_not_a_service_account() {
        for good in ["a-1@project-1.iam.gserviceaccount.com", "123-compute@developer.gserviceaccount.com"] {
            assert!(account_checked(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@p.iam.gserviceaccount.com",
            "a@example.com",
            "a@gserviceaccount.com.example",
            "a/../b@p.iam.gserviceaccount.com",
            "a:b@p.iam.gserviceaccount.com",
            "a@b@p.iam.gserviceaccount.com",
            "a@p/q.iam.gserviceaccount.com",
            "A@p.iam.gserviceaccount.com",
        ] {
            assert!(account_checked(bad).is_err(), "{bad}");
        }
    }
}
