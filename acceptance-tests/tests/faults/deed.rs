//! What is done while something goes wrong, and what must have become of it.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::far::{Webhook, new_secret, side, webhook};
use acceptance_tests::{Answer, Api};
use anyhow::{Context as _, Result, bail, ensure};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::lane::{Lane, Tenant};

/// A request holds its operation for half a minute while it stores a secret, and only then is it
/// taken up by another server.
const BUSY_DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    TenantCreate,
    TenantSuspend,
    TenantResume,
    TenantDelete,
    ConnectorCreate,
    ConnectorUpdate,
    ConnectorDelete,
    ConnectorRotate,
    /// A removal that has the secret revoked at the far side first.
    ConnectorRevoke,
}

/// All of them.
pub(crate) const DEEDS: [Deed; 9] = [
    Deed::TenantCreate,
    Deed::TenantSuspend,
    Deed::TenantResume,
    Deed::TenantDelete,
    Deed::ConnectorCreate,
    Deed::ConnectorUpdate,
    Deed::ConnectorDelete,
    Deed::ConnectorRotate,
    Deed::ConnectorRevoke,
];

impl Deed {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TenantSuspend => "tenant_suspend",
            Self::TenantResume => "tenant_resume",
            Self::ConnectorRevoke => "connector_revoke",
            _ => self.kind(),
        }
    }

    /// The kind of operation, in the API's words.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::TenantCreate => "tenant_create",
            Self::TenantSuspend | Self::TenantResume => "tenant_update",
            Self::TenantDelete => "tenant_delete",
            Self::ConnectorCreate => "connector_create",
            Self::ConnectorUpdate => "connector_update",
            Self::ConnectorDelete | Self::ConnectorRevoke => "connector_delete",
            Self::ConnectorRotate => "connector_rotate",
        }
    }

    /// Whether there is nothing left when it is done.
    const fn removes(self) -> bool {
        matches!(self, Self::TenantDelete | Self::ConnectorDelete | Self::ConnectorRevoke)
    }

    /// Whether it only goes forward.
    const fn is_one_way(self) -> bool {
        matches!(self, Self::TenantSuspend | Self::TenantResume | Self::TenantDelete | Self::ConnectorDelete)
    }
}

/// A deed with what it is done to.
pub(crate) struct Scene {
    deed: Deed,
    /// Of a tenant that is still to be made, the slug alone.
    tenant: Tenant,
    connector: String,
    /// The receiver of the connector as it was before, and of the one that is to be.
    before: Webhook,
    after: Webhook,
    /// Of a forge, for what a webhook has not: a secret that can be revoked.
    token: String,
}

impl Scene {
    /// Makes what the deed needs: a tenant, a connector.
    pub(crate) fn set(deed: Deed, lane: &mut Lane<'_>) -> Result<Self> {
        let tenant = if deed == Deed::TenantCreate { lane.unmade() } else { lane.tenant()? };
        let mut scene = Self {
            deed,
            tenant,
            connector: String::new(),
            before: webhook()?,
            after: webhook()?,
            token: new_secret(),
        };
        // The way to the far side leads through a gate as well.
        for hook in [&mut scene.before, &mut scene.after] {
            hook.url = lane.through_gate(&hook.url)?;
        }
        let api = lane.api()?;
        match deed {
            Deed::TenantResume => scene.patch_for_good(lane, true)?,
            Deed::ConnectorUpdate | Deed::ConnectorDelete | Deed::ConnectorRotate => {
                let made = api.post(&scene.connectors(), &hook_body(&scene.before))?;
                scene.connector = api.succeeded(&made)?;
                if deed == Deed::ConnectorRotate {
                    scene.before.take_key(&scene.after.key)?;
                }
            }
            Deed::ConnectorRevoke => {
                side()?.allow("gitlab", &SecretString::from(scene.token.as_str()));
                let url = lane.through_gate(&side()?.address("gitlab"))?;
                let made = api.post(&scene.connectors(), &forge_body(&url, &scene.token))?;
                scene.connector = api.succeeded(&made)?;
            }
            _ => {}
        }
        Ok(scene)
    }

    fn path(&self) -> String {
        format!("/v1/tenants/{}", self.tenant.id)
    }

    fn connectors(&self) -> String {
        format!("{}/connectors", self.path())
    }

    /// Asks for the deed.
    pub(crate) fn ask(&self, api: &Api, key: &str) -> Result<Answer> {
        let connector = format!("{}/{}", self.connectors(), self.connector);
        let post = |path: &str, body: &Value| {
            api.request("POST", path)?.header("idempotency-key", key).json(body).send()
        };
        match self.deed {
            Deed::TenantCreate => post("/v1/tenants", &tenant_body(&self.tenant.slug)),
            Deed::TenantSuspend => api.patch(&self.path(), &json!({ "suspended": true })),
            Deed::TenantResume => api.patch(&self.path(), &json!({ "suspended": false })),
            Deed::TenantDelete => api.delete(&self.path()),
            Deed::ConnectorCreate => post(&self.connectors(), &hook_body(&self.after)),
            Deed::ConnectorUpdate => {
                let mut body = hook_body(&self.after);
                body.as_object_mut().context("a body is an object")?.remove("kind");
                api.patch(&connector, &body)
            }
            Deed::ConnectorDelete => api.delete(&connector),
            Deed::ConnectorRotate => {
                let body = json!({ "secrets": { "hmac_key": self.after.key } });
                post(&format!("{connector}/rotations"), &body)
            }
            Deed::ConnectorRevoke => api.delete(&format!("{connector}?old_secret=revoke")),
        }
    }

    /// How the operation ended that was asked for, or null if it is done and can be asked for no more.
    pub(crate) fn ended(&self, lane: &mut Lane<'_>, asked: Option<&Answer>, key: &str) -> Result<Value> {
        if let Some(operation) = asked.and_then(operation_of) {
            return lane.settled(&operation);
        }
        // Nobody heard the answer, or it was that something is away: the same is asked again, as a client
        // would do.
        if self.deed == Deed::ConnectorUpdate {
            self.half_heard(lane)?;
        }
        let began = Instant::now();
        loop {
            let answer = self.ask(&lane.api()?, key);
            let operation = answer.as_ref().ok().and_then(operation_of);
            match (&answer, operation) {
                (_, Some(operation)) => return lane.settled(&operation),
                (Ok(Answer { status: 200, .. }), None) => return Ok(Value::Null),
                (Ok(Answer { status: 404, .. }), None) if self.deed.removes() => return Ok(Value::Null),
                (Ok(answer), None) if answer.status < 500 && !is_busy(answer) => {
                    bail!("asked again: {answer:?}")
                }
                _ => ensure!(began.elapsed() < BUSY_DEADLINE, "it cannot be asked again: {answer:?}"),
            }
            thread::sleep(POLL);
        }
    }

    /// A change of a connector that nobody heard of has no name by which it could be asked for: it comes
    /// to an end by itself, and is there or not.
    fn half_heard(&self, lane: &Lane<'_>) -> Result<()> {
        let (api, began) = (lane.api()?, Instant::now());
        loop {
            let connectors = api.list(&self.connectors()).unwrap_or_default();
            if let [connector] = &connectors[..]
                && connector["status"] == "active"
            {
                let is_done = connector["config"]["url"] == self.after.url;
                return self.check_connector(lane, Some(if is_done { &self.after } else { &self.before }));
            }
            ensure!(began.elapsed() < BUSY_DEADLINE, "it stays busy: {connectors:?}");
            thread::sleep(POLL);
        }
    }

    /// Everything in place, or nothing left; and words for a person where it was not done.
    pub(crate) fn check(&self, lane: &Lane<'_>, operation: &Value) -> Result<()> {
        let done = operation.is_null() || operation["state"] == "succeeded";
        ensure!(done || operation["state"] == "failed", "it is neither done nor undone: {operation}");
        ensure!(done || !self.deed.is_one_way(), "it only goes forward: {operation}");
        if !done {
            let (step, detail) = (&operation["error"]["step"], operation["error"]["detail"].as_str());
            ensure!(
                step.is_string() && detail.is_some_and(|detail| detail.contains(' ')),
                "it does not say what went wrong where: {operation}"
            );
        }
        lane.shows_no_secret(&operation.to_string(), &[&self.before.key, &self.after.key, &self.token])?;
        match self.deed {
            Deed::TenantCreate if done => lane.is_whole(&self.tenant.slug, "ready"),
            Deed::TenantCreate | Deed::TenantDelete => {
                lane.is_gone(&self.tenant.slug, operation["tenant_id"].as_str())
            }
            Deed::TenantSuspend => lane.is_whole(&self.tenant.slug, "suspended"),
            Deed::TenantResume => lane.is_whole(&self.tenant.slug, "ready"),
            Deed::ConnectorCreate => self.check_connector(lane, done.then_some(&self.after)),
            Deed::ConnectorUpdate => {
                self.check_connector(lane, Some(if done { &self.after } else { &self.before }))
            }
            Deed::ConnectorDelete => self.check_connector(lane, None),
            Deed::ConnectorRotate => self.check_rotated(lane, done),
            Deed::ConnectorRevoke => self.check_revoked(lane, done),
        }
    }

    /// The new secret is in force and the old one kept beside it, or the old one is in force alone.
    fn check_rotated(&self, lane: &Lane<'_>, done: bool) -> Result<()> {
        let listed = lane.api()?.list(&self.connectors())?;
        let [connector] = &listed[..] else { bail!("{} connectors", listed.len()) };
        ensure!(connector["status"] == "active", "not active: {connector}");
        let kept = &connector["retiring"]["secret_version"];
        ensure!(done == kept.is_i64(), "what is kept of the old secret is off: {connector}");
        let mut wanted = Secrets::from([self.before.key.clone()]);
        if done {
            wanted.insert(self.after.key.clone());
        }
        lane.holds_secrets(&self.tenant.slug, &wanted)
    }

    /// The connector is gone and its secret worthless, or both are as they were.
    fn check_revoked(&self, lane: &Lane<'_>, done: bool) -> Result<()> {
        let listed = lane.api()?.list(&self.connectors())?;
        ensure!(listed.len() == usize::from(!done), "not what it should be: {listed:?}");
        ensure!(listed.iter().all(|it| it["status"] == "active"), "not active: {listed:?}");
        let forge = Api::new(&side()?.address("gitlab"), None)?;
        let asked = forge.request("GET", "/api/v4/user")?.header("private-token", &self.token).send()?;
        ensure!((asked.status == 200) != done, "the forge answers {} to the secret", asked.status);
        let wanted = if done { Secrets::new() } else { Secrets::from([self.token.clone()]) };
        lane.holds_secrets(&self.tenant.slug, &wanted)
    }

    fn check_connector(&self, lane: &Lane<'_>, wanted: Option<&Webhook>) -> Result<()> {
        let api = lane.api()?;
        let listed = api.list(&self.connectors())?;
        let urls: Vec<_> = listed.iter().filter_map(|it| it["config"]["url"].as_str()).collect();
        let wanted_urls: Vec<_> = wanted.iter().map(|it| it.url.as_str()).collect();
        ensure!(urls == wanted_urls, "not what it should be: {listed:?}");
        ensure!(listed.iter().all(|it| it["status"] == "active"), "not active: {listed:?}");

        lane.holds_secrets(&self.tenant.slug, &wanted.iter().map(|it| it.key.clone()).collect())?;
        let quota = api.get(&format!("{}/quota", self.path()))?.expect(200)?;
        ensure!(quota.body["used"]["connectors"] == listed.len(), "the count is off: {}", quota.body);
        Ok(())
    }

    /// The same request succeeds, once nothing stands in its way; what is left of the first try does
    /// not. Then the scene is cleared away.
    pub(crate) fn do_for_good(mut self, lane: &mut Lane<'_>, operation: &Value) -> Result<()> {
        if operation["state"] == "failed" {
            let api = lane.api()?;
            let again = self.ask(&api, &new_key())?;
            let id = operation_of(&again).with_context(|| format!("and again: {again:?}"))?;
            let again = lane.settled(&id)?;
            ensure!(again["state"] == "succeeded", "and again: {again}");
            self.check(lane, &again)?;
            return self.clear(lane, &again);
        }
        self.clear(lane, operation)
    }

    /// Gives the tenant back as it was lent, for the next.
    fn clear(&mut self, lane: &mut Lane<'_>, operation: &Value) -> Result<()> {
        let api = lane.api()?;
        match self.deed {
            Deed::TenantDelete => return Ok(()),
            Deed::TenantCreate => {
                let id = operation["tenant_id"].as_str().context("an operation has a tenant")?;
                id.clone_into(&mut self.tenant.id);
            }
            Deed::TenantSuspend => self.patch_for_good(lane, false)?,
            Deed::ConnectorCreate | Deed::ConnectorUpdate | Deed::ConnectorRotate => {
                for connector in api.list(&self.connectors())? {
                    let id = connector["id"].as_str().context("a connector has an id")?;
                    api.succeeded(&api.delete(&format!("{}/{id}", self.connectors()))?)?;
                }
            }
            Deed::TenantResume | Deed::ConnectorDelete | Deed::ConnectorRevoke => {}
        }
        lane.give_back(self.tenant.clone());
        Ok(())
    }

    /// Suspends or resumes the tenant, undisturbed.
    fn patch_for_good(&self, lane: &Lane<'_>, suspended: bool) -> Result<()> {
        let answer = lane.api()?.patch(&self.path(), &json!({ "suspended": suspended }))?;
        let id = operation_of(&answer).with_context(|| format!("not begun: {answer:?}"))?;
        let operation = lane.settled(&id)?;
        ensure!(operation["state"] == "succeeded", "not done: {operation}");
        Ok(())
    }
}

/// The request for a webhook connector.
fn hook_body(webhook: &Webhook) -> Value {
    json!({
        "name": "hook",
        "kind": "webhook",
        "config": { "url": webhook.url, "events": ["tenant.updated"] },
        "secrets": { "hmac_key": webhook.key },
    })
}

/// The request for a forge's connector.
fn forge_body(url: &str, token: &str) -> Value {
    json!({
        "name": "forge",
        "kind": "gitlab",
        "config": { "base_url": url },
        "secrets": { "token": token },
    })
}

/// The operation that an answer tells of: itself one, or a tenant that has one under way.
fn operation_of(answer: &Answer) -> Option<String> {
    match answer.status {
        202 => answer.body["id"].as_str().map(str::to_owned),
        200 => answer.body["operation_id"].as_str().map(str::to_owned),
        _ => None,
    }
}

fn is_busy(answer: &Answer) -> bool {
    answer.status == 409 && matches!(answer.code(), "busy" | "idempotency_key_in_use")
}

/// Every secret that a tenant's place in OpenBao is to hold.
pub(crate) type Secrets = BTreeSet<String>;
