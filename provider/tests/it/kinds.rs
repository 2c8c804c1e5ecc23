//! Every kind of the catalogue, between the provider, the real `terraform`, and a server that takes
//! whatever it is sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use integraci_api::catalogue::{
    FieldValues, KINDS, Kind, SECRET_MAX_BYTES, Secret, SecretFormat, SecretRule,
};
use serde_json::{Map, Value as Json, json};

use crate::terraform::Terraform;
use crate::world::World;

const TENANT: &str = r#"
resource "integraci_tenant" "acme" {
  slug        = "acme"
  name        = "Acme Ltd"
  plan        = "team"
  owner_email = "it@acme.example"
}
"#;

/// In every secret, and nowhere else.
const MARK: &str = "s3cret-of-the-test";

/// A connector as it may be configured.
struct Sample {
    kind: &'static Kind,
    name: String,
    config: Map<String, Json>,
    secrets: BTreeMap<&'static str, String>,
}

/// Each kind with all its fields and with no more than it must have, with each choice of secrets.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for kind in KINDS {
        for (at, secrets) in choices(kind).into_iter().enumerate() {
            for all in [true, false] {
                let fields = kind.fields.iter().filter(|field| all || field.required);
                samples.push(Sample {
                    kind,
                    name: format!("{}-{at}-{all}", kind.name),
                    config: fields.map(|field| (field.name.to_owned(), value(field.values))).collect(),
                    secrets: secrets.iter().map(|own| (own.name, secret(own))).collect(),
                });
            }
        }
    }
    samples
}

fn choices(kind: &'static Kind) -> Vec<Vec<&'static Secret>> {
    let each_alone = kind.secrets.iter().map(|secret| vec![secret]);
    match kind.secret_rule {
        SecretRule::Each => {
            let required = kind.secrets.iter().filter(|secret| secret.required).collect();
            vec![kind.secrets.iter().collect(), required]
        }
        SecretRule::ExactlyOne => each_alone.collect(),
        SecretRule::AtMostOne => std::iter::once(Vec::new()).chain(each_alone).collect(),
    }
}

fn value(values: FieldValues) -> Json {
    match values {
        FieldValues::Url => json!("https://far-side.example:8443/a/b?c=d"),
        FieldValues::Text => json!("Größe \"M\" ☃ \\ 1/2"),
        FieldValues::Integer => json!(9_007_199_254_740_993_i64),
        FieldValues::OneOf(words) => json!(words[words.len() - 1]),
        FieldValues::Words(words) => json!(words),
        FieldValues::Certificates => json!(pem("CERTIFICATE").repeat(2)),
    }
}

fn secret(secret: &Secret) -> String {
    match secret.format {
        SecretFormat::Text | SecretFormat::WebhookKey => format!("{MARK}-{}", secret.name),
        SecretFormat::PrivateKey => pem("PRIVATE KEY"),
    }
}

fn pem(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAAA\nBB==\n-----END {label}-----\n")
}

impl Sample {
    fn to_hcl(&self) -> String {
        let mut object = String::new();
        for (name, value) in &self.config {
            _ = writeln!(object, "    {name} = {value}");
        }
        for (name, value) in &self.secrets {
            _ = writeln!(object, "    {name}_wo = {}", Json::from(value.as_str()));
        }
        let (name, kind) = (&self.name, self.kind.name);
        format!(
            "resource \"integraci_connector\" \"{name}\" {{\n  tenant_id = integraci_tenant.acme.id\n  \
             name = \"{name}\"\n  {kind} = {{\n{object}  }}\n}}\n"
        )
    }
}

/// With the sets in it in one order.
fn sorted(config: &Map<String, Json>) -> Map<String, Json> {
    let mut config = config.clone();
    for words in config.values_mut().filter_map(Json::as_array_mut) {
        words.sort_by_key(ToString::to_string);
    }
    config
}

fn configuration(samples: &[Sample]) -> String {
    format!("{TENANT}{}", samples.iter().map(Sample::to_hcl).collect::<String>())
}

#[tokio::test]
async fn every_kind_goes_there_and_back_unchanged() {
    let world = World::start().await;
    let samples = samples();
    let terraform = Terraform::new(&world.fake.url);
    let applied = terraform.configure(&configuration(&samples)).apply().await.ok();
    assert!(applied.contains(&format!("{} added", samples.len() + 1)), "{applied}");
    {
        let state = world.state.lock().unwrap();
        for sample in &samples {
            let there = state.connectors.values().find(|there| there.name == sample.name).unwrap();
            assert_eq!(there.kind, sample.kind.name);
            assert_eq!(sorted(&there.config), sorted(&sample.config), "{}", sample.name);
            sample.kind.check_config(&there.config, "").unwrap();
            let secrets = &state.secrets[&there.id.to_string()];
            assert_eq!(*secrets, json!(sample.secrets), "{}", sample.name);
        }
    }
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 0, "{}", plan.text);
    assert!(!terraform.state().contains(MARK));

    // All of them imported into another state: nothing is to be changed there.
    let importing = Terraform::new(&world.fake.url);
    let mut blocks = "import {\n  to = integraci_tenant.acme\n  id = \"acme\"\n}\n".to_owned();
    for Sample { name, .. } in &samples {
        _ = writeln!(blocks, "import {{\n  to = integraci_connector.{name}\n  id = \"acme/{name}\"\n}}");
    }
    let plan = importing.configure(&format!("{}{blocks}", configuration(&samples))).plan().await;
    let expected = format!("{} to import, 0 to add, 0 to change, 0 to destroy", samples.len() + 1);
    assert!(plan.text.contains(&expected), "{}", plan.text);
}

#[tokio::test]
async fn what_cannot_be_a_value_is_told_without_being_quoted() {
    let terraform = Terraform::new("");
    let long = "x".repeat(10_000);
    let junk = format!("{}{MARK}", pem("PRIVATE KEY"));
    let with_login = format!("https://me:{MARK}@x.example");
    let huge = MARK.repeat(SECRET_MAX_BYTES);
    for (kind, field, wrong, told) in [
        ("jira", "url", json!(with_login), "must not carry credentials"),
        ("jira", "url", json!(format!("ftp://{MARK}")), "begins with https://"),
        ("gitlab", "group", json!(long), "text of 1 to 1024 characters"),
        ("gitlab", "group", json!("a\u{7}b"), "without control characters"),
        ("gitlab", "ca_certificate", json!(junk), "certificates in PEM"),
        ("github_app", "app_id", json!(-1), "a positive whole number"),
        ("github_app", "private_key_wo", json!(junk), "nothing before or after"),
        ("datadog", "site", json!("example.com"), "one of: datadoghq.com"),
        ("webhook", "events", json!(["gopher.seen"]), "without repeats, of at least one of"),
        ("webhook", "events", json!([]), "without repeats, of at least one of"),
        ("gitlab", "token_wo", json!(huge), "has 1 to 32768 bytes"),
        ("slack", "signing_secret_wo", json!(&MARK[..7]), "has 8 to 32768 bytes"),
    ] {
        let mut sample = samples().into_iter().rfind(|sample| sample.kind.name == kind).unwrap();
        match sample.kind.secrets.iter().find(|secret| Some(secret.name) == field.strip_suffix("_wo")) {
            Some(secret) => {
                sample.secrets.insert(secret.name, wrong.as_str().unwrap().to_owned());
            }
            None => {
                sample.config.insert(field.to_owned(), wrong);
            }
        }
        terraform.configure(&configuration(&[sample]));
        let told_all: Json = serde_json::from_str(&terraform.run(&["validate", "-json"]).await.text).unwrap();
        let errors: Vec<_> = told_all["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|own| own["severity"] == "error")
            .collect();
        assert_eq!(errors.len(), 1, "{kind}.{field}: {errors:?}");
        let words = format!("{} {}", errors[0]["summary"], errors[0]["detail"]);
        assert!(words.to_lowercase().contains(told) || words.contains(told), "{kind}.{field}: {words}");
        assert!(!words.contains(&MARK[..7]) && !words.contains("xxxx"), "{kind}.{field}: {words}");
        assert!(errors[0]["snippet"]["context"].as_str().unwrap().contains("integraci_connector"));
    }
}
