//! The CNCF distribution registry: images in files, users in a htpasswd file, plain HTTP.
//!
//! Facts (distribution 3.1): only bcrypt hashes are taken; the file of the users is read again when it
//! has changed, and of a user's lines the last counts; `GET /v2/` answers 401 with a `Basic` challenge;
//! traces go to an OTLP collector on this machine unless they are switched off.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Start, local_client};
use crate::data_dir::{file_write, random_secret};
use crate::endpoints::Registry;
use crate::error::At as _;
use crate::process::{Launch, Service};
use crate::{Endpoints, Error, System};

const READY_DEADLINE: Duration = Duration::from_secs(60);
const ADMIN: &str = "admin";
/// The least there is: passwords here are random, and the file is nobody else's.
const BCRYPT_COST: u32 = 4;

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let [port] = start.dir.ports()?;
    let url = format!("http://127.0.0.1:{port}");
    let htpasswd = start.dir.join("htpasswd");
    let registry = Registry {
        url,
        username: ADMIN.to_owned(),
        password: start.dir.secret("admin-password", random_secret)?,
        htpasswd,
    };
    if !registry.htpasswd.exists() {
        file_write(&registry.htpasswd, line(ADMIN, &registry.password)?.as_bytes())?;
    }
    // JSON is YAML as well.
    let config = json!({
        "version": "0.1",
        "log": { "level": "warn" },
        "storage": {
            "filesystem": { "rootdirectory": start.dir.join("images") },
            "delete": { "enabled": true },
        },
        "auth": { "htpasswd": { "realm": "local-platform", "path": registry.htpasswd } },
        "http": {
            "addr": format!("127.0.0.1:{port}"),
            // Signs what an upload goes on with, also after a restart.
            "secret": start.dir.secret("upload-secret", random_secret)?.expose_secret(),
        },
    });
    let config_file = start.dir.join("config.json");
    file_write(&config_file, config.to_string().as_bytes())?;

    let mut service = Service::new();
    let process = service.start(Launch {
        system: System::Registry,
        name: "registry",
        dir: start.dir.path(),
        program: &start.programs.join("registry"),
        args: vec!["serve".into(), config_file.into()],
        env: vec![("OTEL_TRACES_EXPORTER", "none".into())],
        run_as: None,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGKILL,
    })?;
    let http = local_client().build().map_err(|_| failed("making an HTTP client", "it cannot be built"))?;
    let base = format!("{}/v2/", registry.url);
    process.wait_ready(READY_DEADLINE, || asks_for_a_login(&http, &base)).await?;

    Ok((service, Endpoints { registry: Some(registry), ..Endpoints::default() }))
}

async fn asks_for_a_login(http: &reqwest::Client, base: &str) -> bool {
    http.get(base).send().await.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED)
}

impl Registry {
    /// Lets a user in with this password, and no longer with an earlier one. The registry knows at once.
    ///
    /// # Errors
    /// When the name or the password cannot be one (72 bytes are the most), or the file of the users
    /// cannot be written.
    pub fn user_set(&self, name: &str, password: &SecretString) -> Result<(), Error> {
        let line = line(name, password)?;
        // One write at the end of the file: others may add users at the same time.
        let append = |path: &Path| File::options().append(true).open(path)?.write_all(line.as_bytes());
        append(&self.htpasswd).at("adding a user to", &self.htpasswd)
    }
}

/// A user as the file has it.
fn line(name: &str, password: &SecretString) -> Result<String, Error> {
    const OPERATION: &str = "adding a user";
    if name.is_empty() || name.contains([':', '\n', '#']) {
        return Err(failed(OPERATION, "its name cannot be one"));
    }
    let hash = bcrypt::non_truncating_hash(password.expose_secret(), BCRYPT_COST)
        .map_err(|_| failed(OPERATION, "its password is longer than 72 bytes, or has a zero byte"))?;
    Ok(format!("{name}:{hash}\n"))
}

fn failed(operation: &'static str, why: &str) -> Error {
    Error::Setup { system: System::Registry, operation, why: why.to_owned() }
}
