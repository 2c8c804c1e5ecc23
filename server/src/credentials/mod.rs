//! Credentials for a tenant's own place in a system, lent for minutes.
//!
//! A system is asked for credentials that last as long as a lease can be renewed; that they end with the
//! lease is this module's doing, which revokes them: when they are given back, when the lease has run
//! out, when the tenant is suspended or removed (`sweep`). What is lent is written down before the
//! system is asked, so that nothing it made is forgotten; the secrets are written down nowhere.

mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use integraci_api::credentials::{Credential, CredentialCreate, CredentialIssued, RENEWABLE_S};
use integraci_api::isolation::System;
use integraci_api::tenants::{Tenant, TenantNames};
use integraci_api::{CredentialId, Problem, ProblemCode, TenantId};
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::idempotency::Once;
use crate::isolation::{Cells, ErrorClass, Isolation, Issued, SystemError, Wanted};
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants::{self, places};

/// How long a system may take to make, renew or revoke: less than a request may.
const CALL: StdDuration = StdDuration::from_secs(30);

/// Lends credentials and takes them back.
#[derive(Clone)]
pub struct Credentials {
    store: Store,
    source: Source,
    cells: Arc<Cells>,
}

/// A credential that is being made.
struct Asked {
    credential: Credential,
    wanted: Wanted,
    home: Arc<dyn Isolation>,
}

/// A credential as it is kept.
#[derive(sqlx::FromRow)]
struct Row {
    cell: String,
    state: String,
    handle: Option<String>,
    fields: Json<BTreeMap<String, String>>,
    expires_at: OffsetDateTime,
    renewable_until: OffsetDateTime,
}

impl Credentials {
    /// Credentials for tenants that live in these cells, kept in this store.
    #[must_use]
    pub const fn new(store: Store, source: Source, cells: Arc<Cells>) -> Self {
        Self { store, source, cells }
    }

    /// Makes credentials. Goes on to its end, whether or not somebody still waits for them.
    ///
    /// # Errors
    /// `invalid_request` (also where the tenant has no place in the system), `not_found`, `busy`,
    /// `suspended`, `idempotency_key_reused` for a request that was answered before, the system's, or
    /// the store's.
    pub async fn issue(
        &self,
        by: &TenantAuthority,
        once: Once,
        system: System,
        asked: &CredentialCreate,
    ) -> Result<CredentialIssued, Error> {
        let ttl_s = asked.ttl_s().map_err(|fault| Error::invalid(vec![fault]))?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        if let Some(before) = once.replay::<CredentialId>(&mut tx).await? {
            let detail = "this request was answered before, with secrets that are kept nowhere; give that credential back and ask for another";
            return Err(Problem::new(ProblemCode::IdempotencyKeyReused, detail)
                .with_existing(&before.value)
                .into());
        }
        let tenant = in_use(&mut tx).await?;
        let cell = places::cell(&mut tx, tenant.id, system).await?.ok_or_else(|| is_off(system))?;
        let home = self.home(system, &cell)?;
        let (wanted, _) = places::wanted(&mut tx, tenant.id).await?.ok_or_else(Error::not_found)?;
        let now = self.source.now();
        let credential = Credential {
            id: CredentialId::from_uuid(self.source.uuid()),
            tenant_id: tenant.id,
            system,
            fields: BTreeMap::new(),
            expires_at: now + Duration::seconds(ttl_s.into()),
            renewable_until: now + Duration::seconds(RENEWABLE_S.into()),
        };
        write(&mut tx, &credential, &cell, now).await?;
        tx.commit().await?;
        let (this, asked) = (self.clone(), Asked { credential, wanted, home });
        let made = tokio::spawn(async move { this.make(asked, &once).await });
        made.await.map_err(|_| Error::Internal("the making of credentials broke off"))?
    }

    async fn make(&self, asked: Asked, once: &Once) -> Result<CredentialIssued, Error> {
        const OPERATION: &str = "credentials_issue";
        let Asked { mut credential, wanted, home } = asked;
        let longest = StdDuration::from_secs(RENEWABLE_S.into());
        let call = home.credentials_issue(&wanted, credential.id, longest);
        let issued = match within(credential.system, OPERATION, call).await {
            Ok(issued) => issued,
            Err(error) => {
                // Whatever it made in spite of that.
                self.give_back(&credential, &wanted.names, home.as_ref(), None).await;
                return Err(error.into());
            }
        };
        let Issued { handle, fields, secrets } = issued;
        credential.fields = owned(fields);
        match self.activate(&credential, handle.as_deref(), once).await {
            Ok(true) => Ok(CredentialIssued { credential, secrets: owned(secrets) }),
            Ok(false) => {
                self.give_back(&credential, &wanted.names, home.as_ref(), handle.as_deref()).await;
                Err(suspended())
            }
            Err(error) => {
                self.give_back(&credential, &wanted.names, home.as_ref(), handle.as_deref()).await;
                Err(error)
            }
        }
    }

    /// Writes down that the credential is made, and that this was the answer to its request: one that failed
    /// may be sent again. It is not in force if the tenant was suspended or removed
    /// meanwhile, or the credential taken for lost.
    async fn activate(&self, made: &Credential, handle: Option<&str>, once: &Once) -> Result<bool, Error> {
        let mut tx = self.store.tenant_tx(made.tenant_id).await?;
        let active: Option<bool> = sqlx::query_scalar(
            "UPDATE credential c SET handle = $3, fields = $4,
               state = CASE WHEN t.closed OR t.status <> 'active' THEN c.state ELSE 'active' END
             FROM tenant t WHERE t.id = c.tenant_id AND c.tenant_id = $1 AND c.id = $2 AND c.state = 'issuing'
             RETURNING c.state = 'active'",
        )
        .bind(made.tenant_id.uuid())
        .bind(made.id.uuid())
        .bind(handle)
        .bind(Json(&made.fields))
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("keep a credential"))?;
        if active == Some(true) {
            once.record(&mut tx, Some(made.tenant_id), &made.id).await?;
        }
        tx.commit().await?;
        Ok(active == Some(true))
    }

    /// Gives credentials more time: `ttl_s` from now, but not beyond what they were made for.
    ///
    /// # Errors
    /// `invalid_request`, `not_found` also once they have run out, `suspended`, the system's, or the
    /// store's.
    pub async fn renew(
        &self,
        by: &TenantAuthority,
        system: System,
        id: CredentialId,
        asked: &CredentialCreate,
    ) -> Result<Credential, Error> {
        let ttl_s = asked.ttl_s().map_err(|fault| Error::invalid(vec![fault]))?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let tenant = in_use(&mut tx).await?;
        let row = read(&mut tx, system, id).await?;
        tx.commit().await?;
        let now = self.source.now();
        if row.state != "active" || row.expires_at <= now {
            return Err(Error::not_found());
        }
        let until = (now + Duration::seconds(ttl_s.into())).min(row.renewable_until).max(row.expires_at);
        let home = self.home(system, &row.cell)?;
        let ttl = StdDuration::try_from(until - now).unwrap_or_default();
        let call = home.credentials_renew(&tenant.names, id, row.handle.as_deref(), ttl);
        within(system, "credentials_renew", call).await?;
        self.prolong(tenant.id, id, until).await?;
        Ok(Credential {
            id,
            tenant_id: tenant.id,
            system,
            fields: row.fields.0,
            expires_at: until,
            renewable_until: row.renewable_until,
        })
    }

    /// Writes down a lease's new end, unless it ended meanwhile.
    async fn prolong(&self, tenant: TenantId, id: CredentialId, until: OffsetDateTime) -> Result<(), Error> {
        let mut tx = self.store.tenant_tx(tenant).await?;
        let prolonged = sqlx::query(
            "UPDATE credential SET expires_at = $3
             WHERE tenant_id = $1 AND id = $2 AND state = 'active' AND sweep_after IS NULL",
        )
        .bind(tenant.uuid())
        .bind(id.uuid())
        .bind(until)
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("prolong a lease"))?;
        tx.commit().await?;
        if prolonged.rows_affected() == 0 { Err(Error::not_found()) } else { Ok(()) }
    }

    /// Takes credentials back: they stop working now. Once they are, it is success to ask again.
    ///
    /// # Errors
    /// `not_found`; the system's, and then they are revoked as soon as it answers; or the store's.
    pub async fn revoke(&self, by: &TenantAuthority, system: System, id: CredentialId) -> Result<(), Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let names = tenants::read_for(&mut tx).await?.names;
        let row = read(&mut tx, system, id).await?;
        if row.state == "revoked" {
            return Ok(());
        }
        // From now on it is over, whatever becomes of this request.
        end(&mut tx, id, self.source.now()).await?;
        tx.commit().await?;
        let home = self.home(system, &row.cell)?;
        let call = home.credentials_revoke(&names, id, row.handle.as_deref());
        within(system, "credentials_revoke", call).await?;
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        revoked(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }

    /// Takes back what was half made, at once if the system answers, else when it does.
    async fn give_back(
        &self,
        half_made: &Credential,
        names: &TenantNames,
        home: &dyn Isolation,
        handle: Option<&str>,
    ) {
        let Credential { id, system, tenant_id, .. } = half_made;
        let call = home.credentials_revoke(names, *id, handle);
        let gone = within(*system, "credentials_revoke", call).await;
        let kept = async {
            let mut tx = self.store.tenant_tx(*tenant_id).await?;
            match gone {
                Ok(()) => revoked(&mut tx, *id).await?,
                Err(_) => end(&mut tx, *id, self.source.now()).await?,
            }
            tx.commit().await
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, credential = %id, "it is revoked when it is found to be left half made");
        }
    }

    fn home(&self, system: System, cell: &str) -> Result<Arc<dyn Isolation>, Error> {
        self.cells.get(system, cell).cloned().ok_or_else(|| {
            let detail = format!(
                "the tenant lives in a cell of {} that is not in the platform's configuration",
                system.title()
            );
            Problem::new(ProblemCode::Unavailable, detail).into()
        })
    }
}

/// The tenant of the transaction, if its places are open.
async fn in_use(tx: &mut TenantTx) -> Result<Tenant, Error> {
    let tenant = tenants::read_for(tx).await?;
    tenants::refuse_unless_active(&tenant)?;
    if tenant.is_closed() { Err(suspended()) } else { Ok(tenant) }
}

fn suspended() -> Error {
    let detail = "the tenant is suspended: nobody gets into its places until it is resumed";
    Problem::new(ProblemCode::Suspended, detail).into()
}

fn is_off(system: System) -> Error {
    let detail = format!("the tenant has no place in {}: the platform does not use it", system.title());
    Problem::new(ProblemCode::InvalidRequest, detail).into()
}

async fn write(
    tx: &mut TenantTx,
    credential: &Credential,
    cell: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO credential (id, tenant_id, system, cell, state, created_at, expires_at, renewable_until)
         VALUES ($1, $2, $3, $4, 'issuing', $5, $6, $7)",
    )
    .bind(credential.id.uuid())
    .bind(credential.tenant_id.uuid())
    .bind(credential.system.as_str())
    .bind(cell)
    .bind(now)
    .bind(credential.expires_at)
    .bind(credential.renewable_until)
    .execute(tx.conn());
    inserted.await.map(drop).map_err(StoreError::on("write down a credential"))
}

async fn read(tx: &mut TenantTx, system: System, id: CredentialId) -> Result<Row, Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT cell, state, handle, fields, expires_at, renewable_until FROM credential
         WHERE tenant_id = $1 AND id = $2 AND system = $3 FOR UPDATE",
    )
    .bind(tx.tenant().uuid())
    .bind(id.uuid())
    .bind(system.as_str())
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("read a credential"))?;
    row.ok_or_else(Error::not_found)
}

/// Ends the lease now; what is left to do is to revoke.
async fn end(tx: &mut TenantTx, id: CredentialId, now: OffsetDateTime) -> Result<(), StoreError> {
    let ended = sqlx::query(
        "UPDATE credential SET state = 'active', expires_at = $3, sweep_after = $4
         WHERE tenant_id = $1 AND id = $2 AND state <> 'revoked'",
    )
    .bind(tx.tenant().uuid())
    .bind(id.uuid())
    .bind(now)
    .bind(now + sweep::AGAIN)
    .execute(tx.conn());
    ended.await.map(drop).map_err(StoreError::on("end a lease"))
}

async fn revoked(tx: &mut TenantTx, id: CredentialId) -> Result<(), StoreError> {
    let marked = sqlx::query("UPDATE credential SET state = 'revoked' WHERE tenant_id = $1 AND id = $2")
        .bind(tx.tenant().uuid())
        .bind(id.uuid())
        .execute(tx.conn());
    marked.await.map(drop).map_err(StoreError::on("mark a credential as revoked"))
}

/// The answer of a system, or that there was none in time.
async fn within<T>(
    system: System,
    operation: &'static str,
    call: impl Future<Output = Result<T, SystemError>>,
) -> Result<T, SystemError> {
    let class = ErrorClass::Broken;
    let late = SystemError { system, operation, class, reason: "no answer in time", status: None };
    tokio::time::timeout(CALL, call).await.unwrap_or(Err(late))
}

fn owned<T>(named: BTreeMap<&'static str, T>) -> BTreeMap<String, T> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
