//! The IntegraCI control plane.
//!
//! Arrows go one way: `http` → a capability (`tenants`, `connectors`, `quotas`, `accounts`) → `store`
//! or `saga` → `isolation`. Nothing points back.

pub mod connectors;
pub mod isolation;
pub mod saga;
pub mod store;
