//! In what a tenant's namespace differs from what it is to be.

use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use tokio::try_join;

use super::client::Client;
use super::objects::{
    Part, QUOTA, TENANT, accounts, is_going, is_labelled, is_of, limit_range, namespace, quota, role,
    role_binding,
};
use super::{Drift, SystemError, Wanted, grants, network, place};

/// What of a tenant's place a difference is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// All of it: the namespace is not there, or not the tenant's.
    Whole,
    /// The standard that its pods are held to.
    Namespace,
    /// How much may be used.
    Quota,
    /// What may be reached over the network.
    Network,
    /// What the tenant's tokens may do.
    Access,
}

/// Everything that differs. Reads side by side: nine short calls.
pub(super) async fn look(client: &Client, wanted: &Wanted) -> Result<Vec<(Area, Drift)>, SystemError> {
    let is_labelled = match place::read_namespace(client, &wanted.names).await? {
        Some(found) if is_of(&found, wanted) && !is_going(&found) => is_labelled(&found, &namespace(wanted)),
        other => {
            let words = match other {
                None => "the namespace is missing",
                Some(found) if is_of(&found, wanted) => "the namespace is being deleted",
                Some(_) => "the namespace is not, or no longer, marked as this tenant's",
            };
            return Ok(vec![(Area::Whole, Drift(words))]);
        }
    };
    let mut found = inside(client, wanted).await?;
    if !is_labelled {
        found.push((Area::Namespace, Drift("the Pod Security labels of the namespace were changed")));
    }
    Ok(found)
}

async fn inside(client: &Client, wanted: &Wanted) -> Result<Vec<(Area, Drift)>, SystemError> {
    let tenant = &wanted.names;
    let at = tenant.kubernetes_namespace.as_str();
    let [account, default_account] = accounts(tenant);
    let (quota, limits, role) = (quota(wanted), limit_range(wanted), role(tenant));
    let (quota, limits, account, default_account, role, network, access) = try_join!(
        part::<ResourceQuota>(client, at, QUOTA, &quota),
        part::<LimitRange>(client, at, QUOTA, &limits),
        part::<ServiceAccount>(client, at, TENANT, &account),
        part::<ServiceAccount>(client, at, "default", &default_account),
        part::<Role>(client, at, TENANT, &role),
        policies(client, wanted),
        bindings(client, wanted),
    )?;
    let singles = [
        (Area::Quota, quota),
        (Area::Quota, limits),
        (Area::Access, account),
        (Area::Access, default_account),
        (Area::Access, role),
    ];
    let mut found: Vec<_> =
        singles.into_iter().filter_map(|(area, drift)| drift.map(|drift| (area, drift))).collect();
    found.extend(network.into_iter().map(|drift| (Area::Network, drift)));
    found.extend(access.into_iter().map(|drift| (Area::Access, drift)));
    Ok(found)
}

async fn part<K: Part>(
    client: &Client,
    at: &str,
    name: &str,
    wanted: &K,
) -> Result<Option<Drift>, SystemError> {
    let live: Option<K> = client.get(K::READ, Some(at), name).await?;
    Ok(compared(live.as_ref(), wanted))
}

fn compared<K: Part>(live: Option<&K>, wanted: &K) -> Option<Drift> {
    match live {
        None => Some(K::MISSING),
        Some(live) if live.is_as(wanted) => None,
        Some(_) => Some(K::DIFFERS),
    }
}

async fn policies(client: &Client, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
    let at = wanted.names.kubernetes_namespace.as_str();
    let live: Vec<NetworkPolicy> = client.list(NetworkPolicy::READ, Some(at)).await?;
    let expected = network::policies(&wanted.names);
    let mut found: Vec<_> = expected
        .iter()
        .filter_map(|wanted| {
            let live = live.iter().find(|live| live.metadata.name == wanted.metadata.name);
            compared(live, wanted)
        })
        .collect();
    let is_ours =
        |policy: &NetworkPolicy| expected.iter().any(|ours| ours.metadata.name == policy.metadata.name);
    if live.iter().any(|policy| !is_ours(policy) && network::opens(policy)) {
        found
            .push(Drift("a further NetworkPolicy opens what is closed; remove it, it is not the platform's"));
    }
    Ok(found)
}

async fn bindings(client: &Client, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
    let (in_namespaces, everywhere) = try_join!(
        client.list::<RoleBinding>(RoleBinding::READ, None),
        client.list("cluster_role_bindings_read", None),
    )?;
    let at = wanted.names.kubernetes_namespace.as_str();
    let is_own = |binding: &&RoleBinding| {
        binding.metadata.namespace.as_deref() == Some(at) && binding.metadata.name.as_deref() == Some(TENANT)
    };
    let own = in_namespaces.iter().find(is_own);
    let mut found: Vec<_> = match own {
        Some(_) if wanted.suspended => vec![Drift("the tenant is suspended and still has its RoleBinding")],
        None if wanted.suspended => Vec::new(),
        own => compared(own, &role_binding(&wanted.names)).into_iter().collect(),
    };
    let others: Vec<_> = in_namespaces.iter().filter(|binding| !is_own(binding)).collect();
    found.extend(grants::beyond(at, &others, &everywhere));
    Ok(found)
}
