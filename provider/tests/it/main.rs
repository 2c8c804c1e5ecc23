//! The provider in one process with a small HTTP server that answers as it is told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod client;
mod connectors;
mod docs;
mod fake;
mod flows;
mod isolation;
mod kinds;
mod listed;
mod preflight;
mod quotas;
mod secrets;
mod terraform;
mod tls;
mod world;
