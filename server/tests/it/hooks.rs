//! What far sides send to connectors' addresses, signed here by code that shares nothing with the
//! server's.

use futures_util::future::join_all;
use integraci_api::operations::OperationState;
use integraci_api::{TenantId, catalogue};
use integraci_server::connectors::inbound;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use crate::app::App;
use crate::openbao_world::Bao;

const SECRET: &str = "of-tests-webhook-secret";
const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----";

/// What a far side sends.
#[derive(Debug, Clone)]
struct Delivery {
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// What came back, without what is another in every answer.
#[derive(Debug, PartialEq)]
struct Answered {
    status: StatusCode,
    replayed: bool,
    headers: Vec<String>,
    body: String,
}

/// RFC 2104 by its text.
fn hmac(key: &str, message: &str) -> String {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key.as_bytes());
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    hex::encode(Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize())
}

/// A kind's delivery, its n-th, and the word by which it is counted.
fn delivery(kind: &str, secret: &str, n: u32) -> (Delivery, &'static str) {
    let now_s = OffsetDateTime::now_utc().unix_timestamp();
    let (body, word) = match kind {
        "jira" => (json!({"webhookEvent": "jira:issue_created", "n": n}), "jira:issue_created"),
        "pagerduty" => (
            json!({"event": {"id": format!("01{n}"), "event_type": "incident.triggered"}}),
            "incident.triggered",
        ),
        "slack" => (
            json!({"type": "event_callback", "event_id": format!("Ev{n}"), "event": {"type": "app_mention"}}),
            "app_mention",
        ),
        "sonarqube" => (json!({"taskId": format!("T{n}"), "status": "SUCCESS"}), "success"),
        "bitbucket" => (json!({"n": n}), "repo:push"),
        "github_app" => (json!({"n": n}), "pull_request"),
        "gitlab" => (json!({"n": n}), "merge_request_hook"),
        _ => panic!("{kind} sends nothing"),
    };
    let body = body.to_string();
    let mac = hmac(secret, &body);
    let id = format!("id-{n}");
    let headers = match kind {
        "bitbucket" => vec![
            ("x-hub-signature", format!("sha256={mac}")),
            ("x-event-key", "repo:push".into()),
            ("x-request-uuid", id),
        ],
        "github_app" => vec![
            ("x-hub-signature-256", format!("sha256={mac}")),
            ("x-github-event", "pull_request".into()),
            ("x-github-delivery", id),
        ],
        "gitlab" => vec![
            ("x-gitlab-token", secret.to_owned()),
            ("x-gitlab-event", "Merge Request Hook".into()),
            ("x-gitlab-event-uuid", id),
        ],
        "jira" => vec![("x-hub-signature", format!("sha256={mac}")), ("x-atlassian-webhook-identifier", id)],
        "pagerduty" => {
            vec![("x-pagerduty-signature", format!("v1={}, v1={mac}", hmac("another secret", &body)))]
        }
        "slack" => slack_headers(secret, &body, now_s),
        _ => vec![("x-sonar-webhook-hmac-sha256", mac)],
    };
    (Delivery { headers, body }, word)
}

fn slack_headers(secret: &str, body: &str, time_s: i64) -> Vec<(&'static str, String)> {
    let mac = hmac(secret, &format!("v0:{time_s}:{body}"));
    vec![("x-slack-signature", format!("v0={mac}")), ("x-slack-request-timestamp", time_s.to_string())]
}

/// Kind, configuration and secrets; the last secret is the one that deliveries are signed with.
fn kinds() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("bitbucket", json!({"workspace": "acme"}), json!({"token": "t", "webhook_secret": SECRET})),
        (
            "github_app",
            json!({"app_id": 1, "installation_id": 2}),
            json!({"private_key": PEM, "webhook_secret": SECRET}),
        ),
        ("gitlab", json!({}), json!({"token": "t", "webhook_secret": SECRET})),
        (
            "jira",
            json!({"url": "https://acme.invalid", "email": "a@acme.example"}),
            json!({"api_token": "t", "webhook_secret": SECRET}),
        ),
        ("pagerduty", json!({}), json!({"token": "t", "webhook_secret": SECRET})),
        ("slack", json!({}), json!({"bot_token": "t", "signing_secret": SECRET})),
        (
            "sonarqube",
            json!({"url": "https://sonar.invalid"}),
            json!({"token": "t", "webhook_secret": SECRET}),
        ),
    ]
}

/// A tenant with room for a connector of every kind.
async fn tenant_with_room(app: &App) -> TenantId {
    let tenant = app.tenant().await;
    let limits = json!({"limits": {"connectors": 20}});
    let set = app.send(Method::PUT, &format!("/v1/tenants/{tenant}/quota"), Some(limits)).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    tenant
}

/// Installs a connector whose far side is not asked; its path.
async fn install(app: &App, tenant: TenantId, kind: &str, config: Value, secrets: Value) -> String {
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let name = format!("c{}", uuid::Uuid::new_v4().simple());
    let wanted = json!({"name": name, "kind": kind, "config": config, "secrets": secrets, "verify": "off"});
    let made = app.settled(&app.send(Method::POST, &connectors, Some(wanted)).await).await;
    assert_eq!(made.state, OperationState::Succeeded, "{kind}: {made:?}");
    format!("{connectors}/{}", made.target_id)
}

async fn gitlab(app: &App, tenant: TenantId, secret: &str) -> String {
    install(app, tenant, "gitlab", json!({}), json!({"token": "t", "webhook_secret": secret})).await
}

/// The address of a connector.
fn hook(path: &str) -> String {
    format!("/hooks/{}", path.rsplit('/').next().unwrap())
}

async fn send(url: &str, delivery: &Delivery) -> Answered {
    let mut request = reqwest::Client::new().post(url).body(delivery.body.clone());
    for (name, value) in &delivery.headers {
        request = request.header(*name, value);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let headers = response.headers().iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
    let mut headers: Vec<_> = headers.map(|header| format!("{header:?}")).collect();
    headers.sort();
    let body = response.text().await.unwrap();
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(mut problem) if problem.is_object() => {
            problem["request_id"].take();
            problem.to_string()
        }
        _ => body,
    };
    Answered { status, replayed, headers, body }
}

impl Answered {
    fn is_counted(&self) -> bool {
        self.status == StatusCode::NO_CONTENT && !self.replayed
    }

    fn is_replayed(&self) -> bool {
        self.status == StatusCode::NO_CONTENT && self.replayed
    }
}

/// Kinds and counts of the last day, hours taken together.
async fn counts(app: &App, path: &str) -> Vec<(String, i64)> {
    let told = app.get(&format!("{path}/inbound-events")).await;
    let mut counts = std::collections::BTreeMap::<_, i64>::new();
    for item in told["items"].as_array().unwrap() {
        *counts.entry(item["kind"].as_str().unwrap().to_owned()).or_default() +=
            item["events"].as_i64().unwrap();
    }
    counts.into_iter().collect()
}

#[tokio::test]
async fn what_each_kind_signs_is_counted_once_and_nothing_else_is_taken() {
    let app = App::new().await;
    let tenant = tenant_with_room(&app).await;
    let sending = catalogue::KINDS.iter().filter(|kind| kind.inbound.is_some());
    assert!(
        sending.map(|kind| kind.name).eq(kinds().iter().map(|(kind, ..)| *kind)),
        "every kind that sends"
    );
    for (kind, config, secrets) in kinds() {
        let path = install(&app, tenant, kind, config, secrets).await;
        let url = app.url(&hook(&path));
        let (first, word) = delivery(kind, SECRET, 1);
        assert!(send(&url, &first).await.is_counted(), "{kind}");
        assert!(send(&url, &first).await.is_replayed(), "{kind}");
        assert!(send(&url, &delivery(kind, SECRET, 2).0).await.is_counted(), "{kind}");
        assert_eq!(counts(&app, &path).await, [(word.to_owned(), 2)], "{kind}");

        let (third, _) = delivery(kind, SECRET, 3);
        let refused = async |changed: Delivery| {
            assert_eq!(send(&url, &changed).await.status, StatusCode::UNAUTHORIZED, "{kind}: {changed:?}");
        };
        refused(delivery(kind, "not-the-webhook-secret", 3).0).await;
        refused(Delivery { headers: Vec::new(), ..third.clone() }).await;
        if kind != "gitlab" {
            refused(Delivery { body: format!("{} ", third.body), ..third.clone() }).await;
        }
        assert_eq!(counts(&app, &path).await, [(word.to_owned(), 2)], "{kind}");
        assert!(send(&url, &third).await.is_counted(), "{kind}");
    }
}

#[tokio::test]
async fn an_id_that_is_not_signed_makes_an_old_delivery_no_new_one() {
    let app = App::new().await;
    let tenant = tenant_with_room(&app).await;
    for (kind, id) in [
        ("bitbucket", "x-request-uuid"),
        ("github_app", "x-github-delivery"),
        ("jira", "x-atlassian-webhook-identifier"),
    ] {
        let (_, config, secrets) = kinds().into_iter().find(|(known, ..)| *known == kind).unwrap();
        let path = install(&app, tenant, kind, config, secrets).await;
        let url = app.url(&hook(&path));
        let (delivery, word) = delivery(kind, SECRET, 1);
        assert!(send(&url, &delivery).await.is_counted(), "{kind}");
        for other in [Some("another"), None] {
            let mut again = delivery.clone();
            again.headers.retain(|(name, _)| *name != id);
            again.headers.extend(other.map(|other| (id, other.to_owned())));
            assert!(send(&url, &again).await.is_replayed(), "{kind} {other:?}");
        }
        assert_eq!(counts(&app, &path).await, [(word.to_owned(), 1)], "{kind}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_has_one_answer() {
    let app = App::new().await;
    let (tenant, other) = (tenant_with_room(&app).await, tenant_with_room(&app).await);
    let path = gitlab(&app, tenant, SECRET).await;
    let url = app.url(&hook(&path));
    let theirs = gitlab(&app, other, "secret-of-another-tenant").await;
    let (good, _) = delivery("gitlab", SECRET, 1);
    let (of_another, _) = delivery("gitlab", "secret-of-another-tenant", 1);
    assert!(send(&app.url(&hook(&theirs)), &of_another).await.is_counted());

    let refused = send(&url, &of_another).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let without = install(&app, tenant, "gitlab", json!({}), json!({"token": SECRET})).await;
    let config = json!({"url": "https://hook.invalid", "events": catalogue::WEBHOOK_EVENTS[..1]});
    let silent = install(&app, tenant, "webhook", config, json!({"hmac_key": SECRET})).await;
    let removed = gitlab(&app, tenant, SECRET).await;
    app.settled(&app.send(Method::DELETE, &removed, None).await).await;
    for address in [
        hook(&without),
        hook(&silent),
        hook(&removed),
        "/hooks/con_00000000000000000000000000000000".to_owned(),
        "/hooks/con_7".to_owned(),
        format!("/hooks/{tenant}"),
    ] {
        assert_eq!(send(&app.url(&address), &good).await, refused, "{address}");
    }

    let suspend = async |on: bool| {
        let changed = json!({"suspended": on});
        let changed = app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(changed)).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    };
    suspend(true).await;
    assert_eq!(send(&url, &good).await, refused, "the tenant is suspended");
    suspend(false).await;
    // Its place in OpenBao follows.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !send(&url, &good).await.is_counted() {
        assert!(tokio::time::Instant::now() < deadline, "a resumed tenant's far side is not heard");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn of_the_same_delivery_twenty_times_at_once_one_is_counted() {
    let app = App::new().await;
    let (_, config, secrets) = kinds().into_iter().find(|(kind, ..)| *kind == "github_app").unwrap();
    let path = install(&app, tenant_with_room(&app).await, "github_app", config, secrets).await;
    let url = app.url(&hook(&path));
    let (delivery, word) = delivery("github_app", SECRET, 1);
    let answered = join_all((0..20).map(|_| send(&url, &delivery))).await;
    assert_eq!(answered.iter().filter(|answered| answered.is_counted()).count(), 1);
    assert_eq!(answered.iter().filter(|answered| answered.is_replayed()).count(), 19, "{answered:?}");
    assert_eq!(counts(&app, &path).await, [(word.to_owned(), 1)]);
}

#[tokio::test]
async fn slack_is_believed_for_five_minutes_and_gets_its_challenge_back() {
    let app = App::new().await;
    let (_, config, secrets) = kinds().into_iter().find(|(kind, ..)| *kind == "slack").unwrap();
    let path = install(&app, tenant_with_room(&app).await, "slack", config, secrets).await;
    let url = app.url(&hook(&path));
    let at = |body: &str, secret: &str, off_s: i64| Delivery {
        headers: slack_headers(secret, body, OffsetDateTime::now_utc().unix_timestamp() + off_s),
        body: body.to_owned(),
    };
    for off_s in [-360, 360] {
        assert_eq!(send(&url, &at("{}", SECRET, off_s)).await.status, StatusCode::UNAUTHORIZED, "{off_s}");
    }
    let mut moved = at("{}", SECRET, -360);
    moved.headers[1].1 = OffsetDateTime::now_utc().unix_timestamp().to_string();
    assert_eq!(send(&url, &moved).await.status, StatusCode::UNAUTHORIZED, "the time is signed");

    let challenge = json!({"type": "url_verification", "challenge": "3eZbrw1aB"}).to_string();
    let answered = send(&url, &at(&challenge, SECRET, 0)).await;
    assert_eq!((answered.status, answered.body.as_str()), (StatusCode::OK, "3eZbrw1aB"));
    let unsigned = send(&url, &at(&challenge, "not-the-signing-secret", 0)).await;
    assert_eq!(unsigned.status, StatusCode::UNAUTHORIZED);
    assert_eq!(counts(&app, &path).await, []);

    // What people do comes as a form; a retry of it is signed anew, and an event's has the event's id.
    assert!(send(&url, &at("command=%2Fbuild", SECRET, 0)).await.is_counted());
    let (event, _) = delivery("slack", SECRET, 1);
    assert!(send(&url, &event).await.is_counted());
    assert!(send(&url, &at(&event.body, SECRET, -60)).await.is_replayed());
    assert_eq!(counts(&app, &path).await, [("app_mention".to_owned(), 1), ("other".to_owned(), 1)]);
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_good_while_it_is_kept() {
    let app = App::new().await;
    let tenant = tenant_with_room(&app).await;
    let next = "of-tests-next-secret";
    let rotated = async |overlap_s: u64| {
        let path = gitlab(&app, tenant, SECRET).await;
        let wanted = json!({"secrets": {"token": "t", "webhook_secret": next}, "overlap_s": overlap_s});
        let rotation = app.send(Method::POST, &format!("{path}/rotations"), Some(wanted)).await;
        let done = app.settled(&rotation).await;
        assert_eq!(done.state, OperationState::Succeeded, "{done:?}");
        app.url(&hook(&path))
    };
    let (old, new) = (delivery("gitlab", SECRET, 1).0, delivery("gitlab", next, 2).0);
    let url = rotated(3600).await;
    assert!(send(&url, &old).await.is_counted());
    assert!(send(&url, &new).await.is_counted());
    let url = rotated(0).await;
    assert_eq!(send(&url, &old).await.status, StatusCode::UNAUTHORIZED);
    assert!(send(&url, &new).await.is_counted());
}

#[tokio::test]
async fn without_openbao_a_far_side_is_asked_to_send_again() {
    let bao = Bao::new().await;
    let app = App::with(&bao, Vec::new()).await;
    let path = gitlab(&app, tenant_with_room(&app).await, SECRET).await;
    let mut away = bao;
    // Nobody listens there: the port of an address that was just given back.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    away.config.address = format!("http://{free}").parse().unwrap();
    let (replica, stop) = App::replica(&app.database, &away, Vec::new()).await;
    let (delivery, _) = delivery("gitlab", SECRET, 1);
    let answered = send(&format!("{replica}{}", hook(&path)), &delivery).await;
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE, "{answered:?}");
    stop.cancel();
    assert!(send(&app.url(&hook(&path)), &delivery).await.is_counted(), "nothing was remembered");
}

#[tokio::test]
async fn too_much_at_once_and_too_many_words_are_held_off() {
    let app = App::new().await;
    let path = gitlab(&app, tenant_with_room(&app).await, SECRET).await;
    let url = app.url(&hook(&path));
    let large = Delivery { headers: Vec::new(), body: "a".repeat(1024 * 1024 + 1) };
    assert_eq!(send(&url, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    for n in 0..70 {
        let (mut delivery, _) = delivery("gitlab", SECRET, n);
        delivery.headers[1].1 = format!("Word {n}");
        assert!(send(&url, &delivery).await.is_counted(), "{n}");
    }
    let counts = counts(&app, &path).await;
    assert_eq!(counts.iter().map(|(_, events)| events).sum::<i64>(), 70);
    assert!(counts.len() <= 2 * 65 && counts.iter().any(|(kind, _)| kind == "other"), "{counts:?}");
}

#[tokio::test]
async fn deliveries_are_forgotten_and_counts_are_read_by_their_time() {
    let app = App::new().await;
    let tenant = tenant_with_room(&app).await;
    let path = gitlab(&app, tenant, SECRET).await;
    let url = app.url(&hook(&path));
    let (delivery, word) = delivery("gitlab", SECRET, 1);
    assert!(send(&url, &delivery).await.is_counted());
    let now = OffsetDateTime::now_utc();
    inbound::forget(&app.database.store, now + Duration::days(7)).await.unwrap();
    assert!(send(&url, &delivery).await.is_replayed());
    inbound::forget(&app.database.store, now + Duration::days(9)).await.unwrap();
    assert!(send(&url, &delivery).await.is_counted());
    assert_eq!(counts(&app, &path).await, [(word.to_owned(), 2)]);

    let read =
        async |query: &str| app.send(Method::GET, &format!("{path}/inbound-events{query}"), None).await;
    let old = read("?to=2026-01-01T00:00:00Z").await;
    assert_eq!((old.status, &old.body["items"]), (StatusCode::OK, &json!([])), "{old:?}");
    assert_eq!(old.body["from"], "2025-12-31T00:00:00Z");
    for query in [
        "?from=2026-01-01T00:00:00Z&to=2026-01-08T00:00:01Z",
        "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        assert_eq!(read(query).await.problem(), ("invalid_request", vec!["/from"]), "{query}");
    }
    assert_eq!(read("?from=yesterday").await.problem().0, "invalid_request");
    let others = app.token_of(tenant_with_room(&app).await).await;
    let theirs = app.send_as(&others, Method::GET, &format!("{path}/inbound-events"), None).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
}
