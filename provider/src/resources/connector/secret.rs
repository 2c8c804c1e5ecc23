//! Whether the configured secret is a new one.
//!
//! Nothing that comes from a secret is kept for this, not even a hash: a hash of a weak secret can
//! be tried out. With `secret_wo_version` the user says when it is new; without it the platform is
//! asked, which compares inside.

use integraci_api::connectors::SecretComparison;
use tfplugin::{Cx, Diagnostics, Plan};

use super::{Connector, kinds};
use crate::connection::{Connection, patience};
use crate::diagnose::diagnose;

/// Whether the update that is being planned must send the secrets.
pub(super) async fn is_new(cx: &Cx<Connection>, plan: &Plan<Connector>) -> Result<bool, Diagnostics> {
    let Some(prior) = &plan.prior else { return Ok(true) };
    if !plan.planned.secret_wo_version.is_null() {
        return Ok(plan.planned.secret_wo_version != prior.secret_wo_version);
    }
    let Some(chosen) = plan.config.kinds.chosen() else { return Ok(false) };
    let Some(secrets) = chosen.secrets() else {
        // It comes from something that is not there yet. Were no update planned now, none could be
        // made when it is known.
        return Ok(true);
    };
    if secrets.is_empty() {
        return Ok(false);
    }
    let Some(api) = cx.api()?.api_if_known()? else { return Ok(false) };
    let comparison = SecretComparison { secrets };
    let compared = api.connector_compare(prior.tenant()?, prior.id()?, &comparison, &patience(cx)).await;
    let difference = compared.map_err(|error| {
        let locate = |parts: &[String]| kinds::locate(chosen.kind, parts);
        diagnose(api, "Cannot tell whether the secret is new", error, &locate)
    })?;
    // What is not there any more is created again, with its secret, once it was looked for.
    Ok(difference.is_some_and(|difference| difference.differs))
}
