//! The provider in one process with a small HTTP server that answers as it is told.

mod client;
mod fake;
mod tls;
