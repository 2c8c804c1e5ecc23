//! The canary: a tenant of the platform's own, there to be reached and not to be reached. What the
//! attestations of others try is to get at what is its.
//!
//! An installation of the platform has one, with an id and a slug of its own, so that two installations
//! may share a system. It is shown to nobody, and made when it is first needed: its rows by [`ensure`], one
//! in every table that tenants may read (a test holds this to what the catalogue says), and its place in
//! a system by the attestation that is made there.

use integraci_api::tenants::TenantNames;
use integraci_api::{Slug, TenantId};
use uuid::Uuid;

use crate::error::Error;
use crate::isolation::{Limits, Wanted};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError, Tx};

/// What the canary of an id is to have.
pub(super) fn wanted(id: TenantId) -> Wanted {
    let names = TenantNames::of(&Slug::canary(id));
    Wanted { tenant: id, names, suspended: false, limits: Limits::SHIPPED }
}

/// Its rows, `$1` being its id, and that of all it has. Times are so far away that nothing takes them for old.
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
    "INSERT INTO billing_account (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING",
    "INSERT INTO statement (tenant_id, day) VALUES ($1, '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO tenant_system (tenant_id, system, cell, state) VALUES ($1, 'openbao', 'canary', 'ready')
     ON CONFLICT DO NOTHING",
];

/// Those of its rows that the platform's role may not insert.
const OWN_ROWS: &[&str] = &[
    "INSERT INTO credential (id, tenant_id, system, cell, state, created_at, expires_at, renewable_until)
     VALUES ($1, $1, 'openbao', 'canary', 'revoked', now(), '9999-01-01', '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO attestation (id, tenant_id, issued_at, passed, payload, kid, signature)
     VALUES ($1, $1, now(), false, '{}', 'none', '') ON CONFLICT DO NOTHING",
    "INSERT INTO inbound_count (tenant_id, connector_id, hour, kind, events)
     VALUES ($1, $1, '9999-01-01', 'canary', 0) ON CONFLICT DO NOTHING",
    "INSERT INTO inbound_delivery (tenant_id, connector_id, delivery, received_at)
     VALUES ($1, $1, '', '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO usage_event (tenant_id, source, id, dimension, at)
     VALUES ($1, 'canary', 'canary', 'canary', '9999-01-01') ON CONFLICT DO NOTHING",
    "INSERT INTO usage_hour (tenant_id, dimension, hour, quantity)
     VALUES ($1, 'canary', '9999-01-01', 0) ON CONFLICT DO NOTHING",
    "INSERT INTO usage_month (tenant_id, dimension, month, quantity)
     VALUES ($1, 'canary', '9999-01-01', 0) ON CONFLICT DO NOTHING",
];

/// The canary with all its rows, made if it is not there yet.
///
/// # Errors
/// The store's.
pub(super) async fn ensure(store: &Store, source: Source) -> Result<Wanted, Error> {
    let mut tx = store.platform_tx().await?;
    let id = match find(&mut tx).await? {
        Some(id) => id,
        None => make(&mut tx, source).await?,
    };
    for statement in ROWS {
        insert(&mut tx, statement, id).await?;
    }
    tx.commit().await?;
    let canary = TenantId::from_uuid(id);
    let mut tx = store.tenant_tx(canary).await?;
    for statement in OWN_ROWS {
        insert(&mut tx, statement, id).await?;
    }
    tx.commit().await?;
    Ok(wanted(canary))
}

async fn find(tx: &mut PlatformTx) -> Result<Option<Uuid>, StoreError> {
    let found = sqlx::query_scalar("SELECT id FROM tenant WHERE canary").fetch_optional(tx.conn());
    found.await.map_err(StoreError::on("look for the canary"))
}

async fn make(tx: &mut PlatformTx, source: Source) -> Result<Uuid, StoreError> {
    // Until this transaction ends nobody else makes one.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('the canary'))")
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("lock the canary"))?;
    if let Some(id) = find(tx).await? {
        return Ok(id);
    }
    let id = source.uuid();
    sqlx::query(
        "INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, canary, created_at, updated_at)
         VALUES ($1, $2, 'Canary', 'canary', 'nobody@invalid', true, 'active', true, now(), now())",
    )
    .bind(id)
    .bind(Slug::canary(TenantId::from_uuid(id)).as_str())
    .execute(tx.conn())
    .await
    .map_err(StoreError::on("make the canary"))?;
    Ok(id)
}

async fn insert(tx: &mut impl Tx, statement: &'static str, id: Uuid) -> Result<(), StoreError> {
    let inserted = sqlx::query(statement).bind(id).execute(tx.conn()).await;
    inserted.map(drop).map_err(StoreError::on("give the canary its rows"))
}
