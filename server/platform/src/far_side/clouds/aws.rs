//! AWS STS with one role.
//!
//! Rules: `AssumeRoleWithWebIdentity` in the STS API reference (2011-06-15): the parameters and their
//! bounds, the answer, and the errors with their statuses; XML, as that API answers.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;

use super::{Claims, Fault, checked, form};
use crate::far_side::Shared;

/// The role that there is.
pub const AWS_ROLE_ARN: &str = "arn:aws:iam::123456789012:role/integraci";

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Status, code and message.
struct Refusal(u16, &'static str, &'static str);

pub(super) fn routes() -> Router<Shared> {
    // The root of its address, whose slash a nested router would not have.
    Router::new().route("/aws/", post(assume))
}

async fn assume(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = form(&headers, &body).unwrap_or_default();
    match assumed(&shared, &fields).await {
        Ok(claims) => success(&claims, &fields["RoleSessionName"]),
        Err(Refusal(status, code, message)) => {
            let xml = format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>Sender</Type>\n    \
                 <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
                 <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>\n</ErrorResponse>\n"
            );
            answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), xml)
        }
    }
}

async fn assumed(shared: &Shared, fields: &BTreeMap<String, String>) -> Result<Claims, Refusal> {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if (field("Action"), field("Version")) != ("AssumeRoleWithWebIdentity", "2011-06-15") {
        return Err(Refusal(400, "InvalidAction", "Could not find operation for version"));
    }
    let session = field("RoleSessionName");
    let in_session = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    let is_valid = (20..=2048).contains(&field("RoleArn").len())
        && (2..=64).contains(&session.len())
        && session.bytes().all(in_session)
        && field("DurationSeconds").parse().is_ok_and(|s: u32| (900..=43200).contains(&s))
        && (4..=20_000).contains(&field("WebIdentityToken").len());
    if !is_valid {
        return Err(Refusal(400, "ValidationError", "1 validation error detected"));
    }
    // A session policy is JSON, and takes rights away where there is one.
    let policy = field("Policy");
    if !policy.is_empty() && serde_json::from_str::<serde_json::Value>(policy).is_err() {
        return Err(Refusal(400, "MalformedPolicyDocument", "This policy contains invalid Json"));
    }
    let claims = checked(shared, "aws", field("WebIdentityToken")).await.map_err(refusal)?;
    if field("RoleArn") == AWS_ROLE_ARN { Ok(claims) } else { Err(refusal(Fault::Subject)) }
}

const fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::Malformed => Refusal(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT."),
        Fault::Issuer => {
            Refusal(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account")
        }
        Fault::Unreachable => {
            Refusal(400, "IDPCommunicationError", "The identity provider could not be reached")
        }
        Fault::Signature => Refusal(
            400,
            "InvalidIdentityToken",
            "Couldn't retrieve verification key from your identity provider",
        ),
        Fault::Expired => Refusal(400, "ExpiredTokenException", "Token expired"),
        Fault::Audience => Refusal(400, "InvalidIdentityToken", "Incorrect token audience"),
        Fault::Subject => {
            Refusal(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
    }
}

fn success(claims: &Claims, session: &str) -> Response {
    let Claims { iss, sub, aud, .. } = claims;
    let (secret, token) = (hex::encode(rand::random::<[u8; 20]>()), hex::encode(rand::random::<[u8; 64]>()));
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"{NAMESPACE}\">\n  <AssumeRoleWithWebIdentityResult>\n    \
         <SubjectFromWebIdentityToken>{sub}</SubjectFromWebIdentityToken>\n    <Audience>{aud}</Audience>\n    \
         <AssumedRoleUser>\n      <Arn>arn:aws:sts::123456789012:assumed-role/integraci/{session}</Arn>\n      \
         <AssumedRoleId>AROACLKWSDQRAOEXAMPLE:{session}</AssumedRoleId>\n    </AssumedRoleUser>\n    \
         <Credentials>\n      <AccessKeyId>ASIAFARSIDEEXAMPLE00</AccessKeyId>\n      \
         <SecretAccessKey>{secret}</SecretAccessKey>\n      <SessionToken>{token}</SessionToken>\n      \
         <Expiration>2038-01-19T03:14:07Z</Expiration>\n    </Credentials>\n    <Provider>{iss}</Provider>\n  \
         </AssumeRoleWithWebIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId>\n  </ResponseMetadata>\n\
         </AssumeRoleWithWebIdentityResponse>\n"
    );
    answer(StatusCode::OK, xml)
}

fn answer(status: StatusCode, xml: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}
