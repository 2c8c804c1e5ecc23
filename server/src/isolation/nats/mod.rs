//! NATS: an account for each tenant, by decentralised JWTs.

use std::path::PathBuf;
use std::time::Duration;

use integraci_api::SecretText;

/// How to reach one NATS (a server or a cluster) in operator mode. Its `Debug` does not show the seed.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// The addresses of its servers, such as `nats://nats.example:4222`.
    pub servers: Vec<String>,
    /// The seed of a signing key of the operator, `SO…`: signs the accounts.
    pub operator_signing_seed: SecretText,
    /// The credentials file of a user in the system account: hands the accounts to the resolvers.
    pub system_credentials_file: PathBuf,
    /// How many servers keep accounts: each has to answer before an account counts as made.
    pub resolvers: usize,
    /// A PEM file with the certificate authorities to trust beside the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}
