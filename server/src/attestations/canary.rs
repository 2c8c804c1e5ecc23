//! The canary: a tenant of the platform's own, there to be reached and not to be reached. What the
//! attestations of others try is to get at what is its.
//!
//! It has one id and one slug wherever the platform runs, is shown to nobody, and is made when it is
//! first needed: its rows by [`rows`], one in every table that tenants may read (a test holds this to
//! what the catalogue says), and its place in a system by the attestation that is made there.

use integraci_api::tenants::TenantNames;
use integraci_api::{Slug, TenantId};
use uuid::Uuid;

use crate::error::Error;
use crate::isolation::{Limits, Wanted};
use crate::store::{Store, StoreError, Tx};

/// The canary's id, and that of everything it has. The same everywhere, so that a place in a system is
/// the canary's whichever installation made it.
const ID: Uuid = Uuid::from_u128(0x0193_5f2c_4b00_7000_8000_ca9a_51de_ca9a);

/// What the canary is to have.
pub(super) fn wanted() -> Wanted {
    Wanted {
        tenant: TenantId::from_uuid(ID),
        names: TenantNames::of(&Slug::canary()),
        suspended: false,
        limits: Limits::SHIPPED,
    }
}

/// Its rows, `$1` being its id. Times are so far away that nothing takes them for old.
const ROWS: &[&str] = &[
    "INSERT INTO quota (tenant_id, dimension, plan_max) VALUES ($1, 'connectors', 0) ON CONFLICT DO NOTHING",
    "INSERT INTO connector (id, tenant_id, name, kind, config, secret_ref, status, created_at, updated_at)
     VALUES ($1, $1, 'canary', 'webhook', '{}', 'none', 'active', now(), now()) ON CONFLICT DO NOTHING",
    "INSERT INTO operation (id, tenant_id, kind, target_id, state, input, lease_until, created_at, finished_at)
     VALUES ($1, $1, 'tenant_create', 'canary', 'succeeded', '{}', now(), now(), now()) ON CONFLICT DO NOTHING",
    "INSERT INTO operation_step (operation_id, tenant_id, n, name, state)
     VALUES ($1, $1, 0, 'canary', 'done') ON CONFLICT DO NOTHING",
    "INSERT INTO idempotency_key (token_id, key, tenant_id, fingerprint, body, created_at)
     VALUES ($1, 'canary', $1, '', '{}', '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO tenant_system (tenant_id, system, cell, state) VALUES ($1, 'openbao', 'canary', 'ready')
     ON CONFLICT DO NOTHING",
];

/// Those of its rows that the platform's role may not insert.
const OWN_ROWS: &[&str] = &[
    "INSERT INTO credential (id, tenant_id, system, cell, state, created_at, expires_at, renewable_until)
     VALUES ($1, $1, 'openbao', 'canary', 'revoked', now(), '9999-01-01', '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO attestation (id, tenant_id, issued_at, passed, payload, kid, signature)
     VALUES ($1, $1, now(), false, '{}', 'none', '') ON CONFLICT DO NOTHING",
];

/// Sees to it that the canary's rows are there.
///
/// # Errors
/// The store's.
pub(super) async fn rows(store: &Store) -> Result<(), Error> {
    let mut tx = store.platform_tx().await?;
    sqlx::query(
        "INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, canary, created_at, updated_at)
         VALUES ($1, $2, 'Canary', 'canary', 'nobody@invalid', true, 'active', true, now(), now())
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(ID)
    .bind(Slug::canary().as_str())
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("make the canary"))?;
    for statement in ROWS {
        insert(&mut tx, statement).await?;
    }
    tx.commit().await?;
    let mut tx = store.tenant_tx(TenantId::from_uuid(ID)).await?;
    for statement in OWN_ROWS {
        insert(&mut tx, statement).await?;
    }
    Ok(tx.commit().await?)
}

async fn insert(tx: &mut impl Tx, statement: &'static str) -> Result<(), StoreError> {
    let inserted = sqlx::query(statement).bind(ID).execute(tx.conn()).await;
    inserted.map(drop).map_err(StoreError::on("give the canary its rows"))
}
