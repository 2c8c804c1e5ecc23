//! Calls about attestations.

use std::time::Duration;

use integraci_api::attestations::Attestation;
use integraci_api::{Page, TenantId};
use reqwest::Method;

use super::send::Call;
use super::{Api, Error, IdempotencyKey, Patience};

/// How long the server may take over one: it waits for the slowest system.
const TRIED_WITHIN: Duration = Duration::from_secs(45);

impl Api {
    /// The tenant's newest attestation, if there is one.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn attestation_newest(
        &self,
        tenant: TenantId,
        patience: &Patience,
    ) -> Result<Option<Attestation>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/attestations")).query("limit", Some(1));
        let page: Page<Attestation> = self.fetch(&call, "page of attestations", patience).await?;
        Ok(page.items.into_iter().next())
    }

    /// Has the tenant's isolation tried now.
    ///
    /// # Errors
    /// Any of [`Error`]. That it does not hold is no error.
    pub async fn attestation_make(
        &self,
        tenant: TenantId,
        key: &IdempotencyKey,
        patience: &Patience,
    ) -> Result<Attestation, Error> {
        let call =
            Call::new(Method::POST, format!("tenants/{tenant}/attestations")).key(key).held(TRIED_WITHIN);
        self.fetch(&call, "attestation", patience).await
    }
}
