//! What resources are given to work with: the way to the server, as far as it is known.

use tfplugin::{Cx, Diagnostic, Diagnostics};

use crate::api::{Api, Patience};
use crate::preflight::Preflight;

/// The way to the server, or what is missing.
pub enum Connection {
    /// All is known. With it goes what this plan does to quotas.
    Ready(Box<Api>, Preflight),
    /// This attribute of the provider will be known when it is applied.
    Later(&'static str),
    /// Neither the attribute nor the variable is set.
    Missing(Missing),
}

/// An attribute of the provider that is set nowhere.
#[derive(Debug, Clone, Copy)]
pub struct Missing {
    /// Its name.
    pub(crate) attribute: &'static str,
    /// The environment variable that may stand for it.
    pub(crate) variable: &'static str,
}

impl Connection {
    /// The client.
    pub(crate) fn api(&self) -> Result<&Api, Diagnostics> {
        match self {
            Self::Ready(api, _) => Ok(api),
            Self::Later(attribute) => Err(Diagnostic::error("The provider is not configured yet")
                .detail(format!(
                    "`{attribute}` of the provider integraci depends on something that is only known after it \
                     is applied. Apply that first, for instance with -target, and then the rest."
                ))
                .into()),
            Self::Missing(missing) => Err(missing.diagnostic().into()),
        }
    }

    /// The client, unless it is too early for one: then what would need it is left for later.
    pub(crate) fn api_if_known(&self) -> Result<Option<&Api>, Diagnostics> {
        match self {
            Self::Later(_) => Ok(None),
            known => known.api().map(Some),
        }
    }
}

impl Missing {
    fn diagnostic(self) -> Diagnostic {
        let Self { attribute, variable } = self;
        Diagnostic::error(format!("The provider has no {attribute}")).detail(format!(
            "Set `{attribute}` in the block provider \"integraci\", or the environment variable {variable}."
        ))
    }
}

/// How long the calls of a verb may go on.
pub(crate) fn patience(cx: &Cx<Connection>) -> Patience {
    Patience { until: cx.deadline().into(), stopped: cx.stopped() }
}
