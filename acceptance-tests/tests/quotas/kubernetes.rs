//! What Kubernetes refuses: pods, what they ask for, and claims of storage, each by its API server, with
//! the tenant's own token.

use std::time::Duration;

use acceptance_tests::admin::until;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::tenant::{Tenant, base_units, text};
use crate::{Case, Refused};

/// How long the controller may take to hold to a quota that was just changed.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(20);

/// A pod that takes most of the memory, and one that asks for more than is left.
pub(crate) fn memory<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let there = Namespace::of(tenant)?;
    there.makes("pods", &pod("memory-fits", "50m", "40Mi"))?;
    let one_more = pod("memory-over", "50m", "32Mi");
    there.is_refused("pods", &one_more, "limits.memory")?;
    tenant.is_used(case.dimension, case.small, 40 << 20)?;
    Ok(Box::new(move || there.makes_at_last("pods", &one_more)))
}

/// The same of processors.
pub(crate) fn cpu<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let there = Namespace::of(tenant)?;
    there.makes("pods", &pod("cpu-fits", "150m", "4Mi"))?;
    let one_more = pod("cpu-over", "150m", "4Mi");
    there.is_refused("pods", &one_more, "limits.cpu")?;
    tenant.is_used(case.dimension, case.small, 200)?;
    Ok(Box::new(move || there.makes_at_last("pods", &one_more)))
}

/// Pods that ask for next to nothing, those of the others counted, until there are as many as may be.
pub(crate) fn pods<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let there = Namespace::of(tenant)?;
    for n in there.count("pods")? + 1..=limit {
        there.makes("pods", &pod(&format!("pod-{n}"), "1m", "1Mi"))?;
    }
    let one_more = pod("pod-over", "1m", "1Mi");
    there.is_refused("pods", &one_more, "pods")?;
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || there.makes_at_last("pods", &one_more)))
}

/// A claim of all the storage, and one of a little.
pub(crate) fn storage<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    const CLAIMS: &str = "persistentvolumeclaims";
    let there = Namespace::of(tenant)?;
    there.makes(CLAIMS, &claim("fits", case.small))?;
    let one_more = claim("over", "1Mi");
    there.is_refused(CLAIMS, &one_more, "requests.storage")?;
    tenant.is_used(case.dimension, case.small, base_units(case.dimension, case.small)?)?;
    Ok(Box::new(move || there.makes_at_last(CLAIMS, &one_more)))
}

/// Takes from the claims what keeps them from being removed: the controller that does it, once no pod uses
/// one, does not run here.
pub(crate) fn claims_let_go(tenant: &Tenant<'_>) -> Result<()> {
    let path = format!("/api/v1/namespaces/tenant-{}/persistentvolumeclaims", tenant.slug);
    let claims = tenant.admin.kubernetes("GET", &path, &Value::Null)?.expect("listing claims")?.body;
    for claim in claims["items"].as_array().into_iter().flatten() {
        let path = format!("{path}/{}", text(&claim["metadata"]["name"])?);
        let free = json!({ "metadata": { "finalizers": null } });
        tenant.admin.kubernetes("PATCH", &path, &free)?.expect("letting a claim go")?;
    }
    Ok(())
}

/// The tenant's namespace, as the tenant.
struct Namespace<'a> {
    tenant: &'a Tenant<'a>,
    path: String,
    token: String,
}

impl<'a> Namespace<'a> {
    /// It, once the API server holds to the quota that it was last given.
    fn of(tenant: &'a Tenant<'a>) -> Result<Self> {
        let path = format!("/api/v1/namespaces/tenant-{}", tenant.slug);
        let (_, secrets) = tenant.credential("kubernetes")?;
        until("Kubernetes holds to the quota", IN_FORCE_WITHIN, || {
            let quota =
                tenant.admin.kubernetes("GET", &format!("{path}/resourcequotas/tenant"), &Value::Null)?;
            let quota = quota.expect("reading the quota")?.body;
            Ok((quota["status"]["hard"] == quota["spec"]["hard"]).then_some(()))
        })?;
        Ok(Self { tenant, path, token: text(&secrets["token"])?.to_owned() })
    }

    /// Makes an object; the API server's own words where it refuses.
    fn make(&self, resource: &str, object: &Value) -> Result<Result<(), String>> {
        let path = format!("{}/{resource}", self.path);
        let seen = self.tenant.admin.kubernetes_as(&self.token, "POST", &path, object)?;
        Ok(if seen.status.is_success() { Ok(()) } else { Err(format!("{} {}", seen.status, seen.body)) })
    }

    fn makes(&self, resource: &str, object: &Value) -> Result<()> {
        let made = self.make(resource, object)?;
        made.map_err(|words| anyhow::anyhow!("{} has room: {words}", object["metadata"]["name"]))
    }

    fn makes_at_last(&self, resource: &str, object: &Value) -> Result<()> {
        self.tenant.done(|| self.make(resource, object))
    }

    /// Sees an object refused by the quota, for what it would take of one resource and of no other.
    fn is_refused(&self, resource: &str, object: &Value, over: &str) -> Result<()> {
        let refusal = self.make(resource, object)?.err().unwrap_or_default();
        let (_, limited) = refusal.split_once("limited: ").unwrap_or_default();
        let is_over = |name: &str| limited.contains(&format!("{name}="));
        let others = ["pods", "limits.cpu", "limits.memory", "requests.storage"];
        let is_so = refusal.starts_with("403") && refusal.contains("exceeded quota") && is_over(over);
        ensure!(is_so && others.iter().all(|it| *it == over || !is_over(it)), "one too many: {refusal:?}");
        Ok(())
    }

    fn count(&self, resource: &str) -> Result<i64> {
        let path = format!("{}/{resource}", self.path);
        let seen = self.tenant.admin.kubernetes_as(&self.token, "GET", &path, &Value::Null)?;
        let items = seen.expect("counting")?.body["items"].as_array().map_or(0, Vec::len);
        Ok(i64::try_from(items)?)
    }
}

/// A pod as the namespace's security level wants it, that asks for so much.
fn pod(name: &str, cpu: &str, memory: &str) -> Value {
    let asked = json!({ "cpu": cpu, "memory": memory });
    json!({
        "metadata": { "name": name },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "main",
                "image": "registry.example/image",
                "resources": { "requests": asked, "limits": asked },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

fn claim(name: &str, storage: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": storage } } },
    })
}
