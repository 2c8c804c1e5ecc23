//! `integraci_plans`.

use integraci_api::plans;
use tfplugin::{Cx, DataSource, Diagnostics, Schema, Value};

use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::resources::{Limits, written};

/// The plans that a tenant can be on, and what each brings. The platform team sets them in the server's
/// configuration.
#[derive(Schema)]
pub(crate) struct Plans {
    /// The plans, by name.
    #[attribute(computed)]
    plans: Value<Vec<Plan>>,
}

/// A plan.
#[derive(Schema)]
pub(crate) struct Plan {
    /// Its name, which is the tenant's `plan`.
    #[attribute(computed)]
    name: Value<String>,
    /// The limit of every dimension, as it is written in `integraci_quota`.
    #[attribute(computed)]
    limits: Value<Limits>,
    /// What becomes of events past the limit of a month: `allow` counts them on, `refuse` does not take them.
    #[attribute(computed)]
    on_exceed: Value<String>,
    /// What else comes with it, in the platform team's own words.
    #[attribute(computed)]
    features: Value<Vec<Value<String>>>,
}

impl DataSource for Plans {
    type Api = Connection;
    const NAME: &'static str = "integraci_plans";

    async fn read(cx: &Cx<Connection>, _: Self) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let plans = api.plan_list(&patience(cx)).await;
        let plans = plans.map_err(|error| diagnose(api, "Cannot read the plans", error, NOWHERE))?;
        Ok(Self { plans: plans.into_iter().map(Plan::from).collect::<Vec<_>>().into() })
    }
}

impl From<plans::Plan> for Plan {
    fn from(plan: plans::Plan) -> Self {
        Self {
            name: plan.name.into(),
            limits: written(&plan.limits).into(),
            on_exceed: plan.on_exceed.as_str().to_owned().into(),
            features: plan.features.into_iter().map(Value::from).collect::<Vec<_>>().into(),
        }
    }
}
