//! What far sides send to us: each connector of a kind that sends has an address, and what comes there
//! with the right signature is counted. Body and headers are neither kept nor logged.
//!
//! Whoever calls is nobody to us until the signature is found right. So whatever is wrong (no such
//! connector, none of a kind that sends, no secret to sign with, a suspended tenant, another signature)
//! has one answer. What that answer's time gives away is that there is a connector of this id: for one
//! that is not there OpenBao is not asked, or anybody could have us ask it. An id has 74 random bits, and
//! who knows one was told.
//!
//! A far side that does not hear our answer sends the same again: that is success, and not counted.

mod counts;
mod rates;
mod signatures;

use std::sync::Arc;
use std::time::Duration;

use integraci_api::inbound::{InboundEvents, SPAN_MAX_DAYS};
use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, FieldProblem, Problem, ProblemCode, SecretText, catalogue};
use reqwest::header::HeaderMap;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::secrets::{ConnectorSecrets, SecretError};
use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::source::Source;
use crate::store::{Store, StoreError};
use counts::Receiver;
use rates::Rates;
use signatures::Signed;

/// How often old deliveries are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// The span that is told where none is asked for.
const SPAN: time::Duration = time::Duration::days(1);

/// Takes what far sides send.
#[derive(Clone)]
pub struct Inbound {
    store: Store,
    source: Source,
    secrets: ConnectorSecrets,
    rates: Arc<Rates>,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was counted.
    Counted,
    /// It came before, and was not counted again.
    Replayed,
    /// It wants to be answered with this.
    Challenge(String),
}

/// Where a connector's far side sends to, if its kind sends anything and the platform knows its own
/// address.
#[must_use]
pub fn address(public_url: Option<&Url>, kind: &str, id: ConnectorId) -> Option<String> {
    catalogue::kind(kind)?.inbound?;
    Some(format!("{}/hooks/{id}", public_url?.as_str().trim_end_matches('/')))
}

impl Inbound {
    /// Counts in this store, by the secrets of that OpenBao.
    #[must_use]
    pub fn new(store: Store, source: Source, secrets: ConnectorSecrets) -> Self {
        Self { store, source, secrets, rates: Arc::new(Rates::new()) }
    }

    /// Whether an address, as it was written, may be called now.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn admit(&self, address: &str) -> Result<(), Error> {
        self.rates.check(address).map_err(|retry_after| {
            let detail = "this address was called too often; send again later";
            Error::Later { problem: Box::new(Problem::new(ProblemCode::RateLimited, detail)), retry_after }
        })
    }

    /// Takes what was sent to an address.
    ///
    /// # Errors
    /// `unauthenticated`, the same whatever is wrong; `unavailable` when OpenBao does not say what the
    /// secret is; or the store's.
    pub async fn receive(&self, address: &str, headers: &HeaderMap, body: &[u8]) -> Result<Taken, Error> {
        let now = self.source.now();
        let known = match address.parse() {
            Err(_) => None,
            Ok(id) => {
                let receiver = counts::receiver(&mut self.store.platform_tx().await?, id, now).await?;
                receiver.map(|receiver| (id, receiver))
            }
        };
        let Some((id, receiver)) = known else { return Err(refused("unknown")) };
        let Some(signed) = self.signed(id, &receiver, headers, body, now).await? else {
            return Err(refused(&receiver.kind));
        };
        match signed {
            Signed::Challenge(text) => Ok(Taken::Challenge(text)),
            Signed::Event { kind, marks } => {
                let mut tx = self.store.tenant_tx(receiver.tenant).await?;
                let is_first = counts::remember(&mut tx, id, &marks, now).await?;
                if is_first {
                    counts::count(&mut tx, id, &kind, now).await?;
                }
                tx.commit().await?;
                told(&receiver.kind, if is_first { "counted" } else { "replayed" });
                Ok(if is_first { Taken::Counted } else { Taken::Replayed })
            }
        }
    }

    /// What came, if one of the connector's secrets that are good signed it.
    async fn signed(
        &self,
        id: ConnectorId,
        receiver: &Receiver,
        headers: &HeaderMap,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Option<Signed>, Error> {
        let Some(inbound) = catalogue::kind(&receiver.kind).and_then(|kind| kind.inbound) else {
            return Ok(None);
        };
        let names = TenantNames::of(&receiver.slug);
        // Stands in for a secret that is not there, so that its absence costs as much.
        let nobodys = SecretText::new(String::new());
        for &version in &receiver.versions {
            let secrets = match self.secrets.get(&names, id, version).await {
                Ok(secrets) => secrets,
                Err(SecretError::Missing { .. }) => continue,
                Err(fault) => return Err(super::secret_fault(&fault)),
            };
            let secret = secrets.get(inbound.secret);
            let signed = signatures::check(&receiver.kind, secret.unwrap_or(&nobodys), headers, body, now);
            if let (Some(_), Some(signed)) = (secret, signed) {
                return Ok(Some(signed));
            }
        }
        Ok(None)
    }

    /// What came to a connector's address, by hour and kind: from the hour of `from` until before `to`; the
    /// last day if neither is said.
    ///
    /// # Errors
    /// `invalid_request` at `/from`, `not_found`, or the store's.
    pub async fn events(
        &self,
        by: &TenantAuthority,
        id: ConnectorId,
        from: Option<OffsetDateTime>,
        to: Option<OffsetDateTime>,
    ) -> Result<InboundEvents, Error> {
        let to = to.unwrap_or_else(|| self.source.now());
        let from = from.or_else(|| to.checked_sub(SPAN)).unwrap_or(to);
        let span = to - from;
        if span.is_negative() || span > time::Duration::days(SPAN_MAX_DAYS) {
            let detail = format!("expected a time before `to`, by at most {SPAN_MAX_DAYS} days");
            return Err(Error::invalid(vec![FieldProblem::new("/from", detail)]));
        }
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        super::store::read(&mut tx, id).await?;
        let items = counts::list(&mut tx, id, from, to).await?;
        Ok(InboundEvents { from, to, items })
    }

    /// Forgets old deliveries from time to time.
    pub async fn forget_old(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            if let Err(error) = forget(&self.store, self.source.now()).await {
                tracing::warn!(%error, "old deliveries are still there");
            }
        }
    }
}

/// Forgets the deliveries that are old at a time.
///
/// # Errors
/// The store's.
pub async fn forget(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    loop {
        let mut tx = store.platform_tx().await?;
        let is_more = counts::forget(&mut tx, now).await?;
        tx.commit().await?;
        if !is_more {
            return Ok(());
        }
    }
}

fn refused(kind: &str) -> Error {
    told(kind, "refused");
    let detail = "this is not taken: the address, the secret that it is signed with, or the time of the signature is \
                  not right";
    Problem::new(ProblemCode::Unauthenticated, detail).into()
}

fn told(kind: &str, outcome: &'static str) {
    metrics::counter!("integraci_inbound_deliveries_total", "kind" => kind.to_owned(), "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_address_is_for_kinds_that_send() {
        let id = ConnectorId::from_uuid(Uuid::from_u128(7));
        for public_url in
            ["https://platform.example", "https://platform.example/", "https://platform.example/api"]
        {
            let url = Url::parse(public_url).unwrap();
            let expected =
                format!("{}/hooks/con_00000000000000000000000000000007", public_url.trim_end_matches('/'));
            assert_eq!(address(Some(&url), "gitlab", id), Some(expected));
            assert_eq!(address(Some(&url), "aws", id), None);
        }
        assert_eq!(address(None, "gitlab", id), None);
    }
}
