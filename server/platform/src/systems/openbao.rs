//! OpenBao: one raft node that unseals itself.
//!
//! Facts (OpenBao 2.7): the static seal reads its 32-byte key from a file, given in hexadecimal
//! here; `GET /v1/sys/health` answers 501 before initialisation and 200 when active; the first
//! election of a raft node waits for one to two heartbeats, which are a second each when
//! `performance_multiplier` is 1.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{Start, local_client};
use crate::data_dir::{file_write, random_secret};
use crate::endpoints::OpenBao;
use crate::error::At as _;
use crate::process::{Launch, Service};
use crate::{Endpoints, Error, System};

const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Names the seal key inside the stored data, so it stays as it is for as long as the directory.
const SEAL_KEY_ID: &str = "local-platform";
const ROOT_TOKEN: &str = "root-token";

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let [port, cluster_port] = start.dir.ports()?;
    let addr = format!("http://127.0.0.1:{port}");
    let config = configure(start, port, cluster_port)?;

    let mut service = Service::new();
    let process = service.start(Launch {
        system: System::OpenBao,
        name: "openbao",
        dir: start.dir.path(),
        program: &start.programs.join("bao"),
        args: vec!["server".into(), "-config".into(), config.into()],
        env: Vec::new(),
        run_as: None,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGKILL,
    })?;

    let bao = Api::new(&addr)?;
    process.wait_ready(READY_DEADLINE, || bao.answers()).await?;
    let root_token = match start.dir.secret_kept(ROOT_TOKEN)? {
        Some(kept) => kept,
        None if bao.health().await == Some(StatusCode::NOT_IMPLEMENTED) => {
            let made = bao.initialize().await?;
            start.dir.secret(ROOT_TOKEN, || made)?
        }
        None => {
            let dir = start.dir.path().to_owned();
            return Err(Error::Incomplete { dir, why: "it is initialised, but its root token is not here" });
        }
    };
    process.wait_ready(READY_DEADLINE, || bao.is_active()).await?;

    let openbao = Some(OpenBao { addr, root_token });
    Ok((service, Endpoints { openbao, ..Endpoints::default() }))
}

fn configure(start: &Start, port: u16, cluster_port: u16) -> Result<PathBuf, Error> {
    let raft = start.dir.join("raft");
    std::fs::create_dir_all(&raft).at("making the directory", &raft)?;
    start.dir.secret("seal-key", random_secret)?;
    let config = json!({
        "ui": false,
        "api_addr": format!("http://127.0.0.1:{port}"),
        "cluster_addr": format!("http://127.0.0.1:{cluster_port}"),
        "listener": { "tcp": {
            "address": format!("127.0.0.1:{port}"),
            "cluster_address": format!("127.0.0.1:{cluster_port}"),
            "tls_disable": true,
        } },
        "storage": { "raft": { "path": raft, "node_id": "local-platform", "performance_multiplier": 1 } },
        "seal": { "static": {
            "current_key_id": SEAL_KEY_ID,
            "current_key": format!("file://{}", start.dir.join("seal-key").display()),
        } },
    });
    let file = start.dir.join("config.json");
    file_write(&file, config.to_string().as_bytes())?;
    Ok(file)
}

/// The calls that it takes to get OpenBao going.
struct Api {
    http: reqwest::Client,
    addr: String,
}

impl Api {
    fn new(addr: &str) -> Result<Self, Error> {
        let http =
            local_client().build().map_err(|_| failed("making an HTTP client", "it cannot be built"))?;
        Ok(Self { http, addr: addr.to_owned() })
    }

    async fn answers(&self) -> bool {
        self.health().await.is_some()
    }

    async fn is_active(&self) -> bool {
        self.health().await == Some(StatusCode::OK)
    }

    async fn health(&self) -> Option<StatusCode> {
        let answer = self.http.get(format!("{}/v1/sys/health", self.addr)).send().await;
        answer.ok().map(|answer| answer.status())
    }

    async fn initialize(&self) -> Result<SecretString, Error> {
        #[derive(Deserialize)]
        struct Initialized {
            root_token: SecretString,
        }
        const OPERATION: &str = "PUT sys/init";

        // The recovery key is of no use here: the seal key opens it, and the root token is kept.
        let answer = self
            .http
            .put(format!("{}/v1/sys/init", self.addr))
            .json(&json!({ "recovery_shares": 1, "recovery_threshold": 1 }))
            .send()
            .await
            .map_err(|_| failed(OPERATION, "no answer"))?;
        if !answer.status().is_success() {
            return Err(failed(OPERATION, answer.status()));
        }
        let made: Initialized = answer.json().await.map_err(|_| failed(OPERATION, "an unexpected answer"))?;
        let root = made.root_token.expose_secret();
        if root.is_empty() {
            return Err(failed(OPERATION, "an empty root token"));
        }
        Ok(made.root_token)
    }
}

fn failed(operation: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Setup { system: System::OpenBao, operation, why: why.to_string() }
}
