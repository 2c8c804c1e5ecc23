//! Quotas through the API: what is counted, what is refused, and what a change of limits or plan moves.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integraci_api::TenantId;
use integraci_api::operations::OperationState;
use integraci_server::plans::{Plan, Plans};
use integraci_server::quotas::apply_plans;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::openbao_world::Bao;

/// A connector that nobody is asked about, with one secret value or two.
fn gitlab(name: &str, values: usize) -> Value {
    json!({"name": name, "kind": "gitlab", "config": {}, "verify": "off", "secrets": secrets(values)})
}

fn secrets(values: usize) -> Value {
    match values {
        1 => json!({"token": "of-tests-0123456789"}),
        _ => json!({"token": "of-tests-0123456789", "webhook_secret": "of-tests-0123456789"}),
    }
}

struct World {
    bao: Bao,
    app: App,
    tenant: TenantId,
}

impl World {
    async fn new() -> Self {
        let bao = Bao::new().await;
        let app = App::with(&bao, Vec::new()).await;
        let tenant = app.tenant().await;
        Self { bao, app, tenant }
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/tenants/{}{below}", self.tenant)
    }

    async fn limit(&self, limits: Value) -> Reply {
        self.app.send(Method::PUT, &self.path("/quota"), Some(json!({ "limits": limits }))).await
    }

    async fn plan(&self, name: &str) -> Reply {
        self.app.send(Method::PATCH, &self.path(""), Some(json!({ "plan": name }))).await
    }

    /// What is used and reserved of a dimension.
    async fn held(&self, dimension: &str) -> (i64, i64) {
        let quota = self.app.get(&self.path("/quota")).await;
        let amount = |of: &str| quota[of][dimension].as_i64().unwrap();
        (amount("used"), amount("reserved"))
    }

    /// Makes, changes or removes a connector, and tells how that ended.
    async fn done(&self, method: Method, below: &str, body: Option<Value>) -> OperationState {
        let path = self.path(&format!("/connectors{below}"));
        self.app.settled(&self.app.send(method, &path, body).await).await.state
    }

    async fn connector(&self, body: Value) -> String {
        let asked = self.app.send(Method::POST, &self.path("/connectors"), Some(body)).await;
        let made = self.app.settled(&asked).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
        format!("/{}", made.target_id)
    }

    /// Requests a second that OpenBao itself lets the tenant make, once nothing is under way any more.
    async fn rate_in_openbao(&self, expected: i64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let tenant = self.app.get(&self.path("")).await;
            let namespace = tenant["names"]["openbao_namespace"].as_str().unwrap();
            let quota = self.bao.path(namespace).replace('/', ".");
            let quota = format!("sys/quotas/rate-limit/integraci.{quota}");
            let (_, body) = self.bao.at_root(Method::GET, &quota, Value::Null).await;
            if tenant["operation_id"].is_null()
                && body["data"]["rate"].as_f64().map(|rate| rate.to_string()) == Some(expected.to_string())
            {
                return;
            }
            assert!(Instant::now() < deadline, "never {expected}: {body}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn secret_values_in_force_are_counted_through_a_connectors_life() {
    let world = World::new().await;
    let id = world.connector(gitlab("two", 2)).await;
    assert_eq!((world.held("connectors").await, world.held("secrets").await), ((1, 0), (2, 0)));
    let change = |values| Some(json!({ "secrets": secrets(values) }));
    assert_eq!(world.done(Method::PATCH, &id, change(1)).await, OperationState::Succeeded);
    assert_eq!(world.held("secrets").await, (1, 0), "one was given back");
    assert_eq!(
        world.done(Method::PATCH, &id, Some(json!({"name": "other"}))).await,
        OperationState::Succeeded
    );
    assert_eq!(world.held("secrets").await, (1, 0), "a name holds none");

    assert_eq!(world.limit(json!({"secrets": 1})).await.status, StatusCode::OK);
    let more = world.app.send(Method::PATCH, &world.path(&format!("/connectors{id}")), change(2)).await;
    assert_eq!(more.problem().0, "quota_exceeded", "{more:?}");
    let made = world.app.send(Method::POST, &world.path("/connectors"), Some(gitlab("three", 2))).await;
    let detail = made.body["detail"].as_str().unwrap();
    assert!(detail.contains("may have 1 secrets and 1 are in use, where 2 more are wanted"), "{detail}");
    assert_eq!((world.held("connectors").await, world.held("secrets").await), ((1, 0), (1, 0)));
    let rotation = Some(json!({"secrets": secrets(1), "overlap_s": 60}));
    assert_eq!(
        world.done(Method::POST, &format!("{id}/rotations"), rotation).await,
        OperationState::Succeeded
    );
    assert_eq!(world.held("secrets").await, (1, 0), "the one that is kept does not count");

    assert_eq!(world.limit(json!({"secrets": 3})).await.status, StatusCode::OK);
    let hook = world.connector(world.app.hook("hook")).await;
    let wrong = Some(json!({"secrets": {"hmac_key": "not-the-key-0123456789"}}));
    assert_eq!(world.done(Method::PATCH, &hook, wrong).await, OperationState::Failed);
    let mut refused = world.app.hook("refused");
    refused["secrets"]["hmac_key"] = json!("not-the-key-0123456789");
    assert_eq!(world.done(Method::POST, "", Some(refused)).await, OperationState::Failed);
    assert_eq!((world.held("connectors").await, world.held("secrets").await), ((2, 0), (2, 0)));
    for id in [id, hook] {
        assert_eq!(world.done(Method::DELETE, &id, None).await, OperationState::Succeeded);
    }
    assert_eq!((world.held("connectors").await, world.held("secrets").await), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn of_fifty_tokens_at_once_as_many_are_made_as_there_is_room_for() {
    let world = World::new().await;
    assert_eq!(world.limit(json!({"api_tokens": 3})).await.status, StatusCode::OK);
    let token = |n: usize| {
        let wanted = json!({"name": format!("t{n}"), "tenant_id": world.tenant, "scopes": ["tenants:read"]});
        world.app.send(Method::POST, "/v1/tokens", Some(wanted))
    };
    let replies = join_all((0..50).map(token)).await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|it| it.status == StatusCode::CREATED);
    assert_eq!((made.len(), refused.len()), (3, 47));
    assert!(refused.iter().all(|it| it.problem().0 == "quota_exceeded"));
    assert_eq!(world.held("api_tokens").await, (3, 0));
    let below = world.limit(json!({"api_tokens": 2})).await;
    assert_eq!(below.problem(), ("quota_below_use", vec!["/limits/api_tokens"]));

    let revoked = format!("/v1/tokens/{}", made[0].body["token"]["id"].as_str().unwrap());
    assert_eq!(world.app.send(Method::DELETE, &revoked, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(token(50).await.status, StatusCode::CREATED, "one that is revoked makes room");
    sqlx::query("UPDATE api_token SET expires_at = now() WHERE tenant_id = $1")
        .bind(world.tenant.uuid())
        .execute(&world.app.database.superuser)
        .await
        .unwrap();
    assert_eq!(world.held("api_tokens").await, (0, 0), "one that has expired too");
    assert_eq!(token(51).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn limits_that_cannot_hold_are_refused_at_their_places() {
    let world = World::new().await;
    for (limits, pointers) in [
        (json!({"connectors": -1, "unicorns": 1}), vec!["/limits/connectors", "/limits/unicorns"]),
        (json!({"connectors": 9_007_199_254_740_993_i64}), vec!["/limits/connectors"]),
        (json!({"connectors": 1.5}), vec!["/limits/connectors"]),
        (json!({"memory": "2Gi"}), vec!["/limits/memory"]),
        (json!({"openbao_requests_per_second": 0}), vec!["/limits/openbao_requests_per_second"]),
        (json!({"nats_payload_bytes": 1}), vec!["/limits/nats_payload_bytes"]),
    ] {
        assert_eq!(world.limit(limits.clone()).await.problem(), ("invalid_request", pointers), "{limits}");
    }
    assert_eq!(world.limit(json!({"connectors": 0})).await.status, StatusCode::OK, "none is a limit");
    let one = world.app.send(Method::POST, &world.path("/connectors"), Some(gitlab("one", 1))).await;
    assert_eq!(one.problem().0, "quota_exceeded");
}

#[tokio::test]
async fn a_downgrade_is_refused_with_all_that_is_over_and_moves_the_systems_when_it_is_not() {
    let world = World::new().await;
    assert_eq!(world.plan("team").await.status, StatusCode::OK);
    world.rate_in_openbao(100).await;
    let ids =
        [1, 2, 2, 1].iter().enumerate().map(|(n, values)| world.connector(gitlab(&format!("c{n}"), *values)));
    let ids = join_all(ids).await;
    let own = json!({"secrets": 6, "api_tokens": 6, "openbao_requests_per_second": 70});
    assert!(world.limit(own).await.body["operation_id"].is_string(), "OpenBao is to be brought to it");
    world.rate_in_openbao(70).await;
    for n in 0..6 {
        let wanted = json!({"name": format!("t{n}"), "tenant_id": world.tenant, "scopes": ["tenants:read"]});
        assert_eq!(
            world.app.send(Method::POST, "/v1/tokens", Some(wanted)).await.status,
            StatusCode::CREATED
        );
    }
    assert_eq!(
        world.app.send(Method::DELETE, &world.path("/quota"), None).await.status,
        StatusCode::NO_CONTENT
    );
    world.rate_in_openbao(100).await;

    let refused = world.plan("free").await;
    assert_eq!(refused.problem(), ("quota_below_use", vec!["/plan", "/plan"]), "{refused:?}");
    let details = refused.body["errors"].to_string();
    for words in ["allows 3 connectors and 4 are in use", "allows 5 api_tokens and 6 are in use"] {
        assert!(details.contains(words), "{details}");
    }
    assert_eq!(world.app.get(&world.path("")).await["plan"], "team");
    assert_eq!(
        world.app.get(&world.path("/quota")).await["effective"]["connectors"],
        20,
        "nothing has changed"
    );

    assert_eq!(world.limit(json!({"api_tokens": 6})).await.status, StatusCode::OK);
    assert_eq!(world.done(Method::DELETE, &ids[0], None).await, OperationState::Succeeded);
    let moved = world.plan("free").await;
    assert_eq!((moved.status, &moved.body["plan"]), (StatusCode::OK, &json!("free")), "{moved:?}");
    assert!(moved.body["operation_id"].is_string(), "{moved:?}");
    world.rate_in_openbao(20).await;
    let quota = world.app.get(&world.path("/quota")).await;
    assert_eq!(
        (&quota["effective"]["connectors"], &quota["effective"]["api_tokens"]),
        (&json!(3), &json!(6))
    );
    assert!(world.plan("free").await.body["operation_id"].is_null(), "the same plan again moves nothing");
}

#[tokio::test]
async fn usage_is_told_of_every_dimension_and_what_is_not_known_says_why() {
    let world = World::new().await;
    world.connector(gitlab("one", 2)).await;
    let usage = world.app.get(&world.path("/quota/usage")).await;
    let dimensions = usage["dimensions"].as_object().unwrap();
    assert_eq!(dimensions.len(), integraci_api::quotas::DIMENSIONS.len());
    assert_eq!(
        dimensions["secrets"],
        json!({"limit": 30, "used": 2, "reserved": 0, "remaining": 28, "unit": "ones", "enforced_by": "server"})
    );
    for (name, reason) in [("pods", "no place in Kubernetes"), ("openbao_requests_per_second", "each second")]
    {
        let unknown = &dimensions[name];
        assert!(unknown["used"].is_null() && unknown["remaining"].is_null(), "{unknown}");
        assert!(unknown["unknown"].as_str().unwrap().contains(reason), "{unknown}");
    }
}

#[tokio::test]
async fn plans_of_a_configuration_that_changed_reach_tenants_and_systems() {
    let world = World::new().await;
    world.connector(gitlab("one", 1)).await;
    world.rate_in_openbao(20).await;
    let changed = |name: &str| {
        let mut plan = Plan { name: name.to_owned(), ..Plans::shipped().get("free").unwrap().clone() };
        plan.limits.insert("connectors".to_owned(), 0);
        plan.limits.insert("openbao_requests_per_second".to_owned(), 33);
        Plans::new(vec![plan]).unwrap()
    };
    let store = &world.app.database.store;
    // Without the tenant's plan: it keeps what it has.
    apply_plans(store, &changed("gold")).await.unwrap();
    assert_eq!(world.app.get(&world.path("/quota")).await["effective"]["connectors"], 3);
    apply_plans(store, &changed("free")).await.unwrap();
    world.rate_in_openbao(33).await;
    assert_eq!(world.app.get(&world.path("/quota")).await["effective"]["connectors"], 0);
    let more = world.app.send(Method::POST, &world.path("/connectors"), Some(gitlab("two", 1))).await;
    assert!(
        more.body["detail"].as_str().unwrap().contains("may have 0 connectors and 1 are in use"),
        "{more:?}"
    );
}
