//! A tenant's place in a real cluster.

mod access;
mod attest;
mod drift;
mod faults;
mod limits;

use std::time::{Duration, Instant};

use integraci_api::tenants::TenantNames;
use integraci_api::{SecretText, TenantId};
use integraci_server::isolation::kubernetes::{Client, Kubernetes, KubernetesConfig};
use integraci_server::isolation::{ErrorClass, Isolation as _, Limits, Wanted};
use integraci_server::source::Source;
use local_platform::Endpoints;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

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
async fn removed(system: &Kubernetes, tenant: &Wanted) {
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
    assert_eq!(system.remains(&tenant).await.unwrap(), []);

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
    let remains = system.remains(&tenant).await.unwrap();
    assert_eq!((remains[0].class, &remains[0].name), ("namespace", name));

    removed(&system, &tenant).await;
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
    system.ensure_none(&tenant).await.unwrap();
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
    one.ensure_none(&tenant).await.unwrap_err();
}

/// Two installations on one cluster may have a tenant of the same slug: the second is refused, and what
/// it undoes is not the first's.
#[tokio::test]
async fn another_installations_tenant_of_the_same_name_is_left_alone() {
    let (cluster, tenant) = (Cluster::new(), wanted("ours"));
    let system = cluster.system();
    system.ensure(&tenant).await.unwrap();
    let other = Wanted { tenant: TenantId::from_uuid(uuid::Uuid::now_v7()), ..tenant.clone() };
    assert_eq!(system.ensure(&other).await.unwrap_err().class, ErrorClass::Refused);
    system.ensure_none(&other).await.unwrap();
    assert_eq!(system.remains(&other).await.unwrap(), []);
    assert_ne!(system.remains(&tenant).await.unwrap(), []);
    assert!(system.drift(&tenant).await.unwrap().is_empty());
    removed(&system, &tenant).await;
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
    system.ensure_none(&tenant).await.unwrap();
    assert_eq!(system.remains(&tenant).await.unwrap(), []);
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
    system.ensure_none(&tenant).await.unwrap_err();
    let busy = system.ensure(&tenant).await.unwrap_err();
    assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
    removed(&system, &tenant).await;
    system.ensure(&tenant).await.unwrap();
    system.ensure_none(&tenant).await.unwrap_err();
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
    system.ensure_none(&tenant).await.unwrap_err();
}
