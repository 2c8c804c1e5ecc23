//! What a provider keeps beside a state and shows to nobody.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::Diagnostic;

/// Bytes by key, kept in the state file beside the attributes. Not shown by Terraform, but neither
/// encrypted: no place for a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Private(BTreeMap<String, Vec<u8>>);

impl Private {
    /// The bytes under that key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// The bytes under that key as text, if they are text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Sets the bytes under that key.
    pub fn set(&mut self, key: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(key.into(), bytes.into());
    }

    /// Removes the key.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the JSON object of base64 texts that [`Self::to_wire`] writes.
    pub(crate) fn from_wire(bytes: &[u8]) -> Result<Self, Diagnostic> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let damaged = || {
            Diagnostic::error("The private data of this resource cannot be read")
                .detail("What is stored beside its state is damaged, or was written by a different provider.")
        };
        let texts: BTreeMap<String, String> = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let entries =
            texts.into_iter().map(|(key, text)| Ok((key, STANDARD.decode(text).map_err(|_| damaged())?)));
        entries.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn to_wire(&self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::new();
        }
        let mut object = serde_json::Map::new();
        for (key, bytes) in &self.0 {
            object.insert(key.clone(), STANDARD.encode(bytes).into());
        }
        serde_json::Value::Object(object).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_there_and_back() {
        let mut private = Private::default();
        assert!(private.to_wire().is_empty());
        private.set("lease", "lea_1");
        private.set("raw", [0, 255]);
        let back = Private::from_wire(&private.to_wire()).expect("what we wrote");
        assert_eq!(back.get_str("lease"), Some("lea_1"));
        assert_eq!(back.get("raw"), Some(&[0, 255][..]));
        assert_eq!(back.get("other"), None);
    }

    #[test]
    fn another_providers_bytes_are_refused_without_quoting_them() {
        let error = Private::from_wire(b"{\"a\": \"not base64!\"}").err().expect("an error");
        assert!(!error.detail_text().contains("base64"));
        assert!(Private::from_wire(b"gob").is_err());
    }
}
