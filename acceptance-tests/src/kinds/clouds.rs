//! Clouds that go without a secret: they trust tokens that the platform signs for the tenant.

use anyhow::{Context as _, Result};
use local_platform::far_side::{
    AWS_ROLE_ARN, AZURE_CLIENT_ID, AZURE_DIRECTORY_ID, GCP_PROVIDER, GCP_SERVICE_ACCOUNT,
};
use serde_json::{Value, json};

use super::{FarEnd, Place, Secrets};
use crate::api::Api;
use crate::far::side;

/// What a far side must trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The tenant's issuer.
    pub issuer: String,
    /// What the connector is called in a token.
    pub subject: String,
    /// The audience of a token; none where it follows from the connector's configuration.
    pub audience: Option<String>,
}

impl Trust {
    /// What the platform says that must be trusted.
    ///
    /// # Errors
    /// When it does not say.
    pub fn of(api: &Api, tenant: &str, kind: &str, name: &str) -> Result<Self> {
        let path = format!("/v1/tenants/{tenant}/oidc-trust?connector={name}&kind={kind}");
        let said = api.get(&path)?.expect(200)?.body;
        let text = |field: &str| said[field].as_str().map(str::to_owned);
        Ok(Self {
            issuer: text("issuer").context("an issuer")?,
            subject: text("subject").context("a subject")?,
            audience: text("audience"),
        })
    }
}

/// A cloud that trusts one connector, or does not.
pub(super) struct Cloud {
    kind: String,
    trust: Trust,
}

impl Cloud {
    pub(super) fn new(kind: &str, place: &Place<'_>) -> Result<Self> {
        let trust = place.trust.clone().context("a cloud is told what to trust")?;
        Ok(Self { kind: kind.to_owned(), trust })
    }

    fn audience(&self) -> String {
        let of_provider = || format!("//iam.googleapis.com/{GCP_PROVIDER}");
        self.trust.audience.clone().unwrap_or_else(of_provider)
    }
}

impl FarEnd for Cloud {
    fn config(&self) -> Value {
        let url = side().map(|side| side.address(&self.kind)).unwrap_or_default();
        match self.kind.as_str() {
            "aws" => json!({ "role_arn": AWS_ROLE_ARN, "sts_url": url }),
            "gcp" => json!({
                "workload_identity_provider": GCP_PROVIDER,
                "service_account": GCP_SERVICE_ACCOUNT,
                "sts_url": url,
                "iam_credentials_url": url,
            }),
            _ => json!({
                "directory_id": AZURE_DIRECTORY_ID,
                "client_id": AZURE_CLIENT_ID,
                "authority_url": url,
            }),
        }
    }

    fn renew(&mut self) -> Result<Secrets> {
        side()?.trust(&self.kind, &self.trust.issuer, &self.trust.subject, &self.audience());
        Ok(Secrets::new())
    }

    fn spoil(&mut self) -> Result<()> {
        side()?.distrust(&self.kind, &self.trust.issuer, &self.trust.subject, &self.audience());
        Ok(())
    }
}
