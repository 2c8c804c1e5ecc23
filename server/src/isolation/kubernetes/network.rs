//! The network policies of a tenant's namespace: nothing in, nothing out, but name lookups and the
//! tenant's own pods among themselves.
//!
//! The API server keeps them; the cluster's network plugin holds pods to them, if it is one that does.
//! That cannot be seen from here, so all that is said is that they are there as they should be.

use std::collections::BTreeMap;

use integraci_api::tenants::TenantNames;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Drift;
use super::objects::{Part, metadata};

/// The label that Kubernetes itself gives every namespace, with its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

impl Part for NetworkPolicy {
    const APPLY: &'static str = "network_policy_apply";
    const READ: &'static str = "network_policies_read";
    const MISSING: Drift = Drift("a NetworkPolicy is missing");
    const DIFFERS: Drift = Drift("a NetworkPolicy was changed");

    fn is_as(&self, wanted: &Self) -> bool {
        self.spec.as_ref().map(normal) == wanted.spec.as_ref().map(normal)
    }
}

/// With every empty list left out, as it is read back.
fn normal(spec: &NetworkPolicySpec) -> NetworkPolicySpec {
    let mut spec = spec.clone();
    spec.ingress = spec.ingress.filter(|rules| !rules.is_empty());
    spec.egress = spec.egress.filter(|rules| !rules.is_empty());
    spec
}

/// Whether a policy lets anything through. Policies add up: one that does opens what others close.
pub(super) fn opens(policy: &NetworkPolicy) -> bool {
    policy.spec.as_ref().map(normal).is_some_and(|spec| spec.ingress.is_some() || spec.egress.is_some())
}

fn labelled(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        ..LabelSelector::default()
    }
}

fn policy(
    tenant: &TenantNames,
    name: &str,
    ingress: Option<Vec<NetworkPolicyIngressRule>>,
    egress: Option<Vec<NetworkPolicyEgressRule>>,
) -> NetworkPolicy {
    let directions = [ingress.as_ref().map(|_| "Ingress"), egress.as_ref().map(|_| "Egress")];
    NetworkPolicy {
        metadata: metadata(&tenant.kubernetes_namespace, name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()), // every pod
            policy_types: Some(directions.into_iter().flatten().map(str::to_owned).collect()),
            // Told even where there are none, so that rules which somebody else adds are taken back.
            ingress: Some(ingress.unwrap_or_default()),
            egress: Some(egress.unwrap_or_default()),
        }),
    }
}

/// All of them.
pub(super) fn policies(tenant: &TenantNames) -> [NetworkPolicy; 3] {
    let dns = NetworkPolicyPeer {
        namespace_selector: Some(labelled(NAMESPACE_NAME, "kube-system")),
        pod_selector: Some(labelled("k8s-app", "kube-dns")),
        ..NetworkPolicyPeer::default()
    };
    let dns_port = |protocol: &str| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(53)),
        end_port: None,
    };
    let dns_egress =
        NetworkPolicyEgressRule { to: Some(vec![dns]), ports: Some(vec![dns_port("UDP"), dns_port("TCP")]) };
    let neighbours = vec![NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()), // of the same namespace, since none is named
        ..NetworkPolicyPeer::default()
    }];
    let within_ingress = NetworkPolicyIngressRule { from: Some(neighbours.clone()), ports: None };
    let within_egress = NetworkPolicyEgressRule { to: Some(neighbours), ports: None };
    [
        policy(tenant, "default-deny", Some(Vec::new()), Some(Vec::new())),
        policy(tenant, "allow-dns", None, Some(vec![dns_egress])),
        policy(tenant, "allow-within-namespace", Some(vec![within_ingress]), Some(vec![within_egress])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_closes_and_the_others_open() {
        let tenant = TenantNames::of(&"acme".parse().unwrap());
        let [deny, dns, within] = policies(&tenant);
        assert_eq!(deny.spec.as_ref().unwrap().policy_types.as_ref().unwrap(), &["Ingress", "Egress"]);
        assert_eq!([&deny, &dns, &within].map(opens), [false, true, true]);
    }

    #[test]
    fn an_empty_list_and_none_are_the_same_policy() {
        let tenant = TenantNames::of(&"acme".parse().unwrap());
        let [deny, dns, _] = policies(&tenant);
        let mut read_back = deny.clone();
        let spec = read_back.spec.as_mut().unwrap();
        (spec.ingress, spec.egress) = (None, None);
        assert!(read_back.is_as(&deny));
        assert!(!read_back.is_as(&dns));
    }
}
