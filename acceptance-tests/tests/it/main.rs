//! Scenarios. Those about Terraform are functions over the CLI, run for `terraform` and for `tofu`;
//! those about the API alone speak plain HTTP.

mod support;

mod cells;
mod concurrency;
mod connectors;
mod data_sources;
mod drift;
mod ephemeral;
mod http_authorization;
mod http_changes;
mod http_idempotency;
mod http_pages;
mod http_requests;
mod imports;
mod isolation;
mod kills;
mod onboarding;
mod preflight;
mod quotas;
mod refactoring;
mod replicas;
mod secrets;
mod suspension;
mod systems;
mod tenants;
mod wrong_input;
mod wrong_server;
