//! Connectors: what ties a tenant to a system outside.
//!
//! A connector's secrets live in the tenant's OpenBao and nowhere else; the far side is only ever
//! called through [`outbound`].

pub mod outbound;
pub mod secrets;
pub mod verify;
