//! What an administrator does once in OpenBao before the server can work there: the platform's own
//! store and signing keys. `integraci-server setup` calls it.

use integraci_api::SecretText;
use serde_json::{Value, json};

use super::kv::{self, Mount};
use super::signer::{self, ATTESTATION_KEY, SIGNING_MOUNT};
use super::{Call, Client, ErrorClass, KEYS_MOUNT, OpenBaoConfig, SystemError, error};
use crate::config::CellConfig;
use crate::setup::SetupError;

/// Prepares the platform's namespace, and makes a token for the server. Safe to repeat.
///
/// # Errors
/// OpenBao refused, or did not answer.
pub async fn prepare(cell: &CellConfig<OpenBaoConfig>) -> Result<SecretText, SetupError> {
    let token = cell.admin.as_ref().map_or(&cell.system.token, |admin| &admin.secret);
    let admin = Client::new(&OpenBaoConfig { token: token.clone(), ..cell.system.clone() })?;
    tokio::try_join!(prepare_store(&admin), prepare_signing(&admin))?;
    Ok(token.clone())
}

async fn prepare_store(admin: &Client) -> Result<(), SystemError> {
    let body = json!({ "type": "kv", "options": { "version": "2" }, "description": "IntegraCI's own keys" });
    ensure_mount(admin, KEYS_MOUNT, Mount::is_kv_2, &body).await?;
    kv::configure(admin, None, KEYS_MOUNT).await
}

async fn prepare_signing(admin: &Client) -> Result<(), SystemError> {
    let body = json!({ "type": "transit", "description": "IntegraCI's signing keys" });
    ensure_mount(admin, SIGNING_MOUNT, |mount| mount.kind == "transit", &body).await?;
    signer::ensure_key(admin, ATTESTATION_KEY).await
}

async fn ensure_mount(
    admin: &Client,
    name: &str,
    is_right: impl Fn(&Mount) -> bool,
    body: &Value,
) -> Result<(), SystemError> {
    const OPERATION: &str = "mount_create";
    let path = format!("sys/mounts/{name}");
    let there: Option<Mount> = admin.read("mount_read", None, &path).await.or_else(|failed| {
        // OpenBao answers 400 for a mount that is not there.
        if failed.status == Some(400) { Ok(None) } else { Err(failed) }
    })?;
    match there {
        Some(mount) if is_right(&mount) => Ok(()),
        Some(_) => Err(error(
            OPERATION,
            ErrorClass::Refused,
            "something else is mounted at `integraci/` or `integraci-transit/`; give the platform a \
             namespace of its own",
        )),
        None => admin.send(Call::post(OPERATION, &path).json(body)).await.map(drop),
    }
}
