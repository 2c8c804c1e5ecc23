//! Calls about what a far side must trust.

use integraci_api::TenantId;
use integraci_api::oidc::OidcTrust;
use reqwest::Method;

use super::send::Call;
use super::{Api, Error, Patience};

impl Api {
    /// What a far side must be told to trust before it takes the tokens of the tenant's connector of this
    /// name and kind, which need not exist.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn oidc_trust(
        &self,
        tenant: TenantId,
        connector: &str,
        kind: &str,
        patience: &Patience,
    ) -> Result<OidcTrust, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/oidc-trust"))
            .query("connector", Some(connector))
            .query("kind", Some(kind));
        self.fetch(&call, "trust", patience).await
    }
}
