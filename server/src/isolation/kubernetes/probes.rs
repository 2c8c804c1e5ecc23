//! What is tried in an attestation: each probe is one request, by one of two tenants, and what has to
//! come of it. What would change something is asked for as a dry run: it is refused or allowed all the
//! same, and leaves nothing behind where it should have been refused and was not.

use axum::http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::client::{Made, make};
use super::objects::{QUOTA, RBAC, TENANT};

/// Whose token a probe is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The tenant that is attested.
    Own,
    /// The canary.
    Canary,
}

/// What has to come of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Status 403 and nothing else: that a token is not known, or something not there, shows nothing.
    Refused,
    /// That it is done.
    Done,
}

/// One request of an attestation.
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) attempted: &'static str,
    pub(super) by: By,
    pub(super) expected: Expected,
    pub(super) request: Made,
}

/// Where the two tenants are, and what was made there for the probes: a Secret each, of this name.
pub(super) struct Ground<'a> {
    pub(super) own: &'a str,
    pub(super) canary: &'a str,
    pub(super) secret: &'a str,
}

fn refused(name: &'static str, attempted: &'static str, request: Made) -> Probe {
    Probe { name, attempted, by: By::Own, expected: Expected::Refused, request }
}

fn done(by: By, name: &'static str, attempted: &'static str, request: Made) -> Probe {
    Probe { name, attempted, by, expected: Expected::Done, request }
}

fn dry() -> PostParams {
    PostParams { dry_run: true, field_manager: None }
}

fn dry_deletion() -> DeleteParams {
    DeleteParams { dry_run: true, ..DeleteParams::default() }
}

fn one() -> ListParams {
    ListParams::default().limit(1)
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Every probe that is one request.
pub(super) fn all(ground: &Ground<'_>) -> Vec<Probe> {
    let mut probes = against_the_canary(ground);
    probes.extend(cluster_wide(ground));
    probes.extend(out_of_its_own(ground));
    probes.extend(controls(ground));
    probes
}

/// What is another tenant's.
fn against_the_canary(ground: &Ground<'_>) -> Vec<Probe> {
    let canary = Some(ground.canary);
    vec![
        refused(
            "list_pods_of_another_tenant",
            "list the pods in another tenant's namespace",
            make::<Pod>(canary).list(&one()),
        ),
        refused(
            "list_secrets_of_another_tenant",
            "list the Secrets in another tenant's namespace",
            make::<Secret>(canary).list(&one()),
        ),
        refused(
            "read_secret_of_another_tenant",
            "read a Secret of another tenant by its name",
            make::<Secret>(canary).get(ground.secret, &GetParams::default()),
        ),
        refused(
            "create_config_map_for_another_tenant",
            "create a ConfigMap in another tenant's namespace",
            make::<ConfigMap>(canary).create(&dry(), config_map(ground.secret)),
        ),
        refused(
            "impersonate_another_tenant",
            "list another tenant's pods in the name of that tenant's ServiceAccount",
            impersonated(make::<Pod>(canary).list(&one()), ground.canary),
        ),
    ]
}

/// What is the cluster's.
fn cluster_wide(ground: &Ground<'_>) -> Vec<Probe> {
    vec![
        refused(
            "list_namespaces",
            "list the namespaces of the cluster",
            make::<Namespace>(None).list(&one()),
        ),
        refused(
            "list_secrets_of_all_namespaces",
            "list the Secrets of every namespace",
            make::<Secret>(None).list(&one()),
        ),
        refused("list_nodes", "list the nodes of the cluster", make::<Node>(None).list(&one())),
        refused(
            "bind_cluster_admin_everywhere",
            "create a ClusterRoleBinding that makes it an administrator of the cluster",
            make::<ClusterRoleBinding>(None).create(&dry(), binding(ground)),
        ),
    ]
}

/// What holds the tenant in its own namespace.
fn out_of_its_own(ground: &Ground<'_>) -> Vec<Probe> {
    let own = Some(ground.own);
    let open = json!({
        "metadata": { "name": ground.secret },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}] },
    });
    let permanent = json!({
        "metadata": {
            "generateName": "integraci-probe-",
            "annotations": { "kubernetes.io/service-account.name": TENANT },
        },
        "type": "kubernetes.io/service-account-token",
    });
    let widened = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let patch = PatchParams { dry_run: true, ..PatchParams::default() };
    vec![
        refused(
            "bind_cluster_admin_in_its_own_namespace",
            "create a RoleBinding that makes it an administrator of its own namespace",
            make::<RoleBinding>(own).create(&dry(), binding(ground)),
        ),
        refused(
            "widen_its_own_role",
            "give its own Role every right",
            make::<Role>(own).patch(TENANT, &patch, &Patch::Merge(widened)),
        ),
        refused(
            "delete_its_own_quota",
            "delete the ResourceQuota of its own namespace",
            make::<ResourceQuota>(own).delete(QUOTA, &dry_deletion()),
        ),
        refused(
            "delete_its_own_network_policy",
            "delete the NetworkPolicy that closes its own namespace",
            make::<NetworkPolicy>(own).delete("default-deny", &dry_deletion()),
        ),
        refused(
            "create_network_policy_that_opens",
            "create a NetworkPolicy that opens its own namespace",
            make::<NetworkPolicy>(own).create(&dry(), body(&open)),
        ),
        refused(
            "ask_for_another_token",
            "ask for a token of its own ServiceAccount, which would outlive the one it has",
            make::<ServiceAccount>(own).create_subresource(
                "token",
                TENANT,
                &dry(),
                body(&json!({ "spec": {} })),
            ),
        ),
        refused(
            "make_a_token_that_lasts",
            "create a Secret that is filled with a token of its own ServiceAccount for good",
            make::<Secret>(own).create(&dry(), body(&permanent)),
        ),
        refused(
            "create_privileged_pod",
            "create a pod that is root on its node",
            make::<Pod>(own).create(&dry(), pod(ground.secret, true)),
        ),
    ]
}

/// What shows that the tokens work, and that what is tried is there to be reached.
fn controls(ground: &Ground<'_>) -> Vec<Probe> {
    let (own, canary) = (Some(ground.own), Some(ground.canary));
    vec![
        done(By::Own, "list_its_own_pods", "list its own pods", make::<Pod>(own).list(&one())),
        done(
            By::Own,
            "read_its_own_secret",
            "read a Secret of its own by its name",
            make::<Secret>(own).get(ground.secret, &GetParams::default()),
        ),
        done(
            By::Canary,
            "canary_lists_its_pods",
            "list the pods in the other tenant's namespace, as that tenant",
            make::<Pod>(canary).list(&one()),
        ),
        done(
            By::Canary,
            "canary_lists_its_secrets",
            "list the Secrets in the other tenant's namespace, as that tenant",
            make::<Secret>(canary).list(&one()),
        ),
        done(
            By::Canary,
            "canary_reads_its_secret",
            "read the Secret of the other tenant by its name, as that tenant",
            make::<Secret>(canary).get(ground.secret, &GetParams::default()),
        ),
        done(
            By::Canary,
            "canary_creates_a_config_map",
            "create a ConfigMap in the other tenant's namespace, as that tenant",
            make::<ConfigMap>(canary).create(&dry(), config_map(ground.secret)),
        ),
        // In the canary's namespace, whose quota is never used up.
        done(
            By::Canary,
            "canary_creates_a_restricted_pod",
            "create a pod that has no privileges, in the other tenant's namespace, as that tenant",
            make::<Pod>(canary).create(&dry(), pod(ground.secret, false)),
        ),
    ]
}

/// A ConfigMap for a probe.
pub(super) fn config_map(name: &str) -> Vec<u8> {
    body(&json!({ "metadata": { "name": name }, "data": { "probe": "attestation" } }))
}

/// `cluster-admin` for the tenant's account, by a binding of either kind.
fn binding(ground: &Ground<'_>) -> Vec<u8> {
    body(&json!({
        "metadata": { "name": ground.secret },
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": TENANT, "namespace": ground.own }],
    }))
}

/// A pod that Pod Security's `restricted` standard admits, or one that it is there to keep out.
fn pod(name: &str, is_privileged: bool) -> Vec<u8> {
    let security = if is_privileged {
        json!({ "privileged": true })
    } else {
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
    };
    body(&json!({
        "metadata": { "name": name },
        "spec": {
            "securityContext": { "runAsNonRoot": !is_privileged, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "probe", "image": "probe.invalid/probe", "securityContext": security }],
        },
    }))
}

fn impersonated(request: Made, namespace: &str) -> Made {
    let account = HeaderValue::from_str(&format!("system:serviceaccount:{namespace}:{TENANT}"));
    let mut request = request?;
    if let Ok(account) = account {
        request.headers_mut().insert(HeaderName::from_static("impersonate-user"), account);
    }
    Ok(request)
}
