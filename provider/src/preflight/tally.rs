//! What a plan does to one tenant's quota. Counts, and asks nobody.
//!
//! Connectors are told apart by their names, which are unique in a tenant: so a connector that core plans
//! twice counts once, and one that is destroyed and created again counts as what it becomes.

use std::collections::{HashMap, HashSet};

use integraci_api::quotas::Quota;

/// The dimensions that connectors take of.
pub(super) const DIMENSIONS: [&str; 2] = ["connectors", "secrets"];

/// How much, of each of [`DIMENSIONS`].
pub(super) type Amounts = [i64; DIMENSIONS.len()];

/// What becomes of a tenant's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Limit {
    /// Nothing that is known of.
    #[default]
    Stays,
    /// It will be this.
    Set(i64),
    /// It will be another, and which cannot be told yet.
    NotKnown,
}

/// What is known so far of a plan and a tenant.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stays: HashSet<String>,
    goes: HashMap<String, Amounts>,
    creates: HashMap<String, Amounts>,
    /// Of those whose name is not known yet.
    unnamed: Amounts,
    pub(super) limits: [Limit; DIMENSIONS.len()],
    /// The tenant will have another plan.
    pub(super) plan_changes: bool,
    /// An answer is held until more is known.
    pub(super) is_held: bool,
    told: [bool; DIMENSIONS.len()],
}

/// A dimension of which there is not enough.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch {
    pub(super) dimension: &'static str,
    pub(super) creates: i64,
    pub(super) destroys: i64,
    pub(super) limit: i64,
    pub(super) in_use: i64,
}

impl Tally {
    pub(super) fn stays(&mut self, name: &str) {
        self.stays.insert(name.to_owned());
    }

    pub(super) fn goes(&mut self, name: &str, amounts: Amounts) {
        self.goes.insert(name.to_owned(), amounts);
    }

    pub(super) fn create(&mut self, name: Option<&str>, amounts: Amounts) {
        match name {
            Some(name) => {
                self.creates.insert(name.to_owned(), amounts);
            }
            None => {
                for (sum, amount) in self.unnamed.iter_mut().zip(amounts) {
                    *sum += amount;
                }
            }
        }
    }

    /// What does not fit and was not told yet.
    pub(super) fn too_much(&self, quota: &Quota) -> Vec<TooMuch> {
        (0..DIMENSIONS.len()).filter_map(|at| self.too_much_of(at, quota)).collect()
    }

    /// The same, which is told by that.
    pub(super) fn tell(&mut self, quota: &Quota) -> Vec<TooMuch> {
        let too_much = self.too_much(quota);
        for (told, name) in self.told.iter_mut().zip(DIMENSIONS) {
            *told |= too_much.iter().any(|it| it.dimension == name);
        }
        too_much
    }

    fn too_much_of(&self, at: usize, quota: &Quota) -> Option<TooMuch> {
        let dimension = DIMENSIONS[at];
        let in_use = quota.used.get(dimension)? + quota.reserved.get(dimension).unwrap_or(&0);
        let limit = match self.limits[at] {
            Limit::Set(limit) => limit,
            Limit::NotKnown => return None,
            Limit::Stays if self.plan_changes && !quota.limits.contains_key(dimension) => return None,
            Limit::Stays => *quota.effective.get(dimension)?,
        };
        let (creates, destroys) = self.change(at);
        // What is too much already is not this plan's doing, unless it adds to it.
        let is_too_much = !self.told[at] && creates > destroys && in_use + creates - destroys > limit;
        is_too_much.then_some(TooMuch { dimension, creates, destroys, limit, in_use })
    }

    /// How much is created and destroyed. What replaces another counts as far as it takes more, or less.
    fn change(&self, at: usize) -> (i64, i64) {
        let (mut creates, mut destroys) = (self.unnamed[at], 0);
        for (name, amounts) in &self.creates {
            match self.goes.get(name) {
                Some(before) => {
                    creates += (amounts[at] - before[at]).max(0);
                    destroys += (before[at] - amounts[at]).max(0);
                }
                None if self.stays.contains(name) => {}
                None => creates += amounts[at],
            }
        }
        let gone = self.goes.iter().filter(|(name, _)| !self.creates.contains_key(*name));
        (creates, destroys + gone.map(|(_, amounts)| amounts[at]).sum::<i64>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use integraci_api::TenantId;
    use integraci_api::quotas::OnExceed;

    use super::*;

    fn quota(limit: i64, used: i64) -> Quota {
        let of = |amount: i64| BTreeMap::from([("connectors".to_owned(), amount)]);
        Quota {
            tenant_id: TenantId::from_uuid(uuid::Uuid::nil()),
            limits: BTreeMap::new(),
            effective: of(limit),
            used: of(used),
            reserved: of(1),
            on_exceed: None,
            effective_on_exceed: OnExceed::Allow,
            revision: 0,
            operation_id: None,
            updated_at: None,
        }
    }

    fn creating(names: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for name in names {
            tally.create(Some(name), [1, 1]);
        }
        tally
    }

    #[test]
    fn what_is_created_beyond_the_limit_is_told_once() {
        let mut tally = creating(&["a", "b", "b"]);
        assert_eq!(tally.too_much(&quota(20, 17)), []);
        tally.create(None, [1, 1]);
        let told = tally.tell(&quota(20, 17));
        assert_eq!(
            told,
            [TooMuch { dimension: "connectors", creates: 3, destroys: 0, limit: 20, in_use: 18 }]
        );
        assert_eq!(tally.tell(&quota(20, 17)), []);
    }

    #[test]
    fn what_goes_makes_room() {
        let mut tally = creating(&["a", "b"]);
        assert_eq!(tally.too_much(&quota(20, 19)).len(), 1);
        tally.goes("c", [1, 1]);
        assert_eq!(tally.too_much(&quota(20, 18)), []);
        assert_eq!(tally.too_much(&quota(20, 19))[0].destroys, 1);
    }

    #[test]
    fn a_replacement_takes_the_place_of_the_old_one() {
        let mut tally = creating(&["a", "renamed", "tainted"]);
        tally.goes("a", [1, 1]);
        tally.goes("before", [1, 1]);
        tally.stays("tainted");
        assert_eq!(tally.change(0), (1, 1), "of which one is the other under a new name");
        assert_eq!(tally.too_much(&quota(0, 19)), [], "there are too many, but no more than before");
    }

    #[test]
    fn a_replacement_counts_as_far_as_it_takes_more() {
        let mut tally = Tally::default();
        tally.goes("a", [1, 1]);
        tally.create(Some("a"), [1, 3]);
        assert_eq!((tally.change(0), tally.change(1)), ((0, 0), (2, 0)));
    }

    #[test]
    fn the_limit_is_that_of_the_same_plan_if_it_sets_one() {
        let mut tally = creating(&["a", "b"]);
        for (limit, is_too_much) in
            [(Limit::Stays, true), (Limit::Set(21), false), (Limit::Set(20), true), (Limit::NotKnown, false)]
        {
            tally.limits[0] = limit;
            assert_eq!(!tally.too_much(&quota(20, 18)).is_empty(), is_too_much, "{limit:?}");
        }
    }

    #[test]
    fn another_plan_has_other_limits_but_for_the_tenants_own() {
        let mut tally = creating(&["a", "b"]);
        tally.plan_changes = true;
        assert_eq!(tally.too_much(&quota(20, 18)), []);
        let mut own = quota(20, 18);
        own.limits.clone_from(&own.effective);
        assert_eq!(tally.too_much(&own).len(), 1);
    }

    #[test]
    fn what_the_server_does_not_count_is_not_told() {
        let mut nothing = quota(0, 0);
        nothing.used.clear();
        assert_eq!(creating(&["a"]).too_much(&nothing), []);
    }
}
