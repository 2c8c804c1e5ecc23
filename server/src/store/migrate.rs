//! Brings a database to this build's schema: roles first, then the migrations, as the owner.
//!
//! Works on a direct connection (the migrator takes a session lock) as a role that may create roles.
//! Safe to repeat, and safe to run by two at once, also on two databases of one cluster, where the
//! roles are shared.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::{OWNER_ROLE, PLATFORM_ROLE, Store, StoreConfig, StoreError, TENANT_ROLE, connect_options, scram};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Roles are shared by a cluster's databases, and two writers of one catalogue row collide
/// ("tuple concurrently updated"); a few tries outlast any such neighbour.
const ROLE_TRIES: u32 = 20;

/// Why a database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database refused or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed; nothing of it is kept.
    #[error("a migration failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// Makes the roles where they are missing, sets the login roles' passwords to those of the URLs, and
/// runs the migrations that are missing.
///
/// # Errors
/// The database cannot be reached, `admin_url`'s role may not create roles, or a migration failed.
pub async fn migrate(admin_url: &SecretString, config: &StoreConfig) -> Result<(), MigrateError> {
    let mut admin = connect_options(admin_url, "integraci-migrate")?
        .connect()
        .await
        .map_err(StoreError::on("be reached by the migrator"))?;
    ensure_roles(&mut admin, config).await?;
    run(&mut admin, "take its schema", SCHEMA_SETUP).await?;
    run(&mut admin, "become the owner", "SET ROLE integraci_owner").await?;
    MIGRATIONS.run(&mut admin).await.map_err(MigrateError::Migration)?;
    admin.close().await.map_err(StoreError::on("end the migration"))?;
    Ok(())
}

/// Whether the database has exactly this build's migrations.
///
/// # Errors
/// The database cannot be reached.
pub async fn schema_is_current(store: &Store) -> Result<bool, StoreError> {
    let mut tx = store.platform_tx().await?;
    let applied = tx.conn().list_applied_migrations("_sqlx_migrations").await;
    let Ok(applied) = applied else { return Ok(false) };
    let wanted: Vec<_> =
        MIGRATIONS.iter().map(|migration| (migration.version, &migration.checksum)).collect();
    Ok(wanted.len() == applied.len()
        && wanted
            .iter()
            .zip(&applied)
            .all(|((version, sum), has)| *version == has.version && **sum == has.checksum))
}

const SCHEMA_SETUP: &str = "
DO $$ BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO integraci_tenant, integraci_platform', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO integraci_tenant, integraci_platform;
GRANT USAGE, CREATE ON SCHEMA public TO integraci_owner;
";

async fn ensure_roles(admin: &mut PgConnection, config: &StoreConfig) -> Result<(), StoreError> {
    for (role, login) in [
        (OWNER_ROLE, None),
        (TENANT_ROLE, Some(&config.tenant_url)),
        (PLATFORM_ROLE, Some(&config.platform_url)),
    ] {
        // A role whose password already works is left alone: other databases of the cluster use it too.
        if let Some(url) = login
            && login_works(url).await
        {
            continue;
        }
        let statement = role_statement(role, login)?;
        let mut tries = 0;
        while let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *admin).await {
            tries += 1;
            if tries == ROLE_TRIES || !is_neighbour(&error) {
                return Err(StoreError::new("make its roles", error));
            }
            tokio::time::sleep(Duration::from_millis(25 * u64::from(tries))).await;
        }
    }
    Ok(())
}

/// Whether a URL logs in. A database that cannot be reached is found out by the next statement.
async fn login_works(url: &SecretString) -> bool {
    let Ok(options) = connect_options(url, "integraci-migrate") else { return false };
    match options.connect().await {
        Ok(connection) => {
            let _ = connection.close().await;
            true
        }
        // 42501: logged in, but not yet allowed to connect to this database.
        Err(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code == "42501"),
        Err(_) => false,
    }
}

/// Makes the role where it is missing and takes from it all that goes round row-level security.
fn role_statement(role: &'static str, login: Option<&SecretString>) -> Result<String, StoreError> {
    let password = match login {
        None => "NOLOGIN".to_owned(),
        Some(url) => {
            let parsed = url::Url::parse(url.expose_secret()).map_err(|_| {
                StoreError::new("read its URL", sqlx::Error::Configuration("not a URL".into()))
            })?;
            let password = percent_encoding::percent_decode_str(parsed.password().unwrap_or_default())
                .decode_utf8_lossy();
            format!("LOGIN PASSWORD '{}'", scram::verifier(&password, rand::random()))
        }
    };
    Ok(format!(
        "DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION {password};
         DO $$ BEGIN GRANT {OWNER_ROLE} TO CURRENT_USER; EXCEPTION WHEN unique_violation THEN NULL; END $$;"
    ))
}

/// Whether an error comes of another session changing the same role at the same time.
fn is_neighbour(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error)
        if error.code().is_some_and(|code| code == "XX000" || code == "23505" || code == "40001"))
}

async fn run(admin: &mut PgConnection, operation: &'static str, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(admin).await.map(|_| ()).map_err(StoreError::on(operation))
}
