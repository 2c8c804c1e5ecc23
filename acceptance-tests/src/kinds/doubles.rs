//! Far ends that are doubles: HTTP servers that check and answer as the real ones' documentation says.

use anyhow::{Context as _, Result};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{FarEnd, Secrets};
use crate::far::{self, new_secret, side};

/// A kind whose far end knows tokens and keys.
pub(super) struct Tokens {
    kind: &'static str,
    /// The secrets that are good, by name, and the word under which the double keeps each.
    known_as: &'static [(&'static str, &'static str)],
    config: Value,
    current: Secrets,
}

impl Tokens {
    pub(super) fn new(kind: &str) -> Option<Self> {
        let url = side().ok()?.address(kind);
        let token: &[_] = match kind {
            "artifactory" => &[("token", "artifactory")],
            "azure_devops" => &[("token", "azure_devops")],
            "bitbucket" => &[("token", "bitbucket")],
            "datadog" => &[("api_key", "datadog"), ("app_key", "datadog/app")],
            "gitlab" => &[("token", "gitlab")],
            "jira" => &[("api_token", "jira")],
            "pagerduty" => &[("token", "pagerduty")],
            "slack" => &[("bot_token", "slack")],
            "sonarqube" => &[("token", "sonarqube")],
            _ => return None,
        };
        let (kind, config) = match kind {
            "artifactory" => ("artifactory", json!({ "url": url })),
            "azure_devops" => ("azure_devops", json!({ "base_url": url, "organization": "acme" })),
            "bitbucket" => ("bitbucket", json!({ "base_url": url, "workspace": "acme" })),
            "datadog" => ("datadog", json!({ "base_url": url, "site": "datadoghq.eu" })),
            "gitlab" => ("gitlab", json!({ "base_url": url, "group": "acme/platform" })),
            "jira" => ("jira", json!({ "url": url, "email": "robot@acme.example", "project": "ACME" })),
            "pagerduty" => ("pagerduty", json!({ "base_url": url, "service_id": "PACME01" })),
            "slack" => {
                ("slack", json!({ "base_url": url, "team": "T0001ACME", "default_channel": "C0001ACME" }))
            }
            _ => ("sonarqube", json!({ "url": url })),
        };
        Some(Self { kind, known_as: token, config, current: Secrets::new() })
    }
}

impl FarEnd for Tokens {
    fn config(&self) -> Value {
        self.config.clone()
    }

    fn renew(&mut self) -> Result<Secrets> {
        for (name, known_as) in self.known_as {
            let prefix = if self.kind == "slack" { "xoxb-" } else { "" };
            let secret = format!("{prefix}{}", new_secret());
            side()?.allow(known_as, &SecretString::from(secret.as_str()));
            self.current.insert((*name).to_owned(), secret);
        }
        Ok(self.current.clone())
    }

    fn spoil(&mut self) -> Result<()> {
        for (name, known_as) in self.known_as {
            let secret = self.current.get(*name).context("nothing was renewed")?;
            side()?.deny(known_as, &SecretString::from(secret.as_str()));
        }
        Ok(())
    }

    fn takes(&self, secrets: &Secrets) -> Result<Option<bool>> {
        let mut takes = true;
        for (name, known_as) in self.known_as {
            let secret = secrets.get(*name).context("a secret by that name")?;
            takes &= side()?.allows(known_as, &SecretString::from(secret.as_str()));
        }
        Ok(Some(takes))
    }
}

/// A receiver of webhooks.
pub(super) struct Webhook(far::Webhook);

impl Webhook {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(far::webhook()?))
    }
}

impl FarEnd for Webhook {
    fn config(&self) -> Value {
        json!({ "url": self.0.url, "events": ["tenant.updated"] })
    }

    fn renew(&mut self) -> Result<Secrets> {
        self.0.rekey()?;
        Ok([("hmac_key".to_owned(), self.0.key.clone())].into())
    }

    fn spoil(&mut self) -> Result<()> {
        self.0.rekey()
    }
}

/// An installation of a GitHub App.
pub(super) struct GitHub {
    app_id: u64,
    installation_id: u64,
}

impl GitHub {
    #[expect(clippy::unnecessary_wraps, reason = "as every other far end")]
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            app_id: u64::from(rand::random::<u32>()) + 1,
            installation_id: u64::from(rand::random::<u32>()) + 1,
        })
    }
}

impl FarEnd for GitHub {
    fn config(&self) -> Value {
        let url = side().map(|side| side.address("github_app")).unwrap_or_default();
        json!({ "app_id": self.app_id, "installation_id": self.installation_id, "base_url": url })
    }

    fn renew(&mut self) -> Result<Secrets> {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        side()?.github_app(self.app_id, self.installation_id, key.der_bytes());
        Ok([("private_key".to_owned(), key.serialize_pem())].into())
    }

    fn spoil(&mut self) -> Result<()> {
        side()?.github_suspend(self.installation_id);
        Ok(())
    }
}
