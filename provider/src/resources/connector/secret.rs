//! Whether the configured secret is a new one.
//!
//! Nothing that comes from a secret is kept for this, not even a hash: a hash of a weak secret can
//! be tried out. With `secret_wo_version` the user says when it is new; without it the platform is
//! asked, which compares inside.

use integraci_api::connectors::SecretComparison;
use tfplugin::{Cx, Diagnostics, Plan};

use super::adopted::IMPORTED;
use super::{Connector, DRIFTED, kinds};
use crate::connection::{Connection, patience};
use crate::diagnose::diagnose;

/// Whether the update that is being planned must send the secrets, or that there are none from now on.
pub(super) async fn is_new(cx: &Cx<Connection>, plan: &Plan<Connector>) -> Result<bool, Diagnostics> {
    let Some(prior) = &plan.prior else { return Ok(true) };
    let Some(chosen) = plan.config.kinds.chosen() else {
        // All of it comes from something that is not there yet.
        return Ok(plan.config.kinds.kind().is_none_or(|kind| !kind.secrets.is_empty()));
    };
    // None: it comes from something that is not there yet.
    let secrets = chosen.secrets();
    let had_none = prior.secret_version.as_known() == Some(&0);
    if secrets.as_ref().is_some_and(|secrets| secrets.is_empty()) {
        return Ok(!had_none && !chosen.kind.secrets.is_empty());
    }
    if had_none || cx.private_get(DRIFTED).is_some() {
        return Ok(true);
    }
    let (before, after) = (&prior.secret_wo_version, &plan.config.secret_wo_version);
    if !after.is_null() && before.as_deref() != Some(IMPORTED) {
        return Ok(after != before);
    }
    // Were no update planned for a secret that is not known yet, none could be made when it is.
    let Some(secrets) = secrets else { return Ok(true) };
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
