//! What is changed by hand in a tenant's place is told and mended.

use std::time::{Duration, Instant};

use integraci_server::isolation::openbao::OpenBao;
use integraci_server::isolation::{Drift, ErrorClass, Facts, Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};

/// A change by an administrator, and what is told of it.
struct Change {
    method: Method,
    path: &'static str,
    body: Value,
    told: &'static str,
}

fn changes() -> Vec<Change> {
    let change = |method, path, body, told| Change { method, path, body, told };
    let widened = || json!({ "policy": "path \"*\" { capabilities = [\"read\", \"sudo\"] }" });
    let (policy, role) = (
        "the policy `tenant` is not there or says something else",
        "the AppRole role `tenant` is not there or gives something else",
    );
    vec![
        change(Method::PUT, "sys/policies/acl/tenant", widened(), policy),
        change(Method::DELETE, "sys/policies/acl/tenant", Value::Null, policy),
        change(
            Method::PUT,
            "sys/policies/acl/more/of-it",
            widened(),
            "there are other policies than `tenant`",
        ),
        change(
            Method::POST,
            "secret/config",
            json!({ "cas_required": false }),
            "the store is configured otherwise: check-and-set or the number of versions",
        ),
        change(
            Method::DELETE,
            "sys/mounts/secret",
            Value::Null,
            "the key-value store at `secret/` is not there",
        ),
        change(
            Method::POST,
            "auth/approle/role/tenant",
            json!({ "token_policies": ["tenant", "default"] }),
            role,
        ),
        change(Method::POST, "auth/approle/role/tenant", json!({ "token_period": "720h" }), role),
        change(Method::DELETE, "auth/approle/role/tenant", Value::Null, role),
        change(
            Method::POST,
            "auth/approle/role/tenant/role-id",
            json!({ "role_id": "another" }),
            "it cannot be logged in to, and the tenant is not suspended",
        ),
        change(
            Method::POST,
            "auth/approle/role/second",
            json!({ "token_policies": ["tenant"] }),
            "there are other AppRole roles than `tenant`",
        ),
        change(Method::DELETE, "sys/auth/approle", Value::Null, "the AppRole login is not there"),
        change(
            Method::POST,
            "sys/auth/people",
            json!({ "type": "userpass" }),
            "there are other auth methods than AppRole",
        ),
    ]
}

#[tokio::test]
async fn every_change_is_told_and_mended() {
    let bao = Bao::new().await;
    let (system, mut wanted) = (bao.system(), wanted(&tenant("drift")));
    // So many calls in a moment are not what is looked at here.
    wanted.limits.openbao_requests_per_second = 10_000;
    let name = &wanted.names.openbao_namespace;
    assert_eq!(system.drift(&wanted).await.unwrap(), [Drift("the namespace is not there")]);
    system.ensure(&wanted).await.unwrap();
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    for Change { method, path, body, told } in changes() {
        let (status, answer) = bao.root(method.clone(), name, path, body).await;
        assert!(status < 300, "{method} {path}: {answer}");
        let drift: Vec<_> = system.drift(&wanted).await.unwrap().into_iter().map(|drift| drift.0).collect();
        assert_eq!(drift, [told], "{method} {path}");
        system.ensure(&wanted).await.unwrap();
        assert_eq!(system.drift(&wanted).await.unwrap(), [], "{method} {path}");
    }
    removed(&system, &wanted.names).await;
}

#[tokio::test]
async fn another_rate_limit_is_told_and_mended() {
    let bao = Bao::new().await;
    let (system, mut wanted) = (bao.system(), wanted(&tenant("limit")));
    system.ensure(&wanted).await.unwrap();
    let quota = format!("sys/quotas/rate-limit/integraci.{}", bao.path("tenant-limit").replace('/', "."));
    let rate = async || bao.at_root(Method::GET, &quota, Value::Null).await.1["data"]["rate"].as_f64();
    assert_eq!(rate().await, Some(100.0));

    wanted.limits.openbao_requests_per_second = 7;
    let told = [Drift("the rate limit is not there or is another")];
    assert_eq!(system.drift(&wanted).await.unwrap(), told);
    system.ensure(&wanted).await.unwrap();
    assert_eq!(rate().await, Some(7.0));
    bao.at_root(Method::DELETE, &quota, Value::Null).await;
    assert_eq!(system.drift(&wanted).await.unwrap(), told);
    system.ensure(&wanted).await.unwrap();

    removed(&system, &wanted.names).await;
    assert_eq!(bao.at_root(Method::GET, &quota, Value::Null).await.0, 404);
}

#[tokio::test]
async fn what_takes_the_stores_place_is_told_and_left_alone_and_the_rest_is_mended() {
    let bao = Bao::new().await;
    let (system, mut wanted) = (bao.system(), wanted(&tenant("taken")));
    let name = wanted.names.openbao_namespace.clone();
    system.ensure(&wanted).await.unwrap();
    bao.root(Method::DELETE, &name, "sys/mounts/secret", Value::Null).await;
    bao.root(Method::POST, &name, "sys/mounts/secret", json!({ "type": "transit" })).await;

    wanted.suspended = true;
    let refused = system.ensure(&wanted).await.unwrap_err();
    assert_eq!(refused.operation, "kv_mount");
    let told = [Drift("something else than a version 2 key-value store is mounted at `secret/`")];
    assert_eq!(system.drift(&wanted).await.unwrap(), told);
    removed(&system, &wanted.names).await;
}

/// Repeats while another is at it, as a saga does. A namespace that is half made may fail in any way.
async fn made(system: &OpenBao, wanted: &Wanted) -> Facts {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match system.ensure(wanted).await {
            Ok(facts) => return facts,
            Err(failed) => assert_ne!(failed.class, ErrorClass::Refused, "{failed}"),
        }
        assert!(Instant::now() < deadline, "never made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn of_two_that_make_or_mend_a_place_at_once_both_succeed() {
    let bao = Bao::new().await;
    let (system, wanted) = (bao.system(), wanted(&tenant("twice")));
    for change in ["", "sys/mounts/secret", "sys/auth/approle"] {
        bao.root(Method::DELETE, &wanted.names.openbao_namespace, change, Value::Null).await;
        let (one, other) = tokio::join!(made(&system, &wanted), made(&system, &wanted));
        assert_eq!(one, other);
        system.ensure(&wanted).await.unwrap();
        assert_eq!(system.drift(&wanted).await.unwrap(), []);
    }
    removed(&system, &wanted.names).await;
}

#[tokio::test]
async fn a_tenant_that_is_over_its_limit_is_slowed_down_and_the_platform_gets_its_work_done() {
    let bao = Bao::new().await;
    let (system, mut wanted) = (bao.system(), wanted(&tenant("flood")));
    wanted.limits.openbao_requests_per_second = 10;
    system.ensure(&wanted).await.unwrap();
    let name = &wanted.names.openbao_namespace;
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(bao.call("", Method::GET, name, "auth/token/lookup-self", Value::Null).await.0);
    }
    assert!(answers.contains(&429), "{answers:?}");
    // From the same address, so under the same limit.
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    removed(&system, &wanted.names).await;
}
