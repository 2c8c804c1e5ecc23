//! Verification of Jira, Slack, SonarQube, PagerDuty and Datadog against servers that check and answer as
//! their documentation says.

use std::collections::BTreeMap;
use std::time::Duration;

use integraci_api::{ConnectorId, SecretText, TenantId};
use integraci_server::connectors::verify::{Subject, Verified, VerifyError};
use local_platform::far_side::{Behaviour, FarSide};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::verify::{Scripted, local_config, pointer, verifier};

const GOOD: &str = "good-0123456789";

/// A connector as the tests vary it.
#[derive(Clone)]
struct Case {
    kind: &'static str,
    config: Map<String, Value>,
    secrets: BTreeMap<String, SecretText>,
    /// Where the address of the far side stands in the configuration.
    address: &'static str,
    /// The secret that every call goes by.
    secret: &'static str,
}

const NOW: OffsetDateTime = datetime!(2026-11-24 07:00 UTC);

impl Case {
    fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config.insert(field.to_owned(), value.into());
        self
    }

    fn with_secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), SecretText::new(value.to_owned()));
        self
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: TenantId::from_uuid(Uuid::from_u128(6)),
            connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
            name: "of-tests",
            kind: self.kind,
            config: &self.config,
            secrets: &self.secrets,
            now: NOW,
            attempt: Uuid::from_u128(8),
        }
    }

    async fn verify(&self) -> Result<Verified, VerifyError> {
        verifier(&local_config()).verify(&self.subject()).await
    }

    /// Where the refusal points.
    async fn refusal(&self) -> String {
        pointer(self.verify().await.map(drop))
    }
}

/// Every kind, as its far side takes it.
fn cases(far_side: &FarSide) -> Vec<Case> {
    let rows = [
        ("jira", "url", "api_token", json!({"email": "robot@acme.example", "project": "ACME"})),
        ("slack", "base_url", "bot_token", json!({"team": "T0001ACME", "default_channel": "C0001ACME"})),
        ("sonarqube", "url", "token", json!({"organization": "acme", "project": "acme_app"})),
        ("pagerduty", "base_url", "token", json!({"service_id": "PACME01"})),
        ("datadog", "base_url", "api_key", json!({"site": "datadoghq.com"})),
    ];
    rows.map(|(kind, address, secret, config)| {
        far_side.allow(kind, &SecretString::from(GOOD));
        let config = config.as_object().unwrap().clone();
        let case = Case { kind, config, secrets: BTreeMap::new(), address, secret };
        case.with(address, far_side.address(kind)).with_secret(secret, GOOD)
    })
    .into()
}

fn case(far_side: &FarSide, kind: &str) -> Case {
    cases(far_side).into_iter().find(|case| case.kind == kind).unwrap()
}

/// A token that is allowed for nothing but to be answered so.
fn marked(far_side: &FarSide, mark: &str) -> String {
    let token = format!("token-{mark}");
    far_side.allow(mark, &SecretString::from(token.as_str()));
    token
}

#[tokio::test]
async fn what_is_right_is_verified() {
    let far_side = FarSide::start().await.unwrap();
    for case in cases(&far_side) {
        assert_eq!(case.verify().await, Ok(Verified::default()), "{}", case.kind);
        let slash = case.clone().with(case.address, format!("{}/", far_side.address(case.kind)));
        assert_eq!(slash.verify().await, Ok(Verified::default()), "{}: a slash at the end", case.kind);
    }
}

#[tokio::test]
async fn a_secret_that_is_wrong_or_was_revoked_points_at_the_secret() {
    let far_side = FarSide::start().await.unwrap();
    for case in cases(&far_side) {
        let at_secret = format!("/secrets/{}", case.secret);
        assert_eq!(
            case.clone().with_secret(case.secret, "wrong").refusal().await,
            at_secret,
            "{}",
            case.kind
        );
        assert_eq!(case.clone().with_secret(case.secret, "a\nb").refusal().await, at_secret, "{}", case.kind);
        far_side.deny(case.kind, &SecretString::from(GOOD));
        assert_eq!(case.refusal().await, at_secret, "{}: revoked", case.kind);
        let missing = Case { secrets: BTreeMap::new(), ..case };
        assert_eq!(missing.refusal().await, at_secret, "{}: missing", missing.kind);
    }
}

#[tokio::test]
async fn a_far_side_that_is_away_or_busy_may_take_it_another_time() {
    let far_side = FarSide::start().await.unwrap();
    for behaviour in [Behaviour::Down, Behaviour::TooManyRequests] {
        far_side.behave(behaviour);
        for case in cases(&far_side) {
            let busy = VerifyError::Busy { retry_after: Some(Duration::from_secs(1)) };
            assert_eq!(case.verify().await, Err(busy), "{}", case.kind);
        }
    }
    let nobody = FarSide::start().await.unwrap();
    let cases = cases(&nobody);
    drop(nobody);
    for case in cases {
        let verified = case.verify().await;
        assert!(matches!(verified, Err(VerifyError::Unreachable { .. })), "{}: {verified:?}", case.kind);
    }
    let failing = Scripted::start("127.0.0.1", |_, _| reason(502, "")).await;
    for case in self::cases(&far_side) {
        let verified = case.clone().with(case.address, failing.url.as_str()).verify().await;
        assert!(matches!(verified, Err(VerifyError::Unreachable { .. })), "{}: {verified:?}", case.kind);
    }
}

#[tokio::test]
async fn what_is_not_that_system_points_at_its_address() {
    let far_side = FarSide::start().await.unwrap();
    for behaviour in [
        Behaviour::NotJson,
        Behaviour::Huge,
        Behaviour::Redirect(format!("{}/elsewhere", far_side.url())),
        Behaviour::EchoesCredential,
    ] {
        far_side.behave(behaviour.clone());
        for case in cases(&far_side) {
            let verified = case.verify().await;
            assert!(!format!("{verified:?}").contains(GOOD), "{verified:?}");
            assert_eq!(pointer(verified.map(drop)), place(&case), "{} {behaviour:?}", case.kind);
        }
    }
    far_side.behave(Behaviour::Normal);
    for case in cases(&far_side) {
        let elsewhere = case.clone().with(case.address, format!("{}/elsewhere", far_side.url()));
        assert_eq!(elsewhere.refusal().await, place(&case), "{}", case.kind);
        for body in ["", "null", "[]", "{}", r#"{"ok":1,"valid":"yes","abilities":{},"accountId":7}"#] {
            let other = Scripted::start("127.0.0.1", move |_, _| reason(200, body)).await;
            let other = case.clone().with(case.address, other.url.as_str());
            assert_eq!(other.refusal().await, place(&case), "{} {body}", case.kind);
        }
    }
}

#[tokio::test]
async fn another_host_gets_no_credentials_and_is_not_believed() {
    let far_side = FarSide::start().await.unwrap();
    for case in cases(&far_side) {
        // Says yes to everything, whoever asks.
        let yes =
            r#"{"ok":true,"team_id":"T0001ACME","bot_id":"B","valid":true,"abilities":[],"accountId":"a"}"#;
        let other = Scripted::start("127.0.0.1", move |_, _| reason(200, yes)).await;
        let to = other.url.clone();
        let first = Scripted::start("127.0.0.1", move |_, _| {
            let mut response = reason(302, "");
            response.headers_mut().insert("location", to.parse().unwrap());
            response
        })
        .await;
        let moved = case.clone().with(case.address, first.url.as_str());
        assert_eq!(moved.refusal().await, place(&case), "{}", case.kind);
        assert!(other.seen().iter().all(|(_, credentials)| credentials.is_none()), "{}", case.kind);
    }
}

fn place(case: &Case) -> String {
    format!("/config/{}", case.address)
}

fn reason(status: u16, body: &'static str) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response()
}

#[tokio::test]
async fn jira_points_at_the_project_the_email_and_a_captcha() {
    let far_side = FarSide::start().await.unwrap();
    let jira = case(&far_side, "jira");
    assert_eq!(jira.clone().with("project", "NONE").refusal().await, "/config/project");
    assert_eq!(jira.clone().with("project", "../myself").refusal().await, "/config/project");
    assert_eq!(jira.clone().with("email", "robot").refusal().await, "/config/email");
    assert_eq!(jira.clone().with("email", "a:b@acme.example").refusal().await, "/config/email");
    // Jira does not tell an unknown account from a wrong token.
    assert_eq!(jira.clone().with("email", "b@acme.example").refusal().await, "/secrets/api_token");
    let locked_out = jira.with_secret("api_token", &marked(&far_side, "jira/captcha")).verify().await;
    assert!(format!("{locked_out:?}").contains("CAPTCHA"), "{locked_out:?}");
}

#[tokio::test]
async fn slack_says_what_is_wrong_in_the_body() {
    let far_side = FarSide::start().await.unwrap();
    let slack = case(&far_side, "slack");
    assert_eq!(slack.clone().with("team", "T0002").refusal().await, "/config/team");
    assert_eq!(slack.clone().with("default_channel", "C9&x=1").refusal().await, "/config/default_channel");
    assert_eq!(slack.clone().with("default_channel", "C0002ACME").refusal().await, "/config/default_channel");

    let with = |mark: &str| slack.clone().with_secret("bot_token", &marked(&far_side, mark));
    for (error, detail) in [
        ("token_expired", "expired"),
        ("token_revoked", "revoked"),
        ("account_inactive", "no longer in the workspace"),
        ("not_allowed_token_type", "not a bot's token"),
        ("user", "not a bot's token"),
        ("org_login_required", "administrators"),
        ("missing_scope", "channels:read"),
    ] {
        let refused = with(&format!("slack/{error}")).verify().await;
        assert!(format!("{refused:?}").contains(detail), "{error}: {refused:?}");
        assert_eq!(pointer(refused.map(drop)), "/secrets/bot_token", "{error}");
    }
    assert_eq!(with("slack/ratelimited").verify().await, Err(VerifyError::Busy { retry_after: None }));
    let failed = with("slack/internal_error").verify().await;
    assert!(matches!(failed, Err(VerifyError::Unreachable { .. })), "{failed:?}");
    let rotating = with("slack/rotating").verify().await.unwrap();
    assert_eq!(rotating.expires_at, Some(NOW + Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_slack_token_is_revoked_and_one_that_is_gone_is_success() {
    let far_side = FarSide::start().await.unwrap();
    let slack = case(&far_side, "slack");
    for _ in 0..2 {
        verifier(&local_config()).revoke(&slack.subject()).await.unwrap();
        assert_eq!(slack.refusal().await, "/secrets/bot_token");
    }
    let refusing = slack.with_secret("bot_token", &marked(&far_side, "slack/org_login_required"));
    let refused = verifier(&local_config()).revoke(&refusing.subject()).await;
    assert_eq!(pointer(refused), "/secrets/bot_token");
    // A kind that cannot says so.
    let refused = verifier(&local_config()).revoke(&case(&far_side, "jira").subject()).await;
    assert_eq!(pointer(refused), "/old_secret");
}

#[tokio::test]
async fn sonarqube_tells_the_organisation_the_project_and_when_the_token_ends() {
    let far_side = FarSide::start().await.unwrap();
    let sonarqube = case(&far_side, "sonarqube");
    // The second is there for all to see, and the user is no member of it.
    for organization in ["other", "open"] {
        let refused = sonarqube.clone().with("organization", organization).refusal().await;
        assert_eq!(refused, "/config/organization", "{organization}");
    }
    assert_eq!(sonarqube.clone().with("project", "none").refusal().await, "/config/project");
    assert_eq!(sonarqube.clone().with("project", "other_app").refusal().await, "/config/project");
    assert_eq!(sonarqube.clone().with_secret("token", "a:b").refusal().await, "/secrets/token");
    let ending = sonarqube.with_secret("token", &marked(&far_side, "sonarqube/ending")).verify().await;
    assert_eq!(ending, Ok(Verified { expires_at: Some(datetime!(2030-01-01 00:00 UTC)) }));
}

#[tokio::test]
async fn pagerduty_tells_the_service_and_how_long_to_wait() {
    let far_side = FarSide::start().await.unwrap();
    let pagerduty = case(&far_side, "pagerduty");
    assert_eq!(pagerduty.clone().with("service_id", "PNONE").refusal().await, "/config/service_id");
    let limited = pagerduty.with_secret("token", &marked(&far_side, "pagerduty/limited")).verify().await;
    assert_eq!(limited, Err(VerifyError::Busy { retry_after: Some(Duration::from_secs(7)) }));
}

#[tokio::test]
async fn datadog_tells_its_two_keys_apart() {
    let far_side = FarSide::start().await.unwrap();
    let datadog = case(&far_side, "datadog");
    let app_key = marked(&far_side, "datadog/app");
    assert_eq!(datadog.clone().with_secret("app_key", &app_key).verify().await, Ok(Verified::default()));
    assert_eq!(datadog.clone().with_secret("app_key", GOOD).refusal().await, "/secrets/app_key");
    let swapped = datadog.with_secret("api_key", &app_key).with_secret("app_key", GOOD);
    assert_eq!(swapped.refusal().await, "/secrets/api_key");
}
