//! The records of tokens. Looking one up is the platform's own work: whose it is, is only known after.

use integraci_api::tokens::{Scope, Token, TokenCreate};
use integraci_api::{Page, Problem, ProblemCode, TenantId, TokenId};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Caller, TokenSecret};
use crate::error::Error;
use crate::idempotency::Once;
use crate::page::{Cursor, Slice};
use crate::quotas::take::{self, Full};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError, Tx};

/// `last_used_at` is kept to this: a write a request would be a write too many.
const USE_NOTED_EVERY: Duration = Duration::MINUTE;

/// Makes, finds and revokes tokens.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    source: Source,
}

/// A token just made.
#[derive(Debug)]
pub struct Made {
    /// Its record.
    pub token: Token,
    /// Its value, which is kept nowhere.
    pub secret: TokenSecret,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    name: String,
    scopes: Vec<String>,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
}

/// Requests in a minute by a tenant whose quota does not say: the least of the plans that are shipped. Every start
/// writes the limits that lack, so there is no such tenant but by a fault, which shall neither free it of its limit
/// nor lock it out.
const REQUESTS_WITHOUT_QUOTA: i64 = 300;

/// A token's row, and of the tenant that it is bound to whether it is closed and how often it may ask.
#[derive(sqlx::FromRow)]
struct Found {
    #[sqlx(flatten)]
    row: Row,
    tenant_closed: bool,
    requests_per_minute: Option<i64>,
}

impl From<Row> for Token {
    fn from(row: Row) -> Self {
        Self {
            id: TokenId::from_uuid(row.id),
            name: row.name,
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            // A scope that this build does not know gives nothing.
            scopes: row.scopes.iter().filter_map(|word| Scope::from_word(word)).collect(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl Tokens {
    /// Tokens kept in this store.
    #[must_use]
    pub const fn new(store: Store, source: Source) -> Self {
        Self { store, source }
    }

    /// The caller behind a token.
    ///
    /// # Errors
    /// `unauthenticated`, the same for one that is unknown, expired or revoked; `suspended` for one that
    /// is bound to a suspended tenant.
    pub async fn caller(&self, secret: &TokenSecret) -> Result<Caller, Error> {
        let mut tx = self.store.platform_tx().await?;
        let now = self.source.now();
        let found: Option<Found> = sqlx::query_as(
            "SELECT k.id, k.tenant_id, k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at,
                    coalesce(t.closed, false) AS tenant_closed,
                    coalesce(q.own_max, q.plan_max) AS requests_per_minute
             FROM api_token k LEFT JOIN tenant t ON t.id = k.tenant_id
               LEFT JOIN quota q ON q.tenant_id = k.tenant_id AND q.dimension = 'api_requests_per_minute'
             WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)",
        )
        .bind(secret.hash().as_slice())
        .bind(now)
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("look up a token"))?;
        let found = found.ok_or_else(unauthenticated)?;
        if found.tenant_closed {
            return Err(suspended());
        }
        let token = Token::from(found.row);
        if token.last_used_at.is_none_or(|last| now - last >= USE_NOTED_EVERY) {
            sqlx::query("UPDATE api_token SET last_used_at = $2 WHERE id = $1")
                .bind(token.id.uuid())
                .bind(now)
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("note a token's use"))?;
        }
        tx.commit().await?;
        Ok(Caller {
            token: token.id,
            tenant: token.tenant_id,
            scopes: token.scopes,
            requests_per_minute: token
                .tenant_id
                .map(|_| found.requests_per_minute.unwrap_or(REQUESTS_WITHOUT_QUOTA)),
        })
    }

    /// Makes a token. The caller gives away no more than it has.
    ///
    /// # Errors
    /// `invalid_request`, `forbidden`, `not_found` for a tenant that is not there, or `quota_exceeded`.
    pub async fn create(&self, by: &Caller, once: &Once, wanted: TokenCreate) -> Result<Made, Error> {
        by.allow(Scope::TokensWrite)?;
        let mut tx = self.store.platform_tx().await?;
        if let Some(before) = once.replay::<Token>(&mut tx).await? {
            let detail = "this request was answered before, with the token's value, which is kept nowhere; revoke that token and make another";
            return Err(Problem::new(ProblemCode::IdempotencyKeyReused, detail)
                .with_existing(&before.value.id)
                .into());
        }
        wanted.check(self.source.now()).map_err(Error::invalid)?;
        if by.tenant.is_some() && by.tenant != wanted.tenant_id {
            return Err(Problem::new(
                ProblemCode::Forbidden,
                "a tenant's token can only make tokens of the same tenant",
            )
            .at("/tenant_id")
            .into());
        }
        if let Some(scope) = wanted.scopes.iter().find(|scope| !by.scopes.contains(scope)) {
            let detail = format!("the calling token lacks the scope `{}` and cannot give it", scope.as_str());
            return Err(Problem::new(ProblemCode::Forbidden, detail).at("/scopes").into());
        }
        let made = self.make(&mut tx, wanted).await?;
        once.record(&mut tx, made.token.tenant_id, &made.token).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Makes a token without a caller: the first one, from the machine's own command line.
    ///
    /// # Errors
    /// `invalid_request`, also at `/tenant_id` for a tenant that is not there, `quota_exceeded` for one that has as
    /// many tokens as it may, or the store's.
    pub async fn bootstrap(&self, wanted: TokenCreate) -> Result<Made, Error> {
        wanted.check(self.source.now()).map_err(Error::invalid)?;
        let mut tx = self.store.platform_tx().await?;
        let made = self.make(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(made)
    }

    async fn make(&self, tx: &mut PlatformTx, wanted: TokenCreate) -> Result<Made, Error> {
        if let Some(tenant) = wanted.tenant_id {
            let found: Option<Uuid> = sqlx::query_scalar("SELECT id FROM tenant WHERE id = $1 FOR KEY SHARE")
                .bind(tenant.uuid())
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::on("look up a token's tenant"))?;
            found.ok_or_else(|| Error::invalid_at("/tenant_id", "no such tenant"))?;
            refuse_past_quota(tx, tenant, self.source.now()).await?;
        }
        let secret = TokenSecret::from_bits(self.source.bytes());
        let mut scopes = wanted.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let token = Token {
            id: TokenId::from_uuid(self.source.uuid()),
            name: wanted.name,
            tenant_id: wanted.tenant_id,
            scopes,
            created_at: self.source.now(),
            expires_at: wanted.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let words: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        sqlx::query(
            "INSERT INTO api_token (id, tenant_id, name, hash, scopes, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id.uuid())
        .bind(token.tenant_id.map(TenantId::uuid))
        .bind(&token.name)
        .bind(secret.hash().as_slice())
        .bind(&words)
        .bind(token.created_at)
        .bind(token.expires_at)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("keep a token"))?;
        Ok(Made { token, secret })
    }

    /// One page of the tokens that the caller can see: all, or its tenant's.
    ///
    /// # Errors
    /// `forbidden`, or the store's.
    pub async fn list(&self, by: &Caller, slice: Slice) -> Result<Page<Token>, Error> {
        by.allow(Scope::TokensWrite)?;
        let mut tx = self.store.platform_tx().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, tenant_id, name, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_token
             WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::uuid IS NULL OR id > $2)
             ORDER BY id LIMIT $3",
        )
        .bind(by.tenant.map(TenantId::uuid))
        .bind(slice.after)
        .bind(slice.fetch())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("list tokens"))?;
        Ok(slice.page(rows.into_iter().map(Token::from), |token| Cursor(token.id.uuid())))
    }

    /// Revokes a token; one that is revoked already stays so.
    ///
    /// # Errors
    /// `forbidden`, or `not_found` for one that the caller cannot see.
    pub async fn revoke(&self, by: &Caller, id: TokenId) -> Result<(), Error> {
        by.allow(Scope::TokensWrite)?;
        let mut tx = self.store.platform_tx().await?;
        let found: Option<Uuid> = sqlx::query_scalar(
            "UPDATE api_token SET revoked_at = coalesce(revoked_at, $3)
             WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) RETURNING id",
        )
        .bind(id.uuid())
        .bind(by.tenant.map(TenantId::uuid))
        .bind(self.source.now())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("revoke a token"))?;
        found.ok_or_else(Error::not_found)?;
        tx.commit().await?;
        Ok(())
    }
}

/// Refuses one more token of a tenant that has as many as it may. Those that are revoked or have expired do
/// not count.
async fn refuse_past_quota(tx: &mut PlatformTx, tenant: TenantId, now: OffsetDateTime) -> Result<(), Error> {
    const DIMENSION: &str = "api_tokens";
    // A statement of its own: what is counted next is what there is once the lock is held.
    let limit = take::counted_limit(tx, tenant, DIMENSION).await?;
    let used = tokens_of(tx, tenant, now).await?;
    if used < limit {
        return Ok(());
    }
    let dimension = DIMENSION.to_owned();
    Err(take::refusal(&[Full { dimension, limit, used, reserved: 0, wanted: 1 }]))
}

/// How many tokens a tenant has that are neither revoked nor expired.
///
/// # Errors
/// The store's.
pub(crate) async fn tokens_of(
    tx: &mut impl Tx,
    tenant: TenantId,
    now: OffsetDateTime,
) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "SELECT count(*) FROM api_token
         WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(tenant.uuid())
    .bind(now)
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::on("count a tenant's tokens"))
}

/// The answer to every token of a suspended tenant, whatever it asks: the tenant learns why nothing
/// works any more, and nothing else.
fn suspended() -> Error {
    let detail = "the tenant of this token is suspended: what it has is kept, and nobody gets at it until the \
                  platform resumes the tenant";
    Problem::new(ProblemCode::Suspended, detail).into()
}

/// The one answer to every token that is not accepted.
pub(crate) fn unauthenticated() -> Error {
    Problem::new(
        ProblemCode::Unauthenticated,
        "send `Authorization: Bearer ici_…` with a token that is neither expired nor revoked",
    )
    .into()
}
