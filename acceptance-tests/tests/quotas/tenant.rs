//! The tenant of one CLI: its quota as a configuration, its way into each system, and what the API tells of
//! its use.

use std::time::Duration;

use acceptance_tests::admin::until;
use acceptance_tests::api::tenant_body;
use acceptance_tests::{Admin, Api, Cli, Server, Workdir, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use integraci_api::quotas::dimension;
use serde_json::{Value, json};

/// How long a system may take to count what it has just been given or told.
const COUNTED_WITHIN: Duration = Duration::from_secs(20);

/// A tenant.
pub(crate) struct Tenant<'a> {
    pub(crate) world: &'a World,
    pub(crate) admin: &'a Admin,
    pub(crate) slug: String,
    /// As the platform.
    pub(crate) api: Api,
    /// As the tenant itself.
    pub(crate) own: Api,
    path: String,
    id: String,
    work: Workdir,
}

impl<'a> Tenant<'a> {
    /// One on the plan whose events are refused past a month's limit, with a token of its own.
    pub(crate) fn new(cli: Cli, world: &'a World, server: &Server, admin: &'a Admin) -> Result<Self> {
        let (api, slug) = (server.api()?, new_slug("quotas"));
        let mut body = tenant_body(&slug);
        body["plan"] = json!("free");
        let id = api.succeeded(&api.post("/v1/tenants", &body)?)?;
        let token = json!({ "name": "own", "tenant_id": id, "scopes": ["tenants:read", "quotas:read", "usage:write"] });
        let token = api.post("/v1/tokens", &token)?.expect(201)?;
        let own = api.with_token(Some(text(&token.body["value"])?));
        let work = Workdir::new(cli, server.endpoint(), server.token())?;
        Ok(Self { world, admin, slug, own, api, path: format!("/v1/tenants/{id}"), id, work })
    }

    /// Sets the limits of its quota.
    pub(crate) fn apply(&self, limits: impl Iterator<Item = (&'static str, &'static str)>) -> Result<()> {
        let limits: String = limits.map(|(name, limit)| format!("    {name} = \"{limit}\"\n")).collect();
        let quota = format!(
            "resource \"integraci_quota\" \"limits\" {{\n  tenant_id = \"{}\"\n  limits = {{\n{limits}  }}\n}}\n",
            self.id
        );
        self.work.write("main.tf", &quota)?;
        self.work.apply()?;
        self.work.plan_is_empty()
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// An address below its own.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}/{path}", self.path)
    }

    /// A credential of its own for a system: its fields and its secrets.
    pub(crate) fn credential(&self, system: &str) -> Result<(Value, Value)> {
        let path = self.below(&format!("credentials/{system}"));
        let lent = self.api.post(&path, &json!({ "ttl_s": 600 }))?.expect(201)?.body;
        Ok((lent["credential"]["fields"].clone(), lent["secrets"].clone()))
    }

    /// Waits until the API tells that so much of a dimension is used, in base units, under a limit.
    pub(crate) fn is_used(&self, name: &str, limit: &str, used: i64) -> Result<()> {
        let limit = base_units(name, limit)?;
        let wanted = json!({ "limit": limit, "used": used, "remaining": (limit - used).max(0) });
        let mut told = Value::Null;
        let waited = until("the API tells what is used", COUNTED_WITHIN, || {
            told = self.usage(name)?;
            let is_told = ["limit", "used", "remaining"].iter().all(|it| told[it] == wanted[it]);
            Ok(is_told.then_some(()))
        });
        waited.with_context(|| format!("expected {wanted}, and told was {told}"))
    }

    /// Sees that the API tells the limit of a dimension.
    pub(crate) fn limit_is(&self, name: &str, limit: &str) -> Result<()> {
        let (told, limit) = (self.usage(name)?, base_units(name, limit)?);
        ensure!(told["limit"] == limit, "expected the limit {limit}, and told was {told}");
        Ok(())
    }

    fn usage(&self, name: &str) -> Result<Value> {
        Ok(self.api.get(&self.below("quota/usage"))?.expect(200)?.body["dimensions"][name].clone())
    }

    /// Does what was refused, as soon as the raised limit has reached whoever refused it.
    pub(crate) fn done(&self, mut attempt: impl FnMut() -> Result<Result<(), String>>) -> Result<()> {
        let mut words = String::new();
        let done =
            until("it is done", COUNTED_WITHIN, || Ok(attempt()?.map_err(|refusal| words = refusal).ok()));
        done.with_context(|| format!("still refused: {words}"))
    }

    /// Removes it, once its places are back at its plan's limits: the systems are shared by all tests.
    pub(crate) fn removed(&self) -> Result<()> {
        self.work.destroy()?;
        let accepted = until("the tenant may be removed", COUNTED_WITHIN, || {
            let answer = self.api.delete(&self.path)?;
            Ok((answer.code() != "busy").then_some(answer))
        })?;
        self.api.succeeded(&accepted).map(drop)
    }
}

/// A limit as the API has it.
pub(crate) fn base_units(name: &str, limit: &str) -> Result<i64> {
    let dimension = dimension(name).context("a case is of a dimension")?;
    dimension.parse(limit).map_err(|detail| anyhow::anyhow!("{name} = {limit}: {detail}"))
}

/// A text in an answer.
pub(crate) fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("expected a text: {value}"))
}
