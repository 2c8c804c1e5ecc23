//! OpenBao: every operation that its own description has of a tenant's namespace and of the platform's,
//! with a tenant's tokens, at another tenant.
//!
//! What OpenBao tells everybody is told here as well: a namespace of a name that is none answers 404
//! before anybody is asked who he is. A namespace's name is an address, like a host's. So an answer at
//! one that never was may differ from that at another tenant's, if it is word for word what nobody at
//! all is told, and if the other tenant's namespace cannot be told from an empty one.

use acceptance_tests::World;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result, ensure};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cast::Logins;
use crate::http::{Ask, Http, Reply};
use crate::score::{Score, Seen};
use crate::target::Target;

/// Fewer, and the description has lost some.
const OPERATIONS_MIN: usize = 100;
/// A secret that the victim has.
const SECRET: &str = "attacked/there";
/// Another, in a folder that is called like the first.
const SECRET_BELOW: &str = "attacked/there/below";
/// What the platform keeps its tenants' keys in.
const KEYS: &str = "/integraci/";
/// What would end, or lock, all of the OpenBao that the tests run on if its owner did it, and the
/// workflows, over which OpenBao 2.7.2 falls when they are listed and there are none.
const ENDS_ALL: [&str; 15] = [
    "seal",
    "unseal",
    "step-down",
    "rekey",
    "rotate",
    "generate-root",
    "raft",
    "init",
    "loggers",
    "reload",
    "plugins",
    "api-lock",
    "audit",
    "monitor",
    "workflows",
];

/// What every token may ask about itself, in whatever namespace, and what is asked before there is a token:
/// where a login is made is seen from outside, and the attestation tries the tenant's own login there.
const OF_EVERYBODY: [&str; 4] =
    ["/auth/token/lookup-self", "/auth/token/renew-self", "/auth/token/revoke-self", "/auth/approle/login"];

/// One operation of the description.
#[derive(Debug, Clone)]
struct Operation {
    method: String,
    /// With its parameters open.
    path: String,
    /// A mount that there is in its namespace.
    mount: &'static str,
}

/// Asks one OpenBao.
struct Bao {
    http: Http,
    root: String,
}

/// Makes every attempt, and does the same as the owner.
pub(crate) fn attack(world: &World, logins: &Logins, victim: &Target) -> Result<Score> {
    block_on(async {
        let openbao = world.platform().openbao()?;
        let bao = Bao {
            http: Http::new(&openbao.addr, None)?,
            root: openbao.root_token.expose_secret().to_owned(),
        };
        let theirs = logins.owner.field("namespace")?.trim_matches('/').to_owned();
        let platforms = theirs.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
        for path in [SECRET, SECRET_BELOW] {
            bao.secret_written(&theirs, logins.owner.secret("token")?, path).await?;
        }
        let empty = victim.nobody();
        let path = format!("/sys/namespaces/{}", empty.place());
        let made = bao.call(Some(&bao.root), &platforms, "POST", &path, Some(json!({}))).await?;
        made.expect("making an empty namespace")?;
        let mut score = Score::default();
        for (namespace, mount) in [(&theirs, "secret"), (&platforms, "integraci")] {
            let operations = bao.operations(namespace, mount).await?;
            ensure!(
                operations.len() >= OPERATIONS_MIN,
                "only {} operations in {namespace}",
                operations.len()
            );
            for operation in operations {
                bao.attempts(&mut score, &operation, namespace, logins, victim, &empty).await?;
                bao.control(&operation, namespace, logins, victim).await?;
                score.control();
            }
        }
        Ok(score)
    })
}

impl Bao {
    async fn call(
        &self,
        token: Option<&str>,
        namespace: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply> {
        let mut ask = Ask::new(method, &format!("/v1{path}")).header("x-vault-namespace", namespace);
        if let Some(token) = token {
            ask = ask.header("x-vault-token", token);
        }
        ask.body = body;
        self.http.ask(&ask).await
    }

    async fn as_root(&self, namespace: &str, method: &str, path: &str) -> Result<Reply> {
        self.call(Some(&self.root), namespace, method, path, None).await
    }

    /// What is in a namespace, by OpenBao's own description of it. Left out is what no namespace but the
    /// root's has, for there nobody can do it, and what OpenBao asks nobody's credentials for, such as
    /// whether it is sealed.
    async fn operations(&self, namespace: &str, mount: &'static str) -> Result<Vec<Operation>> {
        let described = self.as_root(namespace, "GET", "/sys/internal/specs/openapi").await?;
        let described = described.expect("OpenBao's description")?.body;
        let mut operations = Vec::new();
        for (path, methods) in described["paths"].as_object().context("it has paths")? {
            for method in ["get", "post", "patch", "delete"] {
                let known = &methods[method];
                if known.is_null() {
                    continue;
                }
                let parameters = known["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
                let lists = parameters.iter().find(|it| it["name"] == "list");
                if lists.is_some() {
                    operations.push(Operation { method: "LIST".to_owned(), path: path.clone(), mount });
                }
                if lists.is_none_or(|it| it["required"] != true) {
                    operations.push(Operation { method: method.to_uppercase(), path: path.clone(), mount });
                }
            }
        }
        let mut there = Vec::new();
        for operation in operations {
            let path = operation.filled("x", SECRET);
            let asked = self.call(None, namespace, "GET", &path, None).await?;
            let is_elsewhere = asked.body.to_string().contains("unavailable in namespaces");
            let is_open = asked.is_success() && tells(&asked.body, "nobody");
            if !is_elsewhere && !is_open && !OF_EVERYBODY.contains(&operation.path.as_str()) {
                there.push(operation);
            }
        }
        Ok(there)
    }

    async fn attempts(
        &self,
        score: &mut Score,
        operation: &Operation,
        namespace: &str,
        logins: &Logins,
        victim: &Target,
        empty: &Target,
    ) -> Result<()> {
        let nobody = victim.nobody();
        let is_tenants = namespace.contains(&victim.slug);
        let own = logins.live.field("namespace")?.rsplit('/').next().unwrap_or_default();
        let tokens = [
            ("another tenant's token", Some(logins.live.secret("token")?)),
            ("a revoked token", Some(logins.revoked.secret("token")?)),
            ("a suspended tenant's token", Some(logins.suspended.secret("token")?)),
            ("nonsense", Some("s.letmein")),
            ("nothing", None),
        ];
        for (name, token) in tokens {
            let what =
                format!("OpenBao, {} {} in {namespace}, with {name}", operation.method, operation.path);
            let ask = async |at: &Target, object: &str| -> Result<Reply> {
                let namespace =
                    if is_tenants { namespace.replace(&victim.slug, &at.slug) } else { namespace.to_owned() };
                let path = operation.filled(&at.place(), object);
                self.call(token, &namespace, &operation.method, &path, operation.body()).await
            };
            let seen = |reply: &Reply, at: &Target| Seen {
                is_granted: reply.is_success() && tells(&reply.body, own),
                answer: reply.comparable(at),
            };
            let there = seen(&ask(victim, SECRET).await?, victim);
            let nowhere = seen(&ask(&nobody, SECRET).await?, &nobody);
            if there == nowhere || !is_tenants {
                score.attempt(&what, &there, &nowhere);
                continue;
            }
            // What nobody is told of the same.
            let path = operation.filled(&nobody.place(), SECRET);
            let elsewhere = namespace.replace(&victim.slug, &nobody.slug);
            let public = self.call(None, &elsewhere, &operation.method, &path, operation.body()).await?;
            score.public(&what, &nowhere, &seen(&public, &nobody));
            // What an empty namespace answers beside the victim's.
            let empty = seen(&ask(empty, SECRET).await?, empty);
            score.attempt(&what, &there, &empty);
        }
        Ok(())
    }

    /// The owner does it: the tenant with its own token what is in its store, and root the rest. What is
    /// read is read; what is written is reached, and may find an empty body wanting.
    async fn control(
        &self,
        operation: &Operation,
        namespace: &str,
        logins: &Logins,
        victim: &Target,
    ) -> Result<()> {
        let path = operation.filled(&victim.place(), SECRET);
        let is_store = path.starts_with("/secret/data/") || path.starts_with("/secret/metadata/");
        if is_store && namespace.contains(&victim.slug) {
            let owner = Some(logins.owner.secret("token")?);
            if operation.method == "DELETE" {
                self.secret_written(namespace, logins.owner.secret("token")?, SECRET).await?;
            }
            let reply = self.call(owner, namespace, &operation.method, &path, operation.body()).await?;
            self.secret_written(namespace, logins.owner.secret("token")?, SECRET).await?;
            reply.expect(&format!("the owner cannot {} {path}", operation.method))?;
            return Ok(());
        }
        let is_read = matches!(operation.method.as_str(), "GET" | "LIST");
        if is_read && !ENDS_ALL.iter().any(|word| path.contains(word)) {
            let reply = self.as_root(namespace, &operation.method, &path).await?;
            // What it reads may not be there, which some parts of OpenBao say with a 500.
            let is_refused = matches!(reply.status, 401 | 403);
            ensure!(
                !is_refused,
                "root cannot {} {path} in {namespace}: {} {}",
                operation.method,
                reply.status,
                reply.body
            );
            return Ok(());
        }
        let body = json!({ "paths": [path.trim_start_matches('/')] });
        let asked =
            self.call(Some(&self.root), namespace, "POST", "/sys/capabilities-self", Some(body)).await?;
        let asked = asked.expect("what root may do")?.body;
        let may = asked["data"]["capabilities"].to_string();
        ensure!(may.contains("root"), "root may not {} {path} in {namespace}: {may}", operation.method);
        Ok(())
    }

    async fn secret_written(&self, namespace: &str, token: &str, path: &str) -> Result<()> {
        let metadata = format!("/secret/metadata/{path}");
        self.call(Some(token), namespace, "DELETE", &metadata, None)
            .await?
            .expect("making room for a secret")?;
        let body = json!({ "data": { "word": "xyzzy" }, "options": { "cas": 0 } });
        let written =
            self.call(Some(token), namespace, "POST", &format!("/secret/data/{path}"), Some(body)).await?;
        written.expect("the owner writes a secret").map(drop)
    }
}

impl Operation {
    /// The path, with the tenant's name where the platform keeps something under it, and an object's
    /// everywhere else.
    fn filled(&self, place: &str, object: &str) -> String {
        let object = match self.path.as_str() {
            path if path.starts_with(KEYS) => format!("tenants/{place}/nats"),
            path if path.starts_with("/secret/") => object.to_owned(),
            path if path.starts_with("/sys/namespaces") => place.to_owned(),
            path if path.starts_with("/sys/polic") => "tenant".to_owned(),
            path if path.starts_with("/sys/mounts") || path.contains("ui/mounts") => self.mount.to_owned(),
            path if path.starts_with("/sys/auth") => "token".to_owned(),
            _ => "thing".to_owned(),
        };
        self.with(&object)
    }

    fn with(&self, object: &str) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { object } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    fn body(&self) -> Option<Value> {
        match self.method.as_str() {
            "POST" | "PATCH" if self.path.contains("/data/") => {
                Some(json!({ "data": { "word": "plugh" }, "options": { "cas": 1 } }))
            }
            "POST" | "PATCH" => Some(json!({})),
            _ => None,
        }
    }
}

/// Whether an answer holds anything but the caller's own name: OpenBao answers some questions with what the
/// caller may see, and that may be nothing.
fn tells(body: &Value, own: &str) -> bool {
    match body {
        Value::Null => false,
        Value::String(text) => text.trim_end_matches('/') != own,
        Value::Bool(_) | Value::Number(_) => true,
        Value::Array(items) => items.iter().any(|item| tells(item, own)),
        Value::Object(members) if members.contains_key("openapi") => tells(&members["paths"], own),
        Value::Object(members) if members.contains_key("lease_id") => ["data", "auth", "wrap_info"]
            .iter()
            .filter_map(|part| members.get(*part))
            .any(|it| tells(it, own)),
        Value::Object(members) => members.values().any(|it| tells(it, own)),
    }
}
