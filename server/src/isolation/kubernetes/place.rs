//! A tenant's namespace, made, mended, removed and looked for.

use std::time::{Duration, Instant};

use integraci_api::tenants::TenantNames;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::core::params::{DeleteParams, Preconditions};
use tokio::try_join;

use super::client::{Client, failure};
use super::objects::{
    Part, QUOTA, TENANT, accounts, is_going, is_labelled, is_of, limit_range, namespace, quota, role,
    role_binding,
};
use super::{ErrorClass, Remnant, SystemError, Wanted, network};

/// How long a saga waits before it asks whether a deletion is over: the namespace controller leaves a
/// namespace alone for 5 s first, and pods have 30 s to stop.
const DELETION_POLL: Duration = Duration::from_secs(2);

/// How long the quota controller is waited for: it takes some tens of milliseconds.
const QUOTA_WAIT: Duration = Duration::from_secs(2);
const QUOTA_POLL: Duration = Duration::from_millis(20);

/// Everything in the tenant's namespace, as wanted: the namespace first, then the rest side by side,
/// since none of it needs the other (a binding may name a role that is not there yet).
pub(super) async fn ensure(client: &Client, wanted: &Wanted) -> Result<(), SystemError> {
    ensure_namespace(client, wanted).await?;
    let tenant = &wanted.names;
    let at = tenant.kubernetes_namespace.as_str();
    let [deny, dns, within] = network::policies(tenant);
    let [account, default_account] = accounts(tenant);
    let (limits, role) = (limit_range(wanted), role(tenant));
    try_join!(
        ensure_part(client, at, &deny),
        ensure_part(client, at, &dns),
        ensure_part(client, at, &within),
        ensure_part(client, at, &limits),
        ensure_part(client, at, &account),
        ensure_part(client, at, &default_account),
        ensure_part(client, at, &role),
        ensure_binding(client, wanted),
        ensure_quota(client, wanted),
    )
    .map(drop)
}

async fn ensure_namespace(client: &Client, wanted: &Wanted) -> Result<(), SystemError> {
    const OPERATION: &str = "namespace_create";
    let mut object = namespace(wanted);
    // Creating, unlike applying, never takes over what is there already.
    match client.create(OPERATION, None, &object).await {
        Ok(_) => return Ok(()),
        Err(taken) if taken.status == Some(409) => {}
        Err(failed) => return Err(failed),
    }
    let found = read_namespace(client, &wanted.names).await?;
    let found =
        found.ok_or_else(|| failure(OPERATION, busy(QUOTA_POLL), "the namespace has just been deleted"))?;
    if !is_of(&found, wanted) {
        return Err(failure(
            OPERATION,
            ErrorClass::Refused,
            "a namespace of this name exists and is not this tenant's; it is left alone",
        ));
    }
    if is_going(&found) {
        let reason = "a namespace of this name is still being deleted";
        return Err(failure(OPERATION, busy(DELETION_POLL), reason));
    }
    if !is_labelled(&found, &object) {
        // The one that was looked at, and no other that has taken its name since.
        object.metadata.uid = found.metadata.uid;
        client.apply("namespace_apply", None, &object).await?;
    }
    Ok(())
}

/// Makes an object or mends it. One that cannot be changed into what it is to be (a binding's role and a
/// quota's scopes are fixed for good) is made anew: until then it was not holding anybody to it.
async fn ensure_part<K: Part>(client: &Client, at: &str, wanted: &K) -> Result<K, SystemError> {
    match client.apply(K::APPLY, Some(at), wanted).await {
        Ok(live) if live.is_as(wanted) => return Ok(live),
        Ok(_) => {}
        Err(fixed) if fixed.status == Some(422) => {}
        Err(failed) => return Err(failed),
    }
    let name = wanted.meta().name.as_deref().unwrap_or_default();
    client.delete::<K>(K::APPLY, Some(at), name, &DeleteParams::default()).await?;
    client.apply(K::APPLY, Some(at), wanted).await
}

/// Without its binding, every token of a suspended tenant is refused everything.
async fn ensure_binding(client: &Client, wanted: &Wanted) -> Result<(), SystemError> {
    let at = wanted.names.kubernetes_namespace.as_str();
    if wanted.suspended {
        let params = DeleteParams::default();
        return client.delete::<RoleBinding>("role_binding_delete", Some(at), TENANT, &params).await;
    }
    ensure_part(client, at, &role_binding(&wanted.names)).await.map(drop)
}

/// Writes the quota and waits until it holds. Admission goes by the quota's status, which the quota
/// controller fills in a moment later: until then a new tenant's first pod would be refused, and a
/// suspended tenant's next one admitted. The wait is side by side with the other objects, so that it
/// costs little.
async fn ensure_quota(client: &Client, wanted: &Wanted) -> Result<(), SystemError> {
    const OPERATION: &str = "quota_read";
    let at = wanted.names.kubernetes_namespace.as_str();
    let mut quota = ensure_part(client, at, &quota(wanted)).await?;
    let written_at = Instant::now();
    while !holds(&quota) {
        if written_at.elapsed() > QUOTA_WAIT {
            let reason = "the quota is not in force yet; see whether the controller manager runs";
            return Err(failure(OPERATION, busy(QUOTA_WAIT), reason));
        }
        tokio::time::sleep(QUOTA_POLL).await;
        quota = client
            .get(OPERATION, Some(at), QUOTA)
            .await?
            .ok_or_else(|| failure(OPERATION, busy(QUOTA_POLL), "the quota has just been deleted"))?;
    }
    Ok(())
}

/// Whether what admission goes by is what is written.
fn holds(quota: &ResourceQuota) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    quota.status.as_ref().is_some_and(|status| status.hard.as_ref() == hard)
}

/// The namespace of a tenant's name, whoever's it is.
pub(super) async fn read_namespace(
    client: &Client,
    tenant: &TenantNames,
) -> Result<Option<Namespace>, SystemError> {
    client.get("namespace_read", None, &tenant.kubernetes_namespace).await
}

/// Another installation's tenant of the same name, on the same cluster, is left alone.
pub(super) async fn ensure_none(client: &Client, wanted: &Wanted) -> Result<(), SystemError> {
    const OPERATION: &str = "namespace_delete";
    let found = read_namespace(client, &wanted.names).await?;
    let Some(found) = found.filter(|found| is_of(found, wanted)) else { return Ok(()) };
    if !is_going(&found) {
        let preconditions = Preconditions { uid: found.metadata.uid, resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        client.delete::<Namespace>(OPERATION, None, &wanted.names.kubernetes_namespace, &params).await?;
    }
    Err(failure(OPERATION, busy(DELETION_POLL), "the namespace is being deleted"))
}

/// All that a tenant has is in its namespace: nothing is made beside it.
pub(super) async fn remains(client: &Client, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
    let found = read_namespace(client, &wanted.names).await?.filter(|found| is_of(found, wanted));
    let name = wanted.names.kubernetes_namespace.clone();
    Ok(found.into_iter().map(|_| Remnant { class: "namespace", name: name.clone() }).collect())
}

const fn busy(after: Duration) -> ErrorClass {
    ErrorClass::Busy { retry_after: Some(after) }
}
