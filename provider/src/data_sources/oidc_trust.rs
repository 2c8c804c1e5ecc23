//! `integraci_oidc_trust`.

use integraci_api::TenantId;
use tfplugin::{Cx, DataSource, Diagnostics, Path, Schema, Text, Value};

use crate::checks;
use crate::connection::{Connection, patience};
use crate::diagnose::diagnose;

/// What a cloud, a vault or a cluster must be told to trust before it takes the tokens that the platform
/// signs for a tenant's connector.
///
/// The connector need not exist: what is trusted follows from its tenant and its name. So the role is made
/// with these values, and then the connector with the role, in one apply.
#[derive(Schema)]
pub(crate) struct OidcTrust {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// The name that the connector has or will have.
    #[attribute(required, validate = checks::connector_name)]
    connector: Value<String>,
    /// The kind that the connector has or will have; one that can do without a secret.
    #[attribute(required, validate = checks::keyless_kind)]
    kind: Value<String>,
    /// `iss` of the tokens: the tenant's own issuer.
    #[attribute(computed)]
    issuer: Value<String>,
    /// The issuer's discovery document (OpenID Connect Discovery 1.0).
    #[attribute(computed)]
    discovery_url: Value<String>,
    /// The keys that the tokens are checked by (JWK Set, RFC 7517).
    #[attribute(computed)]
    jwks_url: Value<String>,
    /// `sub` of the tokens. It has the connector's name in it: a connector that is renamed has another.
    #[attribute(computed)]
    subject: Value<String>,
    /// `aud` of the tokens, unless the connector's configuration says another. Null for a kind whose
    /// audience follows from its configuration.
    #[attribute(computed)]
    audience: Value<String>,
}

impl DataSource for OidcTrust {
    type Api = Connection;
    const NAME: &'static str = "integraci_oidc_trust";

    async fn read(cx: &Cx<Connection>, config: Self) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let (Some(tenant), Some(connector), Some(kind)) =
            (config.tenant_id.as_known(), config.connector.as_known(), config.kind.as_known())
        else {
            return Ok(config);
        };
        let locate = |parts: &[String]| parts.first().map(|name| Path::root(name));
        let trust = api
            .oidc_trust(tenant.0, connector, kind, &patience(cx))
            .await
            .map_err(|error| diagnose(api, "Cannot tell what is to be trusted", error, &locate))?;
        Ok(Self {
            issuer: trust.issuer.into(),
            discovery_url: trust.discovery_url.into(),
            jwks_url: trust.jwks_url.into(),
            subject: trust.subject.into(),
            audience: trust.audience.into(),
            ..config
        })
    }
}
