//! `integraci_connector`.

mod adopted;
mod import;
mod kinds;
mod plan;
mod secret;
mod state;
#[cfg(test)]
mod tests;

use integraci_api::catalogue::Kind;
use integraci_api::connectors::{ConnectorCreate, ConnectorUpdate, OldSecret};
use integraci_api::{ConnectorId, TenantId};
use tfplugin::{
    Cx, Diagnostic, Diagnostics, ImportBy, Imported, Plan, Planned, Resource, Saved, Schema, Text, Value,
};

use self::adopted::Times;
use self::kinds::{Chosen, Kinds};
use super::tenant::{no_id, revision_seen, text};
use crate::api::{Api, Error, Patience};
use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::preflight::{self, Place};

/// A connector ties a tenant to a system outside: a source forge, a registry, a cloud, a chat, a tracker.
/// Set the object of exactly one kind; [Connectors](../connectors.md) has what each takes.
///
/// Its secrets are write-only: they go to the platform's vault and are never in a plan or a state.
/// Without `secret_wo_version`, every plan asks the platform whether the configured secret differs
/// from the one in force, so a new one is planned by itself; where something else changes as well, the
/// apply asks, and the plan has `secret_version` known after it. With it, a new secret is one with a new
/// version, and nobody is asked. In either case the secret is sent anew after somebody has changed it in
/// the vault by hand, and together with a change of where the connector leads to: an address, a site, or
/// the certificates that are trusted. Creating and changing a connector includes trying it out on the far
/// system; what does not work is not put in force, unless `verify` says otherwise.
///
/// The platform goes on asking the far system now and then. What it is told shows in
/// `verification_status` and the like with the next refresh, and never makes a plan by itself.
///
/// An import leaves nothing to change, but where `on_destroy = "revoke"` is configured: it records `forget`,
/// and the next apply puts `revoke` down, of which the platform hears nothing. `secret_wo_version` then reads
/// `imported` and `timeouts` what is in force without any, until the next change of the connector puts down
/// what is configured. While the version reads `imported`, every plan asks the platform whether the secret
/// differs.
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
    /// Whether the far system is asked before something is put in force. `required`: what it does not take
    /// is not. `optional`: it is asked, and what it said is told. `off`: it is not asked, now or later.
    /// `required` when absent.
    #[attribute(optional, computed, default = "required", validate = checks::verify)]
    verify: Value<String>,
    /// How often the far system makes a new secret by the one in force, in days, 1 to 365. Only for kinds
    /// that can; never when absent. From the first such rotation on, the configured secret is sent only
    /// when `secret_wo_version` or where the connector leads to changes, or after somebody has changed the
    /// one in the vault by hand.
    #[attribute(optional, validate = checks::rotate_every_days)]
    rotate_every_days: Value<i64>,
    /// What becomes of the secret at the far system when the connector is destroyed. `forget`: it stays
    /// good there. `revoke`: it is revoked there first; only for kinds that can. The platform's own copy is
    /// destroyed in either case. `forget` when absent. Must be applied before the destroy that it is for.
    #[attribute(optional, computed, default = "forget", validate = checks::on_destroy)]
    on_destroy: Value<String>,
    /// Any text that changes when the secrets do, such as a date. Without it, plans find out by
    /// asking the platform. Set it where a secret is ephemeral and may be another at the apply than at the
    /// plan.
    #[attribute(optional, computed)]
    secret_wo_version: Value<String>,
    /// Counts the secrets that were put in force, from 1, those that the far system made included; 0 for
    /// a connector that does without.
    #[attribute(computed)]
    secret_version: Value<i64>,
    /// When the secret in force expires (RFC 3339), where the far system tells.
    #[attribute(computed)]
    secret_expires_at: Value<String>,
    /// What the far system said when it was last asked: `verified`, `refused`, `unreachable`, or
    /// `unverified` if it was not asked.
    #[attribute(computed)]
    verification_status: Value<String>,
    /// Why it is not verified.
    #[attribute(computed)]
    verification_reason: Value<String>,
    /// When the far system last accepted configuration and secret (RFC 3339).
    #[attribute(computed)]
    last_verified_at: Value<String>,
    /// Where the far system is to send its webhooks, for kinds that send some.
    #[attribute(computed)]
    inbound_url: Value<String>,
    #[attribute(flatten)]
    timeouts: Times,
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

/// Beside the state: the revision that was last seen, for `If-Match`.
const REVISION: &str = "revision";
/// Beside the state: that the secret in the vault was seen to be another than the one in force.
const DRIFTED: &str = "secret_drifted";

impl Resource for Connector {
    type Api = Connection;
    type Identity = ConnectorIdentity;
    const NAME: &'static str = "integraci_connector";

    fn validate(config: &Self, diags: &mut Diagnostics) {
        config.kinds.validate(diags);
        if let Some(kind) = config.kinds.kind() {
            config.validate_for(kind, diags);
        }
    }

    async fn plan(cx: &Cx<Connection>, plan: &mut Plan<Self>) -> Result<(), Diagnostics> {
        plan::plan(cx, plan).await
    }

    async fn plan_destroy(cx: &Cx<Connection>, prior: Self) -> Result<(), Diagnostics> {
        preflight::goes(cx, &prior.place_given_back());
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
            verify: planned.verify_mode().unwrap_or_default(),
            rotate_every_days: planned.rotate_every(),
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
        state::keep_beside(cx, &connector);
        saved.set(planned.completed(&connector));
        Ok(())
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let found = api
            .connector_listed(state.tenant()?, state.id()?, &patience(cx))
            .await
            .map_err(|error| diagnose(api, "Cannot read the connector", error, NOWHERE))?;
        let Some(connector) = found else { return Ok(None) };
        state::keep_beside(cx, &connector);
        let state = state.observed(&connector)?;
        preflight::stays(cx, &state.place_given_back());
        Ok(Some(state))
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
        let may_be_new = planned.secret_version.is_unknown();
        let is_new_secret = may_be_new && secret::of(cx, &prior, &config).find_out_if_new(cx, &prior).await?;
        let change = planned.change(&prior, chosen, is_new_secret);
        if is_empty(&change) && !may_be_new {
            saved.set(planned);
            return Ok(());
        }
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        if !is_empty(&change) {
            let locate = |parts: &[String]| kinds::locate(chosen.kind, parts);
            let changed = api.connector_update(tenant, id, &change, revision_seen(cx), &patience).await;
            if let Err(error) = changed {
                return Err(prior.update_refused(api, error, &locate, &patience).await);
            }
        }
        let connector =
            read(api, tenant, id, &patience).await.map_err(|error| diagnose(api, DOING, error, NOWHERE))?;
        state::keep_beside(cx, &connector);
        saved.set(planned.completed(&connector));
        Ok(())
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let (api, patience) = (cx.api()?.api()?, patience(cx));
        let (tenant, id) = (state.tenant()?, state.id()?);
        let old_secret = if state.revokes() { OldSecret::Revoke } else { OldSecret::Forget };
        let locate = |parts: &[String]| kinds::locate(state.kinds.kind()?, parts);
        api.connector_remove(tenant, id, old_secret, &patience)
            .await
            .map_err(|error| diagnose(api, "Cannot delete the connector", error, &locate))
    }

    async fn import(
        cx: &Cx<Connection>,
        by: ImportBy<ConnectorIdentity>,
    ) -> Result<Vec<Imported>, Diagnostics> {
        import::import(cx, by).await
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

    /// What it takes of a quota, with so many secrets.
    fn place(&self, secrets: usize) -> Place<'_> {
        Place { tenant: &self.tenant_id, name: &self.name, secrets }
    }

    /// What it gives back to a quota. A state does not tell how many secrets there are, but how many there can
    /// be: rather is too much thought to fit than too little.
    fn place_given_back(&self) -> Place<'_> {
        let has_none = self.secret_version.as_known() == Some(&0);
        self.place(self.kinds.kind().filter(|_| !has_none).map_or(0, kinds::secrets_at_most))
    }

    /// The kind that is set, when all is known.
    fn chosen(&self) -> Result<Chosen<'_>, Diagnostics> {
        self.kinds.chosen().ok_or_else(|| Diagnostic::error("The connector has no kind").into())
    }

    /// What not every kind can do.
    fn validate_for(&self, kind: &Kind, diags: &mut Diagnostics) {
        if self.revokes() && kind.revoked_by.is_none() {
            diags.push(
                Diagnostic::error("The secret cannot be revoked from here")
                    .detail(format!(
                        "A {} has no way for that. Set `on_destroy = \"forget\"`, and revoke the secret there.",
                        kind.name
                    ))
                    .at("on_destroy"),
            );
        }
        if !self.rotate_every_days.is_null() && kind.minted_by.is_none() {
            diags.push(
                Diagnostic::error("The secret cannot be rotated without a new one")
                    .detail(format!(
                        "A {} cannot make its own secrets. Leave `rotate_every_days` out, and rotate it by \
                         giving a new secret.",
                        kind.name
                    ))
                    .at("rotate_every_days"),
            );
        }
    }
}

/// Whether it asks the platform for nothing.
fn is_empty(change: &ConnectorUpdate) -> bool {
    let ConnectorUpdate { name, config, secrets, verify, rotate_every_days } = change;
    name.is_none() && config.is_none() && secrets.is_none() && verify.is_none() && rotate_every_days.is_none()
}

/// The connector, which must be there.
async fn read(
    api: &Api,
    tenant: TenantId,
    id: ConnectorId,
    patience: &Patience,
) -> Result<integraci_api::connectors::Connector, Error> {
    api.connector_read(tenant, id, patience).await?.ok_or(Error::Vanished)
}
