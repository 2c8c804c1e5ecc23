//! The ephemeral resources, one file each: credentials for a tenant's own place in a system, taken for
//! one run, renewed while it lasts, and given back at its end. Neither plan nor state ever holds them.

mod kubernetes;
mod lease;
mod nats;
mod oidc_client;
mod openbao;

pub(crate) use kubernetes::KubernetesCredentials;
pub(crate) use nats::NatsCredentials;
pub(crate) use oidc_client::OidcClientCredentials;
pub(crate) use openbao::OpenBaoCredentials;
