//! The catalogue of connector kinds: the one list that the server's validation, the verifier, the
//! provider's schema and the docs are made from. A new kind is an entry here and a verifier.

use serde_json::{Map, Value};

use crate::{FieldProblem, SecretText};
use std::collections::BTreeMap;

/// The longest text in a configuration, in characters: no identifier of a far system is longer.
pub const TEXT_MAX_CHARS: usize = 1024;
/// The longest secret, in bytes: a PEM chain or a kubeconfig fits, a file sent by mistake does not.
pub const SECRET_MAX_BYTES: usize = 32 * 1024;

/// A kind of connector.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The word on the wire, and the name of the nested object in Terraform.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it connects to, in a sentence.
    pub summary: &'static str,
    /// Readable configuration.
    pub fields: &'static [Field],
    /// Secrets, which are never read back.
    pub secrets: &'static [Secret],
    /// Which secrets must be there.
    pub secret_rule: SecretRule,
    /// How it is verified, in a sentence.
    pub verified_by: &'static str,
}

/// One field of a kind's configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The word on the wire and in Terraform.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// What values it takes.
    pub values: FieldValues,
}

/// What values a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValues {
    /// An `https` (or, where the server allows it, `http`) URL with a host, no credentials and no fragment.
    Url,
    /// Text without control characters, 1 to [`TEXT_MAX_CHARS`] characters.
    Text,
    /// A positive whole number.
    Integer,
    /// A list, without repeats, of at least one of these words.
    Words(&'static [&'static str]),
}

/// One secret of a kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Secret {
    /// The word on the wire; in Terraform it has `_wo` behind it.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// The fewest bytes that can be one.
    pub min_bytes: usize,
}

/// Which of a kind's secrets must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRule {
    /// Every one.
    All,
    /// Exactly one of them.
    ExactlyOne,
}

/// What a webhook can be told of.
pub const WEBHOOK_EVENTS: &[&str] = &[
    "tenant.updated",
    "tenant.suspended",
    "tenant.resumed",
    "connector.installed",
    "connector.updated",
    "connector.removed",
    "quota.changed",
];

/// Every kind, by name.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "container_registry",
        title: "Container registry",
        summary: "A registry that speaks the OCI distribution API.",
        fields: &[
            Field {
                name: "url",
                description: "Address of the registry, without `/v2/`.",
                required: true,
                values: FieldValues::Url,
            },
            Field {
                name: "repository",
                description: "Repository that must be readable, such as `acme/app`. Without it only the login is checked.",
                required: false,
                values: FieldValues::Text,
            },
            Field {
                name: "username",
                description: "User name that goes with the password.",
                required: false,
                values: FieldValues::Text,
            },
        ],
        secrets: &[
            Secret { name: "password", description: "Password or access token of the user.", min_bytes: 1 },
            Secret { name: "token", description: "Bearer token, sent as it is.", min_bytes: 1 },
        ],
        secret_rule: SecretRule::ExactlyOne,
        verified_by: "`GET /v2/` with the registry's own challenge answered, and the repository's tags listed where one is named.",
    },
    Kind {
        name: "webhook",
        title: "Webhook",
        summary: "A signed HTTP callback.",
        fields: &[
            Field {
                name: "url",
                description: "Where events are sent by POST.",
                required: true,
                values: FieldValues::Url,
            },
            Field {
                name: "events",
                description: "Which events are sent.",
                required: true,
                values: FieldValues::Words(WEBHOOK_EVENTS),
            },
        ],
        secrets: &[Secret {
            name: "hmac_key",
            description: "Key of the HMAC-SHA256 signature (Standard Webhooks), at least 16 bytes.",
            min_bytes: 16,
        }],
        secret_rule: SecretRule::All,
        verified_by: "A signed `integraci.ping` event that the receiver answers with a 2xx status.",
    },
];

/// The kind of a name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

impl Kind {
    /// Checks a configuration against the kind, `pointer` being where it stands in the body.
    ///
    /// # Errors
    /// Every fault, each with its pointer; none quotes a value.
    pub fn check_config(&self, config: &Map<String, Value>, pointer: &str) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        for field in self.fields {
            let at = format!("{pointer}/{}", field.name);
            match config.get(field.name) {
                None | Some(Value::Null) if field.required => {
                    faults.push(FieldProblem::new(
                        at,
                        format!("`{}` is required: {}", field.name, field.description),
                    ));
                }
                None | Some(Value::Null) => {}
                Some(value) => {
                    faults
                        .extend(field.values.check(value).err().map(|detail| FieldProblem::new(at, detail)));
                }
            }
        }
        for name in config.keys().filter(|name| !self.fields.iter().any(|field| field.name == **name)) {
            let known: Vec<_> = self.fields.iter().map(|field| format!("`{}`", field.name)).collect();
            faults.push(FieldProblem::new(
                format!("{pointer}/{}", crate::tenants::pointer_escape(name)),
                format!("unknown field; a {} has {}", self.name, known.join(", ")),
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Checks the secrets given for the kind, `pointer` being where they stand in the body.
    ///
    /// # Errors
    /// Every fault, each with its pointer; none quotes a value.
    pub fn check_secrets(
        &self,
        secrets: &BTreeMap<String, SecretText>,
        pointer: &str,
    ) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        let names: Vec<_> = self.secrets.iter().map(|secret| format!("`{}`", secret.name)).collect();
        for (name, value) in secrets {
            let at = format!("{pointer}/{}", crate::tenants::pointer_escape(name));
            match self.secrets.iter().find(|secret| secret.name == name) {
                None => faults.push(FieldProblem::new(
                    at,
                    format!("unknown secret; a {} has {}", self.name, names.join(", ")),
                )),
                Some(secret) => {
                    let bytes = value.expose().len();
                    if bytes < secret.min_bytes || bytes > SECRET_MAX_BYTES {
                        faults.push(FieldProblem::new(
                            at,
                            format!("`{name}` has {} to {SECRET_MAX_BYTES} bytes", secret.min_bytes),
                        ));
                    }
                }
            }
        }
        match self.secret_rule {
            SecretRule::All => {
                for secret in self.secrets.iter().filter(|secret| !secrets.contains_key(secret.name)) {
                    faults.push(FieldProblem::new(
                        format!("{pointer}/{}", secret.name),
                        format!("`{}` is required: {}", secret.name, secret.description),
                    ));
                }
            }
            SecretRule::ExactlyOne => {
                if secrets.len() != 1 && faults.is_empty() {
                    faults.push(FieldProblem::new(
                        pointer,
                        format!("give exactly one of {}", names.join(", ")),
                    ));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl FieldValues {
    /// Whether a value is one of these.
    ///
    /// # Errors
    /// What is expected; the value is not quoted.
    pub fn check(self, value: &Value) -> Result<(), String> {
        match self {
            Self::Url => check_url(value.as_str().ok_or("expected a URL as text")?),
            Self::Text => match value.as_str() {
                Some(text) if text_fits(text) => Ok(()),
                _ => Err(format!(
                    "expected text of 1 to {TEXT_MAX_CHARS} characters without control characters"
                )),
            },
            Self::Integer => match value.as_u64() {
                Some(number) if number > 0 => Ok(()),
                _ => Err("expected a positive whole number".to_owned()),
            },
            Self::Words(known) => check_words(value, known),
        }
    }
}

fn text_fits(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= TEXT_MAX_CHARS && !text.chars().any(char::is_control)
}

fn check_url(text: &str) -> Result<(), String> {
    if !text_fits(text) {
        return Err(format!("expected a URL of at most {TEXT_MAX_CHARS} characters"));
    }
    let url =
        url::Url::parse(text).map_err(|_| "expected a URL such as https://host.example/path".to_owned())?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err("expected a URL that begins with https:// and names a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not carry credentials; give them as the connector's secret".to_owned());
    }
    if url.fragment().is_some() {
        return Err("a URL must not have a fragment (`#…`)".to_owned());
    }
    Ok(())
}

fn check_words(value: &Value, known: &[&str]) -> Result<(), String> {
    let expected = || format!("expected a list, without repeats, of at least one of: {}", known.join(", "));
    let words = value.as_array().filter(|words| !words.is_empty()).ok_or_else(expected)?;
    let mut seen = std::collections::BTreeSet::new();
    for word in words {
        let word = word.as_str().ok_or_else(expected)?;
        if !known.contains(&word) || !seen.insert(word) {
            return Err(expected());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn the_catalogue_is_well_formed() {
        assert!(KINDS.is_sorted_by_key(|kind| kind.name));
        for kind in KINDS {
            assert!(!kind.secrets.is_empty() || kind.secret_rule == SecretRule::All, "{}", kind.name);
            let names: std::collections::BTreeSet<_> =
                kind.fields.iter().map(|f| f.name).chain(kind.secrets.iter().map(|s| s.name)).collect();
            assert_eq!(names.len(), kind.fields.len() + kind.secrets.len(), "{}: a name twice", kind.name);
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused_without_being_quoted() {
        let webhook = kind("webhook").unwrap();
        let faults = webhook
            .check_config(
                &config(
                    &serde_json::json!({"url": "https://me:pw123@x.example", "events": ["quota.changed"]}),
                ),
                "/config",
            )
            .unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].pointer, "/config/url");
        assert!(!faults[0].detail.contains("pw123"));
    }

    #[test]
    fn missing_unknown_and_wrong_fields_are_told_together() {
        let webhook = kind("webhook").unwrap();
        let faults = webhook
            .check_config(&config(&serde_json::json!({"events": ["nope"], "colour": 1})), "/config")
            .unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/config/url", "/config/events", "/config/colour"]);
    }

    #[test]
    fn exactly_one_secret_of_a_registry() {
        let registry = kind("container_registry").unwrap();
        let one = |name: &str| BTreeMap::from([(name.to_owned(), SecretText::new("x".into()))]);
        assert!(registry.check_secrets(&one("token"), "/secrets").is_ok());
        assert!(registry.check_secrets(&BTreeMap::new(), "/secrets").is_err());
        let mut both = one("token");
        both.extend(one("password"));
        assert_eq!(registry.check_secrets(&both, "/secrets").unwrap_err()[0].pointer, "/secrets");
        assert_eq!(
            registry.check_secrets(&one("hmac_key"), "/secrets").unwrap_err()[0].pointer,
            "/secrets/hmac_key"
        );
    }
}
