//! Whose tokens work where: the server's own, and a tenant's.

use std::time::{Duration, Instant};

use integraci_api::{CredentialId, SecretText};
use integraci_server::config::{Admin, CellConfig};
use integraci_server::isolation::kubernetes::{Kubernetes, KubernetesConfig, setup};
use integraci_server::isolation::{ErrorClass, Finding, Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use super::drift::drift;
use super::{Cluster, RBAC, removed, wanted};

/// The cluster as an administrator prepares it, and the server's own way into it.
pub(super) async fn prepared(cluster: &Cluster) -> SecretText {
    let admin = Admin { client_id: None, secret: SecretText::new(cluster.admin_token.clone()) };
    let cell = CellConfig {
        name: "main".to_owned(),
        capacity: None,
        system: KubernetesConfig { token: SecretText::new(String::new()), ..cluster.config() },
        admin: Some(admin),
        credential_file: None,
    };
    setup::prepare(&cell).await.unwrap()
}

#[tokio::test]
async fn what_setup_gives_the_server_is_enough_and_no_more() {
    let (cluster, tenant) = (Cluster::new(), wanted("least"));
    let token = prepared(&cluster).await;
    assert_eq!(prepared(&cluster).await.expose(), token.expose(), "another installation's stays valid");
    let system = cluster.system_as(token.clone());

    system.ensure(&tenant).await.unwrap();
    system.ensure(&Wanted { suspended: true, ..tenant.clone() }).await.unwrap();
    system.ensure(&tenant).await.unwrap();

    let ours = &tenant.names.kubernetes_namespace;
    let theirs = format!("other-{}", &ours[7..]);
    cluster.admin(Method::POST, "/api/v1/namespaces", json!({ "metadata": { "name": theirs } })).await;
    let marks = json!({ "labels": { "app.kubernetes.io/managed-by": "integraci" } });
    let subject = json!({ "kind": "ServiceAccount", "name": "integraci", "namespace": "integraci-system" });
    let binding = |kind: &str, name: &str| {
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
        json!({ "metadata": { "name": "own" }, "roleRef": role, "subjects": [subject] })
    };
    let account = json!({ "metadata": { "name": "tenant" } });
    for (method, path, body) in [
        (Method::GET, "/api/v1/nodes".to_owned(), Value::Null),
        (Method::GET, "/api/v1/namespaces".to_owned(), Value::Null),
        (Method::GET, "/api/v1/secrets".to_owned(), Value::Null),
        (Method::GET, format!("/api/v1/namespaces/{ours}/secrets"), Value::Null),
        (Method::POST, format!("/api/v1/namespaces/{ours}/pods"), json!({})),
        (Method::DELETE, "/api/v1/namespaces/kube-system".to_owned(), Value::Null),
        // What roles allow and the admission policy does not: another's namespace.
        (Method::DELETE, format!("/api/v1/namespaces/{theirs}"), Value::Null),
        (Method::PATCH, format!("/api/v1/namespaces/{theirs}"), json!({ "metadata": marks })),
        (Method::POST, "/api/v1/namespaces".to_owned(), json!({ "metadata": { "name": "integraci-new" } })),
        (Method::POST, format!("/api/v1/namespaces/{theirs}/serviceaccounts"), account.clone()),
        (Method::POST, "/api/v1/namespaces/integraci-system/serviceaccounts".to_owned(), account),
        // Any role but the tenant's.
        (
            Method::POST,
            format!("/{RBAC}/namespaces/{ours}/rolebindings"),
            binding("ClusterRole", "cluster-admin"),
        ),
        (Method::POST, format!("/{RBAC}/namespaces/kube-system/rolebindings"), binding("Role", "tenant")),
        (Method::POST, format!("/{RBAC}/clusterrolebindings"), binding("ClusterRole", "cluster-admin")),
    ] {
        let (status, answer) = cluster.call(token.expose(), method.clone(), &path, body).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    cluster.admin(Method::DELETE, &format!("/api/v1/namespaces/{theirs}"), Value::Null).await;
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
}

/// A lease for the tenant: the namespace's path and the token.
async fn leased(system: &Kubernetes, tenant: &Wanted, credential: CredentialId) -> String {
    let issued = system.credentials_issue(tenant, credential, Duration::from_secs(60)).await.unwrap();
    assert_eq!(issued.fields["namespace"], tenant.names.kubernetes_namespace);
    assert!(issued.fields["ca_certificate"].contains("BEGIN CERTIFICATE"));
    assert!(!format!("{issued:?}").contains(issued.secrets["token"].expose()));
    issued.secrets["token"].expose().to_owned()
}

impl Cluster {
    /// Waits until a token gets another answer at a path: API servers remember a token for ten seconds.
    async fn until(&self, token: &str, path: &str, expected: u16) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, answer) = self.call(token, Method::GET, path, Value::Null).await;
            if status == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{path}: {status} instead of {expected}: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn credentials_work_in_the_tenants_namespace_until_they_are_revoked() {
    let (cluster, tenant) = (Cluster::new(), wanted("lease"));
    let token = prepared(&cluster).await;
    let system = cluster.system_as(token);
    system.ensure(&tenant).await.unwrap();
    let credential = CredentialId::from_uuid(uuid::Uuid::now_v7());
    let token = leased(&system, &tenant, credential).await;

    let at = format!("/api/v1/namespaces/{}", tenant.names.kubernetes_namespace);
    let body = json!({ "metadata": { "name": "own" }, "data": { "word": "hello" } });
    let (status, answer) = cluster.call(&token, Method::POST, &format!("{at}/configmaps"), body).await;
    assert_eq!(status, 201, "{answer}");
    // A first pod at once: quota, limits and account are in force.
    let (status, answer) = cluster.call(&token, Method::POST, &format!("{at}/pods"), pod("own")).await;
    assert_eq!(status, 201, "{answer}");
    // No token that outlives this one.
    let body = json!({ "metadata": { "name": "mine", "annotations": { "kubernetes.io/service-account.name": "tenant" } },
        "type": "kubernetes.io/service-account-token" });
    for (path, body) in [
        ("secrets", body),
        ("serviceaccounts/tenant/token", json!({ "spec": {} })),
        ("pods", with(pod("as-tenant"), "serviceAccountName", json!("tenant"))),
    ] {
        let (status, answer) = cluster.call(&token, Method::POST, &format!("{at}/{path}"), body).await;
        assert_eq!(status, 403, "{path}: {answer}");
    }

    let renewed = system.credentials_renew(&tenant.names, credential, None, Duration::from_secs(60)).await;
    renewed.unwrap();
    system.credentials_revoke(&tenant.names, credential, None).await.unwrap();
    system.credentials_revoke(&tenant.names, credential, None).await.unwrap();
    cluster.until(&token, &format!("{at}/configmaps"), 401).await;
    let renewed = system.credentials_renew(&tenant.names, credential, None, Duration::from_secs(60)).await;
    assert_eq!(renewed.unwrap_err().class, ErrorClass::Gone);
    system.ensure_none(&tenant).await.unwrap_err();
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_everything_and_loses_nothing() {
    let (cluster, tenant) = (Cluster::new(), wanted("pause"));
    let system = cluster.system();
    system.ensure(&tenant).await.unwrap();
    let token = leased(&system, &tenant, CredentialId::from_uuid(uuid::Uuid::now_v7())).await;
    let at = format!("/api/v1/namespaces/{}", tenant.names.kubernetes_namespace);
    let made = cluster.call(&token, Method::POST, &format!("{at}/pods"), pod("kept")).await;
    assert_eq!(made.0, 201, "{}", made.1);

    let suspended = Wanted { suspended: true, ..tenant.clone() };
    system.ensure(&suspended).await.unwrap();
    assert_eq!(drift(&system, &suspended).await, Vec::<&str>::new());
    cluster.until(&token, &format!("{at}/pods"), 403).await;
    let refused = system.credentials_issue(
        &suspended,
        CredentialId::from_uuid(uuid::Uuid::now_v7()),
        Duration::from_secs(60),
    );
    assert_eq!(refused.await.unwrap_err().class, ErrorClass::Refused);
    // Nor does anybody else start pods for it, such as a controller that goes on.
    let (status, answer) = cluster.admin(Method::POST, &format!("{at}/pods"), pod("new")).await;
    assert_eq!(status, 403, "{answer}");

    system.ensure(&tenant).await.unwrap();
    assert_eq!(drift(&system, &tenant).await, Vec::<&str>::new());
    cluster.until(&token, &format!("{at}/pods/kept"), 200).await;
    let made = cluster.call(&token, Method::POST, &format!("{at}/pods"), pod("new")).await;
    assert_eq!(made.0, 201, "{}", made.1);
    system.ensure_none(&tenant).await.unwrap_err();
}

#[tokio::test]
async fn check_says_what_is_wrong_and_what_to_do() {
    let cluster = Cluster::new();
    let found = |findings: &[Finding], check: &str| {
        findings.iter().find(|finding| finding.check == check).unwrap().clone()
    };
    let system = cluster.system_as(prepared(&cluster).await);
    let findings = system.check().await;
    assert!(findings.iter().all(Finding::passed), "{findings:?}");
    assert!(found(&findings, "reachable").found.starts_with("version v1."));
    assert_eq!(found(&findings, "rights").found, "all that are needed");

    // An administrator's token works, and is far too much.
    let findings = cluster.system().check().await;
    assert!(found(&findings, "rights").passed());
    assert!(!found(&findings, "excess rights").passed());
    assert!(!found(&findings, "admission policies").passed());

    let findings = cluster.system_as(SecretText::new("nobodys".to_owned())).check().await;
    assert!(!found(&findings, "reachable").passed());
    assert_eq!(findings.len(), 1);
}

/// A pod that the `restricted` standard admits.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "main",
                "image": "registry.example/image",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// The same pod with another field in its spec.
fn with(mut pod: Value, field: &str, value: Value) -> Value {
    pod["spec"][field] = value;
    pod
}
