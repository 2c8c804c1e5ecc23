//! Postgres.

use local_platform::{Error, Platform, Progress, System, Wanted};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};

use crate::{started, stopped};

async fn connect(platform: &Platform) -> PgConnection {
    let url = platform.endpoints().postgres().unwrap().superuser_url.expose_secret();
    PgConnection::connect(url).await.unwrap()
}

#[tokio::test]
async fn rows_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();

    let platform = started(dir.path(), System::Postgres).await;
    let mut sql = connect(&platform).await;
    sqlx::query("CREATE TABLE kept (n int)").execute(&mut sql).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (42)").execute(&mut sql).await.unwrap();
    let durable: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut sql).await.unwrap();
    assert_eq!(durable, "on");
    // The connection is left open: a stop does not wait for sessions.
    stopped(platform).await;

    let platform = started(dir.path(), System::Postgres).await;
    let mut sql = connect(&platform).await;
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut sql).await.unwrap();
    assert_eq!(kept, 42);
    stopped(platform).await;
}

#[tokio::test]
async fn a_password_is_required() {
    let dir = tempfile::tempdir().unwrap();
    let platform = started(dir.path(), System::Postgres).await;
    let url = platform.endpoints().postgres().unwrap().superuser_url.expose_secret();
    let (_, address) = url.rsplit_once('@').unwrap();
    let refused = PgConnection::connect(&format!("postgres://postgres:wrong@{address}")).await;
    assert!(refused.unwrap_err().to_string().contains("password authentication failed"));
    drop(platform); // stops it as well
}

#[tokio::test]
async fn a_directory_runs_one_platform_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let platform = started(dir.path(), System::Postgres).await;
    let wanted = Wanted::of([System::Postgres]);
    let second = Platform::start(dir.path(), &wanted, &Progress::silent()).await;
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    stopped(platform).await;
}

#[tokio::test]
async fn data_that_it_cannot_read_is_said_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let platform = started(dir.path(), System::Postgres).await;
    stopped(platform).await;
    std::fs::write(dir.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let wanted = Wanted::of([System::Postgres]);
    let error = Platform::start(dir.path(), &wanted, &Progress::silent()).await.unwrap_err();
    assert!(error.to_string().contains("database files are incompatible"), "{error}");
}
