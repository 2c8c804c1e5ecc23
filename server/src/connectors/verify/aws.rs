//! AWS: `AssumeRoleWithWebIdentity` of the Security Token Service (API version 2011-06-15), with a token
//! that the platform signs for the tenant in place of any key.
//!
//! Facts, from the STS API reference and the IAM user guide: the call is a form, is not signed, and is
//! answered in XML; an error is `<Code>` in an `<ErrorResponse>`, with status 400 or 403, and 400 also when
//! STS is asked too often. `InvalidIdentityToken` means that the account has no identity provider of this
//! issuer with this audience, or that the issuer's keys could not be read; `AccessDenied` that there is no
//! such role, or that its trust policy does not take the token. A session's own policy can only take rights
//! away. The global endpoint is of the commercial partition alone.

use async_trait::async_trait;
use integraci_api::SecretText;
use url::Url;

use super::far_side::{Asked, FarSide, below, post_form};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};
use crate::oidc::Identity;

const WHO: &str = "AWS";
const ROLE: &str = "/config/role_arn";
const REGION: &str = "/config/region";
const STS_URL: &str = "/config/sts_url";

/// Nothing at all: the session is made to see whether it can be, and never used.
const NO_RIGHTS: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
/// The shortest that STS gives.
const SESSION_S: &str = "900";

pub(super) struct Aws;

#[async_trait]
impl Protocol for Aws {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let role = Role::parse(far_side.text("role_arn").unwrap_or_default())?;
        let (url, place) = endpoint(far_side, &role)?;
        let identity = far_side.identity("")?;
        let token = far_side.token_of(&identity).await?;
        let answer = far_side
            .send(Asked { who: WHO, secret: ROLE, place }, request(far_side, &role, url, &token))
            .await?;
        if answer.status.is_success() {
            // Credentials are in it: it is looked at and wiped.
            return match element(&answer.body, "AssumedRoleUser") {
                Some(_) => Ok(Verified::default()),
                None => Err(VerifyError::refused(place, "it does not answer as AWS STS does")),
            };
        }
        let code = element(&answer.body, "Code").unwrap_or_default();
        Err(meaning(code, &identity, far_side, &answer)
            .unwrap_or_else(|| far_side.declined(Asked { who: WHO, secret: ROLE, place }, &answer)))
    }
}

fn request(far_side: &FarSide<'_>, role: &Role<'_>, url: Url, token: &SecretText) -> Request {
    // Shown in the account's CloudTrail.
    let session = far_side.subject.connector.to_string();
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role.arn),
        ("RoleSessionName", &session),
        ("DurationSeconds", SESSION_S),
        ("Policy", NO_RIGHTS),
        ("WebIdentityToken", token.expose()),
    ];
    post_form(url, &fields)
}

/// What an error of STS means; none where its status says it as well.
fn meaning(code: &str, identity: &Identity, far_side: &FarSide<'_>, answer: &Answer) -> Option<VerifyError> {
    let refused = |pointer, detail| Some(VerifyError::refused(pointer, detail));
    match code {
        "AccessDenied" => refused(
            ROLE,
            format!(
                "there is no such role, or its trust policy does not let the connector assume it: allow \
                 `sts:AssumeRoleWithWebIdentity` for {identity}"
            ),
        ),
        "InvalidIdentityToken" | "IDPRejectedClaim" => refused(
            ROLE,
            format!(
                "the role's account does not take the platform's token: it needs an OpenID Connect identity \
                 provider for {identity}, and AWS must be able to reach the issuer"
            ),
        ),
        "ValidationError" => refused(ROLE, "AWS does not take it for a role's ARN".to_owned()),
        "RegionDisabledException" => {
            refused(REGION, "STS is not active in this region for the role's account".to_owned())
        }
        "IDPCommunicationError" => Some(VerifyError::Unreachable {
            detail: format!("AWS could not reach the issuer `{}`", identity.issuer()),
        }),
        "ExpiredToken" | "ExpiredTokenException" => Some(VerifyError::Unreachable {
            detail:
                "AWS takes the token for expired: the platform's clock is wrong, or the call took too long"
                    .to_owned(),
        }),
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => {
            Some(VerifyError::Busy { retry_after: answer.retry_after(far_side.subject.now) })
        }
        _ => None,
    }
}

/// Which STS is asked, and the field that says so.
fn endpoint(far_side: &FarSide<'_>, role: &Role<'_>) -> Result<(Url, &'static str), VerifyError> {
    let region = far_side.text("region").map(|region| checked_region(region, role)).transpose()?;
    if far_side.text("sts_url").is_some() {
        return Ok((below(&far_side.address("sts_url", "")?, &[""]), STS_URL));
    }
    let (host, place) = match (region, role.partition) {
        (Some(region), Partition::China) => (format!("sts.{region}.amazonaws.com.cn"), REGION),
        (Some(region), Partition::Commercial | Partition::GovCloud) => {
            (format!("sts.{region}.amazonaws.com"), REGION)
        }
        (None, Partition::Commercial) => ("sts.amazonaws.com".to_owned(), ROLE),
        (None, Partition::China | Partition::GovCloud) => {
            return Err(VerifyError::refused(REGION, "`region` is required for a role of this partition"));
        }
        (_, Partition::Other) => {
            return Err(VerifyError::refused(STS_URL, "`sts_url` is required for a role of this partition"));
        }
    };
    let url = Url::parse(&format!("https://{host}/"));
    url.map(|url| (url, place)).map_err(|_| VerifyError::refused(REGION, EXPECTED_REGION))
}

const EXPECTED_REGION: &str = "expected a region of the role's partition, such as `eu-central-1`";

/// A region's name, which becomes part of a host's: letters, then words, then a number.
fn checked_region<'a>(region: &'a str, role: &Role<'_>) -> Result<&'a str, VerifyError> {
    let parts: Vec<_> = region.split('-').collect();
    let is_word =
        |part: &&str| (1..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
    let is_region = match parts.as_slice() {
        [area, words @ .., number] => {
            matches!(area.len(), 2..=4)
                && is_word(area)
                && matches!(words.len(), 1..=2)
                && words.iter().all(is_word)
                && matches!(number.len(), 1..=2)
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    };
    let of_region = match parts.as_slice() {
        ["cn", ..] => Partition::China,
        ["us", "gov", ..] => Partition::GovCloud,
        ["us", "iso" | "isob" | "isof", ..] | ["eu", "isoe", ..] | ["eusc", ..] => Partition::Other,
        _ => Partition::Commercial,
    };
    if is_region && of_region == role.partition {
        Ok(region)
    } else {
        Err(VerifyError::refused(REGION, EXPECTED_REGION))
    }
}

/// A world of accounts and regions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Partition {
    Commercial,
    China,
    GovCloud,
    /// One whose hosts we do not know.
    Other,
}

/// A role by its ARN.
#[derive(Debug, PartialEq, Eq)]
struct Role<'a> {
    arn: &'a str,
    partition: Partition,
}

impl<'a> Role<'a> {
    fn parse(arn: &'a str) -> Result<Self, VerifyError> {
        Self::read(arn).ok_or_else(|| {
            VerifyError::refused(
                ROLE,
                "expected a role's ARN, such as `arn:aws:iam::123456789012:role/integraci`",
            )
        })
    }

    fn read(arn: &'a str) -> Option<Self> {
        let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
        let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
        let (account, role) = (parts.next()?, parts.next()?.strip_prefix("role/")?);
        let (path, name) = role.rsplit_once('/').unwrap_or(("", role));
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let is_path = path.len() <= 510 && path.bytes().all(|b| b.is_ascii_graphic());
        let in_name = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(in_name);
        let partition = match partition {
            "aws" => Partition::Commercial,
            "aws-cn" => Partition::China,
            "aws-us-gov" => Partition::GovCloud,
            other if other.strip_prefix("aws-")?.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
                Partition::Other
            }
            _ => return None,
        };
        let fits = service == "iam" && region.is_empty() && is_account && is_path && is_name;
        fits.then_some(Self { arn, partition })
    }
}

/// What stands in the first element of a name, in XML that has no attributes where it matters.
fn element<'a>(xml: &'a [u8], name: &str) -> Option<&'a str> {
    let (_, rest) = std::str::from_utf8(xml).ok()?.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_and_is_not_a_role() {
        for (arn, partition) in [
            ("arn:aws:iam::123456789012:role/integraci", Partition::Commercial),
            ("arn:aws:iam::123456789012:role/ci/prod/a.b_c-d+e=f,g@h", Partition::Commercial),
            ("arn:aws-cn:iam::123456789012:role/x", Partition::China),
            ("arn:aws-us-gov:iam::123456789012:role/x", Partition::GovCloud),
            ("arn:aws-iso-b:iam::123456789012:role/x", Partition::Other),
        ] {
            assert_eq!(Role::read(arn), Some(Role { arn, partition }), "{arn}");
        }
        for arn in [
            "",
            "integraci",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam::123456789012:role/a:b",
            "arn:aws:iam::12345678901:role/x",
            "arn:aws:iam::1234567890ab:role/x",
            "arn:aws:iam:eu-west-1:123456789012:role/x",
            "arn:aws:sts::123456789012:role/x",
            "arn:gcp:iam::123456789012:role/x",
            "arn:aws.evil.example:iam::123456789012:role/x",
            &format!("arn:aws:iam::123456789012:role/{}", "x".repeat(65)),
        ] {
            assert_eq!(Role::read(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_region_can_become_part_of_a_host_and_nothing_else() {
        let role = |partition| Role { arn: "", partition };
        for region in ["eu-central-1", "ap-southeast-2", "us-east-1", "mx-central-1", "ca-west-1"] {
            assert!(checked_region(region, &role(Partition::Commercial)).is_ok(), "{region}");
        }
        assert!(checked_region("cn-north-1", &role(Partition::China)).is_ok());
        assert!(checked_region("us-gov-west-1", &role(Partition::GovCloud)).is_ok());
        for region in [
            "",
            "-",
            "eu",
            "eu-1",
            "eu--1",
            "EU-central-1",
            "eu-central-",
            "eu-central-x",
            "eu-central-123",
            "eu-central-1.evil.example",
            "evil.example/eu-central-1",
            "eu-central-1#",
            "eu-central-1@x",
            "eu-cen\u{74}ral-1 ",
            "é-central-1",
            "cn-north-1",
            "us-gov-west-1",
            "us-iso-east-1",
        ] {
            assert!(checked_region(region, &role(Partition::Commercial)).is_err(), "{region}");
        }
    }

    #[test]
    fn an_element_is_found_or_it_is_not() {
        let xml =
            b"<ErrorResponse><Error><Type>Sender</Type><Code> AccessDenied </Code></Error></ErrorResponse>";
        assert_eq!(element(xml, "Code"), Some("AccessDenied"));
        assert_eq!(element(xml, "Message"), None);
        assert_eq!(element(b"<Code>AccessDenied", "Code"), None);
        assert_eq!(element(b"\xff<Code>x</Code>", "Code"), None);
    }
}
