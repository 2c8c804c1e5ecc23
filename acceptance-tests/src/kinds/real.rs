//! Far ends that are the real systems: an OpenBao, a Kubernetes and a registry of the run's platform, each
//! in a place that has nothing to do with the product's own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use local_platform::Endpoints;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{FarEnd, Secrets};
use crate::admin::Admin;
use crate::api::{Answer, Api, new_slug};
use crate::far::new_secret;

/// Longer than the API server remembers a token.
const FORGETS_WITHIN: Duration = Duration::from_secs(30);

/// An account of a registry.
pub(super) struct Registry {
    registry: local_platform::Registry,
    username: String,
    current: String,
}

impl Registry {
    pub(super) fn new(platform: &Endpoints) -> Result<Self> {
        Ok(Self { registry: platform.registry()?.clone(), username: new_slug("ci"), current: String::new() })
    }

    fn set(&self, password: &str) -> Result<()> {
        Ok(self.registry.user_set(&self.username, &SecretString::from(password))?)
    }
}

impl FarEnd for Registry {
    fn config(&self) -> Value {
        json!({ "url": self.registry.url, "username": self.username })
    }

    fn renew(&mut self) -> Result<Secrets> {
        self.current = new_secret();
        self.set(&self.current)?;
        Ok([("password".to_owned(), self.current.clone())].into())
    }

    fn spoil(&mut self) -> Result<()> {
        self.set(&new_secret())
    }
}

/// A namespace of an OpenBao, with a role that makes tokens.
pub(super) struct Vault {
    api: Api,
    address: String,
    root: String,
    namespace: String,
    current: String,
}

impl Vault {
    pub(super) fn new(platform: &Endpoints) -> Result<Self> {
        let openbao = platform.openbao()?;
        let vault = Self {
            api: Api::new(&openbao.addr, None)?,
            address: openbao.addr.clone(),
            root: openbao.root_token.expose_secret().to_owned(),
            namespace: new_slug("vault"),
            current: String::new(),
        };
        let root = vault.root.clone();
        vault
            .call(&root, "", "POST", &format!("sys/namespaces/{}", vault.namespace), &json!({}))?
            .expect(200)?;
        let policy = r#"path "auth/token/create/next" { capabilities = ["update"] }"#;
        vault.own("POST", "sys/policies/acl/connector", &json!({ "policy": policy }))?;
        let role = json!({ "orphan": true, "allowed_policies": ["connector", "default"], "renewable": true });
        vault.own("POST", "auth/token/roles/next", &role)?;
        Ok(vault)
    }

    fn call(&self, token: &str, namespace: &str, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let request = self.api.request(method, &format!("/v1/{path}"))?.header("x-vault-token", token);
        let request =
            if namespace.is_empty() { request } else { request.header("x-vault-namespace", namespace) };
        request.json(body).send()
    }

    /// As its administrator.
    fn own(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let answer = self.call(&self.root, &self.namespace, method, path, body)?;
        ensure!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
        Ok(answer)
    }
}

impl FarEnd for Vault {
    fn config(&self) -> Value {
        json!({ "url": self.address, "namespace": self.namespace, "token_role": "next" })
    }

    fn renew(&mut self) -> Result<Secrets> {
        let wanted = json!({ "policies": ["connector"], "ttl": "1h" });
        let made = self.own("POST", "auth/token/create-orphan", &wanted)?;
        let token = made.body["auth"]["client_token"].as_str().context("a token")?;
        token.clone_into(&mut self.current);
        Ok([("token".to_owned(), self.current.clone())].into())
    }

    fn spoil(&mut self) -> Result<()> {
        self.own("POST", "auth/token/revoke", &json!({ "token": self.current })).map(drop)
    }

    fn takes(&self, secrets: &Secrets) -> Result<Option<bool>> {
        let token = secrets.get("token").context("a token")?;
        let answer = self.call(token, &self.namespace, "GET", "auth/token/lookup-self", &Value::Null)?;
        Ok(Some(answer.status == 200))
    }
}

/// A service account of a Kubernetes cluster.
pub(super) struct Kubernetes {
    admin: Admin,
    url: String,
    authority: String,
    namespace: String,
}

const ACCOUNT: &str = "connector";

impl Kubernetes {
    pub(super) fn new(platform: &Endpoints) -> Result<Self> {
        let cluster = platform.kubernetes()?;
        let kubernetes = Self {
            admin: Admin::new(platform)?,
            url: cluster.server.clone(),
            authority: cluster.ca_pem.clone(),
            namespace: new_slug("cluster"),
        };
        let namespace = &kubernetes.namespace;
        kubernetes.made("/api/v1/namespaces", &json!({ "metadata": { "name": namespace } }))?;
        kubernetes.account_made()?;
        let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
        let rules = json!([
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
            { "apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"] },
        ]);
        kubernetes
            .made(&format!("{roles}/roles"), &json!({ "metadata": { "name": ACCOUNT }, "rules": rules }))?;
        let subject = json!({ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace });
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT });
        let binding = json!({ "metadata": { "name": ACCOUNT }, "roleRef": role, "subjects": [subject] });
        kubernetes.made(&format!("{roles}/rolebindings"), &binding)?;
        Ok(kubernetes)
    }

    fn made(&self, path: &str, object: &Value) -> Result<Value> {
        let made = self.admin.kubernetes("POST", path, object)?;
        ensure!(made.status.is_success(), "{path}: {} {}", made.status, made.body);
        Ok(made.body)
    }

    fn accounts(&self) -> String {
        format!("/api/v1/namespaces/{}/serviceaccounts", self.namespace)
    }

    fn account_made(&self) -> Result<()> {
        self.made(&self.accounts(), &json!({ "metadata": { "name": ACCOUNT } })).map(drop)
    }
}

impl FarEnd for Kubernetes {
    fn config(&self) -> Value {
        json!({
            "url": self.url,
            "ca_certificate": self.authority,
            "namespace": self.namespace,
            "service_account": ACCOUNT,
        })
    }

    fn renew(&mut self) -> Result<Secrets> {
        let wanted = json!({ "spec": { "expirationSeconds": 3600 } });
        let made = self.made(&format!("{}/{ACCOUNT}/token", self.accounts()), &wanted)?;
        let token = made["status"]["token"].as_str().context("a token")?;
        Ok([("token".to_owned(), token.to_owned())].into())
    }

    /// Tokens end with the account, and another of the same name does not know them.
    fn spoil(&mut self) -> Result<()> {
        let token = self.renew()?;
        let path = format!("{}/{ACCOUNT}", self.accounts());
        let removed = self.admin.kubernetes("DELETE", &path, &Value::Null)?;
        ensure!(removed.status.is_success(), "{path}: {}", removed.status);
        self.account_made()?;
        let until = Instant::now() + FORGETS_WITHIN;
        while self.takes(&token)? == Some(true) {
            ensure!(Instant::now() < until, "a token outlives its account");
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn takes(&self, secrets: &Secrets) -> Result<Option<bool>> {
        let token = secrets.get("token").context("a token")?;
        let pods = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let seen = self.admin.kubernetes_as(token, "GET", &pods, &Value::Null)?;
        Ok(Some(seen.status.is_success()))
    }
}
