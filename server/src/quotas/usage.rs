//! How much of its quota a tenant uses, by asking whoever counts it.

use std::collections::{BTreeMap, BTreeSet};

use integraci_api::quotas::{DimensionUsage, Holds, QuotaUsage};

use super::Quotas;
use super::stands::{self, Stands};
use super::systems::{self, Answer};
use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::isolation::System;
use crate::request_limits;

impl Quotas {
    /// How much of every dimension is used. A system that does not tell makes its dimensions unknown, and is
    /// no fault.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn usage(&self, by: &TenantAuthority) -> Result<QuotaUsage, Error> {
        let tenant = by.tenant();
        let read_at = self.source.now();
        let standing = stands::read(&mut self.store.tenant_tx(tenant).await?, read_at).await?;
        let systems: BTreeSet<System> = standing.dimensions.iter().filter_map(Stands::system).collect();
        let answers = systems::ask(&self.store, &self.cells, tenant, systems).await?;
        let mut tx = self.store.platform_tx().await?;
        let requests = request_limits::granted(&mut tx, tenant.uuid(), request_limits::WINDOW).await?;
        let dimensions = standing
            .dimensions
            .iter()
            .map(|it| (it.dimension.name.to_owned(), shown(it, requests, &answers)));
        Ok(QuotaUsage { tenant_id: tenant, dimensions: dimensions.collect(), read_at })
    }
}

fn shown(it: &Stands, requests: i64, answers: &BTreeMap<System, Answer>) -> DimensionUsage {
    let used = match it.dimension.holds {
        Holds::Taken | Holds::Counted | Holds::Metered => {
            it.used.ok_or_else(|| "it is not counted".to_owned())
        }
        // What replicas were given of this minute, and may not have spent.
        Holds::Requests => Ok(requests),
        Holds::In(system) => in_system(it.dimension.name, system, answers.get(&system)),
    };
    let (used, unknown) = match used {
        Ok(used) => (Some(used), None),
        Err(reason) => (None, Some(reason)),
    };
    let limit = it.limit();
    DimensionUsage {
        limit,
        used,
        reserved: it.reserved,
        remaining: used.map(|used| (limit - used - it.reserved).max(0)),
        unit: it.dimension.unit.base().to_owned(),
        enforced_by: it.dimension.holds.enforced_by().to_owned(),
        unknown,
    }
}

fn in_system(dimension: &str, system: System, answer: Option<&Answer>) -> Result<i64, String> {
    match answer {
        Some(Answer::Used(usage)) => usage
            .get(dimension)
            .copied()
            .ok_or_else(|| "it is a limit of each one, or of each second".to_owned()),
        Some(Answer::Unknown(reason)) => Err(format!("{}: {reason}", system.title())),
        Some(Answer::NoPlace) | None => Err(format!("the tenant has no place in {}", system.title())),
    }
}
