//! NATS in operator mode: accounts are JWTs that the operator's signing key signs, pushed to a full
//! resolver over the system account. `JetStream` is on.
//!
//! Facts: the claims are those of nats-io/jwt v2; the server (2.15) checks signatures, subjects and
//! issuers, and takes `jti` as it comes. It greets every connection with a line `INFO {…}`.

mod claims;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nkeys::{KeyPair, KeyPairType};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Start;
use crate::data_dir::{SystemDir, file_write};
use crate::endpoints::Nats;
use crate::process::{Launch, Service};
use crate::{Endpoints, Error, System};

const READY_DEADLINE: Duration = Duration::from_secs(60);
/// What streams in memory may take together, so that a test gone wild does not fill it.
const JETSTREAM_MEMORY_BYTES: u64 = 256 << 20;
/// What accounts may be promised together of the disk. JetStream counts what each may use, not what it
/// does, and is off for an account that goes beyond it: enough for some thousand tenants.
const JETSTREAM_DISK_BYTES: u64 = 1 << 40;

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let [port] = start.dir.ports()?;
    let keys = Keys::of(&start.dir)?;
    let (config, mut nats) = configure(start, &keys, port)?;

    let mut service = Service::new();
    let process = service.start(Launch {
        system: System::Nats,
        name: "nats",
        dir: start.dir.path(),
        program: &start.programs.join("nats-server"),
        args: vec!["--config".into(), config.into()],
        env: Vec::new(),
        run_as: None,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGKILL,
    })?;
    process.wait_ready(READY_DEADLINE, || greets(port)).await?;

    nats.url = format!("nats://127.0.0.1:{port}");
    Ok((service, Endpoints { nats: Some(nats), ..Endpoints::default() }))
}

/// The keys of the operator and of its system account. Made once: whatever they have signed is
/// worth as much as they are.
struct Keys {
    operator: KeyPair,
    operator_signing: KeyPair,
    operator_signing_seed: SecretString,
    system_account: KeyPair,
    system_user: KeyPair,
    system_user_seed: SecretString,
}

impl Keys {
    fn of(dir: &SystemDir) -> Result<Self, Error> {
        let key = |name: &str, kind: KeyPairType| {
            let seed = dir.secret(name, || {
                // A key pair that was just made holds its seed.
                KeyPair::new(kind).seed().unwrap_or_default().into()
            })?;
            let pair = KeyPair::from_seed(seed.expose_secret()).map_err(|_| Error::Incomplete {
                dir: dir.path().to_owned(),
                why: "the seed of a key is not one",
            })?;
            Ok::<_, Error>((pair, seed))
        };
        let (operator, _) = key("operator-seed", KeyPairType::Operator)?;
        let (operator_signing, operator_signing_seed) = key("operator-signing-seed", KeyPairType::Operator)?;
        let (system_account, _) = key("system-account-seed", KeyPairType::Account)?;
        let (system_user, system_user_seed) = key("system-user-seed", KeyPairType::User)?;
        Ok(Self {
            operator,
            operator_signing,
            operator_signing_seed,
            system_account,
            system_user,
            system_user_seed,
        })
    }
}

/// Writes the configuration and the credentials of the system user.
fn configure(start: &Start, keys: &Keys, port: u16) -> Result<(PathBuf, Nats), Error> {
    let issued_at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let system_account = keys.system_account.public_key();
    let operator_jwt = claims::sign(
        &keys.operator,
        &claims::operator(&keys.operator, &keys.operator_signing, &system_account),
        issued_at_s,
    );
    let account_jwt =
        claims::sign(&keys.operator_signing, &claims::account(&keys.system_account, "SYS"), issued_at_s);
    let user_jwt =
        claims::sign(&keys.system_account, &claims::user(&keys.system_user, "system"), issued_at_s);
    let (operator_jwt, account_jwt, user_jwt) =
        (operator_jwt.map_err(failed)?, account_jwt.map_err(failed)?, user_jwt.map_err(failed)?);

    let system_creds = start.dir.join("system.creds");
    file_write(&system_creds, claims::creds(&user_jwt, keys.system_user_seed.expose_secret()).as_bytes())?;

    let resolver_dir = start.dir.join("accounts");
    let jetstream_dir = start.dir.join("jetstream");
    // Its configuration language is a superset of JSON.
    let config = json!({
        "listen": format!("127.0.0.1:{port}"),
        "server_name": "local-platform",
        "operator": operator_jwt,
        "system_account": system_account,
        "resolver": { "type": "full", "dir": resolver_dir, "allow_delete": true },
        "resolver_preload": { (system_account.as_str()): account_jwt },
        "jetstream": {
            "store_dir": jetstream_dir,
            "max_memory_store": JETSTREAM_MEMORY_BYTES,
            "max_file_store": JETSTREAM_DISK_BYTES,
        },
    });
    let file = start.dir.join("nats.conf");
    file_write(&file, config.to_string().as_bytes())?;
    let nats = Nats {
        url: String::new(),
        operator: keys.operator.public_key(),
        operator_signing_seed: keys.operator_signing_seed.clone(),
        system_account,
        system_creds,
        resolver_dir,
        jetstream_dir,
    };
    Ok((file, nats))
}

async fn greets(port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut first = [0; 5];
        stream.read_exact(&mut first).await.ok()?;
        Some(&first == b"INFO ")
    };
    timeout(Duration::from_secs(1), greeting).await.ok().flatten().unwrap_or(false)
}

fn failed(why: impl Display) -> Error {
    Error::Setup { system: System::Nats, operation: "signing claims", why: why.to_string() }
}
