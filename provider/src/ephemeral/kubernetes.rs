//! `integraci_kubernetes_credentials`.

use integraci_api::TenantId;
use integraci_api::credentials::Lender;
use tfplugin::{Cx, Diagnostics, EphemeralResource, Opened, Private, Renewed, Schema, Text, Value};

use super::lease;
use crate::connection::Connection;

/// Credentials for a tenant's namespace in Kubernetes: a token of a service account that may work in it and
/// nowhere else.
///
/// They are taken for one run, renewed while it lasts (an hour at most), and revoked at its end. Neither
/// plan nor state holds them.
#[derive(Schema)]
pub(crate) struct KubernetesCredentials {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Address of the API server.
    #[attribute(computed)]
    host: Value<String>,
    /// Certificate, in PEM, of the authority that the API server's certificate comes from.
    #[attribute(computed)]
    ca_certificate: Value<String>,
    /// The tenant's namespace.
    #[attribute(computed)]
    namespace: Value<String>,
    /// Bearer token.
    #[attribute(computed, sensitive)]
    token: Value<String>,
}

const LENDER: Lender = Lender::Kubernetes;

impl EphemeralResource for KubernetesCredentials {
    type Api = Connection;
    const NAME: &'static str = "integraci_kubernetes_credentials";

    async fn open(cx: &Cx<Connection>, config: Self) -> Result<Opened<Self>, Diagnostics> {
        let tenant_id = config.tenant_id;
        lease::open(cx, LENDER, &tenant_id.clone(), |parts| Self {
            tenant_id,
            host: parts.field("host"),
            ca_certificate: parts.field("ca_certificate"),
            namespace: parts.field("namespace"),
            token: parts.secret("token"),
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
