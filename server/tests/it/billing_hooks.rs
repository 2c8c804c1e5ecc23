//! What Stripe sends, over HTTP, to a whole replica; and what becomes of the tenant.

use integraci_api::TenantId;
use integraci_server::config::Config;
use local_platform::far_side::{Stripe, StripeFault};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Instant;
use time::{Duration, OffsetDateTime};

use crate::app::App;
use crate::billing_world::{self, WEBHOOK_SECRET, plans};
use crate::database::Database;
use crate::openbao_world::Bao;

struct World {
    app: App,
    stripe: Stripe,
    tenant: TenantId,
    subscription: String,
    http: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        let (database, bao, stripe) =
            (Database::new().await, Bao::new().await, billing_world::stripe().await);
        let config = Config {
            stripe: Some(billing_world::config(&stripe)),
            plans: plans(),
            ..App::config(&database, &bao, Vec::new())
        };
        let app = App::of(database, config).await;
        let tenant = app.tenant().await;
        let team = json!({ "plan": "team" });
        let changed = app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(team)).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        let mut world =
            Self { app, stripe, tenant, subscription: String::new(), http: reqwest::Client::new() };
        world
            .until("there is a subscription", async |world| world.billing().await["subscription"].is_string())
            .await;
        world.subscription = world.billing().await["subscription"].as_str().unwrap().to_owned();
        world
    }

    async fn billing(&self) -> Value {
        self.app.get(&format!("/v1/tenants/{}/billing", self.tenant)).await
    }

    async fn read(&self) -> Value {
        self.app.get(&format!("/v1/tenants/{}", self.tenant)).await
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + std::time::Duration::from_secs(30);
        while !is_so(self).await {
            assert!(Instant::now() < deadline, "{what}: not in time");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Whether the tenant is, or is not, closed, and its operation has ended.
    async fn until_closed(&self, closed: bool) {
        self.until("the tenant is closed, or open", async |world| {
            let tenant = world.read().await;
            tenant["payment_overdue"] == closed && tenant["operation_id"].is_null()
        })
        .await;
    }

    async fn post(&self, body: &str, signature: Option<&str>) -> reqwest::Response {
        let request = self.http.post(self.app.url("/billing/stripe")).body(body.to_owned());
        let request = match signature {
            Some(signature) => request.header("Stripe-Signature", signature),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// Stripe says that something happened to the subscription.
    async fn tell(&self, event: &str) -> StatusCode {
        let body = self.stripe.event(event, "customer.subscription.updated", &self.subscription);
        let signature = Stripe::signature(WEBHOOK_SECRET, OffsetDateTime::now_utc(), &body);
        self.post(&body, Some(&signature)).await.status()
    }
}

#[tokio::test]
async fn a_tenant_that_does_not_pay_is_closed_and_opened_when_it_does() {
    let world = World::new().await;
    let token = world.app.token_of(world.tenant).await;
    let path = format!("/v1/tenants/{}", world.tenant);
    let before = world.read().await;

    // Late, it stays open.
    world.stripe.subscription_status(&world.subscription, "past_due");
    assert_eq!(world.tell("evt_1").await, StatusCode::NO_CONTENT);
    world.until("it was looked at", async |world| world.billing().await["status"] == "past_due").await;
    assert_eq!(world.read().await["payment_overdue"], false);

    world.stripe.subscription_status(&world.subscription, "unpaid");
    assert_eq!(world.tell("evt_2").await, StatusCode::NO_CONTENT);
    world.until_closed(true).await;
    let closed = world.read().await;
    assert_eq!(closed["suspended"], false, "that is the platform's own");
    assert!(closed["revision"].as_i64() > before["revision"].as_i64());
    assert_eq!(closed["isolation"]["openbao"]["state"], "suspended");
    let refused = world.app.send_as(&token, Method::GET, &path, None).await;
    assert_eq!((refused.status, refused.problem().0), (StatusCode::FORBIDDEN, "suspended"));
    let connector =
        world.app.send(Method::POST, &format!("{path}/connectors"), Some(world.app.hook("x"))).await;
    assert_eq!(connector.problem().0, "suspended");

    // What the platform wants stands beside it.
    for suspended in [true, false] {
        let changed = world.app.send(Method::PATCH, &path, Some(json!({ "suspended": suspended }))).await;
        assert_eq!(changed.body["payment_overdue"], true);
    }
    world.until_closed(true).await;
    assert_eq!(world.app.send_as(&token, Method::GET, &path, None).await.status, StatusCode::FORBIDDEN);

    world.stripe.subscription_status(&world.subscription, "active");
    assert_eq!(world.tell("evt_3").await, StatusCode::NO_CONTENT);
    world.until_closed(false).await;
    assert_eq!(world.app.send_as(&token, Method::GET, &path, None).await.status, StatusCode::OK);
    assert_eq!(world.read().await["isolation"]["openbao"]["state"], "ready");
}

#[tokio::test]
async fn an_event_is_only_a_hint_whenever_it_comes() {
    let world = World::new().await;
    // What the event holds is long past: it was unpaid when it was made, and is sent after it was paid.
    world.stripe.subscription_status(&world.subscription, "unpaid");
    let stale = world.stripe.event("evt_old", "customer.subscription.updated", &world.subscription);
    world.stripe.subscription_status(&world.subscription, "active");
    let asked = world.stripe.calls().len();
    let signature = Stripe::signature(WEBHOOK_SECRET, OffsetDateTime::now_utc(), &stale);
    assert_eq!(world.post(&stale, Some(&signature)).await.status(), StatusCode::NO_CONTENT);
    world.until("Stripe was asked", async |world| world.stripe.calls().len() > asked).await;
    world.until("it was looked at", async |world| world.billing().await["status"] == "active").await;
    assert_eq!(world.read().await["payment_overdue"], false);
    // The same again is no cause to look again.
    let again = world.post(&stale, Some(&signature)).await;
    assert_eq!(
        (again.status(), again.headers().contains_key("idempotency-replayed")),
        (StatusCode::NO_CONTENT, true)
    );

    // A hint that comes while Stripe is away is not forgotten.
    world.stripe.fail_next("GET /v1/subscriptions/", StripeFault::Down);
    world.stripe.subscription_status(&world.subscription, "unpaid");
    assert_eq!(world.tell("evt_new").await, StatusCode::NO_CONTENT);
    let looked = async |world: &World| {
        // Whoever has claimed it is done with it: the next look is due at once instead of in a minute.
        sqlx::query("UPDATE billing_account SET look_after = now()")
            .execute(&world.app.database.superuser)
            .await
            .unwrap();
        world.read().await["payment_overdue"] == true
    };
    world.until("it was looked at after all", looked).await;
}

#[tokio::test]
async fn whatever_is_wrong_has_one_answer_and_does_nothing() {
    let world = World::new().await;
    let now = OffsetDateTime::now_utc();
    let body = world.stripe.event("evt_1", "customer.subscription.updated", &world.subscription);
    let good = Stripe::signature(WEBHOOK_SECRET, now, &body);
    let long = " ".repeat(2 * 1024 * 1024);
    let mut answers = Vec::new();
    for (body, signature) in [
        (body.as_str(), None),
        (&body, Some(Stripe::signature("whsec_another", now, &body))),
        (&body, Some(Stripe::signature(WEBHOOK_SECRET, now - Duration::minutes(6), &body))),
        (&body, Some(Stripe::signature(WEBHOOK_SECRET, now + Duration::minutes(6), &body))),
        (&body.replace("active", "unpaid"), Some(good.clone())),
        (&body, Some("t=,v1=".to_owned())),
        (&long, Some(Stripe::signature(WEBHOOK_SECRET, now, &long))),
    ] {
        let answer = world.post(body, signature.as_deref()).await;
        let status = answer.status();
        let mut problem: Value = answer.json().await.unwrap();
        problem["request_id"] = Value::Null;
        answers.push((status, problem));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM stripe_event")
        .fetch_one(&world.app.database.superuser)
        .await
        .unwrap();
    assert_eq!(known, 0);
    // What is signed and makes no sense is taken, or it would be sent for days.
    for body in ["", "[]", "{}", r#"{"id":"evt_2","data":null}"#] {
        let signature = Stripe::signature(WEBHOOK_SECRET, OffsetDateTime::now_utc(), body);
        assert_eq!(world.post(body, Some(&signature)).await.status(), StatusCode::NO_CONTENT, "{body}");
    }

    let without = App::new().await;
    let answer =
        reqwest::Client::new().post(without.url("/billing/stripe")).header("Stripe-Signature", &good);
    assert_eq!(answer.body(body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_bill_is_for_those_who_may_read_use() {
    let world = World::new().await;
    let path = format!("/v1/tenants/{}/", world.tenant);
    let other = world.app.tenant().await;
    let theirs = world.app.token_of(other).await;
    let wanted = json!({ "name": "t", "tenant_id": world.tenant, "scopes": ["tenants:read"] });
    let reply = world.app.send(Method::POST, "/v1/tokens", Some(wanted)).await;
    let lacks = reply.body["value"].as_str().unwrap();
    for what in ["billing", "statements", "statements/2026-01-31"] {
        let path = format!("{path}{what}");
        assert_eq!(world.app.send_as(&theirs, Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.app.send_as(lacks, Method::GET, &path, None).await.status, StatusCode::FORBIDDEN);
    }
    for day in ["2026-01-31", "yesterday", "2026-02-30"] {
        let reply = world.app.send(Method::GET, &format!("{path}statements/{day}"), None).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{day}");
    }
    assert_eq!(world.app.get(&format!("{path}statements")).await["items"], json!([]));
}
