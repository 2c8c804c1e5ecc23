//! Limits that move, and what of them is used, as a real cluster holds to them.

use std::time::{Duration, Instant};

use integraci_server::isolation::kubernetes::Kubernetes;
use integraci_server::isolation::{ErrorClass, Isolation as _, Limits, Usage, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use super::access::pod;
use super::drift::drift;
use super::{Cluster, wanted};

/// A pod that asks for what is given.
fn asking(name: &str, requests: &Value, limits: &Value) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({ "requests": requests, "limits": limits });
    pod
}

fn claim(name: &str, storage: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": storage } } },
    })
}

impl Cluster {
    async fn makes(&self, tenant: &Wanted, what: &str, object: Value) -> u16 {
        let path = format!("/api/v1/namespaces/{}/{what}", tenant.names.kubernetes_namespace);
        let (status, answer) = self.admin(Method::POST, &path, object).await;
        assert!(matches!(status, 201 | 403), "{status} {answer}");
        status
    }

    async fn deletes(&self, tenant: &Wanted, what: &str) {
        let path = format!("/api/v1/namespaces/{}/{what}", tenant.names.kubernetes_namespace);
        let now = json!({ "gracePeriodSeconds": 0 });
        assert_eq!(self.admin(Method::DELETE, &path, now).await.0, 200);
    }
}

/// Gives a tenant other limits, which then hold.
async fn limited(system: &Kubernetes, tenant: &Wanted, limits: Limits) -> Wanted {
    let tenant = Wanted { limits, ..tenant.clone() };
    assert_ne!(drift(system, &tenant).await, Vec::<&str>::new());
    system.ensure(&tenant).await.unwrap();
    assert_eq!(drift(system, &tenant).await, Vec::<&str>::new());
    tenant
}

async fn is_used(system: &Kubernetes, tenant: &Wanted, used: [i64; 4]) {
    let expected = Usage::from_iter(["pods", "cpu", "memory", "storage"].into_iter().zip(used));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = system.usage(tenant).await.unwrap();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SMALL: Limits =
    Limits { pods: 2, cpu_millis: 300, memory_bytes: 64 << 20, storage_bytes: 1 << 30, ..Limits::SHIPPED };

#[tokio::test]
async fn each_limit_holds_moves_and_holds_again_and_its_use_is_told() {
    let (cluster, tenant) = (Cluster::new(), wanted("limits"));
    let system = cluster.system();
    assert_eq!(system.usage(&tenant).await.unwrap_err().class, ErrorClass::Gone);
    system.ensure(&tenant).await.unwrap();
    let tenant = limited(&system, &tenant, SMALL).await;
    is_used(&system, &tenant, [0; 4]).await;

    // A pod that asks for nothing has its share.
    assert_eq!(cluster.makes(&tenant, "pods", pod("one")).await, 201);
    is_used(&system, &tenant, [1, 150, 32 << 20, 0]).await;
    assert_eq!(cluster.makes(&tenant, "pods", pod("two")).await, 201);
    assert_eq!(cluster.makes(&tenant, "pods", pod("three")).await, 403);
    assert_eq!(cluster.makes(&tenant, "persistentvolumeclaims", claim("one", "1Gi")).await, 201);
    assert_eq!(cluster.makes(&tenant, "persistentvolumeclaims", claim("two", "1Mi")).await, 403);
    is_used(&system, &tenant, [2, 300, 64 << 20, 1 << 30]).await;

    // Another pod fits, and not what it asks for; then that fits, too.
    let tenant = limited(&system, &tenant, Limits { pods: 3, ..SMALL }).await;
    let third =
        asking("three", &json!({ "cpu": "0.1", "memory": "5M" }), &json!({ "cpu": "250m", "memory": "8Mi" }));
    assert_eq!(cluster.makes(&tenant, "pods", third.clone()).await, 403);
    let tenant = limited(&system, &tenant, Limits { cpu_millis: 550, ..tenant.limits }).await;
    assert_eq!(cluster.makes(&tenant, "pods", third.clone()).await, 403);
    let tenant = limited(&system, &tenant, Limits { memory_bytes: 72 << 20, ..tenant.limits }).await;
    assert_eq!(cluster.makes(&tenant, "pods", third).await, 201);
    let tenant = limited(&system, &tenant, Limits { storage_bytes: 1025 << 20, ..tenant.limits }).await;
    assert_eq!(cluster.makes(&tenant, "persistentvolumeclaims", claim("two", "1Mi")).await, 201);
    is_used(&system, &tenant, [3, 550, 72 << 20, 1025 << 20]).await;

    // Below what is used: what is there stays, and nothing more comes until there is room.
    let tenant = limited(&system, &tenant, SMALL).await;
    is_used(&system, &tenant, [3, 550, 72 << 20, 1025 << 20]).await;
    cluster.deletes(&tenant, "pods/three").await;
    is_used(&system, &tenant, [2, 300, 64 << 20, 1025 << 20]).await;
    assert_eq!(cluster.makes(&tenant, "pods", pod("four")).await, 403);
    cluster.deletes(&tenant, "pods/one").await;
    is_used(&system, &tenant, [1, 150, 32 << 20, 1025 << 20]).await;
    assert_eq!(cluster.makes(&tenant, "pods", pod("four")).await, 201);
    system.ensure_none(&tenant).await.unwrap_err();
}

#[tokio::test]
async fn limits_at_the_edges_are_taken_and_a_share_fits() {
    let (cluster, tenant) = (Cluster::new(), wanted("edges"));
    let system = cluster.system();
    system.ensure(&tenant).await.unwrap();
    const MOST: u64 = (1 << 53) - 1;
    let most = Limits { pods: 1_000_000, cpu_millis: MOST, memory_bytes: MOST, storage_bytes: MOST, ..SMALL };
    let none = Limits { pods: 0, cpu_millis: 0, memory_bytes: 0, storage_bytes: 0, ..SMALL };
    // Whether the first pod is admitted that asks for nothing, and the first claim.
    let mut claimed = 0;
    for (limits, pods, claims) in [
        (most, 201, 201),
        (none, 403, 403),
        (Limits { pods: 0, ..SMALL }, 403, 201),
        (Limits { cpu_millis: 0, ..SMALL }, 403, 201),
        (Limits { memory_bytes: 0, ..SMALL }, 403, 201),
        (Limits { storage_bytes: 0, ..SMALL }, 201, 403),
        // Less than one of each for a pod.
        (Limits { pods: 50, cpu_millis: 1, ..SMALL }, 201, 201),
        (Limits { pods: 50, memory_bytes: 1, ..SMALL }, 201, 201),
        (Limits { pods: 50, memory_bytes: (1 << 20) - 1, ..SMALL }, 201, 201),
        (Limits { pods: 50, memory_bytes: 3 << 19, ..SMALL }, 201, 201),
        (Limits { pods: 3, cpu_millis: 1000, memory_bytes: 1000, ..SMALL }, 201, 201),
    ] {
        let tenant = limited(&system, &tenant, limits).await;
        let made = cluster.makes(&tenant, "pods", pod("one")).await;
        assert_eq!(made, pods, "{limits:?}");
        if made == 201 {
            cluster.deletes(&tenant, "pods/one").await;
        }
        // A claim stays: this cluster has nobody who would let one go.
        let name = format!("claim-{claimed}");
        let made = cluster.makes(&tenant, "persistentvolumeclaims", claim(&name, "1Mi")).await;
        assert_eq!(made, claims, "{limits:?}");
        claimed += i64::from(made == 201);
        is_used(&system, &tenant, [0, 0, 0, claimed << 20]).await;
    }
    system.ensure_none(&tenant).await.unwrap_err();
}

/// To a node a limit of 0 is none.
#[tokio::test]
async fn a_pod_that_asks_for_nothing_at_all_in_so_many_words_is_refused() {
    let (cluster, tenant) = (Cluster::new(), wanted("zero"));
    let system = cluster.system();
    system.ensure(&tenant).await.unwrap();
    for nothing in [json!({ "cpu": "0" }), json!({ "memory": "0" }), json!({ "cpu": "0", "memory": "0" })] {
        let boundless = asking("boundless", &nothing, &nothing);
        assert_eq!(cluster.makes(&tenant, "pods", boundless).await, 403, "{nothing}");
    }
    is_used(&system, &tenant, [0; 4]).await;
    system.ensure_none(&tenant).await.unwrap_err();
}
