//! The promise of a hard limit, whoever does what and dies meanwhile: many workers make, change and remove
//! connectors and move the limits, replicas are lost in the middle of it, and after every deed what is used and
//! reserved is what the rows hold, and no more than the limit.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integraci_api::TenantId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::app::App;
use crate::openbao_world::Bao;

const WORKERS: u64 = 6;
const DEEDS: usize = 25;
/// Longer than a request holds its operation, and a lease lasts.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// What the rows of a tenant hold of its quota, beside what the quota says: all in one look.
const OFF: &str = "
    SELECT q.dimension || ' ' || used || '+' || reserved || ' of ' || coalesce(own_max, plan_max) || ', the rows hold ' || h
    FROM quota q JOIN LATERAL (
      SELECT CASE q.dimension WHEN 'connectors'
        THEN count(*) FILTER (WHERE status <> 'installing') || '+' || count(*) FILTER (WHERE status = 'installing')
        ELSE coalesce(sum(secrets), 0) || '+' || coalesce(sum(secrets_reserved), 0) END AS h
      FROM connector c WHERE c.tenant_id = q.tenant_id) rows ON true
    WHERE q.tenant_id = $1 AND q.dimension IN ('connectors', 'secrets')
      AND (used || '+' || reserved <> h OR used + reserved > coalesce(own_max, plan_max))";

struct Scene {
    app: App,
    bao: Bao,
    tenant: TenantId,
}

impl Scene {
    fn path(&self, below: &str) -> String {
        format!("/v1/tenants/{}{below}", self.tenant)
    }

    async fn nothing_is_off(&self, after: &str) {
        let off: Vec<String> = sqlx::query_scalar(OFF)
            .bind(self.tenant.uuid())
            .fetch_all(&self.app.database.superuser)
            .await
            .unwrap();
        assert!(off.is_empty(), "after {after}: {off:?}");
    }

    /// Does one thing, and waits now and then for its end.
    async fn deed(&self, rng: &mut StdRng, name: &str) {
        let values = |n: u8| match n {
            1 => json!({"token": "of-tests-0123456789"}),
            _ => json!({"token": "of-tests-0123456789", "webhook_secret": "of-tests-0123456789"}),
        };
        let connectors = self.path("/connectors");
        let there = self.app.get(&connectors).await["items"].as_array().unwrap().clone();
        let one = (!there.is_empty()).then(|| &there[rng.random_range(0..there.len())]);
        let at = one.map(|one| format!("{connectors}/{}", one["id"].as_str().unwrap()));
        let (method, path, body) = match (rng.random_range(0..10_u8), at) {
            (0..=3, _) | (_, None) => {
                let made = json!({"name": name, "kind": "gitlab", "config": {}, "verify": "off",
                    "secrets": values(rng.random_range(1..=2))});
                (Method::POST, connectors, Some(made))
            }
            (4, _) => {
                let mut refused = self.app.hook(name);
                refused["secrets"]["hmac_key"] = json!("not-the-key-0123456789");
                (Method::POST, connectors, Some(refused))
            }
            (5..=6, Some(at)) => {
                (Method::PATCH, at, Some(json!({"secrets": values(rng.random_range(1..=2))})))
            }
            (7, Some(_)) => {
                let limits = json!({"connectors": rng.random_range(2..7), "secrets": rng.random_range(2..9)});
                (Method::PUT, self.path("/quota"), Some(json!({ "limits": limits })))
            }
            (_, Some(at)) => (Method::DELETE, at, None),
        };
        let what = format!("{method} {path} {body:?}");
        let reply = self.app.send(method, &path, body).await;
        self.nothing_is_off(&what).await;
        match reply.status {
            StatusCode::OK | StatusCode::ACCEPTED => {}
            StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED => {}
            StatusCode::UNPROCESSABLE_ENTITY => {}
            _ => panic!("{what}: {reply:?}"),
        }
        if reply.status == StatusCode::ACCEPTED && rng.random_bool(0.5) {
            self.app.settled(&reply).await;
            self.nothing_is_off(&what).await;
        }
    }

    /// Waits until no operation is under way.
    async fn quiet(&self) {
        let deadline = Instant::now() + QUIET_WITHIN;
        loop {
            let busy: i64 =
                sqlx::query_scalar("SELECT count(*) FROM operation WHERE state IN ('running', 'undoing')")
                    .fetch_one(&self.app.database.superuser)
                    .await
                    .unwrap();
            if busy == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{busy} operations do not end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many secret values the tenant's connectors have in OpenBao itself.
    async fn values_in_openbao(&self, connectors: &[Value]) -> usize {
        let tenant = self.app.get(&self.path("")).await;
        let namespace = tenant["names"]["openbao_namespace"].as_str().unwrap().to_owned();
        let mut values = 0;
        for connector in connectors {
            let (id, version) = (connector["id"].as_str().unwrap(), &connector["secret_version"]);
            let path = format!("secret/data/connectors/{id}?version={version}");
            let (_, body) = self.bao.root(Method::GET, &namespace, &path, Value::Null).await;
            values += body["data"]["data"].as_object().unwrap().len();
        }
        values
    }
}

/// One more replica, which takes up what the first has begun, and can be lost at any moment: its runtime is
/// shut down under it.
fn replica(scene: &Scene) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (database, bao) = (scene.app.database.clone(), scene.bao.clone());
    runtime.spawn(async move {
        let (_address, stop) = App::replica(&database, &bao, Vec::new()).await;
        stop.cancelled().await;
    });
    runtime
}

#[tokio::test]
async fn whoever_does_what_and_dies_no_limit_is_passed_and_nothing_is_lost() {
    let bao = Bao::new().await;
    let app = App::with(&bao, Vec::new()).await;
    let tenant = app.tenant().await;
    let scene = Scene { app, bao, tenant };
    let limits = json!({"limits": {"connectors": 4, "secrets": 6}});
    assert_eq!(scene.app.send(Method::PUT, &scene.path("/quota"), Some(limits)).await.status, StatusCode::OK);

    let workers = join_all((0..WORKERS).map(|worker| {
        let scene = &scene;
        async move {
            let mut rng = StdRng::seed_from_u64(worker);
            for n in 0..DEEDS {
                scene.deed(&mut rng, &format!("of-{worker}-{n}")).await;
            }
        }
    }));
    let lost = async {
        for _ in 0..3 {
            let replica = replica(&scene);
            tokio::time::sleep(Duration::from_secs(3)).await;
            replica.shutdown_background();
        }
    };
    tokio::join!(workers, lost);
    scene.quiet().await;

    scene.nothing_is_off("everything").await;
    let quota = scene.app.get(&scene.path("/quota")).await;
    let connectors = scene.app.get(&scene.path("/connectors")).await["items"].as_array().unwrap().clone();
    assert_eq!(quota["used"]["connectors"], connectors.len(), "{quota}");
    assert_eq!(quota["used"]["secrets"], scene.values_in_openbao(&connectors).await, "{quota}");
    assert_eq!((&quota["reserved"]["connectors"], &quota["reserved"]["secrets"]), (&json!(0), &json!(0)));
    for connector in &connectors {
        let path = scene.path(&format!("/connectors/{}", connector["id"].as_str().unwrap()));
        scene.app.settled(&scene.app.send(Method::DELETE, &path, None).await).await;
    }
    let quota = scene.app.get(&scene.path("/quota")).await;
    assert_eq!((&quota["used"]["connectors"], &quota["used"]["secrets"]), (&json!(0), &json!(0)));
}
