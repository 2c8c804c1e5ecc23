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

    /// The id of the thing of it whose ids begin so.
    pub(crate) fn id(&self, prefix: &str) -> Result<&str> {
        let id = self.ids.get(prefix).map(String::as_str);
        id.with_context(|| format!("the target has nothing whose id begins with `{prefix}_`"))
    }

    /// A cursor that stands at the tenant.
    pub(crate) fn cursor(&self) -> String {
        let bytes = hex::decode(self.tenant().trim_start_matches("ten_")).unwrap_or_default();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
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
