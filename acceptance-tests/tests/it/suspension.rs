//! A suspended tenant gets in nowhere and loses nothing; resumed, all is as it was.

use std::time::Duration;

use acceptance_tests::admin::{token as keycloak_token, until};
use acceptance_tests::far::webhook;
use acceptance_tests::nats::{Login, Nats, Said};
use acceptance_tests::{Admin, Api, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::webhook_body;

/// A token of the tenant that may do all that a tenant may.
fn token(api: &Api, tenant: &str) -> Result<String> {
    let scopes = [
        "tenants:read",
        "tenants:write",
        "connectors:read",
        "connectors:write",
        "quotas:read",
        "quotas:write",
        "usage:read",
        "usage:write",
        "tokens:write",
    ];
    let body = json!({ "name": "owner", "scopes": scopes, "tenant_id": tenant });
    let made = api.post("/v1/tokens", &body)?.expect(201)?;
    Ok(made.body["value"].as_str().context("a token has a value")?.to_owned())
}

#[test]
fn its_api_tokens_are_refused_and_work_again_when_it_is_resumed() -> Result<()> {
    let api = World::shared()?.1.api()?;
    let hook = webhook()?;
    let tenant = api.tenant(&new_slug("suspended"))?;
    let owner = api.with_token(Some(&token(&api, &tenant)?));
    let path = format!("/v1/tenants/{tenant}");
    let connectors = format!("{path}/connectors");
    owner.succeeded(&owner.post(&connectors, &webhook_body("kept", &hook))?)?;
    let before = owner.list(&connectors)?;

    let suspended = api.patch(&path, &json!({ "suspended": true }))?.expect(200)?;
    // From the very next request on, whatever it asks for, a way out included.
    owner.get(&path)?.problem(403, "suspended")?;
    owner.get("/v1/plans")?.problem(403, "suspended")?;
    owner.list(&connectors).unwrap_err();
    owner
        .post("/v1/tokens", &json!({ "name": "more", "scopes": ["tenants:read"] }))?
        .problem(403, "suspended")?;
    owner.patch(&path, &json!({ "suspended": false }))?.problem(403, "suspended")?;
    owner.delete(&path)?.problem(403, "suspended")?;
    // The platform sees it all, and changes nothing in it but that it is suspended.
    assert_eq!(api.list(&connectors)?, before);
    api.post(&connectors, &webhook_body("more", &hook))?.problem(403, "suspended")?;
    if let Some(operation) = suspended.body["operation_id"].as_str() {
        api.operation_settled(operation)?;
    }

    api.patch(&path, &json!({ "suspended": false }))?.expect(200)?;
    assert_eq!(owner.list(&connectors)?, before);
    owner.get(&path)?.expect(200)?;
    Ok(())
}

/// Some seconds, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const STREAM: &str = "ORDERS";

/// A tenant in all five systems, with something of its own in each.
struct Tenant {
    id: String,
    place: String,
    openbao: Value,
    keycloak: Value,
    nats: Value,
    kubernetes: Value,
}

impl Tenant {
    fn made(api: &Api) -> Result<Self> {
        let slug = new_slug("closed");
        let id = api.tenant(&slug)?;
        let lent = |system: &str| -> Result<Value> {
            Ok(api.post(&format!("/v1/tenants/{id}/credentials/{system}"), &json!({}))?.expect(201)?.body)
        };
        let (openbao, keycloak) = (lent("openbao")?, lent("keycloak")?);
        let (nats, kubernetes) = (lent("nats")?, lent("kubernetes")?);
        Ok(Self { place: format!("tenant-{slug}"), id, openbao, keycloak, nats, kubernetes })
    }

    fn path(&self) -> String {
        format!("/v1/tenants/{}", self.id)
    }

    /// Suspends or resumes it, and waits until that is done everywhere.
    fn suspend(&self, api: &Api, suspended: bool) -> Result<()> {
        let tenant = api.patch(&self.path(), &json!({ "suspended": suspended }))?.expect(200)?.body;
        let operation = tenant["operation_id"].as_str().context("its places are being changed")?;
        let operation = api.operation_settled(operation)?;
        ensure!(operation["state"] == "succeeded", "{operation}");
        let tenant = api.get(&self.path())?.expect(200)?.body;
        for system in ["postgres", "openbao", "keycloak", "nats", "kubernetes"] {
            let state = if suspended { "suspended" } else { "ready" };
            ensure!(tenant["isolation"][system]["state"] == state, "{system}: {tenant}");
        }
        Ok(())
    }

    fn bao(&self, admin: &Admin, method: &str, path: &str, body: &Value) -> Result<StatusCode> {
        let (token, namespace) = (secret(&self.openbao, "token")?, field(&self.openbao, "namespace")?);
        Ok(admin.openbao_as(token, namespace, method, path, body)?.status)
    }

    /// Logs in with a secret id, as a workload does.
    fn app_role(&self, admin: &Admin, secret_id: &str) -> Result<StatusCode> {
        let body = json!({ "role_id": field(&self.openbao, "role_id")?, "secret_id": secret_id });
        let namespace = field(&self.openbao, "namespace")?;
        Ok(admin.openbao_as("", namespace, "POST", "auth/approle/login", &body)?.status)
    }

    fn keycloak_login(&self) -> Result<StatusCode> {
        let issuer = field(&self.keycloak, "issuer_url")?;
        let (base, realm) = issuer.split_once("/realms/").context("a realm's address")?;
        let (id, secret) = (field(&self.keycloak, "client_id")?, secret(&self.keycloak, "client_secret")?);
        Ok(keycloak_token(base, realm, id, secret)?.status)
    }

    fn nats(&self, world: &World) -> Result<Result<Nats, String>> {
        let login = Login { jwt: secret(&self.nats, "jwt")?, seed: secret(&self.nats, "seed")? };
        Nats::connect(&world.platform().nats()?.url, Some(login))
    }

    /// Makes a pod, by somebody's token or as the administrator.
    fn pod(&self, admin: &Admin, name: &str, by: Option<&str>) -> Result<(StatusCode, Value)> {
        let path = format!("/api/v1/namespaces/{}/pods", self.place);
        let limits = json!({ "cpu": "10m", "memory": "16Mi" });
        let body = json!({
            "metadata": { "name": name },
            "spec": {
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": "main", "image": "registry.invalid/main",
                    "resources": { "limits": limits, "requests": limits },
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                    },
                }],
            },
        });
        let seen = match by {
            Some(token) => admin.kubernetes_as(token, "POST", &path, &body)?,
            None => admin.kubernetes("POST", &path, &body)?,
        };
        Ok((seen.status, seen.body))
    }

    /// All that the tenant has anywhere, as each system's administrator sees it.
    fn possessions(&self, world: &World, admin: &Admin) -> Result<Value> {
        let namespace = field(&self.openbao, "namespace")?;
        let realm = |path: &str| -> Result<Value> {
            let path = format!("/{}{path}", self.place);
            Ok(admin.keycloak("GET", &path, &Value::Null)?.expect("what is in the realm")?.body)
        };
        let objects = |kind: &str| -> Result<Value> {
            let path = format!("/api/v1/namespaces/{}/{kind}", self.place);
            let found = admin.kubernetes("GET", &path, &Value::Null)?.expect("what is in the namespace")?;
            let items = found.body["items"].as_array().context("a list has items")?.iter();
            Ok(items.map(|it| json!([it["metadata"]["name"], it["metadata"]["uid"], it["data"]])).collect())
        };
        let secret = admin.openbao(namespace, "GET", "secret/data/kept", &Value::Null)?;
        let left = world.remains(self.place.trim_start_matches("tenant-"))?;
        Ok(json!({
            "secret": secret.expect("the secret")?.body["data"],
            "users": realm("/users")?,
            "clients": realm("/clients")?,
            "keys": realm("/keys")?["keys"],
            "roles": realm("/roles")?,
            "configmaps": objects("configmaps")?,
            "secrets": objects("secrets")?,
            "pods": objects("pods")?,
            "everywhere": left,
        }))
    }
}

fn field<'a>(lent: &'a Value, name: &str) -> Result<&'a str> {
    lent["credential"]["fields"][name].as_str().with_context(|| format!("a field {name}"))
}

fn secret<'a>(lent: &'a Value, name: &str) -> Result<&'a str> {
    lent["secrets"][name].as_str().with_context(|| format!("a secret {name}"))
}

fn messages_in_stream(nats: &mut Nats) -> Result<Value> {
    match nats.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), "")? {
        Said::Answered(text) => Ok(serde_json::from_str::<Value>(&text)?["state"]["messages"].clone()),
        other => anyhow::bail!("the stream is not told of: {other:?}"),
    }
}

#[test]
fn it_is_let_in_nowhere_and_finds_all_as_it_was_when_it_is_resumed() -> Result<()> {
    let world = World::whole("suspension")?;
    let server = world.serve()?;
    let (api, admin) = (server.api()?, Admin::new(world.platform())?);
    let tenant = Tenant::made(&api)?;
    let bearer = secret(&tenant.kubernetes, "token")?;

    // Something of its own in each system, by its own credentials.
    let kept = json!({ "data": { "word": "xyzzy" }, "options": { "cas": 0 } });
    ensure!(tenant.bao(&admin, "POST", "secret/data/kept", &kept)?.is_success());
    let namespace = field(&tenant.openbao, "namespace")?;
    let wrapped = secret(&tenant.openbao, "wrapped_secret_id")?;
    let unwrapped = admin.openbao_as(wrapped, namespace, "POST", "sys/wrapping/unwrap", &Value::Null)?;
    let unwrapped = unwrapped.expect("unwrapping")?.body;
    let secret_id = unwrapped["data"]["secret_id"].as_str().context("a secret id")?;
    ensure!(tenant.app_role(&admin, secret_id)?.is_success());
    let user = json!({ "username": "ann", "enabled": true });
    admin.keycloak("POST", &format!("/{}/users", tenant.place), &user)?.expect("making a user")?;
    ensure!(tenant.keycloak_login()?.is_success());
    let mut live = tenant.nats(&world)?.map_err(anyhow::Error::msg)?;
    let subject = format!("{}.orders", field(&tenant.nats, "subject_prefix")?);
    let stream = json!({ "name": STREAM, "subjects": [subject], "storage": "file", "max_bytes": 1 << 20 });
    live.request(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream.to_string())?;
    for _ in 0..3 {
        live.request(&subject, "an order")?;
    }
    assert_eq!(messages_in_stream(&mut live)?, 3);
    assert_eq!(tenant.pod(&admin, "first", Some(bearer))?.0, StatusCode::CREATED);
    let before = tenant.possessions(&world, &admin)?;

    tenant.suspend(&api, true)?;
    for system in ["openbao", "keycloak", "nats", "kubernetes"] {
        let path = format!("{}/credentials/{system}", tenant.path());
        api.post(&path, &json!({}))?.problem(403, "suspended")?;
    }
    until("OpenBao refuses its token", SOON, || {
        let status = tenant.bao(&admin, "GET", "secret/data/kept", &Value::Null)?;
        Ok((!status.is_success()).then_some(()))
    })?;
    ensure!(!tenant.app_role(&admin, secret_id)?.is_success(), "its workloads log in to OpenBao");
    ensure!(!tenant.keycloak_login()?.is_success(), "its clients log in to Keycloak");
    until("NATS drops its connection", SOON, || Ok(matches!(live.ping()?, Said::Refused(_)).then_some(())))?;
    ensure!(tenant.nats(&world)?.is_err(), "its users connect to NATS");
    let (status, _) = tenant.pod(&admin, "second", Some(bearer))?;
    ensure!(matches!(status.as_u16(), 401 | 403), "its token makes a pod: {status}");
    let (status, said) = tenant.pod(&admin, "third", None)?;
    ensure!(status == StatusCode::FORBIDDEN && said.to_string().contains("quota"), "{status} {said}");
    assert_eq!(tenant.possessions(&world, &admin)?, before);

    tenant.suspend(&api, false)?;
    assert_eq!(tenant.possessions(&world, &admin)?, before);
    ensure!(tenant.app_role(&admin, secret_id)?.is_success(), "its workloads do not log in to OpenBao");
    ensure!(tenant.keycloak_login()?.is_success(), "its clients do not log in to Keycloak");
    let mut again = tenant.nats(&world)?.map_err(anyhow::Error::msg)?;
    assert_eq!(messages_in_stream(&mut again)?, 3);
    until("its pods are made again", SOON, || {
        Ok((tenant.pod(&admin, "fourth", Some(bearer))?.0 == StatusCode::CREATED).then_some(()))
    })?;
    // Credentials are lent again, and the secret is what it was.
    let lent = api.post(&format!("{}/credentials/openbao", tenant.path()), &json!({}))?.expect(201)?.body;
    let read =
        admin.openbao_as(secret(&lent, "token")?, namespace, "GET", "secret/data/kept", &Value::Null)?;
    assert_eq!(read.expect("reading")?.body["data"]["data"]["word"], "xyzzy");
    api.succeeded(&api.delete(&tenant.path())?)?;
    assert_eq!(world.remains(tenant.place.trim_start_matches("tenant-"))?, Vec::<String>::new());
    Ok(())
}
