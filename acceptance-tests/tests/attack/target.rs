//! Who is attacked: a tenant with something of everything in it, or one that never was.

use std::collections::BTreeMap;

use acceptance_tests::api::new_key;
use acceptance_tests::far::{self, Webhook};
use acceptance_tests::{Api, new_slug};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::{Value, json};

/// What a tenant is called, and what its things are.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) slug: String,
    /// What a thing of it is called that is asked for by name.
    pub(crate) name: String,
    /// The far side of its connector.
    pub(crate) webhook: Webhook,
    ids: BTreeMap<String, String>,
}

impl Target {
    /// Makes a tenant with a connector, a token and an operation.
    pub(crate) fn made(api: &Api, prefix: &str) -> Result<Self> {
        let (slug, webhook) = (new_slug(prefix), far::webhook()?);
        let accepted = api.post("/v1/tenants", &acceptance_tests::api::tenant_body(&slug))?;
        let tenant = api.succeeded(&accepted)?;
        let name = new_slug("hook");
        let body = json!({
            "name": name,
            "kind": "webhook",
            "config": { "url": webhook.url, "events": ["tenant.updated"] },
            "secrets": { "hmac_key": webhook.key },
        });
        let connector = api.succeeded(&api.post(&format!("/v1/tenants/{tenant}/connectors"), &body)?)?;
        let ids = BTreeMap::from([
            ("op".to_owned(), text(&accepted.body["id"])?),
            ("con".to_owned(), connector),
            ("ten".to_owned(), tenant),
        ]);
        let mut made = Self { slug, name, webhook, ids };
        let (token, _) = made.token(api, &json!({ "scopes": ["tenants:read"] }))?;
        made.ids.insert("tok".to_owned(), token);
        let path = format!("/v1/tenants/{}/attestations", made.tenant());
        let attested = api.post(&path, &json!({}))?.expect(201)?;
        made.ids.insert("att".to_owned(), text(&attested.body["id"])?);
        Ok(made)
    }

    /// One that never was, and whose names look like this one's.
    pub(crate) fn nobody(&self) -> Self {
        let unlike = |id: &String| {
            // The time in front stays, so that lists are cut at the same place.
            let keep = id.len() - 12;
            format!("{}{}", &id[..keep], &new_key()[..12])
        };
        Self {
            slug: format!("{}{}", &self.slug[..self.slug.len() - 10], &new_key()[..10]),
            name: self.name.clone(),
            webhook: self.webhook.clone(),
            ids: self.ids.iter().map(|(prefix, id)| (prefix.clone(), unlike(id))).collect(),
        }
    }

    /// The same, under names that nobody has yet.
    pub(crate) fn renamed(&self) -> Self {
        Self { slug: new_slug("attack"), name: new_slug("hook"), ..self.clone() }
    }

    /// The tenant's id.
    pub(crate) fn tenant(&self) -> &str {
        self.ids.get("ten").map_or("", String::as_str)
    }

    /// Removes it, if it is still there: the systems are shared by all tests, and have room for so many.
    pub(crate) fn removed(&self, api: &Api) -> Result<()> {
        let answer = api.delete(&format!("/v1/tenants/{}", self.tenant()))?;
        if answer.status == 404 {
            return Ok(());
        }
        api.succeeded(&answer).map(drop)
    }

    /// Notes the credential that it has for a system.
    pub(crate) fn lend(&mut self, system: &str, id: &str) {
        self.ids.insert(format!("crd/{system}"), id.to_owned());
    }

    /// The id of the thing of it whose ids begin so; of several, the one that belongs to a word of the path.
    pub(crate) fn id(&self, prefix: &str, path: &str) -> Result<&str> {
        let among = path.split('/').find_map(|word| self.ids.get(&format!("{prefix}/{word}")));
        let id = among.or_else(|| self.ids.get(prefix)).map(String::as_str);
        id.with_context(|| format!("the target has nothing whose id begins with `{prefix}_`"))
    }

    /// A cursor that stands at the tenant.
    pub(crate) fn cursor(&self) -> String {
        let bytes = hex::decode(self.tenant().trim_start_matches("ten_")).unwrap_or_default();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What its place is called in every system: `tenant-<slug>`.
    pub(crate) fn place(&self) -> String {
        format!("tenant-{}", self.slug)
    }

    /// A text without what the target is called.
    pub(crate) fn without_names(&self, text: &str) -> String {
        let ids = self.ids.values().filter_map(|id| id.split_once('_').map(|(_, rest)| rest));
        ids.chain([self.slug.as_str()]).fold(text.to_owned(), |text, name| text.replace(name, "…"))
    }

    /// Whether a text says anything of it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let ids = self.ids.values().filter_map(|id| id.split_once('_').map(|(_, rest)| rest));
        ids.chain([self.slug.as_str(), self.name.as_str()]).any(|it| text.contains(it))
    }

    /// A token of the tenant, by its id and its value; the body says what it may do.
    pub(crate) fn token(&self, api: &Api, body: &Value) -> Result<(String, String)> {
        let mut body = body.clone();
        body["name"] = json!("attack");
        body["tenant_id"] = json!(self.tenant());
        let made = api.post("/v1/tokens", &body)?.expect(201)?.body;
        Ok((text(&made["token"]["id"])?, text(&made["value"])?))
    }
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("expected a text")
}
