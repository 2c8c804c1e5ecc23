//! Attestations: what a tenant's isolation was found to be, tried on the spot, signed and kept.
//!
//! For each system that the tenant has a place in, attempts are made, with the tenant's own credentials,
//! on what is the canary's, beside controls that show that the attempts could have succeeded. What was
//! tried and seen is signed by a key that never leaves OpenBao, so that it can be checked without us
//! (`integraci-verify`). An attestation is never changed; a newer one says more about now.
//!
//! Knows no system: what is tried in each is that system's own (`isolation`).

mod canary;
mod tries;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use integraci_api::attestations::{Attestation, PAYLOAD_TYPE, Statement};
use integraci_api::keys::KeySet;
use integraci_api::{AttestationId, Page, Problem, ProblemCode, Slug};
use integraci_verify::{attestation, dsse, keys};
use uuid::Uuid;

use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::isolation::openbao::{ATTESTATION_KEY, Signer};
use crate::isolation::postgres::Postgres;
use crate::isolation::{Cells, System, SystemError, Wanted};
use crate::kept::Kept;
use crate::page::{Cursor, Slice};
use crate::source::Source;
use crate::store::{Store, StoreError, TenantTx};
use crate::tenants::{self, places};

use tries::Tries;

/// How long the published keys are taken to be as they were last read: a rotated key is known soon.
const KEYS_KEPT: Duration = Duration::from_secs(60);

/// Makes and reads attestations.
#[derive(Clone)]
pub struct Attestations {
    store: Store,
    source: Source,
    signer: Signer,
    tries: Tries,
    published: Kept<KeySet>,
}

/// An attestation under way.
struct Run {
    own: Wanted,
    slug: Slug,
    homes: BTreeMap<System, String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    payload: String,
    kid: String,
    signature: Vec<u8>,
}

impl Attestations {
    /// Attestations kept in this store, of tenants that live in these cells, signed by this signer.
    #[must_use]
    pub fn new(store: Store, source: Source, cells: Arc<Cells>, signer: Signer) -> Self {
        let tries = Tries::new(Arc::new(Postgres::new(store.clone())), cells, source);
        Self { store, source, signer, tries, published: Kept::new(KEYS_KEPT) }
    }

    /// Tries the tenant's isolation in every system, and signs and keeps what was found: also, and above
    /// all, that it does not hold. Goes on to its end, whether or not somebody still waits for it.
    ///
    /// # Errors
    /// `not_found`, `busy` while another is made or the tenant is not in use, `suspended`,
    /// `unavailable` where it cannot be signed, or the store's.
    pub async fn make(&self, by: &TenantAuthority, once: Once) -> Result<Answer<Attestation>, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        if let Some(before) = once.replay::<AttestationId>(&mut tx).await? {
            let value = read(&mut tx, before.value).await?;
            return Ok(Answer { value, replayed: true });
        }
        let run = self.begin(&mut tx).await?;
        tx.commit().await?;
        let this = self.clone();
        let made = tokio::spawn(async move { this.finish(run, &once).await });
        made.await.map_err(|_| Error::Internal("the run of an attestation broke off"))?.map(Answer::first)
    }

    async fn begin(&self, tx: &mut TenantTx) -> Result<Run, Error> {
        let tenant = tenants::read_for(tx).await?;
        tenants::refuse_unless_active(&tenant)?;
        if tenant.is_closed() {
            let detail = "the tenant is suspended: nobody gets into its places, so nothing can be tried from them; resume it first";
            return Err(Problem::new(ProblemCode::Suspended, detail).into());
        }
        // A run whose replica died is over after a minute: none takes that long.
        let claimed = sqlx::query(
            "UPDATE tenant SET attesting_until = $2::timestamptz + interval '1 minute'
             WHERE id = $1 AND (attesting_until IS NULL OR attesting_until < $2)",
        )
        .bind(tenant.id.uuid())
        .bind(self.source.now())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("begin an attestation"))?;
        if claimed.rows_affected() == 0 {
            return Err(tenants::busy_problem(
                "an attestation of this tenant is being made; read it when it is there",
            ));
        }
        let (own, _) = places::wanted(tx, tenant.id).await?.ok_or_else(Error::not_found)?;
        Ok(Run { own, slug: tenant.slug, homes: places::homes(tx, tenant.id).await? })
    }

    async fn finish(&self, run: Run, once: &Once) -> Result<Attestation, Error> {
        let tenant = run.own.tenant;
        let done = self.attest(run, once).await;
        let over = async {
            let mut tx = self.store.tenant_tx(tenant).await?;
            sqlx::query("UPDATE tenant SET attesting_until = NULL WHERE id = $1")
                .bind(tenant.uuid())
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("end an attestation"))?;
            tx.commit().await
        };
        if let Err(error) = over.await {
            tracing::warn!(%error, %tenant, "the next attestation must wait for the time of this one to be up");
        }
        done
    }

    async fn attest(&self, run: Run, once: &Once) -> Result<Attestation, Error> {
        let canary = canary::ensure(&self.store, self.source).await?;
        let tried = self.tries.run(&run.own, &canary, &run.homes).await;
        let mut statement = Statement {
            id: AttestationId::from_uuid(self.source.uuid()),
            tenant_id: run.own.tenant,
            slug: run.slug,
            issued_at: self.source.now(),
            off: tried.off,
            checks: tried.checks,
            passed: true,
        };
        // By the rules of those who will check it.
        statement.passed = attestation::doubts(&statement).is_empty();
        if !statement.passed {
            let failed: Vec<_> = statement.checks.iter().filter(|check| !check.passed).collect();
            let words: Vec<_> =
                failed.iter().map(|check| format!("{}: {}", check.system.title(), check.check)).collect();
            tracing::error!(tenant = %statement.tenant_id, failed = words.join(", "), "a tenant is not seen to be isolated");
        }
        metrics::counter!("integraci_attestations_total", "passed" => statement.passed.to_string())
            .increment(1);
        self.sign_and_keep(statement, once).await
    }

    async fn sign_and_keep(&self, statement: Statement, once: &Once) -> Result<Attestation, Error> {
        let payload = serde_json::to_string(&statement)
            .map_err(|_| Error::Internal("a statement cannot be written"))?;
        let signature =
            self.signer.sign(ATTESTATION_KEY, &dsse::pae(PAYLOAD_TYPE, payload.as_bytes())).await?;
        let mut tx = self.store.tenant_tx(statement.tenant_id).await?;
        // The tenant may have gone meanwhile.
        let kept = sqlx::query(
            "INSERT INTO attestation (id, tenant_id, issued_at, passed, payload, kid, signature)
             SELECT $1, id, $3, $4, $5, $6, $7 FROM tenant WHERE id = $2",
        )
        .bind(statement.id.uuid())
        .bind(statement.tenant_id.uuid())
        .bind(statement.issued_at)
        .bind(statement.passed)
        .bind(&payload)
        .bind(&signature.kid)
        .bind(signature.bytes.as_slice())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("keep an attestation"))?;
        if kept.rows_affected() == 0 {
            return Err(Error::not_found());
        }
        once.record(&mut tx, Some(statement.tenant_id), &statement.id).await?;
        tx.commit().await?;
        let envelope = dsse::envelope(PAYLOAD_TYPE, payload.as_bytes(), &signature.kid, &signature.bytes);
        Ok(Attestation { statement, envelope })
    }

    /// An attestation.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn get(&self, by: &TenantAuthority, id: AttestationId) -> Result<Attestation, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        read(&mut tx, id).await
    }

    /// One page of the tenant's attestations, newest first.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn list(&self, by: &TenantAuthority, slice: Slice) -> Result<Page<Attestation>, Error> {
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        tenants::read_for(&mut tx).await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT payload, kid, signature FROM attestation
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        )
        .bind(by.tenant().uuid())
        .bind(slice.after)
        .bind(slice.fetch())
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("list attestations"))?;
        let read = rows.into_iter().map(Row::into_attestation).collect::<Result<Vec<_>, _>>()?;
        Ok(slice.page(read.into_iter(), |it| Cursor(it.statement.id.uuid())))
    }

    /// The public keys, of now and of before. While OpenBao is away, those that it last told.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn keys(&self) -> Result<KeySet, Error> {
        Ok(self.published.get(self.public_keys()).await?)
    }

    async fn public_keys(&self) -> Result<KeySet, SystemError> {
        let known = self.signer.public_keys(ATTESTATION_KEY).await?;
        Ok(KeySet { keys: known.iter().map(|known| keys::jwk(&known.kid, &known.key)).collect() })
    }
}

async fn read(tx: &mut TenantTx, id: AttestationId) -> Result<Attestation, Error> {
    let tenant: Uuid = tx.tenant().uuid();
    let row: Option<Row> =
        sqlx::query_as("SELECT payload, kid, signature FROM attestation WHERE tenant_id = $1 AND id = $2")
            .bind(tenant)
            .bind(id.uuid())
            .fetch_optional(tx.conn())
            .await
            .map_err(StoreError::on("read an attestation"))?;
    row.ok_or_else(Error::not_found)?.into_attestation()
}

impl Row {
    fn into_attestation(self) -> Result<Attestation, Error> {
        let statement = serde_json::from_str(&self.payload)
            .map_err(|_| Error::Internal("a stored attestation does not read back"))?;
        let envelope = dsse::envelope(PAYLOAD_TYPE, self.payload.as_bytes(), &self.kid, &self.signature);
        Ok(Attestation { statement, envelope })
    }
}
