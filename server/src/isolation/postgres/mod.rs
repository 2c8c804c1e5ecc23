//! Postgres: a tenant's rows, in tables that it shares with every other tenant.
//!
//! What keeps them apart is row-level security, with FORCE: the tenants' role sees the rows of the
//! tenant that the transaction names, whatever the statement says (see `store`). There is nothing to
//! make for a tenant, and nothing to close: the policies are the migrations', and the same for all.
//!
//! Facts (Postgres 16, "Row Security Policies", and seen): a policy's WITH CHECK is evaluated before
//! the constraints of the table, so a row that holds nothing but its owner tells whether the policy
//! lets it past (refused with 42501) or not (stopped by a constraint, class 23); an UPDATE that a
//! policy refuses is refused before it waits for a lock.

mod catalogue;
mod probe;

use std::time::Duration;

use async_trait::async_trait;
use integraci_api::CredentialId;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Wanted};
use crate::store::{PlatformTx, Store};

/// Tables whose rows outlast the tenant on purpose: what was done, and which slugs are used up.
const OUTLASTING: &[&str] = &["operation", "operation_step", "slug_retired"];

/// The tenants' rows in the database of the store.
#[derive(Clone)]
pub struct Postgres {
    store: Store,
}

impl Postgres {
    /// The rows in this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn platform(&self, operation: &'static str) -> Result<PlatformTx, SystemError> {
        self.store.platform_tx().await.map_err(|_| unanswered(operation))
    }

    async fn differences(&self, operation: &'static str) -> Result<Vec<&'static str>, SystemError> {
        let mut tx = self.platform(operation).await?;
        catalogue::differences(tx.conn()).await.map_err(|_| unanswered(operation))
    }
}

#[async_trait]
impl Isolation for Postgres {
    fn system(&self) -> System {
        System::Postgres
    }

    /// Looks only: the server may not alter policies, so that whoever takes it over may not either.
    async fn ensure(&self, _wanted: &Wanted) -> Result<Facts, SystemError> {
        const OPERATION: &str = "policies_read";
        if self.differences(OPERATION).await?.is_empty() {
            return Ok(Facts::new());
        }
        Err(error(
            OPERATION,
            ErrorClass::Refused,
            "row-level security is not as the migrations made it; see doctor, and put it back as the owner",
        ))
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        let tenant = &wanted.names;
        const OPERATION: &str = "rows_delete";
        let mut tx = self.platform(OPERATION).await?;
        remove(tx.conn(), tenant).await.map_err(|_| unanswered(OPERATION))?;
        tx.commit().await.map_err(|_| unanswered(OPERATION))
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        let tenant = &wanted.names;
        const OPERATION: &str = "rows_count";
        let mut tx = self.platform(OPERATION).await?;
        counted(tx.conn(), tenant).await.map_err(|_| unanswered(OPERATION))
    }

    async fn drift(&self, _wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        Ok(self.differences("policies_read").await?.into_iter().map(Drift).collect())
    }

    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        probe::attest(&self.store, own.tenant, canary.tenant).await
    }

    async fn credentials_issue(
        &self,
        _tenant: &Wanted,
        _credential: CredentialId,
        _ttl: Duration,
    ) -> Result<Issued, SystemError> {
        Err(error(
            "credentials_issue",
            ErrorClass::Refused,
            "nobody but the platform works in the database, so there are no credentials for it",
        ))
    }

    async fn credentials_renew(
        &self,
        _tenant: &TenantNames,
        _credential: CredentialId,
        _handle: Option<&str>,
        _ttl: Duration,
    ) -> Result<(), SystemError> {
        Err(error("credentials_renew", ErrorClass::Gone, "there are no credentials for the database"))
    }

    async fn credentials_revoke(
        &self,
        _tenant: &TenantNames,
        _credential: CredentialId,
        _handle: Option<&str>,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        let (found, remedy) = match self.differences("policies_read").await {
            Ok(differences) if differences.is_empty() => ("as the migrations made them".to_owned(), None),
            Ok(differences) => (differences.join("; "), Some("put them back as the owner of the tables")),
            Err(failed) => (failed.to_string(), Some("is Postgres up, and reachable from here?")),
        };
        let remedy = remedy.map(str::to_owned);
        vec![Finding { system: System::Postgres, check: "policies", found, remedy }]
    }
}

/// The ids that a tenant of these names has, or had: its own record may be gone already.
async fn ids(on: &mut PgConnection, tenant: &TenantNames) -> Result<Vec<Uuid>, sqlx::Error> {
    // The prefix is `tenant.<slug>` (`TenantNames::of`).
    let slug = tenant.nats_subject_prefix.split_once('.').map_or("", |(_, slug)| slug);
    sqlx::query_scalar(
        "SELECT id FROM tenant WHERE slug = $1 UNION SELECT tenant_id FROM slug_retired WHERE slug = $1
         UNION SELECT tenant_id FROM operation WHERE input ->> 'slug' = $1",
    )
    .bind(slug)
    .fetch_all(on)
    .await
}

async fn remove(on: &mut PgConnection, tenant: &TenantNames) -> Result<(), sqlx::Error> {
    let ids = ids(on, tenant).await?;
    let mut tables = catalogue::tables(on).await?;
    // The record last: others hang on it.
    tables.sort_by_key(|table| table.name == "tenant");
    for table in tables.iter().filter(|table| !OUTLASTING.contains(&table.name.as_str())) {
        if table.platform_may_delete {
            let statement = format!("DELETE FROM {} WHERE {} = ANY($1)", table.name, table.owner);
            sqlx::query(AssertSqlSafe(statement)).bind(&ids).execute(&mut *on).await?;
        }
    }
    Ok(())
}

async fn counted(on: &mut PgConnection, tenant: &TenantNames) -> Result<Vec<Remnant>, sqlx::Error> {
    let ids = ids(on, tenant).await?;
    let mut remnants = Vec::new();
    for table in catalogue::tables(on).await? {
        if OUTLASTING.contains(&table.name.as_str()) {
            continue;
        }
        let statement = format!("SELECT count(*) FROM {} WHERE {} = ANY($1)", table.name, table.owner);
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).bind(&ids).fetch_one(&mut *on).await?;
        if rows > 0 {
            remnants.push(Remnant { class: "rows", name: format!("{}: {rows}", table.name) });
        }
    }
    Ok(remnants)
}

const fn unanswered(operation: &'static str) -> SystemError {
    error(operation, ErrorClass::Broken, "the database did not answer, or refused")
}

const fn error(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::Postgres, operation, class, reason, status: None }
}
