//! What a tenant uses, as its ResourceQuota counts it: what the API server admits and refuses by.
//!
//! Facts (Kubernetes, "Resource Quotas"): what is counted is what pods and claims ask for, not what they
//! burn; a pod that is over does not count; a removal is counted a moment later, by the quota controller.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::client::{Client, failure};
use super::objects::QUOTA;
use super::{ErrorClass, SystemError, Usage, Wanted, quantity};

const OPERATION: &str = "quota_read";

/// A dimension, what counts towards it (the most of it, for it is refused by each), and how many of its
/// base units are in one.
const COUNTED: &[(&str, &[&str], i64)] = &[
    ("pods", &["pods"], 1),
    ("cpu", &["requests.cpu", "limits.cpu"], 1000),
    ("memory", &["requests.memory", "limits.memory"], 1),
    ("storage", &["requests.storage"], 1),
];

pub(super) async fn usage(client: &Client, wanted: &Wanted) -> Result<Usage, SystemError> {
    let at = wanted.names.kubernetes_namespace.as_str();
    let quota: Option<ResourceQuota> = client.get(OPERATION, Some(at), QUOTA).await?;
    let quota = quota.ok_or_else(|| failure(OPERATION, ErrorClass::Gone, "the ResourceQuota is missing"))?;
    let used = quota.status.and_then(|status| status.used).unwrap_or_default();
    counted(&used)
}

fn counted(used: &BTreeMap<String, Quantity>) -> Result<Usage, SystemError> {
    let uncounted =
        || failure(OPERATION, ErrorClass::Busy { retry_after: None }, "the quota is not counted yet");
    let unreadable = || failure(OPERATION, ErrorClass::Broken, "the quota counts in no quantities");
    let mut usage = Usage::new();
    for (dimension, resources, units) in COUNTED {
        let mut most = 0;
        for resource in *resources {
            let found = used.get(*resource).ok_or_else(uncounted)?;
            most = most.max(quantity::read(found, *units).ok_or_else(unreadable)?);
        }
        usage.insert(dimension, most);
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(entries: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
        entries.iter().map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned()))).collect()
    }

    #[test]
    fn of_requests_and_limits_the_larger_is_used() {
        let mut found = used(&[
            ("pods", "3"),
            ("requests.cpu", "250m"),
            ("limits.cpu", "1500m"),
            ("requests.memory", "1Gi"),
            ("limits.memory", "512Mi"),
            ("requests.storage", "10G"),
        ]);
        let expected = [("pods", 3), ("cpu", 1500), ("memory", 1 << 30), ("storage", 10_000_000_000)];
        assert_eq!(counted(&found), Ok(Usage::from(expected)));
        found.insert("pods".to_owned(), Quantity("three".to_owned()));
        assert_eq!(counted(&found).unwrap_err().class, ErrorClass::Broken);
        found.remove("pods");
        assert!(matches!(counted(&found).unwrap_err().class, ErrorClass::Busy { .. }));
    }
}
