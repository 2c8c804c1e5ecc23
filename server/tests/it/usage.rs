//! Events in, usage out.

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use integraci_api::TenantId;
use integraci_api::isolation::System;
use integraci_server::source::Source;
use integraci_server::usage::{self, Meter};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::app::{App, Reply};

const RUNS: &str = "pipeline_runs_per_month";

fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A pipeline run of an id.
#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are ids alike, and read so")]
fn run(id: impl ToString, at: OffsetDateTime) -> Value {
    json!({"source": "ci", "id": id.to_string(), "type": "pipeline_run", "at": text(at)})
}

async fn send(app: &App, tenant: TenantId, events: Vec<Value>) -> Reply {
    app.send(Method::POST, &format!("/v1/tenants/{tenant}/events"), Some(json!({ "events": events }))).await
}

/// How many were accepted, how many were duplicates, and each rejected one's pointer and code.
async fn taken(app: &App, tenant: TenantId, events: Vec<Value>) -> (u64, u64, Vec<String>) {
    let reply = send(app, tenant, events).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let rejected = reply.body["rejected"].as_array().unwrap().iter();
    let rejected = rejected.map(|it| {
        let pointer = it["pointer"].as_str().unwrap();
        assert!(pointer.starts_with(&format!("/events/{}", it["index"])), "{it}");
        format!("{pointer} {}", it["code"].as_str().unwrap())
    });
    (reply.body["accepted"].as_u64().unwrap(), reply.body["duplicates"].as_u64().unwrap(), rejected.collect())
}

/// What is told of a dimension: when each hour or month begins, and its quantity.
async fn told(app: &App, tenant: TenantId, dimension: &str, query: &str) -> Vec<(String, i64)> {
    let usage = app.get(&format!("/v1/tenants/{tenant}/usage?dimension={dimension}{query}")).await;
    let item = |it: &Value| (it["start"].as_str().unwrap().to_owned(), it["quantity"].as_i64().unwrap());
    usage["items"].as_array().unwrap().iter().map(item).collect()
}

async fn total(app: &App, tenant: TenantId) -> i64 {
    let from = text(now() - Duration::days(30)).replace('+', "%2B");
    told(app, tenant, RUNS, &format!("&from={from}")).await.iter().map(|(_, quantity)| quantity).sum()
}

async fn limit(app: &App, tenant: TenantId, limit: i64, on_exceed: &str) {
    let wanted = json!({"limits": {RUNS: limit}, "on_exceed": on_exceed});
    let set = app.send(Method::PUT, &format!("/v1/tenants/{tenant}/quota"), Some(wanted)).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
}

/// The notices that were written down, in order. Only who has an account in NATS is told.
async fn notices(app: &App, tenant: TenantId) -> Vec<(String, Value)> {
    sqlx::query_as(
        "SELECT kind, facts FROM event_outbox WHERE tenant_id = $1 AND kind LIKE 'quota.%reached' ORDER BY position",
    )
    .bind(tenant.uuid())
    .fetch_all(&app.database.superuser)
    .await
    .unwrap()
}

async fn give_account(app: &App, tenant: TenantId) {
    sqlx::query(
        "INSERT INTO tenant_system (tenant_id, system, cell, state, check_after, events_after)
         VALUES ($1, $2, 'none', 'ready', '9999-01-01', '9999-01-01')",
    )
    .bind(tenant.uuid())
    .bind(System::Nats.as_str())
    .execute(&app.database.superuser)
    .await
    .unwrap();
}

#[tokio::test]
async fn an_event_counts_once_in_a_batch_and_across_batches_whatever_their_order() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let at = now();
    let events = |ids: &[u32]| ids.iter().map(|id| run(id, at - Duration::minutes((*id).into()))).collect();
    assert_eq!(taken(&app, tenant, events(&[3, 1, 2, 1])).await, (3, 1, vec![]));
    assert_eq!(taken(&app, tenant, events(&[2, 5, 4, 3, 1])).await, (2, 3, vec![]));
    assert_eq!(taken(&app, tenant, events(&[5, 4, 3, 2, 1])).await, (0, 5, vec![]));
    let elsewhere = json!({"source": "other ci", "id": "1", "type": "deploy", "at": text(at)});
    assert_eq!(taken(&app, tenant, vec![elsewhere]).await, (1, 0, vec![]));
    assert_eq!(taken(&app, other, events(&[1])).await, (1, 0, vec![]), "another tenant's own");
    assert_eq!((total(&app, tenant).await, total(&app, other).await), (5, 1));
    assert_eq!(told(&app, tenant, "deploys_per_month", "").await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_others_are_counted() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let good = |id| run(id, now());
    let with = |field: &str, value: Value| {
        let mut event = good("changed");
        event[field] = value;
        event
    };
    let without = |field: &str| {
        let mut event = good("changed");
        event.as_object_mut().unwrap().remove(field);
        event
    };
    let cases = [
        (with("source", json!("")), "/source invalid"),
        (with("source", json!(7)), "/source invalid"),
        (with("id", json!("x".repeat(201))), "/id invalid"),
        (with("id", json!("a\u{0}b")), "/id invalid"),
        (with("id", json!("a\nb")), "/id invalid"),
        (with("type", json!("coffee_break")), "/type invalid"),
        (with("at", json!("yesterday")), "/at invalid"),
        (with("at", json!(1_700_000_000)), "/at invalid"),
        (with("at", json!(text(now() + Duration::minutes(6)))), "/at in_future"),
        (with("at", json!(text(now() - Duration::hours(7 * 24 + 1)))), "/at too_old"),
        (with("at", json!("0001-01-01T00:00:00Z")), "/at too_old"),
        (with("at", json!("0000-01-01T00:00:00+01:00")), "/at too_old"),
        (with("at", json!("9999-12-31T23:59:59-01:00")), "/at in_future"),
        (with("tenant_id", json!(other)), "/tenant_id other_tenant"),
        (with("tenant_id", json!("ten_7")), "/tenant_id invalid"),
        (with("outcome", json!("shrug")), "/outcome invalid"),
        (with("weight", json!(1000)), "/weight invalid"),
        (without("at"), "/at invalid"),
        (json!(["ci", "changed", "deploy", text(now())]), " invalid"),
        (json!("ci"), " invalid"),
        (Value::Null, " invalid"),
    ];
    let mut events = vec![good("first")];
    events.extend(cases.iter().map(|(event, _)| event.clone()));
    events.push(with("tenant_id", json!(tenant)));
    let expected: Vec<_> =
        cases.iter().enumerate().map(|(n, (_, fault))| format!("/events/{}{fault}", n + 1)).collect();
    assert_eq!(taken(&app, tenant, events).await, (2, 0, expected));
    assert_eq!(total(&app, tenant).await, 2);

    let edge = vec![
        with("source", json!("é".repeat(200))),
        run("soon", now() + Duration::minutes(4)),
        run("late", now() - Duration::hours(7 * 24 - 1)),
        json!({"source": "ci", "id": "ended", "type": "deploy", "at": text(now()), "outcome": "failed"}),
    ];
    assert_eq!(taken(&app, tenant, edge).await, (4, 0, vec![]));
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_whole() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let path = format!("/v1/tenants/{tenant}/events");
    let many = |count: usize| (0..count).map(|n| run(n, now())).collect::<Vec<_>>();
    for events in [json!({"events": []}), json!({"events": many(1001)}), json!({"events": 1}), json!({})] {
        let refused = app.send(Method::POST, &path, Some(events)).await;
        assert_eq!(refused.problem(), ("invalid_request", vec!["/events"]), "{refused:?}");
    }
    limit(&app, tenant, 1000, "refuse").await;
    assert_eq!(taken(&app, tenant, many(1000)).await, (1000, 0, vec![]));
    let long = vec![json!({"id": "x".repeat(1100)}); 1000];
    assert_eq!(send(&app, tenant, long).await.status, StatusCode::PAYLOAD_TOO_LARGE);

    let reads = json!({"name": "reads", "tenant_id": tenant, "scopes": ["usage:read"]});
    let made = app.send(Method::POST, "/v1/tokens", Some(reads)).await;
    let reads = made.body["value"].as_str().unwrap();
    let batch = Some(json!({"events": [run("x", now())]}));
    assert_eq!(app.send_as(reads, Method::POST, &path, batch.clone()).await.status, StatusCode::FORBIDDEN);
    let others = app.token_of(app.tenant().await).await;
    assert_eq!(app.send_as(&others, Method::POST, &path, batch.clone()).await.status, StatusCode::NOT_FOUND);
    let suspended = json!({"suspended": true});
    app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(suspended)).await;
    assert_eq!(app.send(Method::POST, &path, batch).await.problem().0, "suspended");
    assert_eq!(total(&app, tenant).await, 1000, "it can still be read");
}

#[tokio::test]
async fn events_count_in_their_own_hour_and_month_in_utc() {
    const FIRST: OffsetDateTime = datetime!(2026-03-01 00:00 UTC);
    let app = App::new().await;
    let tenant = app.tenant().await;
    // By the clock of this meter a month has just begun.
    let first = FIRST;
    let source = Source::real().by_clock(|| FIRST + Duration::days(2));
    let meter = Meter::new(app.database.store.clone(), source, usage::LATE);
    let ahead = time::UtcOffset::from_hms(5, 30, 0).unwrap();
    for (id, at) in [
        ("before", first - Duration::microseconds(1)),
        ("at", first),
        ("in the hour", first + Duration::minutes(59)),
        ("elsewhere", (first + Duration::minutes(1)).to_offset(ahead)),
        ("next hour", first + Duration::HOUR),
    ] {
        let message = run(id, at).to_string();
        let counted = meter.ingest_message(tenant, message.as_bytes()).await.unwrap();
        assert_eq!((counted.accepted, &counted.rejected), (1, &vec![]), "{id}");
    }
    let span = |from: OffsetDateTime, to: OffsetDateTime| format!("&from={}&to={}", text(from), text(to));
    let told_hours =
        told(&app, tenant, RUNS, &span(first - Duration::minutes(30), first + Duration::hours(2))).await;
    let hours = [(first - Duration::HOUR, 1), (first, 3), (first + Duration::HOUR, 1)];
    assert_eq!(told_hours, hours.map(|(hour, quantity)| (text(hour), quantity)));
    assert_eq!(told(&app, tenant, RUNS, &span(first, first + Duration::HOUR)).await, [(text(first), 3)]);
    let months = format!("&granularity=month{}", span(first - Duration::days(1), first + Duration::DAY));
    let expected = [(text(datetime!(2026-02-01 00:00 UTC)), 1), (text(first), 4)];
    assert_eq!(told(&app, tenant, RUNS, &months).await, expected);
}

#[tokio::test]
async fn what_is_asked_for_must_be_something() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let read =
        async |query: &str| app.send(Method::GET, &format!("/v1/tenants/{tenant}/usage{query}"), None).await;
    for (query, pointer) in [
        ("", "/dimension"),
        ("?dimension=connectors", "/dimension"),
        ("?dimension=deploys_per_month&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "/from"),
        ("?dimension=deploys_per_month&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:01Z", "/from"),
        (
            "?dimension=deploys_per_month&granularity=month&from=2023-01-31T00:00:00Z&to=2026-01-01T00:00:00Z",
            "/from",
        ),
        ("?dimension=deploys_per_month&from=yesterday", "/from"),
        ("?dimension=deploys_per_month&to=2026-13-01T00:00:00Z", "/to"),
        ("?dimension=deploys_per_month&granularity=week", "/granularity"),
        ("?dimension=deploys_per_month&to=9999-12-31T23:59:59-01:00", "/to"),
        ("?dimension=deploys_per_month&granularity=month&to=9999-12-31T23:59:59-01:00", "/to"),
        ("?dimension=deploys_per_month&to=0000-01-01T00:00:00Z", "/to"),
        ("?dimension=deploys_per_month&granularity=month&from=0000-01-01T00:00:00%2B01:00", "/from"),
        ("?dimension=deploys_per_month&from=1969-12-31T23:59:59Z&to=1970-01-01T00:00:00Z", "/from"),
    ] {
        assert_eq!(read(query).await.problem(), ("invalid_request", vec![pointer]), "{query}");
    }
    for edge in [
        "from=1970-01-01T00:00:00%2B01:00&to=1970-01-01T00:00:00%2B01:00",
        "granularity=month&to=1970-01-01T00:00:00%2B01:00",
        "to=1970-01-01T00:00:00%2B01:00",
        "granularity=month&to=9998-12-31T23:59:59-01:00",
    ] {
        let told = read(&format!("?dimension=deploys_per_month&{edge}")).await;
        assert_eq!((told.status, &told.body["items"]), (StatusCode::OK, &json!([])), "{edge}");
    }
    let whole = read("?dimension=deploys_per_month&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z").await;
    assert_eq!((whole.status, &whole.body["items"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn with_fifty_writers_at_once_exactly_the_limit_fits() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    limit(&app, tenant, 107, "refuse").await;
    // Each has five of its own, and one that the next one has too.
    let batches = (0..50).map(|n| {
        let ids = (0..5).map(|k| n * 10 + k).chain([(n + 1) % 50 * 10]);
        taken(&app, tenant, ids.map(|id| run(id, now())).collect())
    });
    let batches = join_all(batches).await;
    assert_eq!(batches.iter().map(|(accepted, ..)| accepted).sum::<u64>(), 107);
    assert!(batches.iter().all(|(accepted, again, refused)| accepted + again + refused.len() as u64 == 6));
    assert!(batches.iter().flat_map(|batch| &batch.2).all(|refused| refused.ends_with(" quota_exceeded")));
    assert_eq!(total(&app, tenant).await, 107);
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM usage_event WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&app.database.superuser)
        .await
        .unwrap();
    assert_eq!(known, 107, "what is refused is not known");
    let quota = app.get(&format!("/v1/tenants/{tenant}/quota")).await;
    assert_eq!(quota["used"][RUNS], 107);

    limit(&app, tenant, 109, "refuse").await;
    let three = ["a", "a", "b", "c", "c"].map(|id| run(id, now())).into();
    let refused = vec!["/events/3 quota_exceeded".to_owned(), "/events/4 quota_exceeded".to_owned()];
    assert_eq!(taken(&app, tenant, three).await, (2, 1, refused));
    assert_eq!(taken(&app, tenant, vec![run("a", now())]).await, (0, 1, vec![]), "it is counted already");
    limit(&app, tenant, 109, "allow").await;
    assert_eq!(taken(&app, tenant, vec![run("c", now())]).await, (1, 0, vec![]));
}

#[tokio::test]
async fn a_tenant_that_sends_much_at_once_leaves_the_others_their_turn() {
    let app = App::new().await;
    let (busy, other) = (app.tenant().await, app.tenant().await);
    // Somebody has the tenant's row for long.
    let mut held = app.database.superuser.begin().await.unwrap();
    sqlx::query("SELECT FROM tenant WHERE id = $1 FOR UPDATE")
        .bind(busy.uuid())
        .execute(&mut *held)
        .await
        .unwrap();
    let mut sent: FuturesUnordered<_> = (0..100).map(|id| send(&app, busy, vec![run(id, now())])).collect();
    let first = sent.next().await.unwrap();
    assert_eq!(first.problem().0, "rate_limited", "{first:?}");
    assert_eq!(first.headers["retry-after"], "1");
    assert_eq!(taken(&app, other, vec![run("x", now())]).await, (1, 0, vec![]));
    held.rollback().await.unwrap();
    let answers: Vec<_> = sent.map(|reply| reply.status).collect().await;
    let counted = answers.iter().filter(|status| **status == StatusCode::OK).count();
    assert!(counted >= 64, "{answers:?}");
    assert!(answers.iter().all(|it| [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(it)));
    assert_eq!(usize::try_from(total(&app, busy).await), Ok(counted));
}

#[tokio::test]
async fn a_share_of_the_limit_is_told_of_once() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    give_account(&app, tenant).await;
    limit(&app, tenant, 10, "allow").await;
    let kinds = async || notices(&app, tenant).await.into_iter().map(|it| it.0).collect::<Vec<_>>();
    let send = async |ids: std::ops::Range<u32>| {
        join_all(ids.map(|id| taken(&app, tenant, vec![run(id, now())]))).await;
    };
    send(0..7).await;
    assert_eq!(kinds().await, [""; 0]);
    send(7..9).await;
    assert_eq!(kinds().await, ["quota.nearly_reached"]);
    send(0..20).await;
    assert_eq!(kinds().await, ["quota.nearly_reached", "quota.reached"]);
    let first = &notices(&app, tenant).await[0].1;
    let month = text(now())[..7].to_owned();
    assert_eq!(*first, json!({"dimension": RUNS, "month": month, "limit": 10, "used": 8}));

    // With room again, and then used up by one batch.
    limit(&app, tenant, 40, "allow").await;
    send(20..21).await;
    assert_eq!(kinds().await.len(), 2);
    taken(&app, tenant, (21..50).map(|id| run(id, now())).collect()).await;
    assert_eq!(kinds().await[2..], ["quota.nearly_reached", "quota.reached"]);
}

#[tokio::test]
async fn a_message_is_a_batch_or_one_event() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let meter = Meter::new(app.database.store.clone(), Source::real(), usage::LATE);
    let send = async |message: &Value| meter.ingest_message(tenant, message.to_string().as_bytes()).await;
    let counted = send(&run(1, now())).await.unwrap();
    assert_eq!((counted.accepted, counted.duplicates), (1, 0));
    let counted = send(&json!({"events": [run(1, now()), run(2, now())]})).await.unwrap();
    assert_eq!((counted.accepted, counted.duplicates), (1, 1));
    let wrong = send(&json!({"id": "1"})).await.unwrap();
    assert_eq!((wrong.rejected.len(), wrong.rejected[0].pointer.as_str()), (1, "/source"));
    for message in
        ["", "{", "[]", "7", r#"{"events": 7}"#, r#"{"events": []}"#, r#"{"events": [1], "more": 1}"#]
    {
        assert!(meter.ingest_message(tenant, message.as_bytes()).await.is_err(), "{message}");
    }
    assert_eq!(total(&app, tenant).await, 2);
}

#[tokio::test]
async fn old_events_are_forgotten_and_their_counts_stay() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let at = now() - Duration::days(1);
    assert_eq!(taken(&app, tenant, vec![run("old", at), run("new", now())]).await.0, 2);
    let known = async || -> i64 {
        let known = sqlx::query_scalar("SELECT count(*) FROM usage_event");
        known.fetch_one(&app.database.superuser).await.unwrap()
    };
    usage::forget(&app.database.store, now() + Duration::days(13)).await.unwrap();
    assert_eq!(known().await, 2);
    usage::forget(&app.database.store, now() + Duration::days(14) + Duration::HOUR).await.unwrap();
    assert_eq!((known().await, total(&app, tenant).await), (1, 2));

    let removed = app.send(Method::DELETE, &format!("/v1/tenants/{tenant}"), None).await;
    let busy = send(&app, tenant, vec![run("too late", now())]).await.problem().0.to_owned();
    assert!(["busy", "not_found"].contains(&busy.as_str()), "{busy}");
    app.settled(&removed).await;
    assert_eq!(known().await, 0, "nothing is left of a tenant that is gone");
    assert_eq!(send(&app, tenant, vec![run("too late", now())]).await.status, StatusCode::NOT_FOUND);
}
