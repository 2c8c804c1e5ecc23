//! How many requests a token and a tenant may make: exact at one replica, kept by two together, and told
//! to every caller.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integraci_api::TenantId;
use integraci_api::quotas::DIMENSIONS;
use integraci_api::tokens::{Scope, TokenCreate};
use integraci_server::accounts::{Caller, TokenSecret, Tokens};
use integraci_server::http::HttpLimits;
use integraci_server::request_limits::{RequestLimits, Standing, Whose};
use integraci_server::source::Source;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::{App, Reply};
use crate::database::Database;
use crate::openbao_world::Bao;

/// None of these tests lasts until the next.
const HOUR: Duration = Duration::from_secs(60 * 60);

struct World {
    database: Database,
}

impl World {
    async fn new() -> Self {
        Self { database: Database::new().await }
    }

    fn limits(&self, per_token: i64, window: Duration) -> RequestLimits {
        RequestLimits::new(self.database.store.clone(), per_token, window)
    }

    /// Who has a new token.
    async fn caller(&self, tenant: Option<TenantId>) -> Caller {
        let secret = token(&self.database, tenant).await;
        let tokens = Tokens::new(self.database.store.clone(), Source::real());
        tokens.caller(&secret).await.unwrap()
    }
}

/// A token, made without asking the API.
async fn token(database: &Database, tenant: Option<TenantId>) -> TokenSecret {
    let wanted =
        TokenCreate { name: "t".into(), tenant_id: tenant, scopes: Scope::ALL.to_vec(), expires_at: None };
    let tokens = Tokens::new(database.store.clone(), Source::real());
    tokens.bootstrap(wanted).await.unwrap().secret
}

/// A tenant without a place anywhere, that may make so many requests.
async fn tenant(database: &Database, limit: i64) -> TenantId {
    let tenant = TenantId::from_uuid(Uuid::now_v7());
    let statement = format!(
        "INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, created_at, updated_at)
         VALUES ('{}', 't{}', 'T', 'free', 'it@test.example', false, 'active', now(), now())",
        tenant.uuid(),
        &tenant.uuid().simple().to_string()[12..]
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&database.superuser).await.unwrap();
    for dimension in DIMENSIONS {
        let row = sqlx::query("INSERT INTO quota (tenant_id, dimension, plan_max) VALUES ($1, $2, 1000)");
        row.bind(tenant.uuid()).bind(dimension.name).execute(&database.superuser).await.unwrap();
    }
    limit_set(database, tenant, limit).await;
    tenant
}

async fn limit_set(database: &Database, tenant: TenantId, limit: i64) {
    sqlx::query(
        "UPDATE quota SET own_max = $2 WHERE tenant_id = $1 AND dimension = 'api_requests_per_minute'",
    )
    .bind(tenant.uuid())
    .bind(limit)
    .execute(&database.superuser)
    .await
    .unwrap();
}

fn has_room(standings: &[Standing]) -> bool {
    standings.iter().all(|standing| standing.has_room)
}

/// How many of so many requests at once are let through.
async fn let_through(limits: &RequestLimits, caller: &Caller, requests: usize) -> usize {
    let standings = join_all((0..requests).map(|_| limits.count(caller))).await;
    standings.into_iter().filter(|standings| has_room(standings.as_ref().unwrap())).count()
}

#[tokio::test]
async fn one_replica_lets_exactly_the_limit_through() {
    let world = World::new().await;
    for limit in [1, 7, 640] {
        let (limits, caller) = (world.limits(limit, HOUR), world.caller(None).await);
        let wanted = usize::try_from(limit).unwrap();
        assert_eq!(let_through(&limits, &caller, wanted + 50).await, wanted);
        assert_eq!(let_through(&limits, &caller, 5).await, 0);
    }
    let (limits, caller) = (world.limits(100, HOUR), world.caller(None).await);
    for left in (0..100).rev() {
        let standing = limits.count(&caller).await.unwrap()[0];
        assert_eq!((standing.whose, standing.limit, standing.remaining), (Whose::Token, 100, left));
        assert!(standing.has_room && standing.ends_in <= HOUR);
    }
    assert!(!has_room(&limits.count(&caller).await.unwrap()));
}

#[tokio::test]
async fn the_database_is_asked_some_tens_of_times_and_not_once_a_request() {
    let world = World::new().await;
    let (limits, caller) = (world.limits(6_400, HOUR), world.caller(None).await);
    let grants = "SELECT (granted / greatest(lease, 1))::bigint FROM request_window WHERE subject = $1";
    let grants = async || -> i64 {
        let asked = sqlx::query_scalar(grants).bind(caller.token().uuid());
        asked.fetch_one(&world.database.superuser).await.unwrap()
    };
    assert_eq!(let_through(&limits, &caller, 200).await, 200);
    assert_eq!(grants().await, 1);
    assert_eq!(let_through(&limits, &caller, 300).await, 300);
    assert_eq!(grants().await, 3);
}

#[tokio::test]
async fn two_replicas_together_keep_the_limit_and_leave_little_of_it() {
    let world = World::new().await;
    for limit in [3, 640] {
        let wanted = usize::try_from(limit).unwrap();
        let (one, two) = (world.limits(limit, HOUR), world.limits(limit, HOUR));
        let caller = world.caller(None).await;
        let (first, second) =
            tokio::join!(let_through(&one, &caller, wanted + 20), let_through(&two, &caller, wanted + 20));
        assert_eq!(first + second, wanted);

        // One that is asked once keeps a lease that nobody spends.
        let (idle, busy) = (world.limits(limit, HOUR), world.limits(limit, HOUR));
        let caller = world.caller(None).await;
        let let_in = let_through(&idle, &caller, 1).await + let_through(&busy, &caller, wanted + 20).await;
        assert!(let_in <= wanted && let_in * 10 >= wanted * 9, "{let_in} of {limit}");
    }
}

#[tokio::test]
async fn the_next_window_begins_anew_and_old_ones_are_forgotten() {
    let world = World::new().await;
    let window = Duration::from_secs(1);
    let (limits, caller) = (world.limits(2, window), world.caller(None).await);
    while has_room(&limits.count(&caller).await.unwrap()) {}
    let deadline = Instant::now() + Duration::from_secs(30);
    while !has_room(&limits.count(&caller).await.unwrap()) {
        assert!(Instant::now() < deadline, "the window never ends");
    }
    let stop = CancellationToken::new();
    let forgetting = tokio::spawn(limits.forget_old(stop.clone()));
    let left = "SELECT count(*) FROM request_window";
    loop {
        let left: i64 = sqlx::query_scalar(left).fetch_one(&world.database.superuser).await.unwrap();
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} windows are never forgotten");
    }
    stop.cancel();
    forgetting.await.unwrap();
}

#[tokio::test]
async fn the_tokens_of_a_tenant_share_its_limit_and_what_it_refuses_costs_the_token_nothing() {
    let world = World::new().await;
    let own = tenant(&world.database, 10).await;
    let limits = world.limits(20, HOUR);
    let (one, two) = (world.caller(Some(own)).await, world.caller(Some(own)).await);
    assert_eq!(let_through(&limits, &one, 6).await + let_through(&limits, &two, 6).await, 10);
    let standings = limits.count(&one).await.unwrap();
    let told: Vec<_> = standings.iter().map(|it| (it.whose, it.remaining, it.has_room)).collect();
    assert_eq!(told, [(Whose::Token, 14, true), (Whose::Tenant, 0, false)]);
    // Nobody else's.
    let other = world.caller(Some(tenant(&world.database, 10).await)).await;
    assert_eq!(let_through(&limits, &other, 12).await, 10);
    assert!(has_room(&limits.count(&world.caller(None).await).await.unwrap()));
}

#[tokio::test]
async fn a_database_that_is_away_lets_nobody_through() {
    let world = World::new().await;
    let (limits, caller) = (world.limits(10, HOUR), world.caller(None).await);
    world.database.store.close().await;
    assert!(limits.count(&caller).await.is_err_and(|error| error.is_unavailable()));
}

/// A number in a field such as `"token";r=5;t=30, "tenant";r=2;t=30`.
fn number(reply: &Reply, field: &str, policy: &str, parameter: &str) -> i64 {
    let value = reply.headers.get(field).unwrap_or_else(|| panic!("{field}: {reply:?}")).to_str().unwrap();
    let item = value.split(", ").find_map(|item| item.strip_prefix(&format!("\"{policy}\""))).unwrap();
    let parameter = item.split(';').find_map(|it| it.strip_prefix(&format!("{parameter}=")));
    parameter.unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

/// What one caller of a tenant with a limit sent in one minute.
struct Burst {
    tenant: TenantId,
    token: TokenSecret,
    replies: Vec<Reply>,
}

/// Sends a GET of each path, `{}` in them being the caller's own tenant. Where a minute ended meanwhile,
/// another tenant begins anew.
async fn burst(app: &App, limit: i64, paths: &[&str]) -> Burst {
    loop {
        let tenant = tenant(&app.database, limit).await;
        let token = token(&app.database, Some(tenant)).await;
        let mut replies: Vec<Reply> = Vec::new();
        for path in paths {
            let path = path.replace("{}", &tenant.to_string());
            replies.push(app.send_as(token.expose(), Method::GET, &path, None).await);
        }
        let ends_in = |reply: &Reply| number(reply, "ratelimit", "token", "t");
        if replies.is_sorted_by(|before, after| ends_in(before) >= ends_in(after)) {
            return Burst { tenant, token, replies };
        }
    }
}

#[tokio::test]
async fn every_answer_tells_the_limits_and_the_one_too_many_is_told_which_and_how_long() {
    let limits = HttpLimits { requests_per_minute_per_token: 4, ..HttpLimits::default() };
    let app = App::limited(&Bao::new().await, limits).await;
    let own = "/v1/tenants/{}";
    let elsewhere = "/v1/tenants/ten_00000000000000000000000000000000";
    let Burst { replies, .. } =
        burst(&app, 1_000, &[own, own, own, own, own, elsewhere, "/v1/plans?limit=x"]).await;
    for (n, reply) in (1..).zip(&replies) {
        let status = if n <= 4 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.headers["ratelimit-policy"], r#""token";q=4;w=60, "tenant";q=1000;w=60"#);
        assert_eq!(number(reply, "ratelimit", "token", "r"), (4 - n).max(0));
        assert_eq!(number(reply, "ratelimit", "tenant", "r"), 1_000 - n.min(4));
    }
    let refused = &replies[4];
    assert_eq!(refused.problem().0, "rate_limited");
    assert!(
        refused.body["detail"].as_str().unwrap().contains("requests_per_minute_per_token"),
        "{refused:?}"
    );
    let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait >= number(refused, "ratelimit", "token", "t") && (1..=60).contains(&wait), "{refused:?}");
    // The same whatever is asked, so it says nothing of what is there.
    assert!(replies[5..].iter().all(|reply| reply.body["detail"] == refused.body["detail"]), "{replies:?}");
    // What comes without a token that is accepted is counted for nobody, and told nothing.
    let wrong = "ici_0000000000000000000000000000000000000000000000000";
    let wrong = app.send_as(wrong, Method::GET, "/v1/plans", None).await;
    assert_eq!((wrong.status, wrong.headers.get("ratelimit")), (StatusCode::UNAUTHORIZED, None));
}

#[tokio::test]
async fn a_tenants_limit_is_its_own_whatever_it_asks_for_and_a_raised_one_is_felt_at_once() {
    let app = App::new().await;
    let other = tenant(&app.database, 1).await;
    // Another tenant's address is not found, and costs who asked.
    let path = format!("/v1/tenants/{other}");
    let Burst { tenant: own, token: asking, replies } = burst(&app, 5, &[path.as_str(); 7]).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses, [404, 404, 404, 404, 404, 429, 429]);
    assert!(replies[6].body["detail"].as_str().unwrap().contains("api_requests_per_minute"), "{replies:?}");
    let others = token(&app.database, Some(other)).await;
    let bystander = app.send_as(others.expose(), Method::GET, &path, None).await;
    assert_eq!(bystander.status, StatusCode::OK, "{bystander:?}");

    limit_set(&app.database, own, 50).await;
    let more = app.send_as(asking.expose(), Method::GET, &format!("/v1/tenants/{own}"), None).await;
    assert_eq!((more.status, number(&more, "ratelimit-policy", "tenant", "q")), (StatusCode::OK, 50));

    // What is told of its use is of this minute: at most the five and that one; the platform asks here.
    let usage = app.get(&format!("/v1/tenants/{own}/quota/usage")).await;
    let told = &usage["dimensions"]["api_requests_per_minute"];
    let used = told["used"].as_i64().unwrap();
    assert!((0..=6).contains(&used), "{told}");
    assert_eq!((&told["limit"], &told["remaining"]), (&json!(50), &json!(50 - used)));
}
