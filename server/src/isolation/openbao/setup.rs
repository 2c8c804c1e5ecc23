//! What an administrator does once in OpenBao before the server can work there: the platform's own
//! store. `integraci-server setup` calls it.

use integraci_api::SecretText;

use super::{Client, OpenBaoConfig, keys};
use crate::config::CellConfig;
use crate::setup::SetupError;

/// Prepares the platform's namespace, and makes a token for the server. Safe to repeat.
///
/// # Errors
/// OpenBao refused, or did not answer.
pub async fn prepare(cell: &CellConfig<OpenBaoConfig>) -> Result<SecretText, SetupError> {
    let token = cell.admin.as_ref().map_or(&cell.system.token, |admin| &admin.secret);
    let admin = Client::new(&OpenBaoConfig { token: token.clone(), ..cell.system.clone() })?;
    keys::mount(&admin).await?;
    Ok(token.clone())
}
