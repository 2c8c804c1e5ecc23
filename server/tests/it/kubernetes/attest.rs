//! An attestation, and what breaks it.

use std::time::{Duration, Instant};

use integraci_server::isolation::kubernetes::Kubernetes;
use integraci_server::isolation::{Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use super::access::prepared;
use super::{Cluster, POLICIES, RBAC, wanted};

/// What an attestation is not content with.
pub(super) async fn red(system: &Kubernetes, own: &Wanted, canary: &Wanted) -> Vec<String> {
    let checks = system.attest(own, canary).await;
    assert_eq!(checks.len(), 29);
    checks.into_iter().filter(|check| !check.passed).map(|check| check.check).collect()
}

#[tokio::test]
async fn an_attestation_is_green_until_isolation_is_broken() {
    let (cluster, own, canary) = (Cluster::new(), wanted("tried"), wanted("canary"));
    let system = cluster.system_as(prepared(&cluster).await);
    system.ensure(&own).await.unwrap();
    system.ensure(&canary).await.unwrap();
    let nothing: [&str; 0] = [];
    for check in system.attest(&own, &canary).await {
        assert!(check.passed, "{check:?}");
    }
    let (ours, theirs) = (&own.names.kubernetes_namespace, &canary.names.kubernetes_namespace);
    let secrets = cluster.read(&format!("/api/v1/namespaces/{ours}/secrets")).await;
    assert_eq!(secrets["items"], json!([]), "nothing is left of it");

    let policies = format!("/{POLICIES}/namespaces/{ours}/networkpolicies");
    cluster.admin(Method::DELETE, &format!("{policies}/default-deny"), Value::Null).await;
    // The policy cannot be deleted by the tenant either, but that it is not there is no refusal.
    assert_eq!(red(&system, &own, &canary).await, ["network_policies_as_wanted"]);
    system.ensure(&own).await.unwrap();
    assert_eq!(red(&system, &own, &canary).await, nothing);

    let every = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    let role = format!("/{RBAC}/namespaces/{ours}/roles/tenant");
    cluster.admin(Method::PATCH, &role, json!({ "rules": every })).await;
    let found = red(&system, &own, &canary).await;
    assert!(found.contains(&"delete_its_own_quota".to_owned()), "{found:?}");
    assert!(found.contains(&"access_as_wanted".to_owned()), "{found:?}");
    system.ensure(&own).await.unwrap();
    cluster.settled(&system, &own, &canary).await;

    let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
    cluster.admin(Method::PATCH, &format!("/api/v1/namespaces/{ours}"), label).await;
    let found = red(&system, &own, &canary).await;
    assert!(found.contains(&"pod_security_as_wanted".to_owned()), "{found:?}");
    system.ensure(&own).await.unwrap();
    cluster.settled(&system, &own, &canary).await;

    let into = json!({
        "metadata": { "name": "into" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant" },
        "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": ours }],
    });
    let bindings = format!("/{RBAC}/namespaces/{theirs}/rolebindings");
    cluster.admin(Method::POST, &bindings, into).await;
    let found = red(&system, &own, &canary).await;
    for check in ["read_secret_of_another_tenant", "create_config_map_for_another_tenant", "access_as_wanted"]
    {
        assert!(found.contains(&check.to_owned()), "{check}: {found:?}");
    }
    cluster.admin(Method::DELETE, &format!("{bindings}/into"), Value::Null).await;
    cluster.settled(&system, &own, &canary).await;

    system.ensure_none(&canary).await.unwrap_err();
    let found = red(&system, &own, &canary).await;
    assert!(found.contains(&"canary_reads_its_secret".to_owned()), "{found:?}");
    system.ensure_none(&own).await.unwrap_err();
}

impl Cluster {
    /// Waits until an attestation is green again: authorizers and admission follow within moments.
    async fn settled(&self, system: &Kubernetes, own: &Wanted, canary: &Wanted) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = red(system, own, canary).await;
            if found.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?}");
        }
    }
}
