//! `integraci_openbao_credentials`.

use integraci_api::TenantId;
use integraci_api::credentials::Lender;
use tfplugin::{Cx, Diagnostics, EphemeralResource, Opened, Private, Renewed, Schema, Text, Value};

use super::lease;
use crate::connection::Connection;

/// Credentials for a tenant's namespace in OpenBao: a token for this run, and what a workload needs to log
/// in by itself (AppRole).
///
/// They are taken for one run, renewed while it lasts (an hour at most), and revoked at its end. Neither
/// plan nor state holds them.
#[derive(Schema)]
pub(crate) struct OpenBaoCredentials {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Address of the OpenBao.
    #[attribute(computed)]
    address: Value<String>,
    /// Path of the tenant's namespace.
    #[attribute(computed)]
    namespace: Value<String>,
    /// Role id of the AppRole.
    #[attribute(computed)]
    role_id: Value<String>,
    /// Token with the tenant's policy.
    #[attribute(computed, sensitive)]
    token: Value<String>,
    /// Wrapping token of a secret id of the AppRole: it is unwrapped once, by the workload.
    #[attribute(computed, sensitive)]
    wrapped_secret_id: Value<String>,
}

const LENDER: Lender = Lender::OpenBao;

impl EphemeralResource for OpenBaoCredentials {
    type Api = Connection;
    const NAME: &'static str = "integraci_openbao_credentials";

    async fn open(cx: &Cx<Connection>, config: Self) -> Result<Opened<Self>, Diagnostics> {
        let tenant_id = config.tenant_id;
        lease::open(cx, LENDER, &tenant_id.clone(), |parts| Self {
            tenant_id,
            address: parts.field("address"),
            namespace: parts.field("namespace"),
            role_id: parts.field("role_id"),
            token: parts.secret("token"),
            wrapped_secret_id: parts.secret("wrapped_secret_id"),
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
