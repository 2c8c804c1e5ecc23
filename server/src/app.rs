//! Everything a request can use, made once at start.

use crate::accounts::Tokens;
use crate::attestations::Attestations;
use crate::billing::Billing;
use crate::connectors::Connectors;
use crate::connectors::inbound::Inbound;
use crate::credentials::Credentials;
use crate::oidc::Issuer;
use crate::operations::Operations;
use crate::plans::Plans;
use crate::quotas::Quotas;
use crate::request_limits::RequestLimits;
use crate::store::Store;
use crate::tenants::Tenants;
use crate::usage::Meter;

/// The capabilities, shared by every request.
#[derive(Clone)]
pub struct App {
    /// Who calls.
    pub tokens: Tokens,
    /// How often.
    pub request_limits: RequestLimits,
    /// Tenants.
    pub tenants: Tenants,
    /// Attestations.
    pub attestations: Attestations,
    /// What tenants pay.
    pub billing: Billing,
    /// Connectors.
    pub connectors: Connectors,
    /// What connectors' far sides send.
    pub inbound: Inbound,
    /// Tokens for connectors without a secret.
    pub issuer: Issuer,
    /// Credentials for tenants' own places.
    pub credentials: Credentials,
    /// Quotas.
    pub quotas: Quotas,
    /// Usage.
    pub meter: Meter,
    /// Operations.
    pub operations: Operations,
    /// The plans there are.
    pub plans: Plans,
    /// For the question whether the database answers.
    pub store: Store,
}
