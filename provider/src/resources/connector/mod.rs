//! `integraci_connector`.

mod kinds;
mod secret;
#[cfg(test)]
mod tests;

use integraci_api::catalogue::{self, KINDS};
use integraci_api::connectors::{self, ConnectorCreate, ConnectorUpdate};
use integraci_api::{ConnectorId, ProblemCode, TenantId};
use tfplugin::{
    Cx, Diagnostic, Diagnostics, ImportBy, Imported, Path, Plan, Planned, Resource, Saved, Schema, Text,
    Timeouts, Value,
};

use self::kinds::{Chosen, Kinds};
use super::delete_wholly;
use super::tenant::{label, no_id, revision_seen, text};
use crate::api::{Api, Error, Patience};
use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::views::{tenant_named, time};

/// A connector ties a tenant to a system outside: a registry, a webhook. Set the object of exactly
/// one kind.
///
/// Its secrets are write-only: they go to the platform's vault and are never in a plan or a state.
/// Without `secret_wo_version`, every plan asks the platform whether the configured secret differs
/// from the one in force, so a new one is planned by itself. With it, the secret is sent when the
/// version changes, and only then. Creating and changing a connector includes trying it out on the
/// far system; what does not work is not put in force.
#[derive(Schema, Clone, Default)]
pub(crate) struct Connector {
    /// Stable identifier, `con_…`.
    #[attribute(computed, keeps_prior)]
    id: Value<Text<ConnectorId>>,
    /// The tenant that it belongs to. A change replaces the connector.
    #[attribute(required, replaces)]
    tenant_id: Value<Text<TenantId>>,
    /// Its name, unique in the tenant: 1 to 63 lower-case letters, digits, `-` or `_`.
    #[attribute(required, validate = checks::connector_name)]
    name: Value<String>,
    #[attribute(flatten)]
    kinds: Kinds,
    /// Any text that changes when the secrets do, such as a date. Without it, plans find out by
    /// asking the platform.
    #[attribute(optional)]
    secret_wo_version: Value<String>,
    /// Counts the secrets that were put in force, from 1.
    #[attribute(computed)]
    secret_version: Value<i64>,
    /// When the far system last accepted configuration and secret (RFC 3339).
    #[attribute(computed)]
    last_verified_at: Value<String>,
    #[attribute(timeouts(create, update, delete))]
    timeouts: Timeouts,
}

/// A connector is told from all others by its tenant and its id.
#[derive(Schema)]
pub(crate) struct ConnectorIdentity {
    /// The tenant that it belongs to.
    #[attribute(required_for_import)]
    tenant_id: Text<TenantId>,
    /// Stable identifier, `con_…`.
    #[attribute(required_for_import)]
    id: Text<ConnectorId>,
}

const REVISION: &str = "revision";

impl Resource for Connector {
    type Api = Connection;
    type Identity = ConnectorIdentity;
    const NAME: &'static str = "integraci_connector";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        config.kinds.validate(diags);
    }

    async fn plan(cx: &Cx<Connection>, plan: &mut Plan<Self>) -> Result<(), Diagnostics> {
        let Some(prior) = &plan.prior else { return Ok(()) };
        if let (Some(before), Some(after)) = (prior.kinds.kind(), plan.planned.kinds.kind())
            && before != after
        {
            plan.replace(before.name);
            plan.replace(after.name);
            return Ok(());
        }
        if prior.tenant_id != plan.planned.tenant_id {
            return Ok(());
        }
        let (version, verified_at) = (prior.secret_version, prior.last_verified_at.clone());
        let same = prior.name == plan.planned.name && plan.planned.has_config_of(prior);
        if secret::is_new(cx, plan).await? {
            plan.planned.secret_version = Value::Unknown;
            plan.force_update();
            return Ok(());
        }
        plan.planned.secret_version = version;
        if same {
            // `timeouts` and `secret_wo_version` are no business of the platform.
            plan.planned.last_verified_at = verified_at;
        }
        Ok(())
    }

    async fn create(
        cx: &Cx<Connection>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        const DOING: &str = "Cannot create the connector";
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let (planned, config) = plan.into_parts();
        let tenant = planned.tenant()?;
        let chosen = config.chosen()?;
        let wanted = ConnectorCreate {
            name: text(&planned.name),
            kind: chosen.kind.name.to_owned(),
            config: chosen.config(),
            secrets: chosen.secrets().unwrap_or_default(),
            verify: connectors::VerifyMode::Required,
            rotate_every_days: None,
        };
        let locate = |parts: &[String]| kinds::locate(chosen.kind, parts);
        let mut id = None;
        let installed = api
            .connector_install(tenant, &wanted, &patience, |accepted| {
                id = accepted.target_id.parse().ok();
                saved.set(Self { id: id.map(Text).into(), ..planned.clone() });
            })
            .await;
        installed.map_err(|error| planned.create_refused(api, error, &locate))?;
        let connector = read(api, tenant, id.ok_or_else(|| no_id("connector"))?, &patience)
            .await
            .map_err(|error| diagnose(api, DOING, error, NOWHERE))?;
        cx.private_set(REVISION, connector.revision.to_string());
        saved.set(planned.completed(&connector));
        Ok(())
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let found = api
            .connector_read(state.tenant()?, state.id()?, &patience(cx))
            .await
            .map_err(|error| diagnose(api, "Cannot read the connector", error, NOWHERE))?;
        let Some(connector) = found else { return Ok(None) };
        cx.private_set(REVISION, connector.revision.to_string());
        state.observed(&connector).map(Some)
    }

    async fn update(
        cx: &Cx<Connection>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        const DOING: &str = "Cannot change the connector";
        let (planned, config) = plan.into_parts();
        let (tenant, id) = (prior.tenant()?, prior.id()?);
        let chosen = config.chosen()?;
        let change = ConnectorUpdate {
            name: (planned.name != prior.name).then(|| text(&planned.name)),
            config: (!planned.has_config_of(&prior)).then(|| chosen.config()),
            // Unknown is how the plan says that there is a new secret.
            secrets: planned.secret_version.is_unknown().then(|| chosen.secrets()).flatten(),
            verify: None,
            rotate_every_days: None,
        };
        if change.name.is_none() && change.config.is_none() && change.secrets.is_none() {
            saved.set(planned);
            return Ok(());
        }
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let locate = |parts: &[String]| kinds::locate(chosen.kind, parts);
        api.connector_update(tenant, id, &change, revision_seen(cx), &patience)
            .await
            .map_err(|error| diagnose(api, DOING, error, &locate))?;
        let connector =
            read(api, tenant, id, &patience).await.map_err(|error| diagnose(api, DOING, error, NOWHERE))?;
        cx.private_set(REVISION, connector.revision.to_string());
        saved.set(planned.completed(&connector));
        Ok(())
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let (tenant, id) = (state.tenant()?, state.id()?);
        delete_wholly(api, &patience, || api.connector_delete(tenant, id, &patience))
            .await
            .map_err(|error| diagnose(api, "Cannot delete the connector", error, NOWHERE))
    }

    async fn import(
        cx: &Cx<Connection>,
        by: ImportBy<ConnectorIdentity>,
    ) -> Result<Vec<Imported>, Diagnostics> {
        let (tenant, id) = match by {
            ImportBy::Identity(identity) => (identity.tenant_id.0, identity.id.0),
            ImportBy::Id(text) => find(cx, text.trim()).await?,
        };
        let state = Self { id: Text(id).into(), tenant_id: Text(tenant).into(), ..Self::default() };
        Ok(vec![Imported::new(state)])
    }

    fn identity(&self) -> Option<ConnectorIdentity> {
        Some(ConnectorIdentity { tenant_id: *self.tenant_id.as_known()?, id: *self.id.as_known()? })
    }
}

impl Connector {
    fn id(&self) -> Result<ConnectorId, Diagnostics> {
        self.id.as_known().map(|id| id.0).ok_or_else(|| no_id("connector"))
    }

    fn tenant(&self) -> Result<TenantId, Diagnostics> {
        self.tenant_id.as_known().map(|id| id.0).ok_or_else(|| no_id("tenant"))
    }

    /// The kind that is set, when all is known.
    fn chosen(&self) -> Result<Chosen<'_>, Diagnostics> {
        self.kinds.chosen().ok_or_else(|| Diagnostic::error("The connector has no kind").into())
    }

    /// Whether the readable configuration is the same; not where something in it is not known yet.
    fn has_config_of(&self, other: &Self) -> bool {
        match (self.kinds.chosen(), other.kinds.chosen()) {
            (Some(own), Some(other)) => own.is_known() && own.config() == other.config(),
            _ => false,
        }
    }

    /// What was planned, and the rest from the server.
    fn completed(self, connector: &connectors::Connector) -> Self {
        Self {
            id: Text(connector.id).into(),
            // Planned to stay the same unless the secret is new.
            secret_version: match self.secret_version {
                Value::Unknown => connector.secret_version.into(),
                planned => planned,
            },
            last_verified_at: match self.last_verified_at {
                Value::Unknown => connector.last_verified_at.map_or(Value::Null, time),
                planned => planned,
            },
            ..self
        }
    }

    /// The connector as the server has it.
    fn observed(self, connector: &connectors::Connector) -> Result<Self, Diagnostics> {
        let kind = catalogue::kind(&connector.kind).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            Diagnostic::error("The connector is of a kind that this version of the provider does not know")
                .detail(format!("It is of the kind {}; known are {}.", connector.kind, known.join(", ")))
        })?;
        let before = self.kinds.chosen().filter(|before| before.kind == kind);
        Ok(Self {
            id: Text(connector.id).into(),
            tenant_id: Text(connector.tenant_id).into(),
            name: connector.name.clone().into(),
            kinds: Kinds::of(kind, Chosen::observed(kind, &connector.config, before)),
            secret_wo_version: self.secret_wo_version,
            secret_version: connector.secret_version.into(),
            last_verified_at: connector.last_verified_at.map_or(Value::Null, time),
            timeouts: self.timeouts,
        })
    }

    /// Why a connector was not created; if one is in the way, how to take it over.
    fn create_refused(
        &self,
        api: &Api,
        error: Error,
        locate: &dyn Fn(&[String]) -> Option<Path>,
    ) -> Diagnostics {
        const DOING: &str = "Cannot create the connector";
        let Error::Problem(problem) = &error else { return diagnose(api, DOING, error, locate) };
        let (name, tenant) = (text(&self.name), self.tenant_id.as_known().map(ToString::to_string));
        match (problem.code, &problem.existing_id, tenant) {
            (ProblemCode::NameTaken, Some(id), Some(tenant)) => {
                let to = label(&name);
                Diagnostic::error(format!("{DOING}: the name is taken"))
                    .detail(format!(
                        "The tenant has a connector {name} already, {id}. To manage that one here, import it:\n\n  \
                         import {{\n    to = integraci_connector.{to}\n    id = \"{tenant}/{id}\"\n  }}\n\nor on the \
                         command line:\n\n  terraform import integraci_connector.{to} {tenant}/{id}\n\nwith the name \
                         that your resource has. Otherwise choose another name."
                    ))
                    .at("name")
                    .into()
            }
            (ProblemCode::NotFound, ..) => Diagnostic::error(format!("{DOING}: there is no such tenant"))
                .detail("No tenant that the token may see has this id.")
                .at("tenant_id")
                .into(),
            _ => diagnose(api, DOING, error, locate),
        }
    }
}

/// The connector, which must be there.
async fn read(
    api: &Api,
    tenant: TenantId,
    id: ConnectorId,
    patience: &Patience,
) -> Result<connectors::Connector, Error> {
    api.connector_read(tenant, id, patience).await?.ok_or(Error::Vanished)
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
