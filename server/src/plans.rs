//! The plans a tenant can be on, and what each brings.

use std::collections::BTreeMap;

use integraci_api::FieldProblem;
use integraci_api::quotas::{DIMENSIONS, OnExceed, dimension};

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The word in requests.
    pub name: String,
    /// The limit of every dimension, in base units.
    pub limits: BTreeMap<String, i64>,
    /// What becomes of events past a month's limit.
    pub on_exceed: OnExceed,
    /// What else comes with it, in the platform team's own words.
    pub features: Vec<String>,
    /// What it costs at Stripe; a plan without is billed nowhere.
    pub stripe: Option<StripePrices>,
}

/// What a plan is called at Stripe.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripePrices {
    /// The recurring price, `price_…`.
    pub price: String,
    /// The meter of each metered dimension that is billed by use.
    #[serde(default)]
    pub meters: BTreeMap<String, StripeMeter>,
}

/// A meter at Stripe.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripeMeter {
    /// The `event_name` that it listens to.
    pub event_name: String,
    /// The meter itself, `mtr_…`, whose sums are compared with ours.
    pub meter_id: String,
    /// The price that bills it, `price_…`.
    pub price: String,
}

impl Plan {
    /// What the API shows of it.
    #[must_use]
    pub fn view(&self) -> integraci_api::plans::Plan {
        let Self { name, limits, on_exceed, features, .. } = self.clone();
        integraci_api::plans::Plan { name, limits, on_exceed, features }
    }

    /// What is wrong with it, a line each.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for known in DIMENSIONS {
            let field = format!("plans: `{}` needs limits.{}", self.name, known.name);
            match self.limits.get(known.name) {
                None => faults.push(field),
                Some(limit) => {
                    let detail = known.check(*limit).err();
                    faults.extend(detail.map(|detail| format!("{field}: {detail}")));
                }
            }
        }
        for name in self.limits.keys().filter(|name| dimension(name).is_none()) {
            faults.push(format!("plans: `{}` limits `{name}`, which is not a dimension", self.name));
        }
        for name in self.stripe.iter().flat_map(|stripe| stripe.meters.keys()) {
            if !dimension(name).is_some_and(|known| known.holds == integraci_api::quotas::Holds::Metered) {
                faults.push(format!("plans: `{}` bills `{name}`, which is not metered", self.name));
            }
        }
        faults
    }
}

/// The plans that are billed by other meters than the first that is billed. Use is told to the meters of
/// the plan that its tenant is on when it is told, which is later than it was used: were they others, a change of
/// plan would bill old use by new meters.
fn unlike_meters(plans: &BTreeMap<String, Plan>) -> Vec<String> {
    let meters = |stripe: &StripePrices| -> BTreeMap<String, (String, String)> {
        let named = |(dimension, meter): (&String, &StripeMeter)| {
            (dimension.clone(), (meter.event_name.clone(), meter.meter_id.clone()))
        };
        stripe.meters.iter().map(named).collect()
    };
    let mut billed = plans.values().filter_map(|plan| Some((&plan.name, meters(plan.stripe.as_ref()?))));
    let Some((first, expected)) = billed.next() else { return Vec::new() };
    let unlike = billed.filter(|(_, found)| *found != expected);
    let told = unlike.map(|(name, _)| {
        format!(
            "plans: `{name}` is billed by other meters than `{first}`; give both the same `event_name` and `meter_id` \
             for the same dimensions, and prices of their own, of which one may be zero"
        )
    });
    told.collect()
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
            faults.extend(plan.faults());
            let name = plan.name.clone();
            if name.is_empty() || by_name.insert(name.clone(), plan).is_some() {
                faults.push(format!("plans: the name `{name}` is empty or used twice"));
            }
        }
        faults.extend(unlike_meters(&by_name));
        if by_name.is_empty() {
            faults.push("plans: there must be at least one".to_owned());
        }
        if faults.is_empty() { Ok(Self(by_name)) } else { Err(faults) }
    }

    /// What is shipped: free, team, enterprise.
    #[must_use]
    pub fn shipped() -> Self {
        let plan = |n: usize, name: &str, on_exceed| {
            let limits = SHIPPED.iter().map(|(dimension, limits)| ((*dimension).to_owned(), limits[n]));
            let plan = Plan {
                name: name.to_owned(),
                limits: limits.collect(),
                on_exceed,
                features: Vec::new(),
                stripe: None,
            };
            (name.to_owned(), plan)
        };
        Self(BTreeMap::from([
            plan(0, "free", OnExceed::Refuse),
            plan(1, "team", OnExceed::Allow),
            plan(2, "enterprise", OnExceed::Allow),
        ]))
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

    /// Every plan, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.0.values()
    }
}

const MI: i64 = 1 << 20;
const GI: i64 = 1 << 30;

/// The limits of free, team and enterprise. Team: a small team's pipelines fit, and no tenant can crowd out
/// the others.
const SHIPPED: &[(&str, [i64; 3])] = &[
    ("connectors", [3, 20, 200]),
    ("secrets", [30, 200, 2_000]),
    ("api_tokens", [5, 50, 500]),
    ("api_requests_per_minute", [300, 1_200, 6_000]),
    ("pipeline_runs_per_month", [500, 10_000, 200_000]),
    ("deploys_per_month", [100, 2_000, 40_000]),
    ("pods", [10, 50, 500]),
    ("cpu", [2_000, 8_000, 64_000]),
    ("memory", [4 * GI, 16 * GI, 128 * GI]),
    ("storage", [10 * GI, 100 * GI, 2_048 * GI]),
    ("nats_connections", [20, 100, 1_000]),
    ("nats_stream_bytes", [64 * MI, 256 * MI, 4 * GI]),
    ("nats_payload_bytes", [MI, MI, MI]),
    ("openbao_requests_per_second", [20, 100, 1_000]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_what_a_configuration_could_say() {
        let shipped = Plans::shipped();
        assert_eq!(Plans::new(shipped.iter().cloned().collect()), Ok(shipped));
        assert_eq!(SHIPPED.len(), DIMENSIONS.len());
    }

    #[test]
    fn plans_that_are_billed_are_billed_by_the_same_meters() {
        let sold = |name: &str, dimensions: &[&str], event: &str| {
            let meter = |dimension: &&str| {
                let (event_name, meter_id) = (event.to_owned(), "mtr_1".to_owned());
                (
                    (*dimension).to_owned(),
                    StripeMeter { event_name, meter_id, price: format!("price_{name}") },
                )
            };
            let meters = dimensions.iter().map(meter).collect();
            let stripe = Some(StripePrices { price: "price_1".to_owned(), meters });
            Plan { stripe, ..Plans::shipped().get(name).unwrap().clone() }
        };
        let (runs, deploys) = ("pipeline_runs_per_month", "deploys_per_month");
        let free = Plans::shipped().get("free").unwrap().clone();
        let team = sold("team", &[runs], "runs");
        assert!(Plans::new(vec![free, team.clone(), sold("enterprise", &[runs], "runs")]).is_ok());
        for unlike in [
            sold("enterprise", &[runs, deploys], "runs"),
            sold("enterprise", &[], "runs"),
            sold("enterprise", &[runs], "others"),
        ] {
            let faults = Plans::new(vec![team.clone(), unlike]).unwrap_err();
            assert!(faults[0].contains("other meters"), "{faults:?}");
        }
    }
}
