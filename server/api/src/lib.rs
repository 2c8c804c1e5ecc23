//! The words that the IntegraCI server and its clients share: ids, requests, responses, problem
//! codes, and the catalogues (connector kinds, quota dimensions) that both sides are made from.
//!
//! Knows no HTTP, no SQL and no Terraform. Every shape here is the JSON of `/v1`, documented for
//! people in `docs/openapi.json`. Secrets arrive in [`SecretText`], which cannot be printed or
//! serialised; the one place that writes them into a request body is [`wire`].

pub mod attestations;
pub mod billing;
pub mod catalogue;
pub mod connectors;
pub mod credentials;
pub mod ids;
pub mod inbound;
pub mod isolation;
pub mod keys;
pub mod oidc;
pub mod operations;
pub mod page;
pub mod plans;
pub mod problem;
pub mod quotas;
pub mod secret;
pub mod slug;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod wire;

pub use ids::{AttestationId, ConnectorId, CredentialId, IdError, OperationId, TenantId, TokenId};
pub use page::{Page, PageQuery};
pub use problem::{FieldProblem, Problem, ProblemCode};
pub use secret::SecretText;
pub use slug::Slug;
