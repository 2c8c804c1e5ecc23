//! The resources, one file each.

mod connector;
mod quota;
mod tenant;

pub(crate) use connector::Connector;
pub(crate) use quota::Quota;
pub(crate) use tenant::Tenant;

use std::time::Duration;

use integraci_api::ProblemCode;
use integraci_api::operations::Operation;

use crate::api::{Api, Error, Patience};

/// How often a deletion is asked for while another operation holds the thing.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Asks for a deletion and waits for it. What is gone already is as wanted; what another operation
/// holds (a creation that an earlier apply did not see the end of) is waited for.
async fn delete_wholly<F>(api: &Api, patience: &Patience, ask: impl Fn() -> F + Send) -> Result<(), Error>
where
    F: Future<Output = Result<Option<Operation>, Error>> + Send,
{
    loop {
        match ask().await {
            Ok(None) => return Ok(()),
            Ok(Some(operation)) => return api.operation_wait(operation, patience).await.map(drop),
            Err(Error::Problem(problem))
                if problem.code == ProblemCode::Busy && patience.is_left(BUSY_PAUSE) =>
            {
                patience.sleep(BUSY_PAUSE).await?;
            }
            Err(error) => return Err(error),
        }
    }
}
