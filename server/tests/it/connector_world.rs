//! Connectors as the verifier sees them, to far sides on this machine.

use std::collections::BTreeMap;
use std::time::Duration;

use integraci_api::{ConnectorId, SecretText, TenantId, catalogue};
use integraci_server::connectors::outbound::{Outbound, OutboundConfig};
use integraci_server::connectors::verify::{Minted, Subject, Verified, Verifier, VerifyError};
use integraci_server::isolation::openbao::{Client, OpenBaoConfig, Signer};
use integraci_server::oidc::Issuer;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// A connector of no platform: what there is of it is here.
pub(crate) struct Connector {
    kind: &'static str,
    config: Value,
    secrets: BTreeMap<String, SecretText>,
    verifier: Verifier,
}

impl Connector {
    /// What every connector here is called.
    pub(crate) const NAME: &str = "of-tests";

    /// With a configuration that the catalogue takes, without a secret.
    pub(crate) fn new(kind: &'static str, config: Value) -> Self {
        let settings = config.as_object().unwrap();
        catalogue::kind(kind).unwrap().check_config(settings, "/config").unwrap();
        Self { kind, config, secrets: BTreeMap::new(), verifier: verifier(nobody()) }
    }

    /// The same with this secret alone.
    pub(crate) fn with(&self, name: &str, secret: &str) -> Self {
        let secrets = [(name.to_owned(), SecretText::new(secret.to_owned()))].into();
        Self { kind: self.kind, config: self.config.clone(), secrets, verifier: self.verifier.clone() }
    }

    /// The same with what was minted.
    pub(crate) fn with_minted(&self, minted: Minted) -> Self {
        Self { secrets: minted.secrets, ..self.with("", "") }
    }

    /// The same on a platform that signs tokens.
    pub(crate) fn signed_by(self, issuer: Issuer) -> Self {
        Self { verifier: verifier(issuer), ..self }
    }

    /// The tenant of every connector here.
    pub(crate) fn tenant() -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(6))
    }

    pub(crate) async fn verify(&self) -> Result<Verified, VerifyError> {
        self.verifier.verify(&self.subject()).await
    }

    pub(crate) async fn revoke(&self) -> Result<(), VerifyError> {
        self.verifier.revoke(&self.subject()).await
    }

    pub(crate) async fn mint(&self) -> Result<Minted, VerifyError> {
        self.verifier.mint(&self.subject()).await
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: Self::tenant(),
            connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
            name: Self::NAME,
            kind: self.kind,
            config: self.config.as_object().unwrap(),
            secrets: &self.secrets,
            now: OffsetDateTime::now_utc(),
            attempt: Uuid::from_u128(8),
        }
    }
}

/// The one field that a refusal points at; anything else as it is, which is no pointer.
pub(crate) fn pointer<T>(outcome: Result<T, VerifyError>) -> String {
    match outcome {
        Err(VerifyError::Refused { errors }) if errors.len() == 1 => errors[0].pointer.clone(),
        Err(other) => format!("{other:?}"),
        Ok(_) => "no refusal".to_owned(),
    }
}

/// What a refusal says.
pub(crate) fn detail<T>(outcome: Result<T, VerifyError>) -> String {
    match outcome {
        Err(VerifyError::Refused { errors }) if errors.len() == 1 => errors[0].detail.clone(),
        Err(other) => format!("{other:?}"),
        Ok(_) => "no refusal".to_owned(),
    }
}

/// Calls this machine, over plain HTTP too.
fn verifier(issuer: Issuer) -> Verifier {
    let outbound = Outbound::new(&OutboundConfig {
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        allow_http: true,
        timeout: Duration::from_secs(30),
        max_body_bytes: 256 * 1024,
        ca_certificate: None,
    });
    Verifier::new(outbound.unwrap(), issuer)
}

/// Signs nothing.
fn nobody() -> Issuer {
    let nowhere = Client::new(&OpenBaoConfig {
        address: "http://nowhere.invalid".parse().unwrap(),
        token: SecretText::new(String::new()),
        namespace: None,
        ca_certificate: None,
        timeout: Duration::from_secs(1),
    });
    Issuer::new(None, Signer::new(nowhere.unwrap()))
}
