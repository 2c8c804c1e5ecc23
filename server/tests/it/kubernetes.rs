//! A tenant's place in a real cluster.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText, TenantId};
use integraci_server::config::{Admin, CellConfig};
use integraci_server::isolation::kubernetes::{Client, Kubernetes, KubernetesConfig, setup};
use integraci_server::isolation::{ErrorClass, Finding, Isolation as _, Limits, Wanted};
use integraci_server::source::Source;
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::verify::Scripted;

/// The cluster that the tests run under, and an administrator's way to it that is not the product's.
pub(crate) struct Cluster {
    server: String,
    admin_token: String,
    ca: tempfile::NamedTempFile,
    http: reqwest::Client,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let kubernetes = endpoints.kubernetes().unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), &kubernetes.ca_pem).unwrap();
        let authority = reqwest::Certificate::from_pem(kubernetes.ca_pem.as_bytes()).unwrap();
        Self {
            server: kubernetes.server.clone(),
            admin_token: kubernetes.admin_token.expose_secret().to_owned(),
            ca,
            http: reqwest::Client::builder().tls_certs_only([authority]).build().unwrap(),
        }
    }

    pub(crate) fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            server: self.server.parse().unwrap(),
            token: SecretText::new(self.admin_token.clone()),
            ca_certificate: Some(self.ca.path().to_owned()),
            timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn system(&self) -> Kubernetes {
        Kubernetes::new(Client::new(&self.config()).unwrap(), Source::real())
    }

    /// The product's way in, by another token than the administrator's.
    fn system_as(&self, token: SecretText) -> Kubernetes {
        let config = KubernetesConfig { token, ..self.config() };
        Kubernetes::new(Client::new(&config).unwrap(), Source::real())
    }

    /// A call as the administrator: status and body.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.call(&self.admin_token, method, path, body).await
    }

    /// A call with any token: status and body.
    async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let mut request = self.http.request(method, format!("{}{path}", self.server)).bearer_auth(token);
        if !body.is_null() {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// An object as the administrator reads it; null where there is none.
    async fn read(&self, path: &str) -> Value {
        let (status, object) = self.admin(Method::GET, path, Value::Null).await;
        assert!(matches!(status, 200 | 404), "{status} {object}");
        if status == 200 { object } else { Value::Null }
    }
}

/// What a tenant of a slug that no other test has is to have.
fn wanted(word: &str) -> Wanted {
    let id = uuid::Uuid::now_v7();
    let slug = format!("{word}-{}", &id.simple().to_string()[20..]);
    Wanted {
        tenant: TenantId::from_uuid(id),
        names: TenantNames::of(&slug.parse().unwrap()),
        suspended: false,
        limits: Limits::SHIPPED,
    }
}

/// Repeats the removal until it is over, as a saga does.
async fn removed(system: &Kubernetes, tenant: &TenantNames) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while let Err(busy) = system.ensure_none(tenant).await {
        assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
        assert!(Instant::now() < deadline, "still there: {busy}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

const POLICIES: &str = "apis/networking.k8s.io/v1";
const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";

#[tokio::test]
async fn a_place_is_made_once_and_removed_whole() {
    let (cluster, tenant) = (Cluster::new(), wanted("place"));
    let system = cluster.system();
    let name = &tenant.names.kubernetes_namespace;
    assert_eq!(system.remains(&tenant.names).await.unwrap(), []);

    let facts = system.ensure(&tenant).await.unwrap();
    assert_eq!(facts["namespace"], *name);
    let first = cluster.read(&format!("/api/v1/namespaces/{name}/resourcequotas/tenant")).await;
    system.ensure(&tenant).await.unwrap();
    let second = cluster.read(&format!("/api/v1/namespaces/{name}/resourcequotas/tenant")).await;
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert_eq!(second["status"]["hard"], second["spec"]["hard"]);
    let namespace = cluster.read(&format!("/api/v1/namespaces/{name}")).await;
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(namespace["metadata"]["annotations"]["integraci/tenant-id"], tenant.tenant.to_string());
    let remains = system.remains(&tenant.names).await.unwrap();
    assert_eq!((remains[0].class, &remains[0].name), ("namespace", name));

    removed(&system, &tenant.names).await;
    assert_eq!(system.remains(&tenant.names).await.unwrap(), []);
    system.ensure_none(&tenant.names).await.unwrap();
    assert_eq!(cluster.read(&format!("/api/v1/namespaces/{name}")).await, Value::Null);
}

#[tokio::test]
async fn two_at_once_make_one_place() {
    let (cluster, tenant) = (Cluster::new(), wanted("twice"));
    let (one, other) = (cluster.system(), cluster.system());
    let (first, second) = tokio::join!(one.ensure(&tenant), other.ensure(&tenant));
    for outcome in [first, second] {
        let busy = outcome.err().is_none_or(|error| matches!(error.class, ErrorClass::Busy { .. }));
        assert!(busy, "a race is nothing that time does not mend");
    }
    one.ensure(&tenant).await.unwrap();
    one.ensure_none(&tenant.names).await.unwrap_err();
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_left_alone() {
    let (cluster, tenant) = (Cluster::new(), wanted("theirs"));
    let system = cluster.system();
    let path = format!("/api/v1/namespaces/{}", tenant.names.kubernetes_namespace);
    let body = json!({ "metadata": { "name": tenant.names.kubernetes_namespace } });
    cluster.admin(Method::POST, "/api/v1/namespaces", body).await;
    let before = cluster.read(&path).await;

    let refused = system.ensure(&tenant).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("namespace_create", ErrorClass::Refused));
    system.ensure_none(&tenant.names).await.unwrap();
    assert_eq!(system.remains(&tenant.names).await.unwrap(), []);
    assert_eq!(cluster.read(&path).await, before);

    // Nor another tenant's, be it of ours.
    let marks = json!({
        "labels": { "app.kubernetes.io/managed-by": "integraci" },
        "annotations": { "integraci/tenant-id": "ten_0190a0a0000070008000000000000001" },
    });
    cluster.admin(Method::PATCH, &path, json!({ "metadata": marks })).await;
    assert_eq!(system.ensure(&tenant).await.unwrap_err().class, ErrorClass::Refused);
    cluster.admin(Method::DELETE, &path, Value::Null).await;
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_not_taken_up_again() {
    let (cluster, tenant) = (Cluster::new(), wanted("going"));
    let system = cluster.system();
    system.ensure(&tenant).await.unwrap();
    system.ensure_none(&tenant.names).await.unwrap_err();
    let busy = system.ensure(&tenant).await.unwrap_err();
    assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
    removed(&system, &tenant.names).await;
    system.ensure(&tenant).await.unwrap();
    system.ensure_none(&tenant.names).await.unwrap_err();
}

#[tokio::test]
async fn what_was_changed_by_hand_is_mended() {
    let (cluster, tenant) = (Cluster::new(), wanted("drift"));
    let system = cluster.system();
    let name = &tenant.names.kubernetes_namespace;
    system.ensure(&tenant).await.unwrap();
    let policies = format!("/{POLICIES}/namespaces/{name}/networkpolicies");
    let rbac = format!("/{RBAC}/namespaces/{name}");

    let open = json!({ "spec": { "ingress": [{}], "egress": [{}] } });
    let every = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    for (method, path, body) in [
        (
            Method::PATCH,
            format!("/api/v1/namespaces/{name}"),
            json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } }),
        ),
        (Method::PATCH, format!("{policies}/default-deny"), open),
        (Method::DELETE, format!("{policies}/allow-dns"), Value::Null),
        (Method::PATCH, format!("{rbac}/roles/tenant"), json!({ "rules": every })),
        // A binding's role cannot be changed: it is made anew.
        (Method::DELETE, format!("{rbac}/rolebindings/tenant"), Value::Null),
        (
            Method::POST,
            format!("{rbac}/rolebindings"),
            json!({
                "metadata": { "name": "tenant" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
                "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": name }],
            }),
        ),
        (
            Method::PATCH,
            format!("/api/v1/namespaces/{name}/resourcequotas/tenant"),
            json!({ "spec": { "hard": { "pods": "9999", "configmaps": "5" } } }),
        ),
        (Method::DELETE, format!("/api/v1/namespaces/{name}/limitranges/tenant"), Value::Null),
        (Method::DELETE, format!("/api/v1/namespaces/{name}/serviceaccounts/tenant"), Value::Null),
    ] {
        let (status, answer) = cluster.admin(method, &path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
    }
    system.ensure(&tenant).await.unwrap();

    let namespace = cluster.read(&format!("/api/v1/namespaces/{name}")).await;
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let deny = cluster.read(&format!("{policies}/default-deny")).await;
    assert_eq!(deny["spec"], json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    let binding = cluster.read(&format!("{rbac}/rolebindings/tenant")).await;
    assert_eq!(binding["roleRef"]["kind"], "Role");
    let quota = cluster.read(&format!("/api/v1/namespaces/{name}/resourcequotas/tenant")).await;
    assert_eq!(quota["spec"]["hard"]["pods"], "50");
    assert_eq!(quota["spec"]["hard"]["configmaps"], Value::Null);
    system.ensure_none(&tenant.names).await.unwrap_err();
}

/// The cluster as an administrator prepares it, and the server's own way into it.
async fn prepared(cluster: &Cluster) -> SecretText {
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
    removed(&system, &tenant.names).await;
    assert_eq!(system.remains(&tenant.names).await.unwrap(), []);
}

/// What the platform sees that differs.
async fn drift(system: &Kubernetes, tenant: &Wanted) -> Vec<&'static str> {
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
    system.ensure_none(&tenant.names).await.unwrap_err();
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
    system.ensure_none(&tenant.names).await.unwrap_err();
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
    system.ensure_none(&tenant.names).await.unwrap_err();
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
    system.ensure_none(&tenant.names).await.unwrap_err();
}

/// What an attestation is not content with.
async fn red(system: &Kubernetes, own: &Wanted, canary: &Wanted) -> Vec<String> {
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

    system.ensure_none(&canary.names).await.unwrap_err();
    let found = red(&system, &own, &canary).await;
    assert!(found.contains(&"canary_reads_its_secret".to_owned()), "{found:?}");
    system.ensure_none(&own.names).await.unwrap_err();
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

#[tokio::test]
async fn a_cluster_that_is_away_is_broken_and_attests_nothing() {
    let (cluster, own, canary) = (Cluster::new(), wanted("away"), wanted("gone"));
    // Nothing listens on the discard port of the loopback address.
    let nowhere = KubernetesConfig { server: "https://127.0.0.1:9".parse().unwrap(), ..cluster.config() };
    let system = Kubernetes::new(Client::new(&nowhere).unwrap(), Source::real());
    assert_eq!(system.ensure(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.ensure_none(&own.names).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.remains(&own.names).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.drift(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(red(&system, &own, &canary).await.len(), 29, "what could not be tried did not pass");

    let stranger = cluster.system_as(SecretText::new("nobodys".to_owned()));
    let refused = stranger.ensure(&own).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(401)));
    assert!(!format!("{refused} {refused:?}").contains("nobodys"));
    assert_eq!(stranger.remains(&own.names).await.unwrap_err().class, ErrorClass::Refused);
}

#[tokio::test]
async fn every_bad_answer_has_its_class_and_none_of_its_text() {
    let (cluster, tenant) = (Cluster::new(), wanted("faults"));
    let answers: [(u16, &str, &str, fn(ErrorClass) -> bool); 7] = [
        (403, "{\"reason\":\"Forbidden\",\"message\":\"hush\"}", "", |class| class == ErrorClass::Refused),
        (429, "hush", "7", |class| class == ErrorClass::Busy { retry_after: Some(Duration::from_secs(7)) }),
        (503, "hush", "", |class| class == ErrorClass::Busy { retry_after: None }),
        (500, "hush", "", |class| class == ErrorClass::Broken),
        (404, "hush", "", |class| class == ErrorClass::Broken),
        (200, "hush", "", |class| class == ErrorClass::Broken),
        (302, "hush", "", |class| class == ErrorClass::Broken),
    ];
    for (status, body, retry_after, is_expected) in answers {
        let far_side = Scripted::start("127.0.0.1", move |_, _| {
            let status = StatusCode::from_u16(status).unwrap();
            let mut answer = (status, body).into_response();
            if !retry_after.is_empty() {
                answer.headers_mut().insert("retry-after", retry_after.parse().unwrap());
            }
            answer
        })
        .await;
        let config = KubernetesConfig { server: far_side.url.parse().unwrap(), ..cluster.config() };
        let system = Kubernetes::new(Client::new(&config).unwrap(), Source::real());
        for failed in [
            system.ensure(&tenant).await.unwrap_err(),
            system.ensure_none(&tenant.names).await.unwrap_err(),
            system.remains(&tenant.names).await.unwrap_err(),
        ] {
            assert!(is_expected(failed.class), "{status}: {failed:?}");
            assert!(!format!("{failed} {failed:?}").contains("hush"));
        }
    }
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
fn pod(name: &str) -> Value {
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
