//! The data sources, one file each.

mod tenant;
mod tenants;

pub(crate) use tenant::Tenant;
pub(crate) use tenants::Tenants;
