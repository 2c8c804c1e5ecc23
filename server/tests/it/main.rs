//! The server's parts against the real systems, started by
//! `local-platform with postgres openbao -- cargo test -p integraci-server --test it`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod app;
mod attestations;
mod billing;
mod billing_hooks;
mod billing_use;
mod billing_world;
mod conformance;
mod connector_life;
mod connector_world;
mod connectors;
mod credentials;
mod database;
mod events;
mod forges;
mod hooks;
mod isolation;
mod keycloak;
mod keyless;
mod kubernetes;
mod kubernetes_connector;
mod nats;
mod oidc;
mod openbao;
mod openbao_attest;
mod openbao_credentials;
mod openbao_drift;
mod openbao_faults;
mod openbao_policy;
mod openbao_renewal;
mod openbao_secrets;
mod openbao_signer;
mod openbao_suspension;
mod openbao_world;
mod quotas;
mod quotas_held;
mod registry_connector;
mod request_limits;
mod requests;
mod saga;
mod saga_world;
mod services;
mod usage;
mod usage_nats;
mod vault_connector;
mod verify;
