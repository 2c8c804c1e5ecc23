//! `doctor`: looks at the configuration and at each system, and says what is wrong and how to mend it.

use crate::config::Config;
use crate::isolation::cells::MAIN_CELL;
use crate::isolation::openbao::Client;
use crate::serve::{ServeError, cells, stripe};
use crate::source::Source;
use crate::store::{Store, StoreError, schema_is_current};

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The system.
    pub system: &'static str,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// How to mend it; absent when it is as it should be.
    pub remedy: Option<String>,
}

impl Check {
    fn good(system: &'static str, what: &str, found: impl Into<String>) -> Self {
        Self { system, what: what.to_owned(), found: found.into(), remedy: None }
    }

    fn bad(system: &'static str, what: &str, found: impl Into<String>, remedy: &str) -> Self {
        Self { system, what: what.to_owned(), found: found.into(), remedy: Some(remedy.to_owned()) }
    }
}

/// Looks at everything that a configuration names.
pub async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    match Store::new(&config.store) {
        Ok(store) => {
            checks.extend(database(&store).await);
            store.close().await;
        }
        Err(error) => checks.push(Check::bad(
            "Postgres",
            "the URLs",
            error.to_string(),
            "correct database.tenant_url and database.platform_url",
        )),
    }
    let made = Client::new(&config.openbao.system)
        .map_err(ServeError::from)
        .and_then(|client| cells(config, &client, Source::real()));
    match made {
        Ok(cells) => {
            for cell in cells.all() {
                checks.extend(cell.system.check().await.into_iter().map(|finding| Check {
                    system: finding.system.title(),
                    what: if cell.name == MAIN_CELL {
                        finding.check.to_owned()
                    } else {
                        format!("{} ({})", finding.check, cell.name)
                    },
                    found: finding.found,
                    remedy: finding.remedy,
                }));
            }
        }
        Err(error) => checks.push(Check::bad(
            "configuration",
            "the systems' clients",
            error.to_string(),
            "correct the section of that system",
        )),
    }
    checks.extend(payment(config).await);
    checks
}

async fn payment(config: &Config) -> Option<Check> {
    let (system, what) = ("Stripe", "the key");
    Some(match stripe(config) {
        Ok(stripe) => match stripe?.check().await {
            Ok(()) => Check::good(system, what, "works"),
            Err(error) => {
                let remedy = "correct stripe.secret_key; while Stripe is away, what it is to be told waits";
                Check::bad(system, what, error.to_string(), remedy)
            }
        },
        Err(error) => Check::bad(system, what, error.to_string(), "give this machine CA certificates"),
    })
}

async fn database(store: &Store) -> Vec<Check> {
    let system = "Postgres";
    let mut checks = Vec::new();
    let nobody = integraci_api::TenantId::from_uuid(uuid::Uuid::nil());
    match store.tenant_tx(nobody).await {
        Ok(_) => checks.push(Check::good(system, "login as integraci_tenant", "works")),
        Err(error) => checks.push(Check::bad(system, "login as integraci_tenant", why(&error), LOGIN)),
    }
    if let Err(error) = store.platform_tx().await {
        checks.push(Check::bad(system, "login as integraci_platform", why(&error), LOGIN));
        return checks;
    }
    checks.push(Check::good(system, "login as integraci_platform", "works"));
    match schema_is_current(store).await {
        Ok(true) => checks.push(Check::good(system, "schema", "is this build's")),
        Ok(false) => {
            checks.push(Check::bad(
                system,
                "schema",
                "is not this build's",
                "run `integraci-server migrate` with this build",
            ));
            return checks;
        }
        Err(error) => {
            checks.push(Check::bad(system, "schema", why(&error), LOGIN));
            return checks;
        }
    }
    for (what, statement, remedy) in [
        (
            "operations that nobody takes up",
            UNTAKEN,
            "is a replica running, of the build that began them or a newer one?",
        ),
        (
            "row-level security",
            UNPROTECTED,
            "run `integraci-server migrate`; if it stays, somebody altered a table by hand",
        ),
        (
            "roles",
            ROLES,
            "ALTER ROLE … NOSUPERUSER NOBYPASSRLS: nothing holds such a role to a tenant's rows",
        ),
        (
            "tenants' places",
            DRIFTED,
            "see `isolation` of each at GET /v1/tenants/{id}: what differs is mended unless it says the same again",
        ),
        (
            "stuck operations",
            STUCK,
            "look at each with GET /v1/operations/{id}, mend its cause, then run `integraci-server operation resume ID`",
        ),
    ] {
        match listed(store, statement).await {
            Ok(found) if found.is_empty() => checks.push(Check::good(system, what, "as it should be")),
            Ok(found) => checks.push(Check::bad(system, what, found.join(", "), remedy)),
            Err(error) => checks.push(Check::bad(system, what, why(&error), LOGIN)),
        }
    }
    checks
}

const DRIFTED: &str = "SELECT t.slug || ': ' || s.system || ': ' || s.state FROM tenant_system s JOIN tenant t ON t.id = s.tenant_id
    WHERE s.state IN ('drifted', 'unknown') ORDER BY 1 LIMIT 20";
const LOGIN: &str =
    "is Postgres up, reachable from here, and are the passwords in the URLs those that `migrate` set?";
const UNPROTECTED: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)";
const ROLES: &str = "SELECT rolname::text FROM pg_roles WHERE rolname IN ('integraci_tenant', 'integraci_platform', 'integraci_owner')
    AND (rolsuper OR rolbypassrls)";
const UNTAKEN: &str = "SELECT 'op_' || replace(id::text, '-', '') FROM operation
    WHERE state IN ('running', 'undoing') AND lease_until < now() - interval '5 minutes' ORDER BY id LIMIT 20";
const STUCK: &str =
    "SELECT 'op_' || replace(id::text, '-', '') FROM operation WHERE state = 'stuck' ORDER BY id LIMIT 20";

async fn listed(store: &Store, statement: &'static str) -> Result<Vec<String>, StoreError> {
    let mut tx = store.platform_tx().await?;
    sqlx::query_scalar(statement).fetch_all(tx.conn()).await.map_err(StoreError::on("be examined"))
}

fn why(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(" ({source})")).unwrap_or_default();
    format!("{error}{source}")
}
