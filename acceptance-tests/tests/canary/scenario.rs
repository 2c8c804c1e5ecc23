//! What is done with the secrets.

use std::fs;
use std::path::PathBuf;

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::far::{self, side};
use acceptance_tests::leaks::Canary;
use acceptance_tests::{Api, Cli, Server, Workdir, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use local_platform::far_side::Behaviour;
use serde_json::json;

/// API tokens: the one that both CLIs use, one of a tenant, and one that is refused.
pub(crate) struct Tokens {
    platform: String,
    tenant: String,
    revoked: String,
}

impl Tokens {
    pub(crate) fn new(world: &World, server: &Server) -> Result<Self> {
        let api = server.api()?;
        let tenant = api.tenant(&new_slug("canary"))?;
        let value = |body| -> Result<(String, String)> {
            let made = api.post("/v1/tokens", &body)?.expect(201)?.body;
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("a token");
            Ok((text(&made["token"]["id"])?, text(&made["value"])?))
        };
        let (_, of_tenant) = value(json!({ "name": "t", "scopes": ["tenants:read"], "tenant_id": tenant }))?;
        let (id, revoked) = value(json!({ "name": "r", "scopes": ["tenants:read"] }))?;
        api.delete(&format!("/v1/tokens/{id}"))?.expect(204)?;
        for token in [&of_tenant, &revoked] {
            api.with_token(Some(token)).get("/v1/tenants")?;
        }
        Ok(Self { platform: world.token().to_owned(), tenant: of_tenant, revoked })
    }

    pub(crate) fn canaries(&self) -> [Canary; 3] {
        [
            Canary::token("the platform's token", &self.platform),
            Canary::token("a tenant's token", &self.tenant),
            Canary::token("a revoked token", &self.revoked),
        ]
    }
}

/// What one CLI did.
pub(crate) struct Applied {
    /// Every secret that it was given.
    pub(crate) secrets: Vec<Canary>,
    /// Those that are in force at the end.
    pub(crate) kept: Vec<String>,
    /// Where it worked.
    pub(crate) dir: PathBuf,
}

/// A tenant with a connector for every secret of every kind. The variables are ephemeral: a plan file
/// holds the values of all others, whatever they are used for. The control is the tenant's name, here
/// and on the platform.
fn config(control: &str, hook: &far::Webhook, images: &far::Registry) -> String {
    format!(
        r#"
variable "hmac_key" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

variable "password" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

variable "token" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

resource "integraci_tenant" "t{control}" {{
  slug              = "{slug}"
  name              = "{control}"
  plan              = "team"
  owner_email       = "it@canary.example"
  delete_protection = false
}}

resource "integraci_connector" "hook" {{
  tenant_id = integraci_tenant.t{control}.id
  name      = "hook"
  webhook = {{
    url         = "{hook}"
    events      = ["tenant.updated"]
    hmac_key_wo = var.hmac_key
  }}
}}

resource "integraci_connector" "by_password" {{
  tenant_id = integraci_tenant.t{control}.id
  name      = "by-password"
  container_registry = {{
    url         = "{registry}"
    repository  = "{repository}"
    username    = "{username}"
    password_wo = var.password
  }}
}}

resource "integraci_connector" "by_token" {{
  tenant_id = integraci_tenant.t{control}.id
  name      = "by-token"
  container_registry = {{
    url        = "{registry}"
    repository = "{repository}"
    token_wo   = var.token
  }}
  secret_wo_version = "1"
}}
"#,
        slug = new_slug("canary"),
        hook = hook.url,
        registry = images.url,
        repository = images.repository,
        username = images.username,
    )
}

/// Creates, changes, compares, is refused, and fails, all under the eyes of `TF_LOG=TRACE`.
pub(crate) fn apply(cli: Cli, server: &Server, tokens: &Tokens, control: &str) -> Result<Applied> {
    let name = cli.name();
    let mut secrets = Vec::new();
    let mut fresh = |what: &str| {
        let canary = Canary::new(&format!("{name}: {what}"));
        secrets.push(canary.clone());
        canary.value
    };
    let (mut hook, images) = (far::webhook()?, far::registry()?);
    let (first_key, second_key) = (fresh("the first key"), fresh("the second key"));
    let (first_password, second_password) = (fresh("the first password"), fresh("the second password"));
    let (compared, refused, echoed) =
        (fresh("a compared key"), fresh("a refused key"), fresh("an echoed key"));
    let password_set = |password: &str| -> Result<()> {
        side()?.registry_user(&images.username, password.to_owned().into());
        Ok(())
    };

    let mut work = Recorded::new(Workdir::new(cli, server.endpoint(), &tokens.platform)?)?;
    work.dir.write("main.tf", &config(control, &hook, &images))?;
    hook.use_key(&first_key)?;
    password_set(&first_password)?;
    let token = registry_token(&images, &first_password)?;
    work.dir.set_var("hmac_key", &first_key);
    work.dir.set_var("password", &first_password);
    work.dir.set_var("token", &token);
    work.run(&["validate"], 0)?;
    work.run(&["plan", "-out=create.plan"], 0)?;
    work.run(&["show", "create.plan"], 0)?;
    work.run(&["show", "-json", "create.plan"], 0)?;
    work.run(&["apply", "create.plan"], 0)?;
    work.run(&["plan", "-detailed-exitcode", "-out=nothing.plan"], 0)?;

    // Compared by the plan, and never applied.
    work.dir.set_var("hmac_key", &compared);
    work.run(&["plan", "-detailed-exitcode", "-out=compared.plan"], 2)?;

    // Applied, and refused by the far side; the second time the far side shows what it was sent.
    work.dir.set_var("hmac_key", &refused);
    work.run(&["apply", "-auto-approve"], 1)?;
    work.dir.set_var("hmac_key", &echoed);
    side()?.behave(Behaviour::EchoesCredential);
    let ran = work.run(&["apply", "-auto-approve", "-json"], 1);
    side()?.behave(Behaviour::Normal);
    ran?;

    // Rotated. A new password ends the tokens of the old one, so the third connector is left alone.
    hook.use_key(&second_key)?;
    password_set(&second_password)?;
    work.dir.set_var("hmac_key", &second_key);
    work.dir.set_var("password", &second_password);
    work.run(&["apply", "-auto-approve"], 0)?;
    work.run(&["show"], 0)?;
    work.run(&["show", "-json"], 0)?;
    work.run(&["state", "pull"], 0)?;

    let Recorded { dir, .. } = work;
    let dir = dir.dir().to_owned();
    secrets.push(Canary::of(&format!("{name}: the registry's token"), &token));
    Ok(Applied { secrets, kept: vec![second_key, second_password, token], dir })
}

/// A token that the registry has given out, as a user would get one.
fn registry_token(images: &far::Registry, password: &str) -> Result<String> {
    let query = format!("/token?service=far-side&scope=repository:{}:pull", images.repository);
    let login = format!("{}:{password}", images.username);
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, login);
    let request = Api::new(side()?.url(), None)?.request("GET", &query)?;
    let answer = request.header("authorization", &format!("Basic {basic}")).send()?.expect(200)?;
    Ok(answer.body["token"].as_str().context("the registry gives out a token")?.to_owned())
}

/// A directory whose runs are logged at their most talkative, and whose output is kept in files.
struct Recorded {
    dir: Workdir,
    said: PathBuf,
    runs: usize,
}

impl Recorded {
    fn new(dir: Workdir) -> Result<Self> {
        let log = dir.dir().join("trace.log");
        let dir = dir.env("TF_LOG", "TRACE").env("TF_LOG_PATH", &log.display().to_string());
        let said = dir.dir().join("said");
        fs::create_dir(&said)?;
        Ok(Self { dir, said, runs: 0 })
    }

    fn run(&mut self, args: &[&str], expected: i32) -> Result<()> {
        let ran = self.dir.run(args)?;
        self.runs += 1;
        let said = format!("{}\n{}", ran.finished.stdout, ran.finished.stderr);
        fs::write(self.said.join(format!("{:02}-{}.txt", self.runs, args[0])), &said)?;
        ensure!(
            ran.finished.status.code() == Some(expected),
            "{} ended with {}, not {expected}:\n{said}",
            ran.what,
            ran.finished.status
        );
        Ok(())
    }
}

/// Requests that carry a secret where none belongs, or are broken behind one.
pub(crate) fn malformed(server: &Server) -> Result<Vec<Canary>> {
    let api = server.api()?;
    let tenant = api.tenant(&new_slug("canary"))?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let mut canaries = Vec::new();
    let mut fresh = |what: &str| {
        let canary = Canary::of(what, &hex::encode(rand::random::<[u8; 16]>()));
        canaries.push(canary.clone());
        canary.value
    };
    let body = |secrets: serde_json::Value| {
        json!({
            "name": "hook",
            "kind": "webhook",
            "config": { "url": "http://127.0.0.1:1/", "events": ["quota.set"] },
            "secrets": secrets,
        })
    };
    let post = |path: &str, body: &[u8]| {
        let request = api.request("POST", path)?.header("idempotency-key", &new_key());
        request.header("content-type", "application/json").body(body).send()
    };

    let unknown = body(json!({ "passphrase": fresh("an unknown secret") }));
    post(&connectors, unknown.to_string().as_bytes())?.expect(422)?;
    let listed = body(json!({ "hmac_key": [fresh("a secret in a list")] }));
    post(&connectors, listed.to_string().as_bytes())?.expect(422)?;
    let cut = body(json!({ "hmac_key": fresh("a secret in a broken body") })).to_string();
    post(&connectors, &cut.as_bytes()[..cut.len() - 1])?.expect(400)?;
    let mut wrong = tenant_body(&new_slug("canary"));
    wrong["labels"] = json!([fresh("a secret in a field of another type")]);
    post("/v1/tenants", wrong.to_string().as_bytes())?.expect(422)?;
    let nobody = json!({ "secrets": { "hmac_key": fresh("a secret for a connector that is not there") } });
    let path = format!("{connectors}/con_01890a5dac96774bbcceb302099a8057/secret-comparisons");
    post(&path, nobody.to_string().as_bytes())?.expect(404)?;
    let body = body(json!({ "hmac_key": fresh("a secret sent with a wrong token") }));
    api.with_token(Some("ici_wrong")).post(&connectors, &body)?.expect(401)?;
    Ok(canaries)
}

/// Credentials for a tenant's own place that the platform lends: one in use, one renewed and given back.
pub(crate) fn lent(server: &Server) -> Result<Vec<Canary>> {
    let api = server.api()?;
    let path = format!("/v1/tenants/{}/credentials/openbao", api.tenant(&new_slug("canary"))?);
    let mut canaries = Vec::new();
    for given_back in [false, true] {
        let lease = api.post(&path, &json!({ "ttl_s": 600 }))?.expect(201)?.body;
        let secrets = lease["secrets"].as_object().context("a lease has secrets")?;
        for (name, secret) in secrets {
            let value = secret.as_str().context("a secret is a text")?;
            canaries.push(Canary::of(&format!("a lent {name}, given back: {given_back}"), value));
        }
        if given_back {
            let lease =
                format!("{path}/{}", lease["credential"]["id"].as_str().context("a lease has an id")?);
            api.post(&format!("{lease}/renewals"), &json!({ "ttl_s": 600 }))?.expect(200)?;
            api.delete(&lease)?.expect(204)?;
        }
    }
    Ok(canaries)
}
