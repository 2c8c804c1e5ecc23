//! The data sources, one file each.

mod attestation;
mod tenant;
mod tenants;

pub(crate) use attestation::Attestation;
pub(crate) use tenant::Tenant;
pub(crate) use tenants::Tenants;
