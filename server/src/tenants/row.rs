//! A tenant's row with its places, and the statements that read it.

use std::collections::BTreeMap;

use integraci_api::isolation::{
    KeycloakPlace, KubernetesPlace, NatsPlace, OpenBaoPlace, Place, PlaceState, System, TenantIsolation,
};
use integraci_api::tenants::{Tenant, TenantNames, TenantStatus};
use integraci_api::{OperationId, Slug, TenantId};
use serde::Deserialize;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

macro_rules! columns {
    () => {
        "id, slug, name, plan, owner_email, labels, delete_protection, suspended, payment_overdue, status, operation_id, revision, created_at, updated_at,
         coalesce((SELECT jsonb_agg(jsonb_build_object('system', s.system, 'cell', s.cell, 'state', s.state, 'facts', s.facts,
                                                       'drift', s.drift, 'checked_at', to_char(s.checked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')))
                   FROM tenant_system s WHERE s.tenant_id = tenant.id), '[]') AS places"
    };
}

/// One tenant by id.
pub(super) const SELECT: &str = concat!("SELECT ", columns!(), " FROM tenant WHERE id = $1 AND NOT canary");
/// The same, locked.
pub(super) const SELECT_FOR_UPDATE: &str =
    concat!("SELECT ", columns!(), " FROM tenant WHERE id = $1 AND NOT canary FOR NO KEY UPDATE");
/// A slice of the list; a filter that is null takes all.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tenant WHERE NOT canary AND ($1::text IS NULL OR slug = $1) AND ($2::text IS NULL OR plan = $2)
      AND ($3::boolean IS NULL OR suspended = $3) AND ($4::jsonb IS NULL OR labels @> $4)
      AND ($5::uuid IS NULL OR id > $5) ORDER BY id LIMIT $6"
);
/// Changes what is not null.
pub(super) const UPDATE: &str = concat!(
    "UPDATE tenant SET name = coalesce($2, name), plan = coalesce($3, plan), owner_email = coalesce($4, owner_email),
       labels = coalesce($5, labels), delete_protection = coalesce($6, delete_protection),
       spec_revision = spec_revision + CASE WHEN $7 <> suspended THEN 1 ELSE 0 END,
       suspended = coalesce($7, suspended), first_used_at = coalesce(first_used_at, $8), updated_at = $8,
       revision = revision + 1
     WHERE id = $1 RETURNING ",
    columns!()
);

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    slug: String,
    name: String,
    plan: String,
    owner_email: String,
    labels: Json<BTreeMap<String, String>>,
    delete_protection: bool,
    suspended: bool,
    payment_overdue: bool,
    status: String,
    operation_id: Option<Uuid>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    places: Json<Vec<PlaceRow>>,
}

#[derive(Deserialize)]
struct PlaceRow {
    system: System,
    cell: String,
    state: PlaceState,
    facts: BTreeMap<String, String>,
    drift: Vec<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    checked_at: Option<OffsetDateTime>,
}

impl Row {
    pub(super) fn into_tenant(self) -> Result<Tenant, Error> {
        let slug: Slug = self.slug.parse().map_err(|_| Error::Internal("a stored slug is not one"))?;
        let status = match self.status.as_str() {
            "creating" => TenantStatus::Creating,
            "active" => TenantStatus::Active,
            "deleting" => TenantStatus::Deleting,
            _ => return Err(Error::Internal("a stored tenant status is not one")),
        };
        Ok(Tenant {
            id: TenantId::from_uuid(self.id),
            names: TenantNames::of(&slug),
            slug,
            name: self.name,
            plan: self.plan,
            owner_email: self.owner_email,
            labels: self.labels.0,
            delete_protection: self.delete_protection,
            suspended: self.suspended,
            payment_overdue: self.payment_overdue,
            status,
            isolation: isolation(self.places.0, self.suspended || self.payment_overdue),
            operation_id: self.operation_id.map(OperationId::from_uuid),
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

fn isolation(rows: Vec<PlaceRow>, closed: bool) -> TenantIsolation {
    let mut rows: BTreeMap<System, PlaceRow> = rows.into_iter().map(|row| (row.system, row)).collect();
    let mut take = |system| rows.remove(&system).map_or_else(Default::default, PlaceRow::into_place);
    let (openbao, mut bao) = take(System::OpenBao);
    let (keycloak, mut realm) = take(System::Keycloak);
    let (nats, mut account) = take(System::Nats);
    let (kubernetes, mut namespace) = take(System::Kubernetes);
    // The rows are there as soon as the tenant is, and their policies do not change with it.
    let state = if closed { PlaceState::Suspended } else { PlaceState::Ready };
    TenantIsolation {
        postgres: Place { state, ..Place::default() },
        openbao: OpenBaoPlace {
            place: openbao,
            address: bao.remove("address"),
            namespace: bao.remove("namespace"),
        },
        keycloak: KeycloakPlace { place: keycloak, issuer_url: realm.remove("issuer_url") },
        nats: NatsPlace {
            place: nats,
            url: account.remove("url"),
            account: account.remove("account"),
            subject_prefix: account.remove("subject_prefix"),
        },
        kubernetes: KubernetesPlace {
            place: kubernetes,
            server: namespace.remove("server"),
            namespace: namespace.remove("namespace"),
        },
    }
}

impl PlaceRow {
    fn into_place(self) -> (Place, BTreeMap<String, String>) {
        let place = Place {
            state: self.state,
            cell: Some(self.cell),
            drift: self.drift,
            checked_at: self.checked_at,
        };
        (place, self.facts)
    }
}
