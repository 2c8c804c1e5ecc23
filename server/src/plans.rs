//! The plans a tenant can be on, and the limits that each brings.

use std::collections::BTreeMap;

use integraci_api::FieldProblem;
use integraci_api::quotas::DIMENSIONS;

use crate::error::Error;

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The word in requests.
    pub name: String,
    /// The limit of every dimension.
    pub limits: BTreeMap<String, i64>,
}

/// Every plan, by name. Every plan has a limit for every dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans(BTreeMap<String, Plan>);

impl Plans {
    /// The plans of a configuration.
    ///
    /// # Errors
    /// What is wrong with them, a line each.
    pub fn new(plans: Vec<Plan>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut by_name = BTreeMap::new();
        for plan in plans {
            for dimension in DIMENSIONS {
                if plan.limits.get(dimension.name).is_none_or(|limit| *limit < 0) {
                    faults.push(format!(
                        "plans: `{}` needs limits.{} of zero or more",
                        plan.name, dimension.name
                    ));
                }
            }
            for name in plan.limits.keys().filter(|name| integraci_api::quotas::dimension(name).is_none()) {
                faults.push(format!("plans: `{}` limits `{name}`, which is not a dimension", plan.name));
            }
            let name = plan.name.clone();
            if name.is_empty() || by_name.insert(name.clone(), plan).is_some() {
                faults.push(format!("plans: the name `{name}` is empty or used twice"));
            }
        }
        if by_name.is_empty() {
            faults.push("plans: there must be at least one".to_owned());
        }
        if faults.is_empty() { Ok(Self(by_name)) } else { Err(faults) }
    }

    /// What is shipped: free, team, enterprise.
    #[must_use]
    pub fn shipped() -> Self {
        let plan = |name: &str, connectors| {
            let limits = BTreeMap::from([("connectors".to_owned(), connectors)]);
            (name.to_owned(), Plan { name: name.to_owned(), limits })
        };
        Self(BTreeMap::from([plan("free", 3), plan("team", 20), plan("enterprise", 200)]))
    }

    /// The plan of a name.
    ///
    /// # Errors
    /// The name is unknown; the error is at `/plan` and lists the plans there are.
    pub fn get(&self, name: &str) -> Result<&Plan, FieldProblem> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            FieldProblem::new("/plan", format!("unknown plan; there are: {}", known.join(", ")))
        })
    }

    /// The plan of a name that the store holds.
    ///
    /// # Errors
    /// The configuration no longer has it.
    pub fn stored(&self, name: &str) -> Result<&Plan, Error> {
        self.0.get(name).ok_or(Error::Internal("a tenant's plan is not in the configuration"))
    }

    /// Every plan, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.0.values()
    }
}
