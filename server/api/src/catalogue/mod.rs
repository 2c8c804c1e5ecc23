//! The catalogue of connector kinds: the one list that the server's validation, the verifier, the
//! provider's schema and the docs are made from. A new kind is an entry in [`KINDS`] and a verifier.

mod kinds;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{FieldProblem, SecretText};

pub use kinds::{KINDS, WEBHOOK_EVENTS};

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
    /// What its verification is tested against.
    pub tested: Tested,
    /// Set if it can do without a secret: the platform then signs an OIDC token that the far side trusts.
    pub keyless: Option<Keyless>,
    /// What revoking its secret at the far side does, in a sentence; none where the far side has no way.
    pub revoked_by: Option<&'static str>,
    /// How the far side makes a new secret by the old one, in a sentence; none where it has no way.
    pub minted_by: Option<&'static str>,
    /// How the far side signs what it sends to us, if it sends something.
    pub inbound: Option<Inbound>,
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
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list, without repeats, of at least one of these words.
    Words(&'static [&'static str]),
    /// One or more PEM certificates and nothing else, at most [`SECRET_MAX_BYTES`] long.
    Certificates,
}

/// One secret of a kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Secret {
    /// The word on the wire; in Terraform it has `_wo` behind it.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Whether it must be given, where the kind's rule is [`SecretRule::Each`].
    pub required: bool,
    /// The fewest bytes that can be one.
    pub min_bytes: usize,
    /// What it looks like.
    pub format: SecretFormat,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFormat {
    /// Any text: what may be in it is the far side's business.
    Text,
    /// One PEM block with a private key, and nothing before or after it.
    PrivateKey,
    /// The key of a signature (Standard Webhooks): its own bytes, or `whsec_` and the base64 of them. At
    /// least [`Secret::min_bytes`] of them either way.
    WebhookKey,
}

/// Which of a kind's secrets must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRule {
    /// Each that is required; the others may be.
    Each,
    /// Exactly one of them.
    ExactlyOne,
    /// One of them or none.
    AtMostOne,
}

/// What a kind's verification is tested against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tested {
    /// The real system, of this name and version.
    Real(&'static str),
    /// An HTTP server of ours that checks and answers as this documentation says.
    Double(&'static str),
}

/// How a kind does without a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyless {
    /// The audience of the token, where the field `audience` says nothing else; none where it follows
    /// from other fields.
    pub audience: Option<&'static str>,
}

/// How what a far side sends to us is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// The secret that it is signed with.
    pub secret: &'static str,
    /// The signature, in a sentence.
    pub signed_by: &'static str,
}

/// The kind of a name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

impl Kind {
    /// Whether a connector of this kind cannot be without a secret.
    #[must_use]
    pub fn requires_secret(&self) -> bool {
        match self.secret_rule {
            SecretRule::Each => self.secrets.iter().any(|secret| secret.required),
            SecretRule::ExactlyOne => true,
            SecretRule::AtMostOne => false,
        }
    }

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
                    faults.extend(
                        secret.check(value.expose()).err().map(|detail| FieldProblem::new(at, detail)),
                    );
                }
            }
        }
        match self.secret_rule {
            SecretRule::Each => {
                let missing = |secret: &&Secret| secret.required && !secrets.contains_key(secret.name);
                for secret in self.secrets.iter().filter(missing) {
                    faults.push(FieldProblem::new(
                        format!("{pointer}/{}", secret.name),
                        format!("`{}` is required: {}", secret.name, secret.description),
                    ));
                }
            }
            SecretRule::ExactlyOne if secrets.len() != 1 && faults.is_empty() => {
                faults.push(FieldProblem::new(pointer, format!("give exactly one of {}", names.join(", "))));
            }
            SecretRule::AtMostOne if secrets.len() > 1 && faults.is_empty() => {
                let detail = format!("give one of {}, or none", names.join(", "));
                faults.push(FieldProblem::new(pointer, detail));
            }
            SecretRule::ExactlyOne | SecretRule::AtMostOne => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl Secret {
    /// Whether a text can be this secret.
    ///
    /// # Errors
    /// What is expected; the text is not quoted.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if !(self.min_bytes..=SECRET_MAX_BYTES).contains(&text.len()) {
            return Err(format!("`{}` has {} to {SECRET_MAX_BYTES} bytes", self.name, self.min_bytes));
        }
        match self.format {
            SecretFormat::Text => Ok(()),
            SecretFormat::PrivateKey => match pem_labels(text).as_deref() {
                Some([label]) if label.ends_with("PRIVATE KEY") => Ok(()),
                _ => Err(format!(
                    "`{}` is one private key in PEM: `-----BEGIN … PRIVATE KEY-----`, base64, and its end, with \
                     nothing before or after",
                    self.name
                )),
            },
            SecretFormat::WebhookKey => {
                let Some(encoded) = text.strip_prefix("whsec_") else { return Ok(()) };
                match STANDARD.decode(encoded).map(Zeroizing::new) {
                    Ok(key) if key.len() >= self.min_bytes => Ok(()),
                    _ => Err(format!(
                        "`{}` that begins with `whsec_` goes on with the base64 of at least {} bytes",
                        self.name, self.min_bytes
                    )),
                }
            }
        }
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
            Self::OneOf(known) => match value.as_str() {
                Some(word) if known.contains(&word) => Ok(()),
                _ => Err(format!("expected one of: {}", known.join(", "))),
            },
            Self::Words(known) => check_words(value, known),
            Self::Certificates => match value.as_str().map(|text| (text.len(), pem_labels(text))) {
                Some((..=SECRET_MAX_BYTES, Some(labels)))
                    if !labels.is_empty() && labels.iter().all(|label| *label == "CERTIFICATE") =>
                {
                    Ok(())
                }
                _ => Err("expected certificates in PEM (`-----BEGIN CERTIFICATE-----` …) and nothing else"
                    .to_owned()),
            },
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

/// The labels of a text's PEM blocks, if it is nothing but PEM blocks (RFC 7468, without headers).
fn pem_labels(text: &str) -> Option<Vec<&str>> {
    let is_base64 = |line: &str| {
        !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let mut labels = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        let mut body = 0;
        loop {
            let line = lines.next()?;
            match line.strip_prefix("-----END ").and_then(|line| line.strip_suffix("-----")) {
                Some(end) if end == label && body > 0 => break,
                Some(_) => return None,
                None if is_base64(line) => body += 1,
                None => return None,
            }
        }
        labels.push(label);
    }
    Some(labels)
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
            assert!(!kind.secrets.is_empty() || kind.keyless.is_some(), "{}", kind.name);
            assert_eq!(kind.requires_secret(), kind.keyless.is_none(), "{}", kind.name);
            if let Some(inbound) = kind.inbound {
                assert!(kind.secrets.iter().any(|own| own.name == inbound.secret), "{}", kind.name);
            }
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
                &config(&serde_json::json!({"url": "https://me:pw123@x.example", "events": ["quota.set"]})),
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

    #[test]
    fn a_webhooks_key_is_measured_as_what_it_signs_with() {
        let faults = |key: &str| {
            let secrets = BTreeMap::from([("hmac_key".to_owned(), SecretText::new(key.to_owned()))]);
            kind("webhook").unwrap().check_secrets(&secrets, "/secrets")
        };
        for key in ["0123456789abcdef", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "not_whsec_but_long_enough"] {
            assert_eq!(faults(key), Ok(()), "{key}");
        }
        // The last is fifteen bytes, though more than sixteen characters.
        for key in ["0123456789abcde", "whsec_", "whsec_not base64 at all", "whsec_MDEyMzQ1Njc4OWFiY2Rl"] {
            let faults = faults(key).unwrap_err();
            assert_eq!(faults.len(), 1, "{key}");
            assert_eq!(faults[0].pointer, "/secrets/hmac_key", "{key}");
            assert!(!faults[0].detail.contains(key), "{key}");
        }
    }

    #[test]
    fn a_pem_is_blocks_and_nothing_else() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\nBB==\n-----END {label}-----\n");
        assert_eq!(pem_labels(&block("RSA PRIVATE KEY")).unwrap(), ["RSA PRIVATE KEY"]);
        let chain = format!("{}\r\n{}", block("CERTIFICATE"), block("CERTIFICATE"));
        assert!(FieldValues::Certificates.check(&Value::from(chain)).is_ok());
        for junk in [
            format!("hello\n{}", block("CERTIFICATE")),
            format!("{}trailing", block("CERTIFICATE")),
            block("CERTIFICATE").replace("AAAA", "A A!"),
            block("CERTIFICATE").replace("END CERTIFICATE", "END KEY"),
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".to_owned(),
            "-----BEGIN CERTIFICATE-----\nAAAA".to_owned(),
            String::new(),
            block("PRIVATE KEY"),
        ] {
            assert!(FieldValues::Certificates.check(&Value::from(junk.as_str())).is_err(), "{junk}");
        }
        let key = &kind("github_app").unwrap().secrets[0];
        assert!(key.check(&block("RSA PRIVATE KEY")).is_ok());
        for junk in [block("CERTIFICATE"), block("PRIVATE KEY") + "x", block("PRIVATE KEY").repeat(2)] {
            let fault = key.check(&junk).unwrap_err();
            assert!(!fault.contains("AAAA"), "{fault}");
        }
    }
}
