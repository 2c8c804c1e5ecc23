//! The way to Postgres: two pools, and two handles that say what a piece of code may reach.
//!
//! [`TenantTx`] is a transaction on the tenant pool that names one tenant; row-level security shows
//! it that tenant's rows and no others. [`PlatformTx`] is a transaction of the platform's own work.
//! A function that takes a `TenantTx` cannot reach beyond the tenant, whatever its SQL says. No
//! connection is handed out in any other way. Knows nothing of HTTP or of what the rows mean.

mod changes;
mod migrate;
mod scram;

use std::time::Duration;

use integraci_api::TenantId;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

pub use changes::{Changes, Watch};
pub use migrate::{MigrateError, migrate, schema_is_current};

/// The login role whose policies know one tenant.
pub const TENANT_ROLE: &str = "integraci_tenant";
/// The login role of the platform's own work.
pub const PLATFORM_ROLE: &str = "integraci_platform";
/// The role that owns the tables. It logs in nowhere.
pub const OWNER_ROLE: &str = "integraci_owner";

/// How long a request waits for a connection: less than its own timeout, so that it can still say why.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest any statement may take; the longest of ours takes milliseconds.
const STATEMENT_TIMEOUT: &str = "15s";

/// A fault of the store. Its source is for the log; the text says only which operation it was.
#[derive(Debug, thiserror::Error)]
#[error("the database could not {operation}")]
pub struct StoreError {
    operation: &'static str,
    #[source]
    source: sqlx::Error,
}

impl StoreError {
    /// Wraps what sqlx said of an operation, named so that it completes "could not …".
    pub const fn new(operation: &'static str, source: sqlx::Error) -> Self {
        Self { operation, source }
    }

    /// A closure for `map_err`.
    pub fn on(operation: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::new(operation, source)
    }

    /// Whether the database could not be reached, had no connection free, or undid this in favour of another
    /// transaction that was in its way: worth another try.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match &self.source {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
            _ => false,
        }
    }

    /// Whether a value is one that Postgres does not take (class 22): another try ends the same way.
    #[must_use]
    pub fn is_of_data(&self) -> bool {
        matches!(&self.source, sqlx::Error::Database(error)
            if error.code().is_some_and(|code| code.starts_with("22")))
    }

    /// The name of the unique constraint that an insert ran into, if it was that.
    #[must_use]
    pub fn unique_violation(&self) -> Option<&str> {
        match &self.source {
            sqlx::Error::Database(error) if error.is_unique_violation() => error.constraint(),
            _ => None,
        }
    }
}

/// Whether what an SQLSTATE says passes by itself.
fn is_passing(code: &str) -> bool {
    // Class 57 is operator intervention (shutdown, crash), 53 insufficient resources, 08 connection; 40P01 is a
    // deadlock, and 40001 a transaction that cannot be put in order with the others.
    matches!(code, "40P01" | "40001") || ["57", "53", "08"].iter().any(|class| code.starts_with(class))
}

/// A transaction that sees one tenant's rows.
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

/// A transaction of the platform's own work.
pub struct PlatformTx {
    tx: Transaction<'static, Postgres>,
}

impl TenantTx {
    /// The tenant whose rows it sees.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What to run statements on.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Keeps what was done. Dropping it without this undoes everything.
    ///
    /// # Errors
    /// The database refused or went away.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::on("commit"))
    }
}

impl PlatformTx {
    /// What to run statements on.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Keeps what was done. Dropping it without this undoes everything.
    ///
    /// # Errors
    /// The database refused or went away.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::on("commit"))
    }
}

/// Either transaction, for what means the same in both (idempotency keys, operations). What it can
/// reach is still decided by the role behind it.
pub trait Tx: Send {
    /// What to run statements on.
    fn conn(&mut self) -> &mut PgConnection;
}

impl Tx for TenantTx {
    fn conn(&mut self) -> &mut PgConnection {
        Self::conn(self)
    }
}

impl Tx for PlatformTx {
    fn conn(&mut self) -> &mut PgConnection {
        Self::conn(self)
    }
}

/// Both pools.
#[derive(Clone)]
pub struct Store {
    tenant: PgPool,
    platform: PgPool,
}

/// Where the database is. The URLs carry passwords.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://integraci_tenant:…@host/db`.
    pub tenant_url: SecretString,
    /// `postgres://integraci_platform:…@host/db`.
    pub platform_url: SecretString,
    /// Most connections in each pool.
    pub max_connections: u32,
}

impl Store {
    /// Makes the pools; nothing is connected until it is needed.
    ///
    /// # Errors
    /// A URL is not one.
    pub fn new(config: &StoreConfig) -> Result<Self, StoreError> {
        let pool = |url: &SecretString, name: &'static str| {
            let options = connect_options(url, name)?;
            Ok(PgPoolOptions::new()
                .max_connections(config.max_connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_lazy_with(options))
        };
        Ok(Self {
            tenant: pool(&config.tenant_url, "integraci-tenant")?,
            platform: pool(&config.platform_url, "integraci-platform")?,
        })
    }

    /// Begins a transaction that sees this tenant's rows. Whether the tenant exists is not asked.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn tenant_tx(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        let mut tx = self.tenant.begin().await.map_err(StoreError::on("begin"))?;
        // SET LOCAL takes no parameters; set_config(…, true) is the same.
        sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
            .bind(tenant.uuid().to_string())
            .execute(&mut *tx)
            .await
            .map_err(StoreError::on("name the tenant"))?;
        Ok(TenantTx { tx, tenant })
    }

    /// Begins a transaction of the platform's own work.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn platform_tx(&self) -> Result<PlatformTx, StoreError> {
        let tx = self.platform.begin().await.map_err(StoreError::on("begin"))?;
        Ok(PlatformTx { tx })
    }

    /// The pool that [`Changes`] listens on.
    pub(crate) const fn platform_pool(&self) -> &PgPool {
        &self.platform
    }

    /// Closes both pools once what is under way has ended.
    pub async fn close(&self) {
        self.tenant.close().await;
        self.platform.close().await;
    }
}

pub(crate) fn connect_options(
    url: &SecretString,
    application: &'static str,
) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(StoreError::on("read its URL"))?;
    Ok(options.application_name(application).options([("statement_timeout", STATEMENT_TIMEOUT)]))
}
