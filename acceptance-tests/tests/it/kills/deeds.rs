//! What is done while the server dies, and what must have become of it.

use std::collections::BTreeSet;

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::far::{Webhook, new_secret, webhook};
use acceptance_tests::{Answer, Api, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::webhook_body;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    TenantCreate,
    TenantDelete,
    ConnectorCreate,
    ConnectorCreateRefused,
    ConnectorUpdate,
    ConnectorUpdateRefused,
    ConnectorDelete,
}

impl Deed {
    /// The kind of operation, in the API's words.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::TenantCreate => "tenant_create",
            Self::TenantDelete => "tenant_delete",
            Self::ConnectorCreate | Self::ConnectorCreateRefused => "connector_create",
            Self::ConnectorUpdate | Self::ConnectorUpdateRefused => "connector_update",
            Self::ConnectorDelete => "connector_delete",
        }
    }
}

/// A deed with what it is done to.
pub(super) struct Scene {
    deed: Deed,
    slug: String,
    tenant: String,
    connector: String,
    /// The receiver of the connector as it was before, and of the one that is to be.
    before: Webhook,
    after: Webhook,
}

impl Scene {
    /// Makes what the deed needs: a tenant, a connector.
    pub(super) fn set(deed: Deed, api: &Api) -> Result<Self> {
        let slug = new_slug("killed");
        let (before, mut after) = (webhook()?, webhook()?);
        let tenant = if deed == Deed::TenantCreate { String::new() } else { api.tenant(&slug)? };
        let mut scene = Self { deed, slug, tenant, connector: String::new(), before, after: after.clone() };
        if !matches!(deed, Deed::TenantCreate | Deed::ConnectorCreate | Deed::ConnectorCreateRefused) {
            let made = api.post(&scene.connectors(), &webhook_body("hook", &scene.before))?;
            scene.connector = api.succeeded(&made)?;
        }
        if matches!(deed, Deed::ConnectorCreateRefused | Deed::ConnectorUpdateRefused) {
            // The receiver expects another key than it will be sent.
            let sent = after.key.clone();
            after.use_key(&new_secret())?;
            scene.after.key = sent;
        }
        Ok(scene)
    }

    fn connectors(&self) -> String {
        format!("/v1/tenants/{}/connectors", self.tenant)
    }

    /// Whether the deed takes something away.
    pub(super) const fn removes(&self) -> bool {
        matches!(self.deed, Deed::TenantDelete | Deed::ConnectorDelete)
    }

    /// Asks for the deed.
    pub(super) fn ask(&self, api: &Api, key: &str) -> Result<Answer> {
        let connector = format!("{}/{}", self.connectors(), self.connector);
        let post = |path: &str, body: &Value| {
            api.request("POST", path)?.header("idempotency-key", key).json(body).send()
        };
        match self.deed {
            Deed::TenantCreate => post("/v1/tenants", &tenant_body(&self.slug)),
            Deed::TenantDelete => api.delete(&format!("/v1/tenants/{}", self.tenant)),
            Deed::ConnectorCreate | Deed::ConnectorCreateRefused => {
                post(&self.connectors(), &webhook_body("hook", &self.after))
            }
            Deed::ConnectorUpdate | Deed::ConnectorUpdateRefused => {
                let mut body = webhook_body("hook", &self.after);
                body.as_object_mut().context("a body is an object")?.remove("kind");
                api.patch(&connector, &body)
            }
            Deed::ConnectorDelete => api.delete(&connector),
        }
    }

    /// Everything in place, or nothing left: in the API, in Postgres and in OpenBao.
    pub(super) fn check(&self, world: &World, api: &Api, operation: &Value) -> Result<()> {
        let done = operation["state"] == "succeeded";
        let refused = matches!(self.deed, Deed::ConnectorCreateRefused | Deed::ConnectorUpdateRefused);
        ensure!(!(refused && done), "the far side refuses, and yet: {operation}");
        ensure!(done || !self.removes(), "a removal only goes forward: {operation}");
        match self.deed {
            Deed::TenantCreate => self.check_tenant(world, api, done),
            Deed::TenantDelete => self.check_tenant(world, api, false),
            Deed::ConnectorCreate | Deed::ConnectorCreateRefused => {
                self.check_connector(world, api, done.then_some(&self.after))
            }
            Deed::ConnectorUpdate | Deed::ConnectorUpdateRefused => {
                self.check_connector(world, api, Some(if done { &self.after } else { &self.before }))
            }
            Deed::ConnectorDelete => self.check_connector(world, api, None),
        }
    }

    fn check_tenant(&self, world: &World, api: &Api, there: bool) -> Result<()> {
        let listed = api.list(&format!("/v1/tenants?slug={}", self.slug))?;
        let rows = world.count(&format!("tenant WHERE slug = '{}'", self.slug))?;
        let namespaces = world.openbao().namespaces()?;
        let namespace = namespaces.contains(&format!("tenant-{}/", self.slug));
        ensure!(
            (listed.len(), rows, namespace) == (usize::from(there), i64::from(there), there),
            "half a tenant: {listed:?}, {rows} rows, OpenBao has {namespaces:?}"
        );
        ensure!(listed.iter().all(|it| it["status"] == "active"), "not active: {listed:?}");
        Ok(())
    }

    fn check_connector(&self, world: &World, api: &Api, wanted: Option<&Webhook>) -> Result<()> {
        let listed = api.list(&self.connectors())?;
        let urls: Vec<_> = listed.iter().filter_map(|it| it["config"]["url"].as_str()).collect();
        let wanted_urls: Vec<_> = wanted.iter().map(|it| it.url.as_str()).collect();
        ensure!(urls == wanted_urls, "not what it should be: {listed:?}");
        ensure!(listed.iter().all(|it| it["status"] == "active"), "not active: {listed:?}");

        let stored = world.openbao().below(&format!("tenant-{}", self.slug)).secret_texts()?;
        let wanted_secrets: BTreeSet<_> = wanted.iter().map(|it| it.key.clone()).collect();
        ensure!(
            stored == wanted_secrets,
            "OpenBao holds {} secrets of the tenant, of which {} are right",
            stored.len(),
            stored.intersection(&wanted_secrets).count()
        );

        let quota = api.get(&format!("/v1/tenants/{}/quota", self.tenant))?.expect(200)?;
        ensure!(quota.body["used"]["connectors"] == listed.len(), "the count is off: {}", quota.body);
        let tenant = self.tenant.trim_start_matches("ten_");
        let rows = world.count(&format!("connector WHERE tenant_id = '{tenant}'"))?;
        ensure!(rows == i64::try_from(listed.len())?, "{rows} rows for {} connectors", listed.len());
        Ok(())
    }

    /// The same request, once whatever stood in its way is mended, succeeds; nothing of the first
    /// attempt is in the way.
    pub(super) fn do_for_good(mut self, world: &World, api: &Api, operation: &Value) -> Result<()> {
        if operation["state"] == "succeeded" {
            return Ok(());
        }
        let code = operation["error"]["code"].as_str();
        match self.deed {
            Deed::ConnectorCreateRefused => self.deed = Deed::ConnectorCreate,
            Deed::ConnectorUpdateRefused => self.deed = Deed::ConnectorUpdate,
            // The one thing that a dead server takes with it.
            _ => ensure!(code == Some("secret_lost"), "failed for no good reason: {operation}"),
        }
        let key = self.after.key.clone();
        self.after.use_key(&key)?;
        let again = api.settled(&self.ask(api, &new_key())?)?;
        ensure!(again["state"] == "succeeded", "and again: {again}");
        self.check(world, api, &again)
    }
}
