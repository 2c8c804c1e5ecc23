//! Ephemeral credentials, by use: while the apply goes on they work in the real system and nowhere else in
//! it, and when it has ended they are dead.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::nats::{Login, Nats, Said};
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Cli, Workdir, World, for_each_cli, new_slug};
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::tenant_hcl;

for_each_cli!(credentials_work_during_the_apply_and_are_dead_after_it);

/// The apply waits in a provisioner for as long.
const USE_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// A provisioner may see ephemeral values: it hands them to the test and waits until they were used.
const USE: &str = r#"
ephemeral "integraci_kubernetes_credentials" "acme" { tenant_id = integraci_tenant.acme.id }
ephemeral "integraci_nats_credentials" "acme" { tenant_id = integraci_tenant.acme.id }
ephemeral "integraci_openbao_credentials" "acme" { tenant_id = integraci_tenant.acme.id }
ephemeral "integraci_oidc_client_credentials" "acme" { tenant_id = integraci_tenant.acme.id }

locals {
  given = {
    kubernetes = ephemeral.integraci_kubernetes_credentials.acme
    nats       = ephemeral.integraci_nats_credentials.acme
    openbao    = ephemeral.integraci_openbao_credentials.acme
    oidc       = ephemeral.integraci_oidc_client_credentials.acme
  }
}

resource "terraform_data" "use" {
  input = integraci_tenant.acme.id

  provisioner "local-exec" {
    command     = "umask 077; printf '%s' \"$GIVEN\" > given.part; mv given.part given; while [ ! -e used ]; do sleep 0.1; done"
    environment = { GIVEN = jsonencode(local.given) }
  }
}
"#;

fn credentials_work_during_the_apply_and_are_dead_after_it(cli: Cli) -> Result<()> {
    let world = World::whole("ephemeral")?;
    let server = world.serve()?;
    let api = server.api()?;
    let other = api.tenant(&new_slug("other"))?;
    let other = api.get(&format!("/v1/tenants/{other}"))?.expect(200)?.body;
    let work = Workdir::new(cli, server.endpoint(), world.token())?;
    let slug = new_slug("acme");
    work.write("main.tf", &(tenant_hcl(&slug, "") + USE))?;

    let (given, used, applied) = thread::scope(|scope| {
        let applying = scope.spawn(|| work.apply());
        let given = given(work.dir());
        let used = given.as_ref().map_or_else(|_| Ok(()), |given| Uses::of(given)?.all_work(&other));
        let released = fs::write(work.dir().join("used"), "");
        (given, used.and(released.map_err(Into::into)), applying.join())
    });
    let given = given?;
    applied.map_err(|_| anyhow::anyhow!("the apply panicked"))??;
    used?;

    Uses::of(&given)?.none_works()?;
    fs::remove_file(work.dir().join("given"))?;
    // Nothing of them is left in the directory, the state first.
    let kept = fs::read_to_string(work.dir().join("terraform.tfstate"))?;
    for secret in [
        &given["kubernetes"]["token"],
        &given["nats"]["credentials"],
        &given["openbao"]["token"],
        &given["oidc"]["client_secret"],
    ] {
        let secret = secret.as_str().context("a secret")?;
        ensure!(!kept.contains(secret.trim()), "an ephemeral secret is in the state");
    }
    Ok(())
}

/// What the provisioner was given.
fn given(dir: &Path) -> Result<Value> {
    let began = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(dir.join("given")) {
            return Ok(serde_json::from_str(&text)?);
        }
        ensure!(began.elapsed() < USE_DEADLINE, "the apply did not come to the use of the credentials");
        thread::sleep(POLL);
    }
}

/// Each credential with its use.
struct Uses<'a> {
    http: Client,
    kubernetes: Client,
    given: &'a Value,
}

impl<'a> Uses<'a> {
    fn of(given: &'a Value) -> Result<Self> {
        let ca = Certificate::from_pem(text(given, "kubernetes", "ca_certificate")?.as_bytes())?;
        Ok(Self {
            http: Client::builder().no_proxy().build()?,
            kubernetes: Client::builder().no_proxy().tls_certs_only([ca]).build()?,
            given,
        })
    }

    fn get(&self, system: &str, name: &str) -> Result<&'a str> {
        text(self.given, system, name)
    }

    /// In the tenant's own place they do what a tenant does; in the other's, nothing.
    fn all_work(&self, other: &Value) -> Result<()> {
        let names = &other["names"];
        let namespace = self.get("kubernetes", "namespace")?;
        ensure!(status(self.config_maps(namespace)?)? == 200, "the Kubernetes token does not work");
        let others = names["kubernetes_namespace"].as_str().context("a name")?;
        ensure!(status(self.config_maps(others)?)? == 403, "the Kubernetes token works elsewhere");

        let namespace = self.get("openbao", "namespace")?;
        let write = self.secret(namespace)?.json(&json!({ "options": { "cas": 0 }, "data": { "a": "b" } }));
        ensure!(status(write)? == 200, "the OpenBao token does not work");
        let others = other["isolation"]["openbao"]["namespace"].as_str().context("a namespace")?;
        let write = self.secret(others)?.json(&json!({ "options": { "cas": 0 }, "data": { "a": "b" } }));
        ensure!(status(write)? == 403, "the OpenBao token works elsewhere");

        ensure!(status(self.login()?)? == 200, "the client's secret does not work");

        let own = format!("{}.app", self.get("nats", "subject_prefix")?);
        ensure!(self.hears_itself(&own)?, "the NATS credentials do not work");
        let others = format!("{}.app", names["nats_subject_prefix"].as_str().context("a prefix")?);
        ensure!(!self.hears_itself(&others)?, "the NATS credentials work elsewhere");
        Ok(())
    }

    fn none_works(&self) -> Result<()> {
        let namespace = self.get("kubernetes", "namespace")?;
        // The API server keeps what it knows of a token for some seconds.
        eventually("the Kubernetes token", || Ok(status(self.config_maps(namespace)?)? == 401))?;
        let namespace = self.get("openbao", "namespace")?;
        eventually("the OpenBao token", || {
            Ok(status(self.secret(namespace)?.json(&json!({ "data": { "a": "c" } })))? == 403)
        })?;
        eventually("the client's secret", || Ok(status(self.login()?)? == 401))?;
        let own = format!("{}.app", self.get("nats", "subject_prefix")?);
        eventually("the NATS credentials", || Ok(!self.hears_itself(&own).unwrap_or(false)))
    }

    fn config_maps(&self, namespace: &str) -> Result<RequestBuilder> {
        let host = self.get("kubernetes", "host")?.trim_end_matches('/');
        let url = format!("{host}/api/v1/namespaces/{namespace}/configmaps");
        Ok(self.kubernetes.get(url).bearer_auth(self.get("kubernetes", "token")?))
    }

    fn secret(&self, namespace: &str) -> Result<RequestBuilder> {
        let url =
            format!("{}/v1/secret/data/of-the-test", self.get("openbao", "address")?.trim_end_matches('/'));
        let request = self.http.post(url).header("x-vault-namespace", namespace);
        Ok(request.header("x-vault-token", self.get("openbao", "token")?))
    }

    fn login(&self) -> Result<RequestBuilder> {
        let (id, secret) = (self.get("oidc", "client_id")?, self.get("oidc", "client_secret")?);
        let request = self.http.post(self.get("oidc", "token_url")?).basic_auth(id, Some(secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Ok(request.body("grant_type=client_credentials"))
    }

    /// Whether a message to a subject comes back to a subscription of the same connection.
    fn hears_itself(&self, subject: &str) -> Result<bool> {
        let login = Login::of_file(self.get("nats", "credentials")?)?;
        let Ok(mut nats) = Nats::connect(self.get("nats", "url")?, Some(login))? else { return Ok(false) };
        let subscribed = nats.subscribe(subject)? == Said::Taken;
        Ok(subscribed && nats.publish(subject, "hello")? == Said::Taken && !nats.messages()?.is_empty())
    }
}

fn text<'a>(given: &'a Value, system: &str, name: &str) -> Result<&'a str> {
    given[system][name].as_str().with_context(|| format!("{system} has no {name}"))
}

fn status(request: RequestBuilder) -> Result<u16> {
    Ok(block_on(request.send())?.status().as_u16())
}

fn eventually(what: &str, mut is_dead: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_dead()? {
        if began.elapsed() > Duration::from_secs(30) {
            bail!("{what} still works after the apply has ended");
        }
        thread::sleep(POLL);
    }
    Ok(())
}
