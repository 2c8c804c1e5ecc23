//! Parameters as Stripe takes them: a form, with brackets where they nest.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::Refusal;

/// The parameters of a call, by name: `items[0][price]` is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::invalid(Some("parameter_missing"), name, format!("Missing required param: {name}."))
        })
    }

    pub(super) fn integer(&self, name: &str) -> Result<i64, Refusal> {
        self.required(name)?.parse().map_err(|_| {
            Refusal::invalid(Some("parameter_invalid_integer"), name, format!("Invalid integer: {name}"))
        })
    }

    /// The fields of a nested object, such as `metadata`.
    pub(super) fn within(&self, name: &str) -> BTreeMap<String, String> {
        let field =
            |key: &str| key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        self.0.iter().filter_map(|(key, value)| Some((field(key)?, value.clone()))).collect()
    }

    /// Refuses what is not one of these, or within one of them.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let root = |key: &str| key.split('[').next().unwrap_or_default().to_owned();
        match self.0.keys().find(|key| !known.contains(&root(key).as_str())) {
            None => Ok(()),
            Some(key) => {
                let message = format!("Received unknown parameter: {key}");
                Err(Refusal::invalid(Some("parameter_unknown"), key, message))
            }
        }
    }
}
