//! OpenBao as its operator sees it: to look, with the root token, at what the control plane left there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::runtime::block_on;

/// A namespace that is being removed is gone within this.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// OpenBao, below one namespace.
#[derive(Clone)]
pub struct OpenBao {
    http: Client,
    addr: String,
    token: SecretString,
    namespace: String,
}

impl OpenBao {
    /// OpenBao at an address, below its root namespace.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(addr: &str, token: &SecretString) -> Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { http, addr: addr.to_owned(), token: token.clone(), namespace: String::new() })
    }

    /// The same below a namespace of this one.
    #[must_use]
    pub fn below(&self, namespace: &str) -> Self {
        let namespace = format!("{}{}/", self.namespace, namespace.trim_matches('/'));
        Self { namespace, ..self.clone() }
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn namespace_create(&self, name: &str) -> Result<()> {
        let (status, body) = self.call("POST", &format!("sys/namespaces/{name}"), &json!({}))?;
        ensure!(status.is_success(), "making the namespace {name}: {status} {body}");
        Ok(())
    }

    /// Removes a namespace, and waits until it is gone.
    ///
    /// # Errors
    /// When OpenBao refuses, or takes too long.
    pub fn namespace_delete(&self, name: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let (status, body) = self.call("DELETE", &format!("sys/namespaces/{name}"), &Value::Null)?;
            if !self.namespaces()?.contains(&format!("{name}/")) {
                return Ok(());
            }
            ensure!(began.elapsed() < GONE_WITHIN, "removing the namespace {name}: {status} {body}");
            std::thread::sleep(POLL);
        }
    }

    /// The namespaces right below.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        self.names("sys/namespaces")
    }

    /// Every secret below that can be read, each version of it, by path: mounts of kv v2 in this
    /// namespace and in those below it.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn secrets(&self) -> Result<BTreeMap<String, Value>> {
        let mut found = BTreeMap::new();
        for mount in self.kv_mounts()? {
            self.secrets_under(&mount, "", &mut found)?;
        }
        for namespace in self.namespaces()? {
            found.extend(self.below(&namespace).secrets()?);
        }
        Ok(found)
    }

    /// Every text in every secret below.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn secret_texts(&self) -> Result<BTreeSet<String>> {
        let mut texts = BTreeSet::new();
        self.secrets()?.values().for_each(|secret| texts_of(secret, &mut texts));
        Ok(texts)
    }

    /// The place of a tenant, where its connectors' secrets are.
    #[must_use]
    pub fn of_tenant(&self, slug: &str) -> Self {
        self.below(&format!("tenant-{slug}"))
    }

    /// In a tenant's place: the versions of a connector's secret that are not destroyed, oldest first.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn connector_versions(&self, id: &str) -> Result<Vec<BTreeMap<String, String>>> {
        let (status, body) = self.call("GET", &format!("secret/metadata/connectors/{id}"), &Value::Null)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        ensure!(status.is_success(), "reading the versions of {id}: {status}");
        let mut versions: Vec<i64> = Vec::new();
        for (version, _) in body["data"]["versions"].as_object().into_iter().flatten() {
            versions.push(version.parse()?);
        }
        versions.sort_unstable();
        let mut found = Vec::new();
        for version in versions {
            let path = format!("secret/data/connectors/{id}?version={version}");
            let (status, body) = self.call("GET", &path, &Value::Null)?;
            if status.is_success() {
                found.push(serde_json::from_value(body["data"]["data"].clone())?);
            }
        }
        Ok(found)
    }

    /// In a tenant's place: writes over a connector's secret, each of its values, as somebody would who
    /// goes past the platform.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn connector_change(&self, id: &str, value: &str) -> Result<()> {
        let (_, body) = self.call("GET", &format!("secret/data/connectors/{id}"), &Value::Null)?;
        let mut data = body["data"]["data"].clone();
        for (_, secret) in data.as_object_mut().into_iter().flatten() {
            *secret = value.into();
        }
        let cas = &body["data"]["metadata"]["version"];
        let body = json!({ "options": { "cas": cas }, "data": data });
        let (status, body) = self.call("POST", &format!("secret/data/connectors/{id}"), &body)?;
        ensure!(status.is_success(), "changing {id} by hand: {status} {body}");
        Ok(())
    }

    /// The names in a folder of a key-value store.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn folder(&self, metadata: &str, folder: &str) -> Result<Vec<String>> {
        self.names(&format!("{metadata}/{folder}"))
    }

    fn kv_mounts(&self) -> Result<Vec<String>> {
        let (status, body) = self.call("GET", "sys/mounts", &Value::Null)?;
        ensure!(status.is_success(), "listing the mounts of `{}`: {status}", self.namespace);
        let mounts = body["data"].as_object().context("mounts are an object")?;
        Ok(mounts.iter().filter(|(_, mount)| mount["type"] == "kv").map(|(name, _)| name.clone()).collect())
    }

    fn secrets_under(&self, mount: &str, folder: &str, found: &mut BTreeMap<String, Value>) -> Result<()> {
        for name in self.names(&format!("{mount}metadata/{folder}"))? {
            let path = format!("{folder}{name}");
            if name.ends_with('/') {
                self.secrets_under(mount, &path, found)?;
                continue;
            }
            let (status, body) = self.call("GET", &format!("{mount}metadata/{path}"), &Value::Null)?;
            ensure!(status.is_success(), "reading the versions of {path} in `{}`: {status}", self.namespace);
            for version in body["data"]["versions"].as_object().into_iter().flat_map(|it| it.keys()) {
                // A version that was deleted or destroyed answers 404.
                let data = format!("{mount}data/{path}?version={version}");
                let (status, body) = self.call("GET", &data, &Value::Null)?;
                if status.is_success() {
                    let place = format!("{}{mount}{path}#{version}", self.namespace);
                    found.insert(place, body["data"]["data"].clone());
                }
            }
        }
        Ok(())
    }

    /// The names in a folder; none when it is not there.
    fn names(&self, path: &str) -> Result<Vec<String>> {
        let (status, body) = self.call("LIST", path, &Value::Null)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        ensure!(status.is_success(), "listing {path} in `{}`: {status}", self.namespace);
        let keys = body["data"]["keys"].as_array().context("a list has keys")?;
        Ok(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
    }

    /// A tenant's rate limit counts what its address sends, whoever sends it: the tests' own calls too.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let began = Instant::now();
        loop {
            let answered = self.call_once(method, path, body)?;
            if answered.0 != StatusCode::TOO_MANY_REQUESTS || began.elapsed() > GONE_WITHIN {
                return Ok(answered);
            }
            std::thread::sleep(POLL);
        }
    }

    fn call_once(&self, method: &str, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let method = Method::from_bytes(method.as_bytes())?;
        let mut request = self
            .http
            .request(method, format!("{}/v1/{path}", self.addr))
            .header("x-vault-token", self.token.expose_secret());
        if !self.namespace.is_empty() {
            request = request.header("x-vault-namespace", &self.namespace);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok((status, answer.json().await.unwrap_or(Value::Null)))
        })
    }
}

fn texts_of(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(texts.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(members) => members.values().for_each(|member| texts_of(member, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
