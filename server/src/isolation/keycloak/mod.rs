//! Keycloak: a realm for each tenant.

use std::path::PathBuf;
use std::time::Duration;

use integraci_api::SecretText;
use url::Url;

/// How to reach one Keycloak. Its `Debug` does not show the secret.
#[derive(Debug, Clone)]
pub struct KeycloakConfig {
    /// Its address, such as `https://keycloak.example`.
    pub url: Url,
    /// The platform's client in the realm `master`: it may create realms and nothing else.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretText,
    /// A PEM file with the certificate authorities to trust instead of the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}
