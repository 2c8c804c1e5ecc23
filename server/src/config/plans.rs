//! The section `[[plans]]`.

use std::collections::BTreeMap;

use integraci_api::quotas::{OnExceed, dimension};
use serde::Deserialize;

use crate::plans::{Plan, Plans, StripePrices};

/// A plan as it is written. What it leaves out is as in the shipped plan that it is `like`, which is the one
/// of its own name unless it says otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanEntry {
    name: String,
    like: Option<String>,
    #[serde(default)]
    limits: BTreeMap<String, Limit>,
    on_exceed: Option<OnExceed>,
    features: Option<Vec<String>>,
    stripe: Option<StripePrices>,
}

/// A limit as people write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Limit {
    Whole(i64),
    Decimal(f64),
    Text(String),
}

impl Limit {
    fn text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Decimal(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// The plans of a configuration.
///
/// # Errors
/// All that is wrong with them, a line each.
pub(super) fn plans(entries: Vec<PlanEntry>) -> Result<Plans, Vec<String>> {
    let mut faults = Vec::new();
    let plans = entries.into_iter().map(|entry| entry.plan(&mut faults)).collect();
    match Plans::new(plans) {
        Ok(plans) if faults.is_empty() => Ok(plans),
        Ok(_) => Err(faults),
        Err(more) => Err(faults.into_iter().chain(more).collect()),
    }
}

impl PlanEntry {
    fn plan(self, faults: &mut Vec<String>) -> Plan {
        let shipped = Plans::shipped();
        let base = shipped.get(self.like.as_ref().unwrap_or(&self.name)).ok();
        if let (Some(like), None) = (&self.like, base) {
            faults.push(format!("plans: `{}` is like `{like}`, which is not a shipped plan", self.name));
        }
        let mut limits = base.map(|base| base.limits.clone()).unwrap_or_default();
        for (name, limit) in self.limits {
            // A name that is no dimension's is told with the rest of the plan.
            let amount = dimension(&name).map_or(Ok(0), |known| known.parse(&limit.text()));
            match amount {
                Ok(amount) => drop(limits.insert(name, amount)),
                Err(detail) => {
                    limits.entry(name.clone()).or_default();
                    faults.push(format!("plans: `{}` limits.{name}: {detail}", self.name));
                }
            }
        }
        Plan {
            on_exceed: self.on_exceed.or(base.map(|base| base.on_exceed)).unwrap_or_default(),
            features: self.features.or(base.map(|base| base.features.clone())).unwrap_or_default(),
            name: self.name,
            limits,
            stripe: self.stripe,
        }
    }
}
