//! Finds a connector that is to be imported.

use integraci_api::{ConnectorId, TenantId};
use tfplugin::{Cx, Diagnostic, Diagnostics, ImportBy, Imported, Text};

use super::adopted::{IMPORTED, Times};
use super::{Connector, ConnectorIdentity};
use crate::checks::FORGET;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::tenant_named;

pub(super) async fn import(
    cx: &Cx<Connection>,
    by: ImportBy<ConnectorIdentity>,
) -> Result<Vec<Imported>, Diagnostics> {
    let (tenant, id) = match by {
        ImportBy::Identity(identity) => (identity.tenant_id.0, identity.id.0),
        ImportBy::Id(text) => find(cx, text.trim()).await?,
    };
    Ok(vec![Imported::new(Connector {
        id: Text(id).into(),
        tenant_id: Text(tenant).into(),
        on_destroy: FORGET.to_owned().into(),
        secret_wo_version: IMPORTED.to_owned().into(),
        timeouts: Times::imported(),
        ..Connector::default()
    })])
}

/// The connector that `<tenant id or slug>/<connector id or name>` names.
async fn find(cx: &Cx<Connection>, text: &str) -> Result<(TenantId, ConnectorId), Diagnostics> {
    const DOING: &str = "Cannot look the connector up";
    let Some((tenant, connector)) =
        text.split_once('/').filter(|(tenant, name)| !tenant.is_empty() && !name.is_empty())
    else {
        return Err(Diagnostic::error("This names no connector")
            .detail("Expected the tenant's id or slug, a slash, and the connector's id or name: acme/github.")
            .into());
    };
    let (api, patience) = (cx.api()?.api()?, patience(cx));
    let tenant_id = tenant_named(api, tenant, &patience).await?;
    if let Ok(id) = connector.parse() {
        return Ok((tenant_id, id));
    }
    let found = api.connector_of_name(tenant_id, connector, &patience).await;
    match found.map_err(|error| diagnose(api, DOING, error, NOWHERE))? {
        Some(found) => Ok((tenant_id, found.id)),
        None => Err(Diagnostic::error("There is no such connector")
            .detail(format!("The tenant {tenant} has no connector {connector}."))
            .into()),
    }
}
