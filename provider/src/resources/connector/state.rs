//! From the platform's connector to Terraform's, and back.

use integraci_api::ProblemCode;
use integraci_api::catalogue::{self, KINDS};
use integraci_api::connectors::{self, ConnectorUpdate, VerifyMode};
use tfplugin::{Cx, Diagnostic, Diagnostics, Path, Text, Value};

use super::kinds::{Chosen, Kinds};
use super::{Connector, DRIFTED, REVISION};
use crate::api::{Api, Error, Patience};
use crate::checks::{FORGET, REVOKE};
use crate::connection::Connection;
use crate::diagnose::diagnose;
use crate::resources::tenant::{label, text};
use crate::views::moment;

/// Keeps beside the state what is no attribute.
pub(super) fn keep_beside(cx: &Cx<Connection>, connector: &connectors::Connector) {
    cx.private_set(REVISION, connector.revision.to_string());
    if connector.secret_drifted {
        cx.private_set(DRIFTED, "1");
    } else {
        cx.private_remove(DRIFTED);
    }
}

impl Connector {
    /// Whether the secret is revoked when the connector is destroyed.
    pub(super) fn revokes(&self) -> bool {
        self.on_destroy.as_deref() == Some(REVOKE)
    }

    pub(super) fn verify_mode(&self) -> Option<VerifyMode> {
        let word = self.verify.as_deref()?;
        VerifyMode::ALL.iter().copied().find(|mode| mode.as_str() == word)
    }

    pub(super) fn rotate_every(&self) -> Option<u32> {
        self.rotate_every_days.as_known().and_then(|days| u32::try_from(*days).ok())
    }

    /// Whether the readable configuration is the same; not where something in it is not known yet.
    pub(super) fn has_config_of(&self, other: &Self) -> bool {
        match (self.kinds.chosen(), other.kinds.chosen()) {
            (Some(own), Some(other)) => own.has_config_of(&other),
            _ => false,
        }
    }

    /// What the platform is to be asked for to make `prior` this; `chosen` has the secrets, which are sent
    /// if they are new.
    pub(super) fn change(&self, prior: &Self, chosen: Chosen<'_>, is_new_secret: bool) -> ConnectorUpdate {
        let turns = self.rotate_every_days != prior.rotate_every_days;
        ConnectorUpdate {
            name: (self.name != prior.name).then(|| text(&self.name)),
            config: (!self.has_config_of(prior)).then(|| chosen.config()),
            // None at all, for a kind that can do without, is one too.
            secrets: is_new_secret.then(|| chosen.secrets()).flatten(),
            verify: self.verify_mode().filter(|_| self.verify != prior.verify),
            rotate_every_days: turns.then(|| self.rotate_every().unwrap_or_default()),
        }
    }

    /// What was planned, and the rest from the server. What was planned to stay is told as that: that it
    /// differs by now is the next refresh's to tell.
    pub(super) fn completed(self, connector: &connectors::Connector) -> Self {
        fn known<T>(planned: Value<T>, now: impl FnOnce() -> Value<T>) -> Value<T> {
            if planned.is_unknown() { now() } else { planned }
        }
        Self {
            id: Text(connector.id).into(),
            secret_version: known(self.secret_version, || connector.secret_version.into()),
            secret_expires_at: known(self.secret_expires_at, || moment(connector.secret_expires_at)),
            verification_status: known(self.verification_status, || status(connector)),
            verification_reason: known(self.verification_reason, || {
                connector.verification_reason.clone().into()
            }),
            last_verified_at: known(self.last_verified_at, || moment(connector.last_verified_at)),
            inbound_url: known(self.inbound_url, || connector.inbound_url.clone().into()),
            ..self
        }
    }

    /// The connector as the server has it.
    pub(super) fn observed(self, connector: &connectors::Connector) -> Result<Self, Diagnostics> {
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
            verify: connector.verify.as_str().to_owned().into(),
            rotate_every_days: connector.rotate_every_days.map(i64::from).into(),
            // A state of before there was the attribute.
            on_destroy: self.on_destroy.unwrap_or_else(|| FORGET.to_owned()).into(),
            secret_wo_version: self.secret_wo_version,
            secret_version: connector.secret_version.into(),
            secret_expires_at: moment(connector.secret_expires_at),
            verification_status: status(connector),
            verification_reason: connector.verification_reason.clone().into(),
            last_verified_at: moment(connector.last_verified_at),
            inbound_url: connector.inbound_url.clone().into(),
            timeouts: self.timeouts,
        })
    }

    /// Why the connector, of which this is the state, was not changed; if it is only the platform that has
    /// changed it since, that.
    pub(super) async fn update_refused(
        &self,
        api: &Api,
        error: Error,
        locate: &(dyn Fn(&[String]) -> Option<Path> + Sync),
        patience: &Patience,
    ) -> Diagnostics {
        const DOING: &str = "Cannot change the connector";
        // A fault that has a place in the request is not about the revision.
        let is_stale = matches!(&error, Error::Problem(problem)
            if problem.code == ProblemCode::PreconditionFailed && problem.errors.is_empty());
        let moved = if is_stale { self.moved_by_the_platform(api, patience).await } else { None };
        match moved {
            Some(moved) => Diagnostic::error(format!("{DOING}: {moved}"))
                .detail(
                    "What is configured is as it was when this plan was made. Plan again, and apply that.",
                )
                .into(),
            None => diagnose(api, DOING, error, locate),
        }
    }

    /// What the platform has done of its own since this was read; none if something else has changed too,
    /// or that cannot be told.
    async fn moved_by_the_platform(&self, api: &Api, patience: &Patience) -> Option<String> {
        let (tenant, id) = (self.tenant().ok()?, self.id().ok()?);
        let connector = api.connector_read(tenant, id, patience).await.ok()??;
        let now = self.clone().observed(&connector).ok()?;
        let is_as_it_was = now.has_config_of(self)
            && now.name == self.name
            && now.verify == self.verify
            && now.rotate_every_days == self.rotate_every_days;
        is_as_it_was.then(|| {
            if now.secret_version == self.secret_version {
                "the platform has worked on it meanwhile".to_owned()
            } else {
                format!(
                    "its secret was rotated meanwhile, and version {} is in force",
                    connector.secret_version
                )
            }
        })
    }

    /// Why a connector was not created; if one is in the way, how to take it over.
    pub(super) fn create_refused(
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

fn status(connector: &connectors::Connector) -> Value<String> {
    connector.verification_status.as_str().to_owned().into()
}
