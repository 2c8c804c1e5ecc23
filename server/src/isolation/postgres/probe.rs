//! The attempts on another tenant's rows, and the controls beside them.
//!
//! Each is one statement, tried on every table that the catalogue knows, as the tenants' role and in
//! the name of the tenant (a [`TenantTx`] has no other way). Everything is rolled back.

use integraci_api::TenantId;
use integraci_api::attestations::{Check, CheckKind};
use sqlx::{AssertSqlSafe, Connection as _};
use time::OffsetDateTime;

use super::catalogue::{self, Table};
use crate::isolation::System;
use crate::store::{Store, StoreError, TenantTx};

/// What a statement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was carried out, on so many rows.
    Rows(u64),
    /// A policy or a missing privilege was in its way (42501).
    Refused,
    /// It got past both; a constraint of the table stopped it (class 23).
    Stopped,
    /// It could not be tried.
    Untried,
}

/// What to try on a table.
struct Probe {
    name: &'static str,
    kind: CheckKind,
    attempted: &'static str,
    expected: &'static str,
    /// The tables that it is for.
    on: fn(&Table) -> bool,
    statement: fn(&Table) -> String,
    /// In whose name.
    by: Who,
    /// Whose id the statement is given.
    about: Who,
    is_right: fn(Outcome) -> bool,
    when_right: &'static str,
    when_wrong: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Tenant,
    Canary,
}

/// Nothing of another's was reached.
const fn is_out_of_reach(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused | Outcome::Rows(0))
}

const fn is_refused(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused)
}

const fn reaches_rows(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Rows(1..))
}

const fn is_let_past(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Rows(_) | Outcome::Stopped)
}

const fn every(_: &Table) -> bool {
    true
}

fn read(table: &Table) -> String {
    format!("SELECT 1 FROM {} WHERE {} = $1 LIMIT 1", table.name, table.owner)
}

fn insert(table: &Table) -> String {
    format!("INSERT INTO {} ({}) VALUES ($1)", table.name, table.owner)
}

/// Into rows of the one who asks: of another's, this is to take them; of its own, to leave them.
fn update(table: &Table) -> String {
    let own = "current_setting('app.tenant_id')::uuid";
    format!("UPDATE {0} SET {1} = {own} WHERE {1} = $1", table.name, table.owner)
}

fn delete(table: &Table) -> String {
    format!("DELETE FROM {} WHERE {} = $1", table.name, table.owner)
}

fn give(table: &Table) -> String {
    format!("UPDATE {} SET {} = $1", table.name, table.owner)
}

const PROBES: &[Probe] = &[
    Probe {
        name: "read_rows_of_another_tenant",
        kind: CheckKind::Attempt,
        attempted: "read the canary's rows in every table",
        expected: "no row is seen",
        on: every,
        statement: read,
        by: Who::Tenant,
        about: Who::Canary,
        is_right: is_out_of_reach,
        when_right: "no row was seen",
        when_wrong: "rows of another tenant can be read",
    },
    Probe {
        name: "insert_rows_as_another_tenant",
        kind: CheckKind::Attempt,
        attempted: "insert a row in the canary's name into every table",
        expected: "each is refused",
        on: every,
        statement: insert,
        by: Who::Tenant,
        about: Who::Canary,
        is_right: is_refused,
        when_right: "each was refused",
        when_wrong: "rows can be inserted in another tenant's name",
    },
    Probe {
        name: "update_rows_of_another_tenant",
        kind: CheckKind::Attempt,
        attempted: "change the canary's rows in every table into its own",
        expected: "no row is changed",
        on: every,
        statement: update,
        by: Who::Tenant,
        about: Who::Canary,
        is_right: is_out_of_reach,
        when_right: "no row was changed",
        when_wrong: "rows of another tenant can be changed",
    },
    Probe {
        name: "delete_rows_of_another_tenant",
        kind: CheckKind::Attempt,
        attempted: "delete the canary's rows from every table",
        expected: "no row is deleted",
        on: every,
        statement: delete,
        by: Who::Tenant,
        about: Who::Canary,
        is_right: is_out_of_reach,
        when_right: "no row was deleted",
        when_wrong: "rows of another tenant can be deleted",
    },
    Probe {
        name: "give_rows_to_another_tenant",
        kind: CheckKind::Attempt,
        attempted: "make its own rows in every table the canary's",
        expected: "no row is given away",
        on: every,
        statement: give,
        by: Who::Tenant,
        about: Who::Canary,
        is_right: is_out_of_reach,
        when_right: "no row was given away",
        when_wrong: "rows can be given to another tenant",
    },
    Probe {
        name: "read_own_rows",
        kind: CheckKind::Control,
        attempted: "read its own record",
        expected: "it is seen",
        on: |table| table.name == "tenant",
        statement: read,
        by: Who::Tenant,
        about: Who::Tenant,
        is_right: reaches_rows,
        when_right: "it was seen",
        when_wrong: "the tenant cannot read its own rows",
    },
    Probe {
        name: "insert_own_rows",
        kind: CheckKind::Control,
        attempted: "insert an incomplete row of its own into every table that it may add to",
        expected: "the policy lets it past, and the table's own constraints stop it",
        on: |table| table.may_insert,
        statement: insert,
        by: Who::Tenant,
        about: Who::Tenant,
        is_right: is_let_past,
        when_right: "each was let past",
        when_wrong: "the tenant cannot insert rows of its own",
    },
    Probe {
        name: "canary_reads_its_rows",
        kind: CheckKind::Control,
        attempted: "read the canary's rows, as the canary, in every table that tenants may read",
        expected: "there is one in each, so that the attempts had something to find",
        on: |table| table.may_read,
        statement: read,
        by: Who::Canary,
        about: Who::Canary,
        is_right: reaches_rows,
        when_right: "there was one in each",
        when_wrong: "the canary sees no row of its own",
    },
    Probe {
        name: "canary_updates_its_rows",
        kind: CheckKind::Control,
        attempted: "change the canary's rows, as the canary, in every table that tenants may change",
        expected: "they are changed (and changed back)",
        on: |table| table.may_update,
        statement: update,
        by: Who::Canary,
        about: Who::Canary,
        is_right: reaches_rows,
        when_right: "they were changed",
        when_wrong: "the canary cannot change rows of its own",
    },
];

/// The check that needs no attempt.
const CATALOGUE: &str = "find_a_way_round_the_policies";

pub(super) async fn attest(store: &Store, tenant: TenantId, canary: TenantId) -> Vec<Check> {
    let known = async {
        let mut tx = store.platform_tx().await?;
        let on = StoreError::on("read its catalogue");
        let tables = catalogue::tables(tx.conn()).await.map_err(on)?;
        let on = StoreError::on("read its policies");
        Ok::<_, StoreError>((tables, catalogue::differences(tx.conn()).await.map_err(on)?))
    };
    let (tables, differences) = match known.await {
        Ok((tables, differences)) => (tables, Some(differences)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database could not be attested");
            (Vec::new(), None)
        }
    };
    let mut checks = Vec::new();
    for probe in PROBES {
        checks.push(probe.run(store, &tables, tenant, canary).await);
    }
    checks.push(way_round(differences));
    checks
}

fn way_round(differences: Option<Vec<&'static str>>) -> Check {
    let (passed, observed) = match differences {
        Some(found) if found.is_empty() => (true, "there is none".to_owned()),
        Some(found) => (false, found.join("; ")),
        None => (false, UNANSWERED.to_owned()),
    };
    let (attempted, expected) = (
        "find a table without forced row-level security, an open policy, or a view, a function or a role that \
         policies do not bind",
        "there is none",
    );
    check(CATALOGUE, CheckKind::Attempt, attempted, expected, observed, passed)
}

const UNANSWERED: &str = "the database did not answer";

impl Probe {
    async fn run(&self, store: &Store, tables: &[Table], tenant: TenantId, canary: TenantId) -> Check {
        let id = |who| if who == Who::Tenant { tenant } else { canary };
        let tables: Vec<_> = tables.iter().filter(|table| (self.on)(table)).collect();
        let (mut wrong, mut untried) = (Vec::new(), Vec::new());
        match store.tenant_tx(id(self.by)).await {
            Ok(mut tx) => {
                for table in &tables {
                    match tried(&mut tx, (self.statement)(table), id(self.about)).await {
                        Outcome::Untried => untried.push(table.name.as_str()),
                        outcome if (self.is_right)(outcome) => {}
                        _ => wrong.push(table.name.as_str()),
                    }
                }
            }
            Err(_) => untried.extend(tables.iter().map(|table| table.name.as_str())),
        }
        let observed = match (tables.len(), wrong.is_empty(), untried.is_empty()) {
            (0, ..) => UNANSWERED.to_owned(),
            (count, true, true) => format!("{} (tables: {count})", self.when_right),
            (_, false, _) => format!("{}: {}", self.when_wrong, wrong.join(", ")),
            (_, true, false) => format!("it could not be tried in: {}", untried.join(", ")),
        };
        let passed = !tables.is_empty() && wrong.is_empty() && untried.is_empty();
        check(self.name, self.kind, self.attempted, self.expected, observed, passed)
    }
}

/// Tries a statement and takes it back.
async fn tried(tx: &mut TenantTx, statement: String, about: TenantId) -> Outcome {
    // A transaction inside another is a savepoint: what fails spoils no more than itself.
    let Ok(mut savepoint) = tx.conn().begin().await else { return Outcome::Untried };
    let done = sqlx::query(AssertSqlSafe(statement)).bind(about.uuid()).execute(&mut *savepoint).await;
    if savepoint.rollback().await.is_err() {
        return Outcome::Untried;
    }
    match done {
        Ok(done) => Outcome::Rows(done.rows_affected()),
        Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
            Some("42501") => Outcome::Refused,
            Some(code) if code.starts_with("23") => Outcome::Stopped,
            _ => Outcome::Untried,
        },
        Err(_) => Outcome::Untried,
    }
}

fn check(
    name: &str,
    kind: CheckKind,
    attempted: &str,
    expected: &str,
    observed: String,
    passed: bool,
) -> Check {
    Check {
        system: System::Postgres,
        check: name.to_owned(),
        kind,
        attempted: attempted.to_owned(),
        expected: expected.to_owned(),
        observed,
        passed,
        at: OffsetDateTime::now_utc(),
    }
}
