//! The data sources, one file each.

mod attestation;
mod connector;
mod connector_kinds;
mod connectors;
mod oidc_trust;
mod plans;
mod quota_usage;
mod tenant;
mod tenants;

pub(crate) use attestation::Attestation;
pub(crate) use connector::Connector;
pub(crate) use connector_kinds::ConnectorKinds;
pub(crate) use connectors::Connectors;
pub(crate) use oidc_trust::OidcTrust;
pub(crate) use plans::Plans;
pub(crate) use quota_usage::QuotaUsage;
pub(crate) use tenant::Tenant;
pub(crate) use tenants::Tenants;
