//! `integraci_connectors`.

use integraci_api::{ConnectorId, TenantId, connectors};
use tfplugin::{Cx, DataSource, Diagnostics, Path, Schema, Text, Value};

use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::diagnose;
use crate::views::ConnectorFacts;

/// All connectors of a tenant, oldest first, or those of one kind. Their secrets are never part of it.
#[derive(Schema)]
pub(crate) struct Connectors {
    /// The tenant that they belong to.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Only connectors of this kind.
    #[attribute(optional, validate = checks::connector_kind)]
    kind: Value<String>,
    /// The connectors.
    #[attribute(computed)]
    connectors: Value<Vec<Listed>>,
}

/// One of the connectors.
#[derive(Schema)]
pub(crate) struct Listed {
    /// Stable identifier, `con_…`.
    #[attribute(computed)]
    id: Value<Text<ConnectorId>>,
    /// Its name.
    #[attribute(computed)]
    name: Value<String>,
    #[attribute(flatten)]
    facts: ConnectorFacts,
}

impl DataSource for Connectors {
    type Api = Connection;
    const NAME: &'static str = "integraci_connectors";

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let Some(tenant) = config.tenant_id.as_known().map(|id| id.0) else { return Ok(config) };
        let at_tenant = |_: &[String]| Some(Path::root("tenant_id"));
        let found = api
            .connector_list(tenant, config.kind.as_deref(), &patience(cx))
            .await
            .map_err(|error| diagnose(api, "Cannot list the connectors", error, &at_tenant))?;
        let connectors: Vec<Listed> = found.into_iter().map(Listed::from).collect();
        Ok(Self { connectors: connectors.into(), ..config })
    }
}

impl From<connectors::Connector> for Listed {
    fn from(connector: connectors::Connector) -> Self {
        Self { id: Text(connector.id).into(), name: connector.name.clone().into(), facts: connector.into() }
    }
}
