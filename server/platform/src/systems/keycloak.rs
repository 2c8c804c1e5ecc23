//! Keycloak: a production start, optimised when it was put into the cache, on a database in a file.
//!
//! Facts (Keycloak 26): the bootstrap client is made on the first start only; `/realms/master`
//! answers 200 once it serves. Options are given by environment variables, which `kc.sh` does not
//! take apart as it does arguments.

use std::ffi::OsString;
use std::time::Duration;

use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;

use super::{Start, local_client};
use crate::cache::Jdk;
use crate::data_dir::random_secret;
use crate::endpoints::Keycloak;
use crate::error::At as _;
use crate::process::{Launch, Service};
use crate::{Endpoints, Error, System};

/// Eight seconds on an idle machine; CI machines are not idle.
const READY_DEADLINE: Duration = Duration::from_secs(180);
const CLIENT_ID: &str = "local-platform";

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let jdk = Jdk::find()?;
    let client_secret = start.dir.secret("client-secret", random_secret)?;
    let [port] = start.dir.ports()?;
    let url = format!("http://127.0.0.1:{port}");
    let temporary = start.dir.join("tmp");
    std::fs::create_dir_all(&temporary).at("making the directory", &temporary)?;

    // A trace file would tell of every statement that fails, and Keycloak tries some to learn what is there.
    let database = start.dir.join("database");
    let database = format!("jdbc:h2:file:{};NON_KEYWORDS=VALUE;TRACE_LEVEL_FILE=0", database.display());
    let java_options = format!(
        "-Djava.io.tmpdir='{}' -Dquarkus.transaction-manager.object-store.directory='{}'",
        temporary.display(),
        start.dir.join("transactions").display(), // otherwise beside the program, in the cache
    );
    let env: Vec<(&'static str, OsString)> = vec![
        ("JAVA_HOME", jdk.home.into()),
        // Realms take about a megabyte of heap each.
        ("JAVA_OPTS_KC_HEAP", "-Xms256m -Xmx768m".into()),
        ("JAVA_OPTS_APPEND", java_options.into()),
        ("KC_HTTP_ENABLED", "true".into()),
        ("KC_HTTP_HOST", "127.0.0.1".into()),
        ("KC_HTTP_PORT", port.to_string().into()),
        ("KC_HOSTNAME_STRICT", "false".into()),
        ("KC_CACHE", "local".into()),
        ("KC_DB_URL", database.into()),
        ("KC_BOOTSTRAP_ADMIN_CLIENT_ID", CLIENT_ID.into()),
        ("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", client_secret.expose_secret().into()),
    ];
    let mut service = Service::new();
    let process = service.start(Launch {
        system: System::Keycloak,
        name: "keycloak",
        dir: start.dir.path(),
        program: &start.programs.join("bin/kc.sh"),
        args: vec!["start".into(), "--optimized".into()],
        env,
        run_as: None,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGTERM, // closes the database; the Java runtime does not ignore it
    })?;

    let http = local_client().build().map_err(|_| Error::Setup {
        system: System::Keycloak,
        operation: "making an HTTP client",
        why: "it cannot be built".to_owned(),
    })?;
    let realm = format!("{url}/realms/master");
    process.wait_ready(READY_DEADLINE, || serves(&http, &realm)).await?;

    let keycloak = Some(Keycloak { url, client_id: CLIENT_ID.to_owned(), client_secret });
    Ok((service, Endpoints { keycloak, ..Endpoints::default() }))
}

async fn serves(http: &reqwest::Client, realm: &str) -> bool {
    http.get(realm).send().await.is_ok_and(|answer| answer.status().is_success())
}
