//! Bindings that are not the platform's and give a tenant's service accounts rights, or others rights in
//! a tenant's namespace. They are not the platform's to remove: it tells of them.
//!
//! Facts (Kubernetes, "Using RBAC Authorization"): a service account is also the user
//! `system:serviceaccount:<namespace>:<name>` and in the groups `system:serviceaccounts:<namespace>`,
//! `system:serviceaccounts` and `system:authenticated`.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, Subject};

use super::Drift;

/// What Kubernetes itself gives to everybody who is logged in.
const GIVEN_TO_ALL: &[&str] = &[
    "system:basic-user",
    "system:cluster-trust-bundle-discovery",
    "system:discovery",
    "system:public-info-viewer",
    "system:service-account-issuer-discovery",
];

/// Whether a subject is service accounts of a namespace, named as such.
fn is_of_namespace(subject: &Subject, namespace: &str) -> bool {
    match subject.kind.as_str() {
        "ServiceAccount" => subject.namespace.as_deref() == Some(namespace),
        "Group" => subject.name.strip_prefix("system:serviceaccounts:") == Some(namespace),
        "User" => {
            let account = subject.name.strip_prefix("system:serviceaccount:");
            account.and_then(|account| account.split_once(':')).is_some_and(|(at, _)| at == namespace)
        }
        _ => false,
    }
}

/// Whether a subject is everybody, service accounts among them.
fn is_everybody(subject: &Subject) -> bool {
    subject.kind == "Group"
        && matches!(
            subject.name.as_str(),
            "system:serviceaccounts" | "system:authenticated" | "system:unauthenticated"
        )
}

/// Whether a subject is any service account, rather than a person or a group of them.
fn is_account(subject: &Subject) -> bool {
    subject.kind == "ServiceAccount"
        || is_everybody(subject)
        || subject.name.starts_with("system:serviceaccount:")
        || subject.name.starts_with("system:serviceaccounts:")
        || subject.name == "system:anonymous"
}

/// What they add to a tenant's namespace, of all bindings but the platform's own.
pub(super) fn beyond(
    namespace: &str,
    in_namespaces: &[&RoleBinding],
    everywhere: &[ClusterRoleBinding],
) -> Vec<Drift> {
    let (inside, elsewhere): (Vec<_>, Vec<_>) = in_namespaces
        .iter()
        .copied()
        .partition(|binding| binding.metadata.namespace.as_deref() == Some(namespace));
    let subjects = |binding: &RoleBinding| binding.subjects.clone().unwrap_or_default();
    let mut found = Vec::new();
    if inside.iter().any(|binding| subjects(binding).iter().any(is_account)) {
        found.push(Drift(
            "a further RoleBinding gives service accounts rights in the namespace; remove it, it is not \
             the platform's",
        ));
    }
    if elsewhere.iter().any(|binding| subjects(binding).iter().any(|s| is_of_namespace(s, namespace))) {
        found.push(Drift(
            "a RoleBinding gives the tenant's service accounts rights in another namespace; remove it, it \
             is not the platform's",
        ));
    }
    for binding in everywhere {
        let subjects = binding.subjects.as_deref().unwrap_or_default();
        if subjects.iter().any(|subject| is_of_namespace(subject, namespace)) {
            found.push(Drift(
                "a ClusterRoleBinding gives the tenant's service accounts rights in the whole cluster; \
                 remove it, it is not the platform's",
            ));
        } else if subjects.iter().any(is_everybody) && !GIVEN_TO_ALL.contains(&binding.role_ref.name.as_str())
        {
            found.push(Drift(
                "a ClusterRoleBinding gives every service account rights in the whole cluster; remove it, \
                 it is not the platform's",
            ));
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::RoleRef;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn subject(kind: &str, name: &str, namespace: Option<&str>) -> Subject {
        Subject {
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            api_group: None,
        }
    }

    fn cluster_wide(role: &str, subject: Subject) -> Vec<Drift> {
        let role_ref = RoleRef { name: role.to_owned(), ..RoleRef::default() };
        let binding =
            ClusterRoleBinding { metadata: ObjectMeta::default(), role_ref, subjects: Some(vec![subject]) };
        beyond("tenant-acme", &[], &[binding])
    }

    #[test]
    fn every_name_of_a_service_account_is_known() {
        for given in [
            subject("ServiceAccount", "tenant", Some("tenant-acme")),
            subject("ServiceAccount", "other", Some("tenant-acme")),
            subject("User", "system:serviceaccount:tenant-acme:tenant", None),
            subject("Group", "system:serviceaccounts:tenant-acme", None),
            subject("Group", "system:serviceaccounts", None),
            subject("Group", "system:authenticated", None),
        ] {
            assert_eq!(cluster_wide("view", given.clone()).len(), 1, "{given:?}");
        }
        for given in [
            subject("ServiceAccount", "tenant", Some("tenant-acme-2")),
            subject("User", "system:serviceaccount:tenant-acme-2:tenant", None),
            subject("Group", "system:serviceaccounts:tenant-acme-2", None),
            subject("Group", "operators", None),
        ] {
            assert_eq!(cluster_wide("cluster-admin", given.clone()), [], "{given:?}");
        }
    }

    #[test]
    fn what_kubernetes_gives_to_everybody_is_no_finding() {
        let everybody = || subject("Group", "system:authenticated", None);
        assert_eq!(cluster_wide("system:basic-user", everybody()), []);
        assert_eq!(cluster_wide("cluster-admin", everybody()).len(), 1);
    }

    #[test]
    fn a_person_may_be_let_into_a_namespace_and_a_service_account_may_not() {
        let inside = |subject: Subject, namespace: &str| {
            let metadata = ObjectMeta { namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
            let binding = RoleBinding { metadata, subjects: Some(vec![subject]), ..RoleBinding::default() };
            beyond("tenant-acme", &[&binding], &[]).len()
        };
        assert_eq!(inside(subject("User", "jane@platform.example", None), "tenant-acme"), 0);
        assert_eq!(inside(subject("ServiceAccount", "tenant", Some("tenant-beta")), "tenant-acme"), 1);
        assert_eq!(inside(subject("ServiceAccount", "tenant", Some("tenant-acme")), "tenant-beta"), 1);
        assert_eq!(inside(subject("ServiceAccount", "tenant", Some("tenant-beta")), "tenant-gamma"), 0);
    }
}
