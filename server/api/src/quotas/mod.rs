//! Quotas: how much a tenant may have, by dimension, and how much of it it uses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

mod amount;
mod dimensions;

pub use amount::Unit;
pub use dimensions::{DIMENSIONS, Dimension, Holds, dimension};

use crate::{FieldProblem, OperationId, TenantId};

/// The largest limit: JSON numbers above it are not exact everywhere (RFC 8259, section 6).
pub const LIMIT_MAX: i64 = (1 << 53) - 1;

/// What becomes of events past the limit of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnExceed {
    /// They are counted on.
    #[default]
    Allow,
    /// They are not taken.
    Refuse,
}

impl OnExceed {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Allow, Self::Refuse].into_iter().find(|known| known.as_str() == word)
    }
}

/// A tenant's quota as the API shows it. All amounts are in base units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quota {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The limits set for this tenant; a dimension that is absent has its plan's limit.
    pub limits: BTreeMap<String, i64>,
    /// The limit in force for every dimension.
    pub effective: BTreeMap<String, i64>,
    /// How much is used, of the dimensions that the server itself counts.
    pub used: BTreeMap<String, i64>,
    /// How much is held for what is still being made, of the same dimensions.
    #[serde(default)]
    pub reserved: BTreeMap<String, i64>,
    /// What was set for this tenant of events past a month's limit; absent: as the plan has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exceed: Option<OnExceed>,
    /// What holds of them.
    #[serde(default)]
    pub effective_on_exceed: OnExceed,
    /// Counts changes; the ETag is this number in quotes. 0: never set.
    pub revision: i64,
    /// The operation that is bringing the systems to these limits, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// When it was last set; absent when never.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<OffsetDateTime>,
}

/// Sets a tenant's limits, all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaSet {
    /// Limits by dimension, in base units.
    pub limits: BTreeMap<String, i64>,
    /// What becomes of events past a month's limit; as the plan has it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exceed: Option<OnExceed>,
}

/// How much of its quota a tenant uses, by asking whoever counts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaUsage {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Every dimension.
    pub dimensions: BTreeMap<String, DimensionUsage>,
    /// When they were asked.
    #[serde(with = "time::serde::rfc3339")]
    pub read_at: OffsetDateTime,
}

/// How much of one dimension is used, in base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DimensionUsage {
    /// The limit in force.
    pub limit: i64,
    /// How much there is; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
    /// How much is held for what is still being made.
    #[serde(default)]
    pub reserved: i64,
    /// What is left; 0 where there is more than the limit, absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// The base unit.
    pub unit: String,
    /// Who refuses what is too much: `server`, or a system.
    pub enforced_by: String,
    /// Why it is not known how much there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
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
            match dimension(name) {
                None => faults.push(FieldProblem::new(at, unknown_dimension())),
                Some(dimension) => {
                    faults.extend(dimension.check(*limit).err().map(|detail| FieldProblem::new(at, detail)));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// What to say of a name that is no dimension's.
#[must_use]
pub fn unknown_dimension() -> String {
    let known: Vec<_> = DIMENSIONS.iter().map(|dimension| dimension.name).collect();
    format!("unknown dimension; there are: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_huge_and_unknown_limits_are_refused_at_their_pointers() {
        let set = |name: &str, limit| QuotaSet {
            limits: BTreeMap::from([(name.to_owned(), limit)]),
            on_exceed: None,
        };
        assert!(set("connectors", 0).check().is_ok());
        assert_eq!(set("connectors", -1).check().unwrap_err()[0].pointer, "/limits/connectors");
        assert_eq!(set("connectors", LIMIT_MAX + 1).check().unwrap_err()[0].pointer, "/limits/connectors");
        assert_eq!(set("unicorns", 1).check().unwrap_err()[0].pointer, "/limits/unicorns");
    }
}
