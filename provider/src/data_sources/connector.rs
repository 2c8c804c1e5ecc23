//! `integraci_connector`, the data source.

use integraci_api::{ConnectorId, TenantId};
use tfplugin::{Cx, DataSource, Diagnostic, Diagnostics, Schema, Text, Value};

use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::ConnectorFacts;

/// A connector that exists, by its tenant and its id or name. Its secret is never part of it.
#[derive(Schema)]
pub(crate) struct Connector {
    /// The tenant that it belongs to.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Stable identifier, `con_…`. Set this or `name`.
    #[attribute(optional, computed)]
    id: Value<Text<ConnectorId>>,
    /// Its name. Set this or `id`.
    #[attribute(optional, computed, validate = checks::connector_name)]
    name: Value<String>,
    #[attribute(flatten)]
    facts: ConnectorFacts,
}

impl DataSource for Connector {
    type Api = Connection;
    const NAME: &'static str = "integraci_connector";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        if config.id.is_null() && config.name.is_null() {
            diags.push(
                Diagnostic::error("Which connector is not said")
                    .detail("Set `id` or `name` of the data source."),
            );
        }
        if config.id.is_known() && config.name.is_known() {
            diags.push(
                Diagnostic::error("The connector is named twice")
                    .detail("Set `id` or `name` of the data source, not both.")
                    .at("name"),
            );
        }
    }

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let Some(tenant) = config.tenant_id.as_known().map(|id| id.0) else { return Ok(config) };
        let (found, asked, at) = match (config.id.as_known(), config.name.as_known()) {
            (Some(id), _) => (api.connector_read(tenant, id.0, &patience).await, id.to_string(), "id"),
            (None, name) => {
                let name = name.cloned().unwrap_or_default();
                (api.connector_of_name(tenant, &name, &patience).await, name, "name")
            }
        };
        match found.map_err(|error| diagnose(api, "Cannot read the connector", error, NOWHERE))? {
            Some(connector) => Ok(Self {
                tenant_id: config.tenant_id,
                id: Text(connector.id).into(),
                name: connector.name.clone().into(),
                facts: connector.into(),
            }),
            None => Err(Diagnostic::error("There is no such connector")
                .detail(format!("No connector of the tenant {tenant} that the token may see is {asked}."))
                .at(at)
                .into()),
        }
    }
}
