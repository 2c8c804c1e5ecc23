//! Quotas: how much a tenant may have, by dimension.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{FieldProblem, TenantId};

/// The largest limit: JSON numbers above it are not exact everywhere (RFC 8259, section 6).
pub const LIMIT_MAX: i64 = (1 << 53) - 1;

/// One thing that is limited. A new one is an entry in [`DIMENSIONS`] and its check where it is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Dimension {
    /// The word on the wire and in Terraform.
    pub name: &'static str,
    /// What is counted, and where the limit holds.
    pub description: &'static str,
    /// What one is.
    pub unit: &'static str,
}

/// Every dimension, by name.
pub const DIMENSIONS: &[Dimension] = &[Dimension {
    name: "connectors",
    description: "Connectors of the tenant, those being installed included. Checked in the statement that inserts one.",
    unit: "connectors",
}];

/// The dimension of a name.
#[must_use]
pub fn dimension(name: &str) -> Option<&'static Dimension> {
    DIMENSIONS.iter().find(|dimension| dimension.name == name)
}

/// A tenant's quota as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quota {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The limits set for this tenant; a dimension that is absent has its plan's limit.
    pub limits: BTreeMap<String, i64>,
    /// The limit in force for every dimension.
    pub effective: BTreeMap<String, i64>,
    /// How much is used of every dimension.
    pub used: BTreeMap<String, i64>,
    /// Counts changes; the ETag is this number in quotes. 0: never set.
    pub revision: i64,
    /// When it was last set; absent when never.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<OffsetDateTime>,
}

/// Sets a tenant's limits, all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaSet {
    /// Limits by dimension, zero or more.
    pub limits: BTreeMap<String, i64>,
}

impl QuotaSet {
    /// Every fault of the request that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        for (name, limit) in &self.limits {
            let at = format!("/limits/{}", crate::tenants::pointer_escape(name));
            if dimension(name).is_none() {
                let known: Vec<_> = DIMENSIONS.iter().map(|dimension| dimension.name).collect();
                faults.push(FieldProblem::new(
                    at,
                    format!("unknown dimension; there are: {}", known.join(", ")),
                ));
            } else if !(0..=LIMIT_MAX).contains(limit) {
                faults
                    .push(FieldProblem::new(at, format!("a limit is a whole number from 0 to {LIMIT_MAX}")));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_huge_and_unknown_limits_are_refused_at_their_pointers() {
        let set = |name: &str, limit| QuotaSet { limits: BTreeMap::from([(name.to_owned(), limit)]) };
        assert!(set("connectors", 0).check().is_ok());
        assert_eq!(set("connectors", -1).check().unwrap_err()[0].pointer, "/limits/connectors");
        assert_eq!(set("connectors", LIMIT_MAX + 1).check().unwrap_err()[0].pointer, "/limits/connectors");
        assert_eq!(set("unicorns", 1).check().unwrap_err()[0].pointer, "/limits/unicorns");
    }
}
