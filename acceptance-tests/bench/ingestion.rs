//! How many events a second are taken: through the API, known again and counted, beside the same rows copied into
//! a table without an index, where nothing is asked of them, and beside each inserted alone.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::runtime::block_on;
use acceptance_tests::{Server, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use local_platform::{Platform, Progress, System, Wanted};
use serde_json::json;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How many are sent and copied, and how many to a batch.
pub(crate) const EVENTS: usize = 200_000;
pub(crate) const BATCH: usize = 1_000;
/// How many batches are under way at a time.
pub(crate) const SENDERS: usize = 4;
/// How many are inserted alone: each is a transaction.
const SINGLE: usize = 10_000;
/// How many batches are sent before, for caches.
const WARM: usize = 10;

/// Events a second.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) api: f64,
    pub(crate) copied: f64,
    pub(crate) single: f64,
}

/// Starts what is needed, measures, and stops everything. The server is the one beside this program.
pub(crate) fn measure(scratch: &Path) -> Result<Figures> {
    let wanted = Wanted::of([System::Postgres, System::OpenBao]).throwaway();
    let platform =
        block_on(Platform::start(&scratch.join("platform-of-events"), &wanted, &Progress::stderr()))?;
    let figures = World::on(platform.endpoints(), "bench-events", false).and_then(|world| measure_on(&world));
    block_on(platform.stop());
    figures
}

fn measure_on(world: &World) -> Result<Figures> {
    let server = world.serve()?;
    let api = server.api()?;
    let tenant = api.tenant(&new_slug("events"))?;
    let limits = json!({ "limits": { "pipeline_runs_per_month": 10 * EVENTS } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &limits)?.expect(200)?;
    let at = OffsetDateTime::now_utc().format(&Rfc3339)?;
    send(&server, &tenant, &batches("warm", WARM * BATCH, &at))?;
    let sent = send(&server, &tenant, &batches("run", EVENTS, &at))?;
    let counted = world.count("usage_event WHERE id LIKE 'run-%'")?;
    ensure!(usize::try_from(counted)? == EVENTS, "{counted} were counted");
    Ok(Figures {
        api: rate(EVENTS, sent),
        copied: rate(EVENTS, copied(world, &at)?),
        single: rate(SINGLE, single(world, &at)?),
    })
}

/// So many events in bodies of requests, put together before the clock runs.
fn batches(name: &str, count: usize, at: &str) -> Vec<Vec<u8>> {
    let event = |n| json!({ "source": "ci.acme.example", "id": format!("{name}-{n:08}"), "type": "pipeline_run", "at": at });
    let batch = |first| json!({ "events": (first..first + BATCH).map(event).collect::<Vec<_>>() });
    (0..count).step_by(BATCH).map(|first| batch(first).to_string().into_bytes()).collect()
}

fn send(server: &Server, tenant: &str, batches: &[Vec<u8>]) -> Result<Duration> {
    let (api, path) = (server.api()?, format!("/v1/tenants/{tenant}/events"));
    let next = AtomicUsize::new(0);
    let send = || -> Result<()> {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            let request = api.request("POST", &path)?.header("content-type", "application/json");
            let answer = request.body(batch.clone()).send()?.expect(200)?;
            ensure!(answer.body["accepted"] == BATCH, "not all were taken: {}", answer.body);
        }
        Ok(())
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().unwrap_or_else(|_| anyhow::bail!("a sender panicked")))
    })?;
    Ok(began.elapsed())
}

/// The same rows, by one COPY.
fn copied(world: &World, at: &str) -> Result<Duration> {
    let mut rows = String::new();
    for n in 0..EVENTS {
        writeln!(
            rows,
            "00000000-0000-7000-8000-000000000001\tci.acme.example\trun-{n:08}\tpipeline_runs_per_month\t{at}"
        )?;
    }
    let mut connection = world.database()?;
    block_on(async {
        sqlx::raw_sql("CREATE TABLE bench_copied (LIKE usage_event)").execute(&mut connection).await?;
        let began = Instant::now();
        let mut copy = connection.copy_in_raw("COPY bench_copied FROM STDIN").await?;
        copy.send(rows.as_bytes()).await?;
        let copied = copy.finish().await?;
        ensure!(usize::try_from(copied)? == EVENTS, "{copied} were copied");
        Ok(began.elapsed())
    })
}

/// Rows like these one by one, by a statement each, known by the same key.
fn single(world: &World, at: &str) -> Result<Duration> {
    let mut connection = world.database()?;
    let at = OffsetDateTime::parse(at, &Rfc3339).context("a time")?;
    block_on(async {
        let table = AssertSqlSafe("CREATE TABLE bench_single (LIKE usage_event INCLUDING INDEXES)");
        sqlx::raw_sql(table).execute(&mut connection).await?;
        let began = Instant::now();
        for n in 0..SINGLE {
            sqlx::query(
                "INSERT INTO bench_single VALUES ($1, 'ci.acme.example', $2, 'pipeline_runs_per_month', $3)",
            )
            .bind(sqlx::types::Uuid::from_u128(1))
            .bind(format!("run-{n:08}"))
            .bind(at)
            .execute(&mut connection)
            .await?;
        }
        Ok(began.elapsed())
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}
