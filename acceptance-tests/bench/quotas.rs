//! What the check of a quota costs: the statement that installs a connector, with its places taken in the quota,
//! beside the same statement that takes none. Both in a transaction of their own, as the role that works for
//! tenants, one after the other in turn, so that whatever else the machine does is done to both.
//!
//! The statement is the server's own (`server/src/connectors/store.rs`), put together from the same files.

use std::path::Path;
use std::time::{Duration, Instant};

use acceptance_tests::World;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result, ensure};
use local_platform::{Platform, Progress, System, Wanted};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::types::Uuid;
use sqlx::{Acquire as _, ConnectOptions as _};

use crate::median;

/// How many of each are inserted.
const INSERTS: usize = 3_000;
/// How many before that, for caches and prepared statements.
const WARM: usize = 200;

const CHECKED: &str = concat!(
    "WITH wanted (tenant_id, dimension, n) AS (VALUES ($2::uuid, 'connectors', 1), ($2::uuid, 'secrets', $11::bigint)), ",
    include_str!("../../server/src/quotas/room.sql"),
    include_str!("../../server/src/connectors/insert.sql"),
);
/// How the statement ends that does its work only where there is room.
const IF_ROOM: &str = " FROM room WHERE for_all";

/// The median of each.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) checked: Duration,
    pub(crate) unchecked: Duration,
}

/// Starts what is needed, measures, and stops everything.
pub(crate) fn measure(scratch: &Path) -> Result<Figures> {
    let wanted = Wanted::of([System::Postgres, System::OpenBao]).throwaway();
    let platform =
        block_on(Platform::start(&scratch.join("platform-of-quotas"), &wanted, &Progress::stderr()))?;
    let figures = World::on(platform.endpoints(), "bench-quotas", false).and_then(|world| measure_on(&world));
    block_on(platform.stop());
    figures
}

fn measure_on(world: &World) -> Result<Figures> {
    let unchecked: &'static str = include_str!("../../server/src/connectors/insert.sql")
        .trim_end()
        .strip_suffix(IF_ROOM)
        .context("its end")?;
    let config = std::fs::read_to_string(world.dir().join("server.toml"))?;
    let url = config.lines().find_map(|line| line.strip_prefix("tenant_url = ")).context("a way in")?;
    let url: PgConnectOptions = url.trim_matches('"').parse()?;
    let mut admin = world.database()?;
    block_on(async {
        let tenant = tenant(&mut admin).await?;
        let mut connection = url.connect().await?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for n in 0..WARM + INSERTS {
            let took = [
                insert(&mut connection, CHECKED, tenant, n * 2).await?,
                insert(&mut connection, unchecked, tenant, n * 2 + 1).await?,
            ];
            if n >= WARM {
                with.push(took[0]);
                without.push(took[1]);
            }
        }
        let reserved: i64 = sqlx::query_scalar(
            "SELECT reserved FROM quota WHERE tenant_id = $1 AND dimension = 'connectors'",
        )
        .bind(tenant)
        .fetch_one(&mut admin)
        .await?;
        ensure!(usize::try_from(reserved)? == WARM + INSERTS, "one of them took the places: {reserved}");
        Ok(Figures { checked: median(with), unchecked: median(without) })
    })
}

/// A tenant with room for all of them.
async fn tenant(admin: &mut PgConnection) -> Result<Uuid> {
    let id = sqlx::query_scalar(
        "WITH made AS (
           INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, created_at, updated_at)
           VALUES (gen_random_uuid(), 'bench', 'Bench', 'team', 'it@acme.example', true, 'active', now(), now()) RETURNING id)
         , quotas AS (
           INSERT INTO quota (tenant_id, dimension, plan_max)
           SELECT id, dimension, 1000000 FROM made, unnest(ARRAY['connectors', 'secrets']) AS dimension)
         SELECT id FROM made",
    );
    Ok(id.fetch_one(admin).await?)
}

/// Inserts one, in a transaction that names its tenant, as the server's do.
async fn insert(
    connection: &mut PgConnection,
    statement: &'static str,
    tenant: Uuid,
    n: usize,
) -> Result<Duration> {
    let config = json!({ "url": "https://hooks.acme.example/integraci", "events": ["tenant.updated"] });
    let id = Uuid::from_u128(u128::try_from(n)? + 1);
    let began = Instant::now();
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut *tx)
        .await?;
    let inserted = sqlx::query(statement)
        .bind(id)
        .bind(tenant)
        .bind(format!("hook-{n}"))
        .bind("webhook")
        .bind(config)
        .bind("secret/connectors/bench")
        .bind(id)
        .bind(time::OffsetDateTime::now_utc())
        .bind("required")
        .bind(None::<i32>)
        .bind(1_i64)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    ensure!(inserted.rows_affected() == 1, "nothing was inserted");
    Ok(began.elapsed())
}
