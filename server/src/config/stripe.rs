//! The section `[stripe]`.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::Faults;
use super::systems::Reader;
use crate::billing::stripe::StripeConfig;

/// Stripe's own.
const API_BASE: &str = "https://api.stripe.com";
/// The version that the calls and what is read of their answers were written for.
const API_VERSION: &str = "2025-09-30.clover";
/// Stripe answers within a second or two, at its slowest within twenty.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StripeFields {
    secret_key: Option<SecretString>,
    secret_key_file: Option<PathBuf>,
    webhook_secret: Option<SecretString>,
    webhook_secret_file: Option<PathBuf>,
    api_base: Option<String>,
    api_version: Option<String>,
    timeout_s: Option<u64>,
}

impl StripeFields {
    pub(super) fn check(self, faults: &mut Faults) -> Option<StripeConfig> {
        let mut fields = Reader { at: "stripe", faults };
        let secret_key = fields.secret("secret_key", self.secret_key, self.secret_key_file.as_deref(), false);
        let file = self.webhook_secret_file.as_deref();
        let webhook_secret = fields.secret("webhook_secret", self.webhook_secret, file, false);
        let api_base = fields.url("api_base", self.api_base.or(Some(API_BASE.to_owned())), API_BASE);
        let (secret_key, webhook_secret) = (secret_key?, webhook_secret?);
        for (field, secret) in [("secret_key", &secret_key), ("webhook_secret", &webhook_secret)] {
            // An empty one signs what anybody can sign.
            if secret.expose().is_empty() {
                fields.faults.0.push(format!("stripe.{field}: is empty"));
            }
        }
        Some(StripeConfig {
            secret_key,
            webhook_secret,
            api_base: api_base?,
            api_version: self.api_version.unwrap_or_else(|| API_VERSION.to_owned()),
            timeout: self.timeout_s.map_or(TIMEOUT, Duration::from_secs),
        })
    }
}
