//! What a tenant uses in the systems, by asking them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use integraci_api::TenantId;

use crate::error::Error;
use crate::isolation::{Cells, System, Usage};
use crate::store::Store;
use crate::tenants::places;

/// How long a system may take to answer: somebody waits.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What a system answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What there is.
    Used(Usage),
    /// The tenant does not live there: the system is off.
    NoPlace,
    /// Why it is not known.
    Unknown(&'static str),
}

/// Asks these systems side by side. One that does not answer keeps none of the others.
///
/// # Errors
/// `not_found`, or the store's.
pub(super) async fn ask(
    store: &Store,
    cells: &Cells,
    tenant: TenantId,
    systems: impl IntoIterator<Item = System>,
) -> Result<BTreeMap<System, Answer>, Error> {
    let (homes, wanted) = {
        let mut tx = store.tenant_tx(tenant).await?;
        (places::homes(&mut tx, tenant).await?, places::wanted(&mut tx, tenant).await?)
    };
    let (wanted, _) = wanted.ok_or_else(Error::not_found)?;
    let asked = systems.into_iter().map(async |system| {
        let Some(cell) = homes.get(&system) else { return (system, Answer::NoPlace) };
        let Some(home) = cells.get(system, cell) else {
            return (system, Answer::Unknown("the tenant's cell is not in the configuration"));
        };
        let answer = match tokio::time::timeout(ANSWERS_WITHIN, home.usage(&wanted)).await {
            Ok(Ok(usage)) => Answer::Used(usage),
            Ok(Err(error)) => {
                tracing::warn!(%error, %tenant, "a system does not tell what a tenant uses");
                Answer::Unknown(error.reason)
            }
            Err(_) => Answer::Unknown("it did not answer in time"),
        };
        (system, answer)
    });
    Ok(join_all(asked).await.into_iter().collect())
}
