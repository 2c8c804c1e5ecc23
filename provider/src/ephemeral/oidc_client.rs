//! `integraci_oidc_client_credentials`.

use integraci_api::TenantId;
use integraci_api::credentials::Lender;
use tfplugin::{Cx, Diagnostics, EphemeralResource, Opened, Private, Renewed, Schema, Text, Value};

use super::lease;
use crate::connection::Connection;

/// Credentials for a tenant's realm: a confidential OpenID Connect client with a service account, for the
/// client credentials grant.
///
/// They are taken for one run, renewed while it lasts (an hour at most), and revoked at its end. Neither
/// plan nor state holds them.
#[derive(Schema)]
pub(crate) struct OidcClientCredentials {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Issuer of the realm's tokens.
    #[attribute(computed)]
    issuer_url: Value<String>,
    /// Where the client gets its tokens.
    #[attribute(computed)]
    token_url: Value<String>,
    /// Client id.
    #[attribute(computed)]
    client_id: Value<String>,
    /// Client secret.
    #[attribute(computed, sensitive)]
    client_secret: Value<String>,
}

const LENDER: Lender = Lender::Keycloak;

impl EphemeralResource for OidcClientCredentials {
    type Api = Connection;
    const NAME: &'static str = "integraci_oidc_client_credentials";

    async fn open(cx: &Cx<Connection>, config: Self) -> Result<Opened<Self>, Diagnostics> {
        let tenant_id = config.tenant_id;
        lease::open(cx, LENDER, &tenant_id.clone(), |parts| Self {
            tenant_id,
            issuer_url: parts.field("issuer_url"),
            token_url: parts.field("token_url"),
            client_id: parts.field("client_id"),
            client_secret: parts.secret("client_secret"),
        })
        .await
    }

    async fn renew(cx: &Cx<Connection>, lease: Private) -> Result<Renewed, Diagnostics> {
        lease::renew(cx, LENDER, lease).await
    }

    async fn close(cx: &Cx<Connection>, lease: Private) -> Result<(), Diagnostics> {
        lease::close(cx, LENDER, lease).await
    }
}
