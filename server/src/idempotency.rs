//! `Idempotency-Key`: the answer to a POST is written in the transaction of its effect, so that a
//! request sent twice has its effect once and both get the same answer, also across a crash.

use std::time::Duration;

use integraci_api::{Problem, ProblemCode, TenantId, TokenId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::{Store, StoreError, Tx};

/// The longest key, in bytes.
pub const KEY_MAX_LEN: usize = 128;
/// How often old keys are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// A POST that may have been sent before.
///
/// The fingerprint covers what was asked without its secrets: they must not be derivable from the
/// store. A second request that differs in nothing but a secret counts as the same request.
#[derive(Debug, Clone)]
pub struct Once {
    token: TokenId,
    key: Option<String>,
    fingerprint: [u8; 32],
}

/// An answer, and whether it was given before.
#[derive(Debug)]
pub struct Answer<T> {
    /// The body.
    pub value: T,
    /// Whether it is the answer to an earlier request with the same key.
    pub replayed: bool,
}

impl<T> Answer<T> {
    /// A first answer.
    pub const fn first(value: T) -> Self {
        Self { value, replayed: false }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: Vec<u8>,
    body: Json<serde_json::Value>,
}

impl Once {
    /// A request of a caller: `what` names the route, `asked` is the request without its secrets.
    pub fn new(token: TokenId, key: Option<String>, what: &str, asked: &impl Serialize) -> Self {
        let mut hash = Sha256::new();
        hash.update(what.as_bytes());
        hash.update([0]);
        hash.update(serde_json::to_vec(asked).unwrap_or_default());
        Self { token, key, fingerprint: hash.finalize().into() }
    }

    /// The answer given to this request before, if it was. Otherwise no second request with the key
    /// gets past this until the transaction ends.
    ///
    /// # Errors
    /// `idempotency_key_reused`: the key stands for another request.
    pub async fn replay<T: DeserializeOwned>(&self, tx: &mut impl Tx) -> Result<Option<Answer<T>>, Error> {
        let Some(key) = &self.key else { return Ok(None) };
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || $2, 0))")
            .bind(self.token.to_string())
            .bind(key)
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("lock an idempotency key"))?;
        let row: Option<Row> =
            sqlx::query_as("SELECT fingerprint, body FROM idempotency_key WHERE token_id = $1 AND key = $2")
                .bind(self.token.uuid())
                .bind(key)
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::on("look up an idempotency key"))?;
        let Some(row) = row else { return Ok(None) };
        if row.fingerprint != self.fingerprint {
            let detail =
                "this Idempotency-Key was used for another request; choose a new one for each request";
            return Err(Problem::new(ProblemCode::IdempotencyKeyReused, detail).into());
        }
        let value = serde_json::from_value(row.body.0)
            .map_err(|_| Error::Internal("a stored answer does not read back"))?;
        Ok(Some(Answer { value, replayed: true }))
    }

    /// Keeps the answer with the effect.
    ///
    /// # Errors
    /// `idempotency_key_reused`: the key stands for a request in another tenant, whose row this
    /// transaction cannot see; or the store's.
    pub async fn record<T: Serialize>(
        &self,
        tx: &mut impl Tx,
        tenant: Option<TenantId>,
        answer: &T,
    ) -> Result<(), Error> {
        let Some(key) = &self.key else { return Ok(()) };
        sqlx::query(
            "INSERT INTO idempotency_key (token_id, key, tenant_id, fingerprint, body, created_at)
             VALUES ($1, $2, $3, $4, $5, now())",
        )
        .bind(self.token.uuid())
        .bind(key)
        .bind(tenant.map(TenantId::uuid))
        .bind(self.fingerprint.as_slice())
        .bind(Json(answer))
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("keep an answer"))
        .map_err(|error| if error.unique_violation().is_some() { reused() } else { error.into() })?;
        Ok(())
    }
}

fn reused() -> Error {
    let detail = "this Idempotency-Key was used for another request; choose a new one for each request";
    Problem::new(ProblemCode::IdempotencyKeyReused, detail).into()
}

/// Forgets keys a day after their answer: no client sends a request again after that.
pub async fn forget_old(store: Store, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
        if let Err(error) = forget(&store).await {
            tracing::warn!(%error, "old idempotency keys are still there");
        }
    }
}

async fn forget(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.platform_tx().await?;
    sqlx::query("DELETE FROM idempotency_key WHERE created_at < now() - interval '1 day'")
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("forget old idempotency keys"))?;
    tx.commit().await
}
