//! The one place that writes secrets into the body of a request or an answer, also of a far system's.
//!
//! The bytes are wiped when they are dropped; hand them to the connection and to nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::SecretText;
use crate::connectors::{ConnectorCreate, ConnectorUpdate, RotationCreate, SecretComparison};
use crate::credentials::CredentialIssued;

impl ConnectorCreate {
    /// The JSON body of `POST …/connectors`.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = SecretBody::new();
        body.member("name", &self.name);
        body.member("kind", &self.kind);
        body.member("config", &self.config);
        body.member("verify", &self.verify);
        if let Some(days) = &self.rotate_every_days {
            body.member("rotate_every_days", days);
        }
        body.secrets("secrets", &self.secrets);
        body.end()
    }
}

impl ConnectorUpdate {
    /// The JSON body of `PATCH …/connectors/{id}`.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = SecretBody::new();
        if let Some(name) = &self.name {
            body.member("name", name);
        }
        if let Some(config) = &self.config {
            body.member::<Map<String, Value>>("config", config);
        }
        if let Some(verify) = &self.verify {
            body.member("verify", verify);
        }
        if let Some(days) = &self.rotate_every_days {
            body.member("rotate_every_days", days);
        }
        if let Some(secrets) = &self.secrets {
            body.secrets("secrets", secrets);
        }
        body.end()
    }
}

impl RotationCreate {
    /// The JSON body of `POST …/connectors/{id}/rotations`.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = SecretBody::new();
        if let Some(overlap_s) = &self.overlap_s {
            body.member("overlap_s", overlap_s);
        }
        body.member("old_secret", &self.old_secret);
        if let Some(secrets) = &self.secrets {
            body.secrets("secrets", secrets);
        }
        body.end()
    }
}

impl SecretComparison {
    /// The JSON body of `POST …/connectors/{id}/secret-comparisons`.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = SecretBody::new();
        body.secrets("secrets", &self.secrets);
        body.end()
    }
}

impl CredentialIssued {
    /// The JSON body of the answer to `POST …/credentials/{system}`.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = SecretBody::new();
        body.member("credential", &self.credential);
        body.secrets("secrets", &self.secrets);
        body.end()
    }
}

/// The most that JSON's escaping can add: one byte becomes `\u00XX`.
const ESCAPE_FACTOR: usize = 6;

/// A JSON object under construction. Its buffer is made large enough before a secret is written, so
/// that no part of a secret stays behind in memory that a growing buffer gave back.
pub struct SecretBody(Zeroizing<Vec<u8>>);

impl Default for SecretBody {
    fn default() -> Self {
        Self(Zeroizing::new(b"{".to_vec()))
    }
}

impl SecretBody {
    /// `{`
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A member that is no secret.
    pub fn member<T: serde::Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        let value = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        self.key(name);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn key(&mut self, name: &str) {
        if self.0.len() > 1 && !self.0.ends_with(b"{") {
            self.0.push(b',');
        }
        write_string(&mut self.0, name);
        self.0.push(b':');
    }

    /// A member with secrets. Comes last: what is written after it could make the buffer grow, and leave a
    /// copy behind.
    pub fn secrets(&mut self, name: &str, secrets: &BTreeMap<String, SecretText>) {
        let room: usize =
            secrets.iter().map(|(name, value)| (name.len() + value.expose().len()) * ESCAPE_FACTOR + 8).sum();
        let mut grown =
            Zeroizing::new(Vec::with_capacity(self.0.len() + name.len() * ESCAPE_FACTOR + room + 32));
        grown.extend_from_slice(&self.0);
        self.0 = grown;
        self.key(name);
        self.0.push(b'{');
        for (name, value) in secrets {
            self.key(name);
            write_string(&mut self.0, value.expose());
        }
        self.0.push(b'}');
    }

    /// `}`
    #[must_use]
    pub fn end(mut self) -> Zeroizing<Vec<u8>> {
        self.0.push(b'}');
        self.0
    }
}

/// Writes a JSON string straight into the buffer, leaving no copy elsewhere.
fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing text into a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::VerifyMode;

    #[test]
    fn the_body_is_what_the_server_reads() {
        let create = ConnectorCreate {
            name: "hook".into(),
            kind: "webhook".into(),
            config: serde_json::from_str(r#"{"url":"https://x.example"}"#).unwrap(),
            secrets: BTreeMap::from([
                ("hmac_key".to_owned(), SecretText::new("a\"b\n\u{1}é".into())),
                ("other".to_owned(), SecretText::new("2".into())),
            ]),
            verify: VerifyMode::Optional,
            rotate_every_days: Some(30),
        };
        let read: ConnectorCreate = serde_json::from_slice(&create.to_body()).unwrap();
        assert_eq!(read.name, "hook");
        assert_eq!(read.config, create.config);
        assert_eq!(read.secrets["hmac_key"].expose(), "a\"b\n\u{1}é");
        assert_eq!(read.secrets["other"].expose(), "2");
        assert_eq!((read.verify, read.rotate_every_days), (VerifyMode::Optional, Some(30)));
    }

    #[test]
    fn an_update_without_secrets_names_none() {
        let update = ConnectorUpdate { name: Some("x".into()), ..ConnectorUpdate::default() };
        assert_eq!(&update.to_body()[..], br#"{"name":"x"}"#);
        assert_eq!(&ConnectorUpdate::default().to_body()[..], b"{}");
    }
}
