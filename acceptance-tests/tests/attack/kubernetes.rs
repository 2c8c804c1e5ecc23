//! Kubernetes: every verb of every resource that the API server says it has, with a tenant's tokens, in
//! another tenant's namespace, and on what is in no namespace.
//!
//! The owner does the same with its own token, or the cluster's administrator what no tenant may. What
//! would change something is asked as a dry run, which goes through all that the real thing does.

use acceptance_tests::World;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result, ensure};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cast::Logins;
use crate::http::{Ask, Http, Reply};
use crate::score::{Score, Seen};
use crate::target::Target;

/// Fewer, and discovery has lost some.
const OPERATIONS_MIN: usize = 300;
/// What every object is called that is attacked.
const OBJECT: &str = "attacked";
/// What one is called that is not there yet.
const ANOTHER: &str = "attacked-too";
/// What everybody may ask about himself, wherever he is.
const OF_ONESELF: &str = "selfsubject";
/// What Kubernetes itself lets every service account read: the cluster's public trust anchors
/// (its role `system:cluster-trust-bundle-discovery`).
const OF_EVERYBODY: &str = "clustertrustbundles";

/// One verb of one resource.
#[derive(Debug, Clone)]
struct Operation {
    verb: String,
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    group: String,
    /// With its subresource, if it is one: `pods/log`.
    resource: String,
    kind: String,
    is_namespaced: bool,
}

/// Makes every attempt, and does the same as the owner.
pub(crate) fn attack(world: &World, logins: &Logins, victim: &Target) -> Result<Score> {
    block_on(async {
        let kubernetes = world.platform().kubernetes()?;
        let http = Http::new(&kubernetes.server, Some(&kubernetes.ca_pem))?;
        let admin = kubernetes.admin_token.expose_secret();
        let operations = operations(&http, admin).await?;
        ensure!(operations.len() >= OPERATIONS_MIN, "only {} operations", operations.len());
        for operation in operations.iter().filter(|it| it.verb == "create" && it.is_namespaced) {
            operation.object_made(&http, admin, victim).await?;
        }
        let nobody = victim.nobody();
        let tokens = [
            ("another tenant's token", Some(logins.live.secret("token")?)),
            ("a revoked token", Some(logins.revoked.secret("token")?)),
            ("a suspended tenant's token", Some(logins.suspended.secret("token")?)),
            ("nonsense", Some("letmein")),
            ("nothing", None),
        ];
        let mut score = Score::default();
        for operation in &operations {
            for (name, token) in &tokens {
                let what = format!("Kubernetes, {} {}, with {name}", operation.verb, operation.resource);
                let ask = async |at: &Target| -> Result<Seen> {
                    let reply = http.ask(&operation.ask(at, OBJECT).bearer(*token)).await?;
                    Ok(Seen { is_granted: !matches!(reply.status, 401 | 403), answer: reply.comparable(at) })
                };
                let there = ask(victim).await.with_context(|| what.clone())?;
                score.attempt(&what, &there, &ask(&nobody).await?);
            }
            operation.control(&http, logins.owner.secret("token")?, admin, victim).await?;
            score.control();
        }
        Ok(score)
    })
}

/// Every verb of every resource of every group.
async fn operations(http: &Http, admin: &str) -> Result<Vec<Operation>> {
    let read = async |path: &str| -> Result<Value> {
        Ok(http.ask(&Ask::new("GET", path).bearer(Some(admin))).await?.expect("discovery")?.body)
    };
    let mut groups = vec!["/api/v1".to_owned()];
    for group in read("/apis").await?["groups"].as_array().context("there are groups")? {
        let version = group["preferredVersion"]["groupVersion"].as_str().context("a group has a version")?;
        groups.push(format!("/apis/{version}"));
    }
    let mut operations = Vec::new();
    for group in groups {
        for resource in read(&group).await?["resources"].as_array().context("a group has resources")? {
            let text = |name: &str| resource[name].as_str().context("discovery names it").map(str::to_owned);
            for verb in resource["verbs"].as_array().context("a resource has verbs")? {
                operations.push(Operation {
                    verb: verb.as_str().context("a verb is a word")?.to_owned(),
                    group: group.clone(),
                    resource: text("name")?,
                    kind: text("kind")?,
                    is_namespaced: resource["namespaced"] == true,
                });
            }
        }
    }
    operations.retain(|it| !it.resource.starts_with(OF_ONESELF) && it.resource != OF_EVERYBODY);
    Ok(operations)
}

impl Operation {
    /// The request, at a tenant's object.
    fn ask(&self, at: &Target, object: &str) -> Ask {
        let namespace =
            if self.is_namespaced { format!("/namespaces/{}", at.place()) } else { String::new() };
        let (resource, below) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let all = format!("{}{namespace}/{resource}", self.group);
        let name = if self.is_namespaced { object.to_owned() } else { at.place() };
        let one = format!("{all}/{name}/{below}").trim_end_matches('/').to_owned();
        let (method, path) = match self.verb.as_str() {
            "get" => ("GET", one),
            "list" => ("GET", all),
            "watch" => ("GET", format!("{all}?watch=true")),
            "create" if below.is_empty() => ("POST", format!("{all}?dryRun=All")),
            "create" => ("POST", format!("{one}?dryRun=All")),
            "update" => ("PUT", format!("{one}?dryRun=All")),
            "patch" => ("PATCH", format!("{one}?dryRun=All")),
            "delete" => ("DELETE", format!("{one}?dryRun=All")),
            _ => ("DELETE", format!("{all}?dryRun=All")),
        };
        let ask = Ask { is_stream: self.verb == "watch", ..Ask::new(method, &path) };
        match method {
            "POST" | "PUT" => ask.body(self.object(&name, &at.place())),
            "PATCH" => ask.body(json!({ "metadata": { "labels": { "attacked": "yes" } } })),
            _ => ask,
        }
    }

    /// An object of the kind.
    fn object(&self, name: &str, namespace: &str) -> Value {
        let version = self.group.trim_start_matches("/apis/").trim_start_matches("/api/");
        let mut object = json!({ "apiVersion": version, "kind": self.kind, "metadata": { "name": name } });
        if self.is_namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if let (Some(rest), false) = (rest_of(&self.kind, namespace).as_object(), self.resource.contains('/'))
        {
            object.as_object_mut().into_iter().for_each(|it| it.extend(rest.clone()));
        }
        object
    }

    /// Makes the victim's object, so that there is something to attack.
    async fn object_made(&self, http: &Http, admin: &str, victim: &Target) -> Result<()> {
        if !self.has_object() {
            return Ok(());
        }
        let path = format!("{}/namespaces/{}/{}", self.group, victim.place(), self.resource);
        let made = Ask::new("POST", &path).bearer(Some(admin)).body(self.object(OBJECT, &victim.place()));
        http.ask(&made).await?.expect(&format!("making the victim's {}", self.kind)).map(drop)
    }

    /// Whether there is one to attack.
    fn has_object(&self) -> bool {
        self.is_namespaced && !self.resource.contains('/') && !rest_of(&self.kind, "").is_null()
    }

    /// The owner does it, or the administrator where no tenant may. Where there is something of the kind
    /// it has to succeed; else it has to get as far as finding that there is nothing.
    async fn control(&self, http: &Http, owner: &str, admin: &str, victim: &Target) -> Result<()> {
        let ask = self.ask(victim, if self.verb == "create" { ANOTHER } else { OBJECT });
        let mut reply: Reply = http.ask(&ask.clone().bearer(Some(owner))).await?;
        if reply.status == 403 {
            reply = http.ask(&ask.bearer(Some(admin))).await?;
        }
        // To be replaced, an object has to be sent as it is by now: that is said after the right to do so.
        let is_stale = self.verb == "update" && matches!(reply.status, 409 | 422);
        let is_done = reply.is_success() || is_stale;
        ensure!(
            !matches!(reply.status, 401 | 403) && (is_done || !self.has_object()),
            "its owner cannot {} {}: {} {}",
            self.verb,
            self.resource,
            reply.status,
            reply.body
        );
        Ok(())
    }
}

/// What an object of a kind has beside its name; null for kinds that are not made here.
fn rest_of(kind: &str, namespace: &str) -> Value {
    let labels = json!({ "attacked": "yes" });
    let pod = json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "main",
            "image": "registry.invalid/main",
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }],
    });
    let template = json!({ "metadata": { "labels": labels }, "spec": pod });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let selected = json!({ "selector": { "matchLabels": labels }, "template": template });
    match kind {
        "ConfigMap" => json!({ "data": { "word": "xyzzy" } }),
        "Secret" => json!({ "stringData": { "word": "xyzzy" } }),
        "ServiceAccount" => json!({ "automountServiceAccountToken": false }),
        "Service" => json!({ "spec": { "ports": [{ "port": 80 }] } }),
        "Endpoints" => json!({ "subsets": [] }),
        "EndpointSlice" => json!({ "addressType": "IPv4", "endpoints": [], "ports": [] }),
        "Pod" => json!({ "spec": pod }),
        "PodTemplate" => json!({ "template": template }),
        "ReplicationController" => json!({ "spec": { "selector": labels, "template": template } }),
        "Deployment" | "DaemonSet" | "ReplicaSet" => json!({ "spec": selected }),
        "StatefulSet" => {
            let mut spec = selected;
            spec["serviceName"] = json!(OBJECT);
            json!({ "spec": spec })
        }
        "ControllerRevision" => json!({ "revision": 1, "data": { "word": "xyzzy" } }),
        "Job" => json!({ "spec": { "template": once } }),
        "CronJob" => {
            json!({ "spec": { "schedule": "@daily", "jobTemplate": { "spec": { "template": once } } } })
        }
        "HorizontalPodAutoscaler" => json!({ "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": OBJECT },
        } }),
        "ResourceQuota" => json!({ "spec": { "hard": {} } }),
        "LimitRange" => json!({ "spec": { "limits": [] } }),
        "NetworkPolicy" => json!({ "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } }),
        "Ingress" => {
            json!({ "spec": { "defaultBackend": { "service": { "name": OBJECT, "port": { "number": 80 } } } } })
        }
        "PodDisruptionBudget" => {
            json!({ "spec": { "minAvailable": 1, "selector": { "matchLabels": labels } } })
        }
        "Lease" => json!({ "spec": { "holderIdentity": "attacked" } }),
        "Role" => json!({ "rules": [] }),
        "RoleBinding" => json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": OBJECT },
            "subjects": [{ "kind": "ServiceAccount", "name": OBJECT, "namespace": namespace }],
        }),
        _ => Value::Null,
    }
}
