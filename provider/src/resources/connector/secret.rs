//! Whether the configured secret is a new one.
//!
//! Nothing that comes from a secret is kept for this, not even a hash: a hash of a weak secret can
//! be tried out. With `secret_wo_version` the user says when it is new; without it the platform is
//! asked, which compares inside. Where the configuration leads to another far system, the platform wants
//! the secret again in any case: none that it keeps is sent to where its owner did not send it.

use integraci_api::connectors::SecretComparison;
use tfplugin::{Cx, Diagnostics};

use super::adopted::IMPORTED;
use super::{Connector, DRIFTED, kinds};
use crate::connection::{Connection, patience};
use crate::diagnose::diagnose;

/// What can be told of the secret without the platform.
pub(super) enum Secret {
    /// It stays.
    Same,
    /// An update must send it, or that there is none from now on.
    New,
    /// The platform must be asked.
    Ask(SecretComparison),
}

/// What can be told of the secret that `config` has for the connector that is there.
pub(super) fn of(cx: &Cx<Connection>, prior: &Connector, config: &Connector) -> Secret {
    let Some(chosen) = config.kinds.chosen() else {
        // All of it comes from something that is not there yet.
        let has_some = config.kinds.kind().is_none_or(|kind| !kind.secrets.is_empty());
        return if has_some { Secret::New } else { Secret::Same };
    };
    // None: it comes from something that is not there yet.
    let secrets = chosen.secrets();
    let had_none = prior.secret_version.as_known() == Some(&0);
    if secrets.as_ref().is_some_and(|secrets| secrets.is_empty()) {
        let is_dropped = !had_none && !chosen.kind.secrets.is_empty();
        return if is_dropped { Secret::New } else { Secret::Same };
    }
    let leads_elsewhere = prior.kinds.chosen().is_none_or(|before| chosen.leads_elsewhere(&before));
    if had_none || leads_elsewhere || cx.private_get(DRIFTED).is_some() {
        return Secret::New;
    }
    let (before, after) = (&prior.secret_wo_version, &config.secret_wo_version);
    if !after.is_null() && before.as_deref() != Some(IMPORTED) {
        return if after == before { Secret::Same } else { Secret::New };
    }
    // Were no update planned for a secret that is not known yet, none could be made when it is.
    secrets.map_or(Secret::New, |secrets| Secret::Ask(SecretComparison { secrets }))
}

impl Secret {
    /// Whether it is new, asking the platform where it must be; not where the platform is not known yet.
    pub(super) async fn find_out_if_new(
        self,
        cx: &Cx<Connection>,
        prior: &Connector,
    ) -> Result<bool, Diagnostics> {
        let comparison = match self {
            Self::Same => return Ok(false),
            Self::New => return Ok(true),
            Self::Ask(comparison) => comparison,
        };
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(false) };
        let compared = api.connector_compare(prior.tenant()?, prior.id()?, &comparison, &patience(cx)).await;
        let difference = compared.map_err(|error| {
            let locate = |parts: &[String]| kinds::locate(prior.kinds.kind()?, parts);
            diagnose(api, "Cannot tell whether the secret is new", error, &locate)
        })?;
        // What is not there any more is created again, with its secret, once it was looked for.
        Ok(difference.is_some_and(|difference| difference.differs))
    }
}
