//! Every secret field of every kind of connector, by the API: kept without being shown to anybody,
//! compared, shown back by a far side that is careless, refused, rotated, and in hand when the server
//! panics.

use acceptance_tests::far::side;
use acceptance_tests::faults::Faults;
use acceptance_tests::kinds::{FarEnd, Place, Secrets, connector_body, far_end};
use acceptance_tests::leaks::Canary;
use acceptance_tests::{Api, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use integraci_api::catalogue::{Field, FieldValues, KINDS, Kind, Secret, SecretFormat, SecretRule};
use local_platform::far_side::Behaviour;
use serde_json::{Map, Value, json};

/// What was done with every kind.
pub(crate) struct Tried {
    /// Every secret that was sent.
    pub(crate) secrets: Vec<Canary>,
    /// Those that OpenBao has at the end.
    pub(crate) kept: Vec<String>,
}

/// Goes through all kinds, in a tenant of their own.
pub(crate) fn all(world: &World, api: &Api, faults: &Faults) -> Result<Tried> {
    let tenant = api.tenant(&new_slug("kinds"))?;
    let room = json!({ "limits": { "connectors": 100 } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &room)?.expect(200)?;
    let mut tried = Tried { secrets: Vec::new(), kept: Vec::new() };
    for kind in KINDS.iter().filter(|kind| !kind.secrets.is_empty()) {
        let mut at = At { api, tenant: &tenant, kind, tried: &mut tried };
        at.kept_and_compared().with_context(|| format!("{}: kept", kind.name))?;
        at.echoed().with_context(|| format!("{}: echoed", kind.name))?;
        at.lived(world).with_context(|| format!("{}: lived", kind.name))?;
    }
    panicked(api, &tenant, faults, &mut tried)?;
    Ok(tried)
}

struct At<'a> {
    api: &'a Api,
    tenant: &'a str,
    kind: &'static Kind,
    tried: &'a mut Tried,
}

impl At<'_> {
    fn connectors(&self) -> String {
        format!("/v1/tenants/{}/connectors", self.tenant)
    }

    /// A set of secrets, all new, that has this one.
    fn fresh(&mut self, secret: &'static Secret, what: &str) -> Secrets {
        let alone = self.kind.secret_rule != SecretRule::Each;
        let needed = |other: &&Secret| other.name == secret.name || (!alone && other.required);
        let mut secrets = Secrets::new();
        for other in self.kind.secrets.iter().filter(needed) {
            let value = hex::encode(rand::random::<[u8; 20]>());
            let about = format!("{}: {}, {what}", self.kind.name, other.name);
            self.tried.secrets.push(Canary::of(&about, &value));
            let value = match other.format {
                SecretFormat::Text | SecretFormat::WebhookKey => value,
                SecretFormat::PrivateKey => {
                    format!("-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----\n")
                }
            };
            secrets.insert(other.name.to_owned(), value);
        }
        secrets
    }

    /// Stored unasked, read back by nobody, compared.
    fn kept_and_compared(&mut self) -> Result<()> {
        let config = plausible(self.kind)?;
        for secret in self.kind.secrets {
            let secrets = self.fresh(secret, "kept");
            let name = format!("kept-{}-{}", self.kind.name, secret.name);
            let mut body = connector_body(self.kind.name, &name, &config, &secrets);
            body["verify"] = json!("off");
            let id = self.api.succeeded(&self.api.post(&self.connectors(), &body)?.expect(202)?)?;
            let path = format!("{}/{id}/secret-comparisons", self.connectors());
            let compared = self.api.post(&path, &json!({ "secrets": secrets }))?.expect(200)?.body;
            ensure!(compared["differs"] == false, "what was stored is not what was sent: {compared}");
            let other = self.fresh(secret, "compared");
            let compared = self.api.post(&path, &json!({ "secrets": other }))?.expect(200)?.body;
            ensure!(compared["differs"] == true, "another is the same: {compared}");
            self.tried.kept.extend(secrets.into_values());
        }
        Ok(())
    }

    /// Sent to a far side that answers everything with all that it was sent.
    fn echoed(&mut self) -> Result<()> {
        let config = plausible(self.kind)?;
        side()?.behave(Behaviour::EchoesCredential);
        let outcome = self.kind.secrets.iter().try_for_each(|secret| {
            let secrets = self.fresh(secret, "echoed");
            let name = format!("echoed-{}", secret.name);
            let body = connector_body(self.kind.name, &name, &config, &secrets);
            let said = self.api.settled(&self.api.post(&self.connectors(), &body)?.expect(202)?)?;
            ensure!(said["state"] == "failed", "it was taken: {said}");
            Ok(())
        });
        side()?.behave(Behaviour::Normal);
        outcome
    }

    /// Installed, refused and rotated at a far side that knows its secrets, where that is a double.
    fn lived(&mut self, world: &World) -> Result<()> {
        if matches!(self.kind.name, "kubernetes_cluster" | "vault" | "container_registry") {
            // These are the real systems, and `make connectors` lives with them.
            return Ok(());
        }
        let name = format!("lived-{}", self.kind.name);
        let place = Place { tenant: self.tenant, name: &name, trust: None };
        let mut end = far_end(self.kind.name, world.platform(), &place)?;
        let mut note = |end: &mut Box<dyn FarEnd>, what: &str| -> Result<Secrets> {
            let secrets = end.renew()?;
            for (name, value) in &secrets {
                let about = format!("{}: {name}, {what}", self.kind.name);
                let line = value.lines().nth(1).unwrap_or(value);
                self.tried.secrets.push(Canary::of(&about, line));
            }
            Ok(secrets)
        };
        let first = note(&mut end, "installed")?;
        let worthless = note(&mut end, "refused")?;
        end.spoil()?;
        let second = note(&mut end, "rotated to")?;
        let (api, connectors) = (self.api, self.connectors());
        let body = |secrets: &Secrets| connector_body(self.kind.name, &name, &end.config(), secrets);
        let refused = api.settled(&api.post(&connectors, &body(&worthless))?.expect(202)?)?;
        ensure!(refused["state"] == "failed", "worthless secrets were taken: {refused}");
        // A far end of one key at a time has forgotten the first.
        let began =
            if first.keys().any(|key| key == "hmac_key" || key == "private_key") { &second } else { &first };
        let id = api.succeeded(&api.post(&connectors, &body(began))?.expect(202)?)?;
        let rotation = json!({ "secrets": second, "overlap_s": 3600 });
        api.succeeded(&api.post(&format!("{connectors}/{id}/rotations"), &rotation)?.expect(202)?)?;
        self.tried.kept.extend(second.into_values());
        Ok(())
    }
}

/// The server panics with a secret in hand: in the request, and where the saga has read it back.
fn panicked(api: &Api, tenant: &str, faults: &Faults, tried: &mut Tried) -> Result<()> {
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let hook = acceptance_tests::far::webhook()?;
    tried.secrets.push(Canary::of("webhook: in hand at a panic", &hook.key));
    let config = json!({ "url": hook.url, "events": ["tenant.updated"] });
    let body = |name: &str| {
        let secrets = Secrets::from([("hmac_key".to_owned(), hook.key.clone())]);
        connector_body("webhook", name, &config, &secrets)
    };
    let in_saga = faults.arm("connector_create/verified/panics")?;
    api.succeeded(&api.post(&connectors, &body("panicked"))?.expect(202)?)
        .context("a step that panicked once")?;
    ensure!(in_saga.came(), "no step panicked");
    let in_request = faults.arm("connector_create/secret_stored/panics")?;
    api.post(&connectors, &body("panicked-too"))?.expect(500)?;
    ensure!(in_request.came(), "no request panicked");
    tried.kept.push(hook.key);
    Ok(())
}

/// A configuration that the catalogue takes, with every address at the far side of the tests.
fn plausible(kind: &Kind) -> Result<Value> {
    let mut config = Map::new();
    for field in kind.fields {
        if let Some(value) = plausible_field(kind, field)? {
            config.insert(field.name.to_owned(), value);
        }
    }
    Ok(config.into())
}

fn plausible_field(kind: &Kind, field: &Field) -> Result<Option<Value>> {
    Ok(match field.values {
        FieldValues::Url => Some(json!(side()?.address(kind.name))),
        FieldValues::Integer => Some(json!(7)),
        FieldValues::OneOf(words) => Some(json!(words[0])),
        FieldValues::Words(words) => Some(json!([words[0]])),
        FieldValues::Text if field.required || field.name == "username" => Some(json!("acme")),
        FieldValues::Text | FieldValues::Certificates => None,
    })
}
