//! The sweep: revokes what is lent and should not be any more.
//!
//! Every replica sweeps; a row is revoked by whichever claims it. What a system does not revoke now is
//! tried again, for as long as it takes; by itself it stops working at the latest when it can no longer
//! be renewed.

use futures_util::stream::{self, StreamExt as _};
use integraci_api::isolation::System;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, Slug, TenantId};
use time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Credentials, revoked, within};
use crate::error::Error;
use crate::store::StoreError;

/// How often there is a look: a suspended tenant is out within seconds.
const EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// How long one that could not be revoked is left alone.
pub(super) const AGAIN: Duration = Duration::minutes(1);
/// After this nobody is making it any more: a system has half a minute to.
const HALF_MADE: Duration = Duration::minutes(2);
/// How many are claimed at once, and how many of them revoked side by side.
const CLAIM: i64 = 32;
const SIDE_BY_SIDE: usize = 4;

/// Those that are due. One that is being made is left to its maker, who looks whether it may be.
const DUE: &str = "
    WITH due AS (
      SELECT c.id FROM credential c JOIN tenant t ON t.id = c.tenant_id
      WHERE NOT t.canary AND (c.sweep_after IS NULL OR c.sweep_after <= $1)
        AND (c.state = 'active' AND (c.expires_at <= $1 OR t.closed OR t.status = 'deleting')
          OR c.state = 'issuing' AND c.created_at <= $2)
      ORDER BY c.expires_at LIMIT $4 FOR UPDATE OF c SKIP LOCKED)
    UPDATE credential c SET sweep_after = $3
    FROM due, tenant t WHERE c.id = due.id AND t.id = c.tenant_id
    RETURNING c.id, c.tenant_id, c.system, c.cell, c.handle, t.slug";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    system: String,
    cell: String,
    handle: Option<String>,
    slug: String,
}

/// A credential that is over.
struct Due {
    id: CredentialId,
    tenant: TenantId,
    names: TenantNames,
    system: System,
    cell: String,
    handle: Option<String>,
}

impl Credentials {
    /// Sweeps until told to stop.
    pub async fn sweep(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(%error, "credentials that are over could not be looked for; trying again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Revokes what is due now.
    ///
    /// # Errors
    /// The store's. That a system did not revoke is only logged.
    pub async fn sweep_once(&self) -> Result<(), StoreError> {
        let due = self.due().await?;
        stream::iter(due)
            .for_each_concurrent(SIDE_BY_SIDE, |due| async move {
                if let Err(error) = self.take_back(&due).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, credential = %due.id, tenant = %due.tenant, "a credential that is over is not revoked yet");
                }
            })
            .await;
        Ok(())
    }

    async fn due(&self) -> Result<Vec<Due>, StoreError> {
        let now = self.source.now();
        let mut tx = self.store.platform_tx().await?;
        let rows: Vec<Row> = sqlx::query_as(DUE)
            .bind(now)
            .bind(now - HALF_MADE)
            .bind(now + AGAIN)
            .bind(CLAIM)
            .fetch_all(tx.conn())
            .await
            .map_err(StoreError::on("claim credentials that are over"))?;
        // Kept for a day, so that giving one back twice is no error.
        sqlx::query("DELETE FROM credential WHERE state = 'revoked' AND expires_at < $1 - interval '1 day'")
            .bind(now)
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("forget old credentials"))?;
        tx.commit().await?;
        Ok(rows.into_iter().filter_map(Row::into_due).collect())
    }

    async fn take_back(&self, due: &Due) -> Result<(), Error> {
        let home = self.home(due.system, &due.cell)?;
        let call = home.credentials_revoke(&due.names, due.id, due.handle.as_deref());
        within(due.system, "credentials_revoke", call).await?;
        let mut tx = self.store.tenant_tx(due.tenant).await?;
        revoked(&mut tx, due.id).await?;
        Ok(tx.commit().await?)
    }
}

impl Row {
    fn into_due(self) -> Option<Due> {
        let slug: Slug = self.slug.parse().ok()?;
        Some(Due {
            id: CredentialId::from_uuid(self.id),
            tenant: TenantId::from_uuid(self.tenant_id),
            names: TenantNames::of(&slug),
            system: System::from_word(&self.system)?,
            cell: self.cell,
            handle: self.handle,
        })
    }
}
