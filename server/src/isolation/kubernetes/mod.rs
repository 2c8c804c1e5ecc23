//! Kubernetes: a namespace for each tenant.

use std::path::PathBuf;
use std::time::Duration;

use integraci_api::SecretText;
use url::Url;

/// How to reach one cluster. Its `Debug` does not show the token.
#[derive(Debug, Clone)]
pub struct KubernetesConfig {
    /// The address of its API server, such as `https://kubernetes.example:6443`.
    pub server: Url,
    /// The bearer token of the platform's service account.
    pub token: SecretText,
    /// A PEM file with the certificate authorities to trust instead of the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}
