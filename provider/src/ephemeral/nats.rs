//! `integraci_nats_credentials`.

use integraci_api::TenantId;
use integraci_api::credentials::Lender;
use tfplugin::{Cx, Diagnostics, EphemeralResource, Opened, Private, Renewed, Schema, Text, Value};

use super::lease;
use crate::connection::Connection;

/// Credentials for a tenant's account in NATS: a user that may publish and subscribe below the tenant's
/// subject prefix.
///
/// They are taken for one run, renewed while it lasts (an hour at most), and revoked at its end. Neither
/// plan nor state holds them.
#[derive(Schema)]
pub(crate) struct NatsCredentials {
    /// The tenant.
    #[attribute(required)]
    tenant_id: Value<Text<TenantId>>,
    /// Address of the servers.
    #[attribute(computed)]
    url: Value<String>,
    /// Public key of the account.
    #[attribute(computed)]
    account: Value<String>,
    /// What the tenant's subjects begin with, without the trailing `.>`.
    #[attribute(computed)]
    subject_prefix: Value<String>,
    /// Public key of the user.
    #[attribute(computed)]
    user: Value<String>,
    /// Both secrets as the text of a `.creds` file.
    #[attribute(computed, sensitive)]
    credentials: Value<String>,
    /// The user's JWT.
    #[attribute(computed, sensitive)]
    jwt: Value<String>,
    /// The user's private key, an nkey seed.
    #[attribute(computed, sensitive)]
    seed: Value<String>,
}

const LENDER: Lender = Lender::Nats;

impl EphemeralResource for NatsCredentials {
    type Api = Connection;
    const NAME: &'static str = "integraci_nats_credentials";

    async fn open(cx: &Cx<Connection>, config: Self) -> Result<Opened<Self>, Diagnostics> {
        let tenant_id = config.tenant_id;
        lease::open(cx, LENDER, &tenant_id.clone(), |parts| Self {
            tenant_id,
            url: parts.field("url"),
            account: parts.field("account"),
            subject_prefix: parts.field("subject_prefix"),
            user: parts.field("user"),
            credentials: parts.secret("credentials"),
            jwt: parts.secret("jwt"),
            seed: parts.secret("seed"),
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
