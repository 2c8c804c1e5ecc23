//! The client of the IntegraCI API: typed calls over HTTPS.
//!
//! Knows the shapes of `integraci-api` and nothing of Terraform. `send` holds the rules that every
//! call follows (which failures are tried again, how long, how much of an answer is read); the files
//! named after things hold one call a function. Nothing is connected, and no certificate is loaded,
//! before the first call: most runs of a provider only hand out its schema.
//!
//! Source: `docs/openapi.json`; RFC 9110 for `Retry-After` and which methods may be repeated.

mod attestations;
mod connectors;
mod credentials;
mod error;
mod listed;
mod oidc;
mod operations;
mod pace;
mod quotas;
mod send;
mod settings;
mod tenants;
mod transport;

use std::sync::OnceLock;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::{Certificate, Error};
pub use send::IdempotencyKey;
pub use settings::{
    Authorities, Invalid, Settings, authorities_parse, duration_parse, endpoint_parse, is_exposed,
    timeout_parse, token_check,
};

/// The way to one server with one token.
pub struct Api {
    settings: Settings,
    client: OnceLock<reqwest::Client>,
    pace: pace::Pace,
    lists: listed::Lists,
}

/// How long a call may go on, its repeats included, and what ends it sooner.
///
/// What ends it is looked at between requests and while waiting, never in the middle of a request
/// that changes something: its answer holds the id that must not be lost.
#[derive(Debug, Clone)]
pub struct Patience {
    /// When to give up.
    pub until: Instant,
    /// Terraform was interrupted.
    pub stopped: CancellationToken,
}

impl Api {
    /// Keeps the settings for the first call.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            client: OnceLock::new(),
            pace: pace::Pace::default(),
            lists: listed::Lists::default(),
        }
    }

    /// Address of the server, as it is told to people.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.settings.endpoint.as_str().trim_end_matches('/')
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("endpoint", &self.settings.endpoint.as_str()).finish_non_exhaustive()
    }
}
