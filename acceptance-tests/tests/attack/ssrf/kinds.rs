//! A connector of any kind of the catalogue, filled with what passes for real, so that its verification
//! gets as far as calling somebody.

use std::sync::OnceLock;

use acceptance_tests::far::new_secret;
use anyhow::Result;
use integraci_api::catalogue::{FieldValues, Kind, SecretFormat, SecretRule};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Map, Value, json};

/// What a kind is configured with; `address` gives the addresses by their fields' names.
pub(super) fn config(kind: &Kind, address: impl Fn(&str) -> String) -> Result<Map<String, Value>> {
    let mut config = Map::new();
    for field in kind.fields {
        let value = match field.values {
            FieldValues::Url => json!(address(field.name)),
            FieldValues::Text => json!(text(kind.name, field.name)),
            FieldValues::Integer => json!(1),
            FieldValues::OneOf(words) => json!(words[0]),
            // The last of the events is one that does not happen here.
            FieldValues::Words(words) => json!(words.last().into_iter().collect::<Vec<_>>()),
            FieldValues::Certificates => json!(certificate()?),
        };
        config.insert(field.name.to_owned(), value);
    }
    Ok(config)
}

/// Every choice of secrets that a kind takes.
pub(super) fn secrets(kind: &Kind) -> Result<Vec<Map<String, Value>>> {
    let of = |name: &str, format| -> Result<(String, Value)> {
        let value = match (name, format) {
            (_, SecretFormat::PrivateKey) => private_key()?.to_owned(),
            ("kubeconfig", _) => return Ok((name.to_owned(), Value::Null)),
            _ => new_secret(),
        };
        Ok((name.to_owned(), json!(value)))
    };
    let all = kind.secrets.iter().map(|secret| of(secret.name, secret.format)).collect::<Result<Vec<_>>>()?;
    // A kubeconfig names an address itself, and is tried for that.
    let one_each =
        || all.iter().filter(|(_, value)| !value.is_null()).map(|one| [one.clone()].into_iter().collect());
    Ok(match kind.secret_rule {
        SecretRule::Each => vec![all.into_iter().collect()],
        SecretRule::ExactlyOne => one_each().collect(),
        SecretRule::AtMostOne => one_each().chain([Map::new()]).collect(),
    })
}

/// A value that the kind's own checks let pass.
fn text(kind: &str, field: &str) -> &'static str {
    match (kind, field) {
        (_, "role_arn") => "arn:aws:iam::123456789012:role/integraci",
        (_, "region") => "eu-central-1",
        (_, "directory_id") => "aaaabbbb-0000-cccc-1111-dddd2222eeee",
        (_, "client_id") => "00001111-aaaa-2222-bbbb-3333cccc4444",
        (_, "scope") => "https://management.azure.com/.default",
        (_, "workload_identity_provider") => {
            "projects/123456789012/locations/global/workloadIdentityPools/integraci/providers/integraci"
        }
        ("gcp", "service_account") => "integraci@acme-1.iam.gserviceaccount.com",
        (_, "email") => "it@acme.example",
        ("container_registry", "repository") => "acme/app",
        (_, "group") => "acme/platform",
        ("jira", "project") => "OPS",
        ("slack", "team") => "T01234567",
        ("slack", "default_channel") => "C01234567",
        ("pagerduty", "service_id") => "PABC123",
        _ => "acme",
    }
}

/// One for all: making an RSA key takes a while.
fn private_key() -> Result<&'static str> {
    static KEY: OnceLock<Result<String, String>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(|error| error.to_string())?;
        Ok(key.serialize_pem().trim().to_owned())
    });
    key.as_deref().map_err(|error| anyhow::anyhow!("making an RSA key: {error}"))
}

/// An authority that nobody is signed by: a connector with its own calls through a client of its own.
fn certificate() -> Result<&'static str> {
    static CERTIFICATE: OnceLock<Result<String, String>> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| {
        let made = KeyPair::generate().and_then(|key| CertificateParams::default().self_signed(&key));
        made.map(|made| made.pem()).map_err(|error| error.to_string())
    });
    certificate.as_deref().map_err(|error| anyhow::anyhow!("making a certificate: {error}"))
}
