//! The objects of a tenant's namespace, as they are to be, and whether one that was read is so.
//!
//! Every field that the API server would fill in is told here, and every list that somebody else could
//! add to is told even if it is empty: server-side apply takes back only what it tells.

use std::collections::BTreeMap;
use std::fmt::Debug;

use integraci_api::tenants::TenantNames;
use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::quantity::{bytes, count, millis};
use super::{Drift, Wanted};

/// The label that says that a namespace is ours,
pub(super) const OWNER_KEY: &str = "app.kubernetes.io/managed-by";
pub(super) const OWNER: &str = "integraci";
/// and the annotation that says whose it is.
pub(super) const TENANT_KEY: &str = "integraci/tenant-id";

/// The service account that a tenant's credentials are of, its role, and the binding of the two.
pub(super) const TENANT: &str = "tenant";
/// The service account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";
pub(super) const QUOTA: &str = "tenant";
const LIMIT_RANGE: &str = "tenant";

pub(super) const RBAC: &str = "rbac.authorization.k8s.io";

/// An object of a tenant's namespace that the platform keeps as it is to be.
pub(super) trait Part:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Debug + Send + Sync
{
    /// The operation that writes it,
    const APPLY: &'static str;
    /// and the one that reads it.
    const READ: &'static str;
    /// That it is not there.
    const MISSING: Drift;
    /// That it is not as it is to be.
    const DIFFERS: Drift;

    /// Whether it is as it is to be, in all that matters to isolation.
    fn is_as(&self, wanted: &Self) -> bool;
}

impl Part for ResourceQuota {
    const APPLY: &'static str = "quota_apply";
    const READ: &'static str = "quota_read";
    const MISSING: Drift = Drift("the ResourceQuota is missing");
    const DIFFERS: Drift = Drift("the ResourceQuota was changed");

    fn is_as(&self, wanted: &Self) -> bool {
        self.spec == wanted.spec
    }
}

impl Part for LimitRange {
    const APPLY: &'static str = "limit_range_apply";
    const READ: &'static str = "limit_range_read";
    const MISSING: Drift = Drift("the LimitRange is missing");
    const DIFFERS: Drift = Drift("the LimitRange was changed");

    fn is_as(&self, wanted: &Self) -> bool {
        self.spec == wanted.spec
    }
}

impl Part for ServiceAccount {
    const APPLY: &'static str = "service_account_apply";
    const READ: &'static str = "service_account_read";
    const MISSING: Drift = Drift("a ServiceAccount is missing");
    const DIFFERS: Drift = Drift("a ServiceAccount gives its token to every pod");

    fn is_as(&self, wanted: &Self) -> bool {
        self.automount_service_account_token == wanted.automount_service_account_token
    }
}

impl Part for Role {
    const APPLY: &'static str = "role_apply";
    const READ: &'static str = "role_read";
    const MISSING: Drift = Drift("the tenant's Role is missing");
    const DIFFERS: Drift = Drift("the tenant's Role was changed");

    fn is_as(&self, wanted: &Self) -> bool {
        self.rules == wanted.rules
    }
}

impl Part for RoleBinding {
    const APPLY: &'static str = "role_binding_apply";
    const READ: &'static str = "role_binding_read";
    const MISSING: Drift = Drift("the tenant's RoleBinding is missing");
    const DIFFERS: Drift = Drift("the tenant's RoleBinding was changed");

    fn is_as(&self, wanted: &Self) -> bool {
        self.role_ref == wanted.role_ref && self.subjects == wanted.subjects
    }
}

/// Whether a namespace is ours, whoever's of our tenants.
pub(super) fn is_ours(namespace: &Namespace) -> bool {
    let labels = namespace.metadata.labels.as_ref();
    let annotations = namespace.metadata.annotations.as_ref();
    labels.and_then(|labels| labels.get(OWNER_KEY)).is_some_and(|owner| owner == OWNER)
        && annotations.is_some_and(|annotations| annotations.contains_key(TENANT_KEY))
}

/// Whether a namespace is this tenant's.
pub(super) fn is_of(namespace: &Namespace, wanted: &Wanted) -> bool {
    let annotations = namespace.metadata.annotations.as_ref();
    is_ours(namespace)
        && annotations.and_then(|known| known.get(TENANT_KEY)) == Some(&wanted.tenant.to_string())
}

/// Whether a namespace is being deleted.
pub(super) const fn is_going(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

/// Whether the labels that Pod Security goes by, and our own, are as they are to be.
pub(super) fn is_labelled(namespace: &Namespace, wanted: &Namespace) -> bool {
    let held = namespace.metadata.labels.as_ref();
    wanted
        .metadata
        .labels
        .iter()
        .flatten()
        .all(|(key, value)| held.and_then(|held| held.get(key)) == Some(value))
}

fn map<V: Clone>(entries: &[(&str, V)]) -> BTreeMap<String, V> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// The name and the mark of an object in a tenant's namespace.
pub(super) fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(map(&[(OWNER_KEY, OWNER.to_owned())])),
        ..ObjectMeta::default()
    }
}

/// The namespace. Pods in it are held to the `restricted` standard of this cluster's version.
pub(super) fn namespace(wanted: &Wanted) -> Namespace {
    let mut labels = map(&[(OWNER_KEY, OWNER.to_owned())]);
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
        labels.insert(format!("pod-security.kubernetes.io/{mode}-version"), "latest".to_owned());
    }
    Namespace {
        metadata: ObjectMeta {
            name: Some(wanted.names.kubernetes_namespace.clone()),
            labels: Some(labels),
            annotations: Some(map(&[(TENANT_KEY, wanted.tenant.to_string())])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// The quota. A suspended tenant's running pods stay; no new ones start and no storage is claimed,
/// which its own controllers (a CronJob, a Deployment) would otherwise go on to do.
pub(super) fn quota(wanted: &Wanted) -> ResourceQuota {
    let limits = &wanted.limits;
    let open = |quantity: Quantity| if wanted.suspended { count(0) } else { quantity };
    let hard = map(&[
        ("pods", open(count(limits.pods.into()))),
        ("requests.cpu", millis(limits.cpu_millis)),
        ("limits.cpu", millis(limits.cpu_millis)),
        ("requests.memory", bytes(limits.memory_bytes)),
        ("limits.memory", bytes(limits.memory_bytes)),
        ("requests.storage", open(bytes(limits.storage_bytes))),
        // Both would open a way in past the network policies.
        ("services.loadbalancers", count(0)),
        ("services.nodeports", count(0)),
    ]);
    ResourceQuota {
        metadata: metadata(&wanted.names.kubernetes_namespace, QUOTA),
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    }
}

/// What a container gets that asks for nothing, without which the quota would refuse it: a pod's even
/// share, so that as many pods fit as the quota allows; and that none asks for 0, which the quota counts as
/// nothing and a node takes for no limit at all.
pub(super) fn limit_range(wanted: &Wanted) -> LimitRange {
    const MIB: u64 = 1 << 20;
    let limits = &wanted.limits;
    let pods = u64::from(limits.pods).max(1);
    // Of a quota that is less than one of each for a pod, the first pods get one: no share is above it.
    let memory = (limits.memory_bytes / pods / MIB * MIB).max(limits.memory_bytes.min(MIB)).max(1);
    let share = map(&[("cpu", millis((limits.cpu_millis / pods).max(1))), ("memory", bytes(memory))]);
    LimitRange {
        metadata: metadata(&wanted.names.kubernetes_namespace, LIMIT_RANGE),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(share.clone()),
                default_request: Some(share),
                min: Some(map(&[("cpu", millis(1)), ("memory", bytes(1))])),
                ..LimitRangeItem::default()
            }],
        }),
    }
}

/// The tenant's account, and that of pods which name none: made here and not waited for, since no pod
/// is admitted without it. Neither gives a pod its token unasked.
pub(super) fn accounts(tenant: &TenantNames) -> [ServiceAccount; 2] {
    [TENANT, DEFAULT_ACCOUNT].map(|name| ServiceAccount {
        metadata: metadata(&tenant.kubernetes_namespace, name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

const READ: &[&str] = &["get", "list", "watch"];
const ALL: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const SCALE: &[&str] = &["get", "update", "patch"];

/// What a tenant does in its namespace: group, resources, verbs. Not among it: tokens of service
/// accounts, so that a credential cannot make itself one that outlives it; endpoints, by which a service
/// is pointed elsewhere; anything that holds the tenant itself (quota, limits, network policies,
/// roles), which it may read at most.
const GRANTED: &[(&str, &[&str], &[&str])] = &[
    ("", &["configmaps", "persistentvolumeclaims", "pods", "secrets", "services"], ALL),
    ("", &["pods/log", "pods/status"], &["get"]),
    ("", &["pods/attach", "pods/exec", "pods/portforward"], &["get", "create"]),
    ("", &["pods/eviction"], &["create"]),
    ("", &["pods/ephemeralcontainers"], &["update", "patch"]),
    ("", &["endpoints", "events", "limitranges", "resourcequotas", "serviceaccounts"], READ),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], ALL),
    ("apps", &["deployments/scale", "replicasets/scale", "statefulsets/scale"], SCALE),
    ("autoscaling", &["horizontalpodautoscalers"], ALL),
    ("batch", &["cronjobs", "jobs"], ALL),
    ("discovery.k8s.io", &["endpointslices"], READ),
    ("networking.k8s.io", &["ingresses"], ALL),
    ("networking.k8s.io", &["networkpolicies"], READ),
    ("policy", &["poddisruptionbudgets"], ALL),
];

/// The role of a tenant in its namespace.
pub(super) fn role(tenant: &TenantNames) -> Role {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let rules = GRANTED.iter().map(|(group, resources, verbs)| PolicyRule {
        api_groups: Some(owned(&[group])),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    });
    Role { metadata: metadata(&tenant.kubernetes_namespace, TENANT), rules: Some(rules.collect()) }
}

/// Gives the tenant's account its role.
pub(super) fn role_binding(tenant: &TenantNames) -> RoleBinding {
    RoleBinding {
        metadata: metadata(&tenant.kubernetes_namespace, TENANT),
        role_ref: RoleRef { api_group: RBAC.to_owned(), kind: "Role".to_owned(), name: TENANT.to_owned() },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: TENANT.to_owned(),
            namespace: Some(tenant.kubernetes_namespace.clone()),
            api_group: None,
        }]),
    }
}
