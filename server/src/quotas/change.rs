//! Changes of limits: a tenant's own, or its plan's.
//!
//! What is lowered in a system is looked at there first, in no transaction; the rest is looked at and written
//! under the lock of the quota, in the transaction of whoever changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use integraci_api::quotas::{Holds, OnExceed, QuotaSet, Unit};
use integraci_api::{FieldProblem, Problem, ProblemCode, TenantId};
use time::OffsetDateTime;

use super::stands::{self, Standing, Stands};
use super::systems::{self, Answer};
use crate::error::Error;
use crate::isolation::{Cells, System, Usage};
use crate::plans::Plan;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants::places;

/// How long to wait before asking again, where a system did not say what is in use.
const SYSTEM_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long to wait where the limits were changed by another at the same time.
const CHANGE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What systems said is in use there.
#[derive(Debug, Default)]
pub(crate) struct InSystems {
    /// Who was asked: of the others nothing is known, whatever `used` lacks.
    asked: BTreeSet<System>,
    used: Usage,
}

/// What is to take the place of the limits there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// The tenant's own, all of them; where there is none it has the plan's.
    Own(&'a QuotaSet),
    /// Another plan's; the tenant's own stay.
    Plan(&'a Plan),
}

impl Change<'_> {
    fn limit(&self, now: &Stands) -> i64 {
        match self {
            Self::Own(own) => own.limits.get(now.dimension.name).copied().unwrap_or(now.plan),
            Self::Plan(plan) => {
                now.own.or_else(|| plan.limits.get(now.dimension.name).copied()).unwrap_or(now.plan)
            }
        }
    }

    fn on_exceed(&self, now: &Standing) -> OnExceed {
        match self {
            Self::Own(own) => own.on_exceed.unwrap_or(now.plan_on_exceed),
            Self::Plan(plan) => now.own_on_exceed.unwrap_or(plan.on_exceed),
        }
    }

    /// Whether somebody asks for this limit, and is to be told that it is too low. Going back to the plan's is
    /// never refused: nothing is taken away by it.
    fn asks_for(&self, now: &Stands) -> bool {
        match self {
            Self::Own(own) => own.limits.contains_key(now.dimension.name),
            Self::Plan(_) => true,
        }
    }

    fn lowers(&self, now: &Stands) -> bool {
        self.asks_for(now) && self.limit(now) < now.limit()
    }

    /// The systems in which it lowers a limit.
    fn lowers_in(&self, standing: &Standing) -> BTreeSet<System> {
        standing.dimensions.iter().filter(|it| self.lowers(it)).filter_map(Stands::system).collect()
    }

    /// What is in use of all that the change lowers in systems.
    ///
    /// # Errors
    /// `unavailable` where a system does not tell, `not_found`, or the store's.
    pub(crate) async fn used_in_systems(
        &self,
        store: &Store,
        cells: &Cells,
        tenant: TenantId,
        now: OffsetDateTime,
    ) -> Result<InSystems, Error> {
        let standing = stands::read(&mut store.tenant_tx(tenant).await?, now).await?;
        let asked = self.lowers_in(&standing);
        let mut used = Usage::new();
        if asked.is_empty() {
            return Ok(InSystems::default());
        }
        for (system, answer) in systems::ask(store, cells, tenant, asked.iter().copied()).await? {
            match answer {
                Answer::Used(usage) => used.extend(usage),
                Answer::NoPlace => {}
                Answer::Unknown(reason) => {
                    let detail = format!(
                        "{} does not tell what is in use ({reason}), so its limits are not lowered; try again",
                        system.title()
                    );
                    let problem = Box::new(Problem::new(ProblemCode::Unavailable, detail));
                    return Err(Error::Later { problem, retry_after: SYSTEM_RETRY_AFTER });
                }
            }
        }
        Ok(InSystems { asked, used })
    }

    /// Puts the change in force, unless more is in use than it allows. Whether a system is to be brought to
    /// it. The tenant is locked by now, and `standing` read under the quota's lock.
    ///
    /// # Errors
    /// `quota_below_use` with all that is over, `unavailable` where it lowers a limit in a system that was not
    /// asked, because others changed limits meanwhile, or the store's.
    pub(super) async fn put(
        &self,
        tx: &mut TenantTx,
        standing: &Standing,
        in_systems: &InSystems,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        self.refuse_unless_asked(standing, in_systems)?;
        let over = self.over(standing, &in_systems.used);
        if let [first, others @ ..] = &over[..] {
            let detail = match others.len() {
                0 => first.detail.clone(),
                n => format!("{} (and {n} more)", first.detail),
            };
            return Err(Problem::new(ProblemCode::QuotaBelowUse, detail).with_errors(over).into());
        }
        match self {
            Self::Own(own) => write_own(tx, own, now).await?,
            Self::Plan(plan) => write_plan(tx, plan).await?,
        }
        let tenant = tx.tenant();
        let lived_in = places::systems(tx, tenant).await?;
        let moved = standing.dimensions.iter().filter(|it| self.limit(it) != it.limit());
        Ok(moved.filter_map(Stands::system).any(|system| lived_in.contains(&system)))
    }

    /// Which systems were to be asked was read under no lock.
    fn refuse_unless_asked(&self, standing: &Standing, in_systems: &InSystems) -> Result<(), Error> {
        let lowered = self.lowers_in(standing);
        let Some(system) = lowered.difference(&in_systems.asked).next() else { return Ok(()) };
        let detail = format!(
            "limits in {} were changed by somebody else at the same time, so what is in use there is not known yet; \
             try again",
            system.title()
        );
        let problem = Box::new(Problem::new(ProblemCode::Unavailable, detail));
        Err(Error::Later { problem, retry_after: CHANGE_RETRY_AFTER })
    }

    /// Whatever is more in use than a limit that the change lowers, each at its place in the request. To be over
    /// already, after a reset or on a smaller plan, is no reason to refuse what does not lower the limit.
    fn over(&self, standing: &Standing, in_systems: &Usage) -> Vec<FieldProblem> {
        let refuses = self.on_exceed(standing) == OnExceed::Refuse;
        let over = standing.dimensions.iter().filter(|it| self.lowers(it)).filter_map(|now| {
            let used = match now.dimension.holds {
                Holds::Taken | Holds::Counted => now.used? + now.reserved,
                // What is only billed may be over.
                Holds::Metered if refuses => now.used?,
                Holds::In(_) => *in_systems.get(now.dimension.name)?,
                Holds::Metered | Holds::Requests => return None,
            };
            let limit = self.limit(now);
            (used > limit).then(|| self.fault(now, limit, used))
        });
        over.collect()
    }

    fn fault(&self, now: &Stands, limit: i64, used: i64) -> FieldProblem {
        let dimension = now.dimension;
        let (name, limit, used) = (dimension.name, dimension.write(limit), dimension.write(used));
        let in_use = if dimension.unit == Unit::Ones { "are in use" } else { "is in use" };
        match self {
            Self::Own(_) => FieldProblem::new(
                format!("/limits/{name}"),
                format!("{used} {name} {in_use}; remove some first, or set at least {used}"),
            ),
            Self::Plan(plan) => FieldProblem::new(
                "/plan",
                format!(
                    "the plan `{}` allows {limit} {name} and {used} {in_use}; remove some first, or set a quota of its own",
                    plan.name
                ),
            ),
        }
    }
}

/// Puts a tenant on another plan's limits. Whether a system is to be brought to them. The tenant is locked.
///
/// # Errors
/// `quota_below_use` at `/plan` with all that is over, or the store's.
pub(crate) async fn change_plan(
    tx: &mut TenantTx,
    plan: &Plan,
    in_systems: &InSystems,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let standing = stands::lock(tx, now).await?;
    Change::Plan(plan).put(tx, &standing, in_systems, now).await
}

async fn write_own(tx: &mut TenantTx, own: &QuotaSet, now: OffsetDateTime) -> Result<(), StoreError> {
    let (names, limits) = columns(&own.limits);
    sqlx::query(
        "WITH told AS (
           UPDATE tenant SET quota_revision = quota_revision + 1, quota_updated_at = $4, own_on_exceed = $5,
             first_used_at = coalesce(first_used_at, $4) WHERE id = $1)
         UPDATE quota SET own_max = (SELECT l.max FROM unnest($2::text[], $3::bigint[]) AS l (dimension, max)
                                     WHERE l.dimension = quota.dimension)
         WHERE tenant_id = $1",
    )
    .bind(tx.tenant().uuid())
    .bind(&names)
    .bind(&limits)
    .bind(now)
    .bind(own.on_exceed.map(OnExceed::as_str))
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(StoreError::on("set limits"))
}

async fn write_plan(tx: &mut TenantTx, plan: &Plan) -> Result<(), StoreError> {
    let (names, limits) = columns(&plan.limits);
    sqlx::query(
        "WITH told AS (UPDATE tenant SET plan_on_exceed = $4 WHERE id = $1)
         UPDATE quota SET plan_max = l.max FROM unnest($2::text[], $3::bigint[]) AS l (dimension, max)
         WHERE tenant_id = $1 AND quota.dimension = l.dimension",
    )
    .bind(tx.tenant().uuid())
    .bind(&names)
    .bind(&limits)
    .bind(plan.on_exceed.as_str())
    .execute(tx.conn())
    .await
    .map(drop)
    .map_err(StoreError::on("change a plan's limits"))
}

/// Limits as two columns, for `unnest`.
pub(super) fn columns(limits: &BTreeMap<String, i64>) -> (Vec<&str>, Vec<i64>) {
    limits.iter().map(|(name, limit)| (name.as_str(), *limit)).unzip()
}

#[cfg(test)]
mod tests {
    use integraci_api::quotas::dimension;

    use super::*;
    use crate::plans::Plans;

    /// A dimension under the free plan.
    fn stands(name: &str, own: Option<i64>, used: Option<i64>) -> Stands {
        let plan = Plans::shipped().get("free").unwrap().limits[name];
        Stands { dimension: dimension(name).unwrap(), plan, own, used, reserved: 0 }
    }

    fn own(name: &str, limit: i64) -> QuotaSet {
        QuotaSet { limits: BTreeMap::from([(name.to_owned(), limit)]), ..QuotaSet::default() }
    }

    #[test]
    fn a_limit_that_another_raised_meanwhile_is_not_lowered_unasked() {
        let wanted = own("nats_connections", 50);
        let change = Change::Own(&wanted);
        // 20 by the plan when it was read, 100 once it is locked.
        let read = Standing::of(vec![stands("nats_connections", None, None)]);
        let locked = Standing::of(vec![stands("nats_connections", Some(100), None)]);
        assert_eq!(change.lowers_in(&read), BTreeSet::new());
        let unasked = change.refuse_unless_asked(&locked, &InSystems::default());
        let Err(Error::Later { problem, .. }) = unasked else { panic!("{unasked:?}") };
        assert_eq!(problem.code, ProblemCode::Unavailable);
        assert!(change.refuse_unless_asked(&read, &InSystems::default()).is_ok());
        let asked = InSystems { asked: BTreeSet::from([System::Nats]), used: Usage::new() };
        assert!(change.refuse_unless_asked(&locked, &asked).is_ok());
        let used = Usage::from([("nats_connections", 60)]);
        assert_eq!(change.over(&locked, &used)[0].pointer, "/limits/nats_connections");
    }

    #[test]
    fn only_a_lowered_limit_is_refused_for_being_below_use() {
        let over = |own_limit, wanted| {
            let standing = Standing::of(vec![stands("connectors", own_limit, Some(9))]);
            let wanted = own("connectors", wanted);
            Change::Own(&wanted).over(&standing, &Usage::new()).len()
        };
        assert_eq!((over(Some(5), 4), over(Some(5), 5), over(Some(5), 7)), (1, 0, 0));
        assert_eq!((over(Some(20), 8), over(Some(20), 9)), (1, 0));
    }

    #[test]
    fn a_plan_is_not_at_fault_for_the_tenants_own_limit() {
        let plans = Plans::shipped();
        let to = Change::Plan(plans.get("free").unwrap());
        let mut standing = Standing::of(vec![stands("connectors", Some(2), Some(9))]);
        assert_eq!(to.over(&standing, &Usage::new()), []);
        standing.dimensions[0] = Stands { plan: 20, own: None, ..stands("connectors", None, Some(9)) };
        let detail = &to.over(&standing, &Usage::new())[0].detail;
        assert!(detail.contains("`free` allows 3 connectors and 9 are in use"), "{detail}");
    }
}
