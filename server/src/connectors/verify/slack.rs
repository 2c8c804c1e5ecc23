//! Slack: the Web API, by an app's bot token.
//!
//! Facts: the reference of `auth.test`, `conversations.info` and `auth.revoke`. Slack answers 200
//! also to what it refuses: `ok` says which it is, and `error` why, in a word of a documented list.
//! Only being called too often has a status of its own, 429.

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use time::Duration;
use url::form_urlencoded;

use super::far_side::{Asked, FarSide, bearer, below, json};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::{Answer, Request};

const CHANNEL_POINTER: &str = "/config/default_channel";
const SLACK: Asked<'static> = Asked { who: "Slack", secret: "/secrets/bot_token", place: "/config/base_url" };

pub(super) struct Slack;

#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Identity {
    team_id: String,
    /// Only of a token that is a bot's.
    bot_id: Option<String>,
    /// Seconds; only of a token that is to be refreshed.
    expires_in: Option<i64>,
}

#[derive(Deserialize)]
struct ChannelInfo {
    channel: Channel,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    is_archived: bool,
}

#[async_trait]
impl Protocol for Slack {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let identity: Identity = ask(far_side, SLACK, "auth.test", &[]).await?;
        if identity.bot_id.is_none() {
            return Err(VerifyError::refused(
                SLACK.secret,
                "it is not a bot's token; those begin with `xoxb-`",
            ));
        }
        if far_side.text("team").is_some_and(|team| team != identity.team_id) {
            return Err(VerifyError::refused("/config/team", "the token is of another workspace"));
        }
        if let Some(channel) = far_side.text("default_channel") {
            let asked = Asked { place: CHANNEL_POINTER, ..SLACK };
            let info: ChannelInfo =
                ask(far_side, asked, "conversations.info", &[("channel", channel)]).await?;
            if info.channel.is_archived {
                return Err(VerifyError::refused(CHANNEL_POINTER, "the channel is archived"));
            }
        }
        let now = far_side.subject.now;
        let expires_at = identity.expires_in.and_then(|seconds| now.checked_add(Duration::seconds(seconds)));
        Ok(Verified { expires_at })
    }

    async fn revoke(&self, far_side: &FarSide<'_>) -> Result<(), VerifyError> {
        let answer = call(far_side, SLACK, "auth.revoke", &[]).await?;
        let outcome: Outcome = json(SLACK, &answer)?;
        match outcome.error.as_deref() {
            _ if outcome.ok => Ok(()),
            Some("invalid_auth" | "token_revoked" | "token_expired" | "account_inactive") => Ok(()),
            error => Err(fault(far_side, SLACK, &answer, error.unwrap_or_default())),
        }
    }
}

/// Calls a method that must succeed.
async fn ask<T: for<'de> Deserialize<'de>>(
    far_side: &FarSide<'_>,
    asked: Asked<'_>,
    method: &str,
    arguments: &[(&str, &str)],
) -> Result<T, VerifyError> {
    let answer = call(far_side, asked, method, arguments).await?;
    let outcome: Outcome = json(asked, &answer)?;
    if outcome.ok {
        json(asked, &answer)
    } else {
        Err(fault(far_side, asked, &answer, outcome.error.as_deref().unwrap_or_default()))
    }
}

async fn call(
    far_side: &FarSide<'_>,
    asked: Asked<'_>,
    method: &str,
    arguments: &[(&str, &str)],
) -> Result<Answer, VerifyError> {
    let url = below(&far_side.address("base_url", "https://slack.com")?, &["api", method]);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(arguments).finish();
    let request = Request::post(url, Bytes::from(body))
        .header(CONTENT_TYPE.as_str(), HeaderValue::from_static("application/x-www-form-urlencoded"))
        .authorization(bearer(far_side.secret("bot_token")?, SLACK.secret)?);
    far_side.ask(asked, request).await
}

/// What Slack's word for an error means.
fn fault(far_side: &FarSide<'_>, asked: Asked<'_>, answer: &Answer, error: &str) -> VerifyError {
    let secret = |detail: &str| VerifyError::refused(SLACK.secret, detail);
    match error {
        "invalid_auth" | "not_authed" => secret("Slack does not know the token"),
        "token_expired" => secret("the token has expired"),
        "token_revoked" => secret("the token was revoked"),
        "account_inactive" => secret("the token's bot is no longer in the workspace; install the app again"),
        "not_allowed_token_type" => secret("it is not a bot's token; those begin with `xoxb-`"),
        "missing_scope" => secret(
            "the token may not look at the channel; the app needs the scope `channels:read`, or `groups:read` \
             for a private channel",
        ),
        "no_permission"
        | "access_denied"
        | "accesslimited"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "org_login_required"
        | "team_access_not_granted"
        | "two_factor_setup_required" => secret("the workspace's administrators do not let the token in"),
        "channel_not_found" => VerifyError::refused(
            CHANNEL_POINTER,
            "Slack has no channel of this id, or does not show it to the bot; a private channel must invite it",
        ),
        "ratelimited" | "rate_limited" => {
            VerifyError::Busy { retry_after: answer.retry_after(far_side.subject.now) }
        }
        "fatal_error"
        | "internal_error"
        | "request_timeout"
        | "service_unavailable"
        | "team_added_to_org" => VerifyError::Unreachable { detail: "Slack failed on its side".to_owned() },
        _ => VerifyError::refused(asked.place, "Slack does not take the request"),
    }
}
