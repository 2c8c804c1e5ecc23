//! A tenant's row, and the statements that read it.

use std::collections::BTreeMap;

use integraci_api::tenants::{Tenant, TenantNames, TenantStatus};
use integraci_api::{Slug, TenantId};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

macro_rules! columns {
    () => {
        "id, slug, name, plan, owner_email, labels, delete_protection, suspended, status, revision, created_at, updated_at"
    };
}

/// One tenant by id.
pub(super) const SELECT: &str = concat!("SELECT ", columns!(), " FROM tenant WHERE id = $1");
/// The same, locked.
pub(super) const SELECT_FOR_UPDATE: &str =
    concat!("SELECT ", columns!(), " FROM tenant WHERE id = $1 FOR UPDATE");
/// A slice of the list; a filter that is null takes all.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tenant WHERE ($1::text IS NULL OR slug = $1) AND ($2::text IS NULL OR plan = $2)
      AND ($3::boolean IS NULL OR suspended = $3) AND ($4::jsonb IS NULL OR labels @> $4)
      AND ($5::uuid IS NULL OR id > $5) ORDER BY id LIMIT $6"
);
/// Changes what is not null.
pub(super) const UPDATE: &str = concat!(
    "UPDATE tenant SET name = coalesce($2, name), plan = coalesce($3, plan), owner_email = coalesce($4, owner_email),
       labels = coalesce($5, labels), delete_protection = coalesce($6, delete_protection),
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
    status: String,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
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
            status,
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
