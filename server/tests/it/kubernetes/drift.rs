//! What the platform sees that differs, and what it leaves to others.

use integraci_server::isolation::kubernetes::Kubernetes;
use integraci_server::isolation::{Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Cluster, POLICIES, RBAC, wanted};

/// What the platform sees that differs.
pub(super) async fn drift(system: &Kubernetes, tenant: &Wanted) -> Vec<&'static str> {
    system.drift(tenant).await.unwrap().into_iter().map(|drift| drift.0).collect()
}

#[tokio::test]
async fn drift_is_seen_and_mended() {
    let (cluster, tenant) = (Cluster::new(), wanted("seen"));
    let system = cluster.system();
    let name = &tenant.names.kubernetes_namespace;
    assert_eq!(drift(&system, &tenant).await, ["the namespace is missing"]);
    system.ensure(&tenant).await.unwrap();
    assert_eq!(drift(&system, &tenant).await, Vec::<&str>::new());

    let core = format!("/api/v1/namespaces/{name}");
    let policies = format!("/{POLICIES}/namespaces/{name}/networkpolicies");
    let rbac = format!("/{RBAC}/namespaces/{name}");
    let privileged = json!({ "pod-security.kubernetes.io/enforce": "privileged" });
    let every = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    for (method, path, body, words) in [
        (
            Method::PATCH,
            core.clone(),
            json!({ "metadata": { "labels": privileged } }),
            "the Pod Security labels of the namespace were changed",
        ),
        (
            Method::PATCH,
            format!("{core}/resourcequotas/tenant"),
            json!({ "spec": { "hard": { "pods": "1k" } } }),
            "the ResourceQuota was changed",
        ),
        (Method::DELETE, format!("{core}/limitranges/tenant"), Value::Null, "the LimitRange is missing"),
        (
            Method::DELETE,
            format!("{core}/serviceaccounts/tenant"),
            Value::Null,
            "a ServiceAccount is missing",
        ),
        (
            Method::PATCH,
            format!("{policies}/default-deny"),
            json!({ "spec": { "egress": [{}] } }),
            "a NetworkPolicy was changed",
        ),
        (Method::DELETE, format!("{policies}/default-deny"), Value::Null, "a NetworkPolicy is missing"),
        (
            Method::PATCH,
            format!("{rbac}/roles/tenant"),
            json!({ "rules": every }),
            "the tenant's Role was changed",
        ),
        (
            Method::PATCH,
            format!("{rbac}/rolebindings/tenant"),
            json!({ "subjects": [] }),
            "the tenant's RoleBinding was changed",
        ),
    ] {
        let (status, answer) = cluster.admin(method, &path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(drift(&system, &tenant).await, [words]);
        system.ensure(&tenant).await.unwrap();
        assert_eq!(drift(&system, &tenant).await, Vec::<&str>::new(), "after {words}");
    }
    system.ensure_none(&tenant).await.unwrap_err();
    assert_eq!(drift(&system, &tenant).await, ["the namespace is being deleted"]);
}

#[tokio::test]
async fn what_others_add_is_told_and_left_to_them() {
    let (cluster, tenant) = (Cluster::new(), wanted("added"));
    let system = cluster.system();
    let name = &tenant.names.kubernetes_namespace;
    system.ensure(&tenant).await.unwrap();
    let policies = format!("/{POLICIES}/namespaces/{name}/networkpolicies");
    let bindings = format!("/{RBAC}/namespaces/{name}/rolebindings");
    let everywhere = format!("/{RBAC}/clusterrolebindings");

    let open = json!({
        "metadata": { "name": "open" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}] },
    });
    let binding = |name: &str| {
        json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": tenant.names.kubernetes_namespace }],
        })
    };
    for (path, body, at, words) in [
        (&policies, open, "open", "a further NetworkPolicy opens"),
        (&bindings, binding("more"), "more", "a further RoleBinding gives"),
        (&everywhere, binding(name), name.as_str(), "a ClusterRoleBinding gives"),
    ] {
        let (status, answer) = cluster.admin(Method::POST, path, body).await;
        assert_eq!(status, 201, "{answer}");
        system.ensure(&tenant).await.unwrap();
        let found = drift(&system, &tenant).await;
        assert!(found.len() == 1 && found[0].starts_with(words), "{found:?}");
        cluster.admin(Method::DELETE, &format!("{path}/{at}"), Value::Null).await;
    }
    assert_eq!(drift(&system, &tenant).await, Vec::<&str>::new());
    system.ensure_none(&tenant).await.unwrap_err();
}
