//! The Terraform and OpenTofu provider for IntegraCI.
//!
//! [`api`] is the client of the server; everything else is what Terraform sees: the provider's own
//! configuration, and one file a resource or data source. `docs/` is written from the schemas, by the
//! small binary `docs`.

pub mod api;
mod checks;
mod connection;
mod data_sources;
mod diagnose;
pub mod docs;
mod ephemeral;
mod pointer;
mod preflight;
mod provider;
mod resources;
mod views;

pub use provider::IntegraCi;

/// Where the registry keeps the provider.
pub const ADDRESS: &str = "registry.terraform.io/integraci/integraci";

/// The provider with all that it offers.
#[must_use]
pub fn server() -> tfplugin::Server<IntegraCi> {
    tfplugin::Server::new(ADDRESS)
        .resource::<resources::Tenant>()
        .resource::<resources::Connector>()
        .resource::<resources::Quota>()
        .data_source::<data_sources::Tenant>()
        .data_source::<data_sources::Tenants>()
        .data_source::<data_sources::Attestation>()
        .data_source::<data_sources::Connector>()
        .data_source::<data_sources::Connectors>()
        .data_source::<data_sources::ConnectorKinds>()
        .data_source::<data_sources::OidcTrust>()
        .data_source::<data_sources::Plans>()
        .data_source::<data_sources::QuotaUsage>()
        .ephemeral_resource::<ephemeral::KubernetesCredentials>()
        .ephemeral_resource::<ephemeral::NatsCredentials>()
        .ephemeral_resource::<ephemeral::OpenBaoCredentials>()
        .ephemeral_resource::<ephemeral::OidcClientCredentials>()
}
