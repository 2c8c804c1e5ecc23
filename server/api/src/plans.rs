//! Plans: what a tenant is on, and what that brings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quotas::OnExceed;

/// A plan as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// The word in requests.
    pub name: String,
    /// The limit of every dimension, in base units.
    pub limits: BTreeMap<String, i64>,
    /// What becomes of events past a month's limit.
    pub on_exceed: OnExceed,
    /// What else comes with it, in the platform team's own words. The platform passes them on and goes by
    /// none of them.
    #[serde(default)]
    pub features: Vec<String>,
}
