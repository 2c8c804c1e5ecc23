//! The IntegraCI control plane.
//!
//! Arrows go one way: `http` → a capability (`tenants`, `connectors`, `quotas`, `accounts`) → `store`
//! or `saga` → `isolation`. Nothing points back.

pub mod accounts;
pub mod app;
pub mod attestations;
pub mod billing;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod credentials;
pub mod doctor;
pub mod error;
pub mod events;
pub mod http;
pub mod idempotency;
pub mod isolation;
mod json;
mod kept;
pub mod metrics;
pub mod oidc;
pub mod operations;
pub mod page;
pub mod plans;
pub mod quotas;
pub mod request_limits;
pub mod saga;
pub mod serve;
pub mod setup;
pub mod source;
pub mod store;
pub mod tenants;
pub mod usage;
