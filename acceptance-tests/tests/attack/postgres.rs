//! Postgres: every table of the catalogue, read and written as the role that works for tenants, at the
//! rows of another tenant. What the server never asks is asked here: no statement of it names another
//! tenant, and what holds then must hold whatever the statement says.

use acceptance_tests::World;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use crate::document::STATEMENT_DAY;
use crate::score::{Score, Seen};
use crate::target::Target;

/// Fewer, and the catalogue was not read.
const TABLES_MIN: usize = 9;
/// The role may not do it.
const NOT_ALLOWED: &str = "42501";
/// A foreign key stands in the way.
const REFERENCED: &str = "23503";

/// A table with rows of tenants.
struct Table {
    name: String,
    /// The column that says whose a row is.
    column: &'static str,
    /// The columns that are written, all but those that are computed, as a list.
    columns: String,
}

/// What is done to the rows of a tenant.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Select,
    Insert,
    Update,
    Delete,
    /// The caller's own rows are given to the other.
    Give,
}

const VERBS: [Verb; 5] = [Verb::Select, Verb::Insert, Verb::Update, Verb::Delete, Verb::Give];

/// Makes every attempt, each in a transaction that is not committed, and does the same as the owner.
pub(crate) fn attack(world: &World, attacker: &Target, suspended: &Target, victim: &Target) -> Result<Score> {
    block_on(async {
        let mut admin = world_url(world, "admin_url")?.connect().await?;
        let mut tenant = world_url(world, "tenant_url")?.connect().await?;
        let mut platform = world_url(world, "platform_url")?.connect().await?;
        let nobody = victim.nobody();
        let callers = [
            ("as another tenant", uuid(attacker)?),
            ("as a suspended tenant", uuid(suspended)?),
            ("as a tenant that never was", uuid(&victim.nobody())?),
            ("as nobody", String::new()),
        ];
        furnish(&mut admin, victim).await?;
        let mut score = Score::default();
        for table in tables(&mut admin).await? {
            let row = a_row(&mut admin, &table, victim).await?;
            for verb in VERBS {
                for (who, caller) in &callers {
                    let what = format!("{verb:?} {} {who}", table.name);
                    let mut ask = async |at: &Target| -> Result<Seen> {
                        let row = row.replace(&uuid(victim)?, &uuid(at)?);
                        Ok(seen(tried(&mut tenant, caller, &table.statement(verb, caller, at, &row)?).await?))
                    };
                    let there = ask(victim).await.with_context(|| what.clone())?;
                    score.attempt(&what, &there, &ask(&nobody).await?);
                }
                control(&mut tenant, [&mut platform, &mut admin], &table, verb, victim, &row).await?;
                score.control();
            }
        }
        Ok(score)
    })
}

fn uuid(target: &Target) -> Result<String> {
    let id = target.tenant().strip_prefix("ten_").filter(|id| id.len() == 32).context("an id")?;
    Ok([&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-"))
}

/// A way in from the servers' own configuration.
fn world_url(world: &World, name: &str) -> Result<PgConnectOptions> {
    let config = std::fs::read_to_string(world.dir().join("server.toml"))?;
    let line = config.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    Ok(line.with_context(|| format!("the configuration has {name}"))?.trim_matches('"').parse()?)
}

async fn tables(admin: &mut PgConnection) -> Result<Vec<Table>> {
    let rows = sqlx::query(
        "SELECT c.relname AS name, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS is_in_tenant,
                (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
    )
    .fetch_all(admin)
    .await?;
    let mut tables = Vec::new();
    for row in rows {
        let (name, is_in_tenant): (String, bool) = (row.try_get("name")?, row.try_get("is_in_tenant")?);
        let column = match (name.as_str(), is_in_tenant) {
            (_, true) => "tenant_id",
            ("tenant", _) => "id",
            // What no tenant has a part in: which migrations were run, and which events Stripe sent.
            _ => "",
        };
        tables.push(Table { name, column, columns: row.try_get("columns")? });
    }
    ensure!(tables.len() >= TABLES_MIN, "the catalogue has {} tables", tables.len());
    tables.retain(|table| !table.column.is_empty());
    Ok(tables)
}

/// Gives the victim rows where it has none for long: the slug of a tenant is retired when that is gone,
/// what is to be told of it is told at once, and its far side sends nothing.
async fn furnish(admin: &mut PgConnection, victim: &Target) -> Result<()> {
    let tenant = uuid(victim)?;
    let statement = format!(
        "INSERT INTO slug_retired VALUES ('{tenant}', '{tenant}', now());
         UPDATE tenant_system SET events_after = now() + interval '1 hour' WHERE tenant_id = '{tenant}';
         INSERT INTO event_outbox (id, tenant_id, kind, object_id, facts)
         VALUES (gen_random_uuid(), '{tenant}', 'tenant.updated', 'x', '{{}}');
         INSERT INTO inbound_count (tenant_id, connector_id, hour, kind, events)
         SELECT tenant_id, id, date_trunc('hour', now()), 'push', 1 FROM connector WHERE tenant_id = '{tenant}';
         INSERT INTO inbound_delivery (tenant_id, connector_id, delivery, received_at)
         SELECT tenant_id, id, 'x', now() FROM connector WHERE tenant_id = '{tenant}';
         INSERT INTO usage_event VALUES ('{tenant}', 'x', 'x', 'deploys_per_month', now());
         INSERT INTO usage_hour VALUES ('{tenant}', 'deploys_per_month', date_trunc('hour', now()), 1);
         INSERT INTO usage_month VALUES ('{tenant}', 'deploys_per_month', date_trunc('month', now()), 1);
         INSERT INTO webhook_outbox (event_id, connector_id, tenant_id, kind, object_id, facts, try_after)
         SELECT gen_random_uuid(), id, tenant_id, 'tenant.updated', 'x', '{{}}', now() + interval '1 hour'
         FROM connector WHERE tenant_id = '{tenant}';
         INSERT INTO billing_account (tenant_id) VALUES ('{tenant}') ON CONFLICT DO NOTHING;
         INSERT INTO statement (tenant_id, day, revision, made_at) VALUES ('{tenant}', '{STATEMENT_DAY}', 1, now());
         INSERT INTO meter_outbox (tenant_id, dimension, hour, n, event_name, quantity, state, try_after)
         VALUES ('{tenant}', 'deploys_per_month', '{STATEMENT_DAY}', 0, 'x', 1, 'delivered', now());"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await?;
    Ok(())
}

/// A row of the victim, as JSON.
async fn a_row(admin: &mut PgConnection, table: &Table, victim: &Target) -> Result<String> {
    let statement = format!(
        "SELECT to_jsonb(t)::text FROM {} t WHERE {} = '{}' LIMIT 1",
        table.name,
        table.column,
        uuid(victim)?
    );
    let row: Option<String> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_optional(admin).await?;
    row.with_context(|| format!("the victim has nothing in {}", table.name))
}

impl Table {
    fn statement(&self, verb: Verb, caller: &str, at: &Target, row: &str) -> Result<String> {
        let (name, column, columns, at) = (&self.name, self.column, &self.columns, uuid(at)?);
        let row = row.replace('\'', "''");
        Ok(match verb {
            Verb::Select => format!("SELECT FROM {name} WHERE {column} = '{at}'"),
            Verb::Insert => {
                format!(
                    "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
                     SELECT {columns} FROM jsonb_populate_record(NULL::{name}, '{row}')"
                )
            }
            Verb::Update => format!("UPDATE {name} SET {column} = {column} WHERE {column} = '{at}'"),
            Verb::Delete => format!("DELETE FROM {name} WHERE {column} = '{at}'"),
            Verb::Give => format!("UPDATE {name} SET {column} = '{at}' WHERE {column}::text = '{caller}'"),
        })
    }
}

/// What a statement did: to how many rows, or with which error.
type Tried = Result<u64, (String, String)>;

/// Runs a statement as a tenant, in a transaction that is not committed.
async fn tried(connection: &mut PgConnection, tenant: &str, statement: &str) -> Result<Tried> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let set = sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(tenant);
    set.execute(&mut *connection).await?;
    let done = run(connection, statement).await;
    sqlx::raw_sql("ROLLBACK").execute(connection).await?;
    done
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<Tried> {
    match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await {
        Ok(done) => Ok(Ok(done.rows_affected())),
        Err(sqlx::Error::Database(error)) => {
            let error =
                error.try_downcast::<PgDatabaseError>().map_err(|_| anyhow::anyhow!("not of Postgres"))?;
            Ok(Err((
                error.code().to_owned(),
                format!("{} ({})", error.message(), error.table().unwrap_or("-")),
            )))
        }
        Err(error) => Err(error.into()),
    }
}

fn seen(tried: Tried) -> Seen {
    match tried {
        Ok(rows) => Seen { is_granted: rows > 0, answer: format!("{rows} rows") },
        Err((code, message)) => Seen { is_granted: false, answer: format!("{code} {message}") },
    }
}

/// Does it as the tenant that the rows are of; as the platform where tenants may not do it at all; and as
/// the database's administrator where nobody else may.
async fn control(
    tenant: &mut PgConnection,
    others: [&mut PgConnection; 2],
    table: &Table,
    verb: Verb,
    victim: &Target,
    row: &str,
) -> Result<()> {
    let own = uuid(victim)?;
    let statement = table.statement(verb, &own, victim, row)?;
    let is_in_the_way = matches!(verb, Verb::Insert | Verb::Delete);
    if !is_in_the_way && matches!(tried(tenant, &own, &statement).await?, Ok(1..)) {
        return Ok(());
    }
    let mut done = Ok(0);
    for connection in others {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        done = match verb {
            Verb::Delete => removed(connection, table, &own).await?,
            // Room for it: there is one already.
            Verb::Insert => match removed(connection, table, &own).await? {
                Ok(_) => run(connection, &statement).await?,
                refused => refused,
            },
            _ => run(connection, &statement).await?,
        };
        sqlx::raw_sql("ROLLBACK").execute(connection).await?;
        if !matches!(&done, Err((code, _)) if code == NOT_ALLOWED) {
            break;
        }
    }
    ensure!(matches!(done, Ok(1..)), "its owner cannot {verb:?} {}: {done:?}", table.name);
    Ok(())
}

/// Removes a tenant's rows, after those that refer to them, and says how many there were.
async fn removed(platform: &mut PgConnection, table: &Table, own: &str) -> Result<Tried> {
    let mut chain = vec![(table.name.clone(), table.column)];
    let mut count = 0;
    while let Some((name, column)) = chain.last().cloned() {
        sqlx::raw_sql("SAVEPOINT before").execute(&mut *platform).await?;
        match run(platform, &format!("DELETE FROM {name} WHERE {column} = '{own}'")).await? {
            Ok(rows) => {
                chain.pop();
                count = rows;
            }
            Err((code, message)) if code == REFERENCED => {
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT before").execute(&mut *platform).await?;
                let by = message.rsplit_once('(').map(|(_, table)| table.trim_end_matches(')').to_owned());
                chain.push((by.context("the table that refers to it")?, "tenant_id"));
            }
            Err(refused) => return Ok(Err(refused)),
        }
    }
    Ok(Ok(count))
}
