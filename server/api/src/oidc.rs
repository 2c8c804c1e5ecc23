//! What a far side must be told to trust before it takes the tokens that the platform signs for a
//! tenant's connector, which may be before there is one:
//! `GET /v1/tenants/{tenant_id}/oidc-trust?connector=NAME&kind=KIND`.

use serde::{Deserialize, Serialize};

/// The values of a trust: of an AWS role, a Google Cloud workload identity provider, an application of
/// Microsoft Entra, a role of Vault's JWT login, a Kubernetes cluster's authentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OidcTrust {
    /// `iss` of the tokens: the tenant's own issuer, an address without a slash at its end.
    pub issuer: String,
    /// The issuer's discovery document (OpenID Connect Discovery 1.0).
    pub discovery_url: String,
    /// The keys that the tokens are checked by (JWK Set, RFC 7517).
    pub jwks_url: String,
    /// `sub` of the tokens: `tenant:<tenant id>:<connector's name>`. Follows from the name, so that a trust
    /// can be made before the connector; a connector that is renamed has another.
    pub subject: String,
    /// `aud` of the tokens, unless the connector's configuration says another. Absent for a kind whose
    /// audience follows from its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}
