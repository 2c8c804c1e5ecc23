//! The platform's own keys: what it needs to manage a tenant's place in another system (the secret of
//! a realm's management account, the seeds of a NATS account). Kept in the platform's own namespace in
//! OpenBao, where no tenant's token reaches, and nowhere else.

use integraci_api::SecretText;
use integraci_api::tenants::TenantNames;
use serde::{Deserialize, Serialize as _};
use zeroize::Zeroizing;

use super::{Call, Client, error};
use crate::isolation::{ErrorClass, System, SystemError};

/// Where the platform's own key-value store is mounted.
pub const KEYS_MOUNT: &str = "integraci";

/// Keeps one key for each tenant and system.
#[derive(Debug, Clone)]
pub struct TenantKeys {
    client: Client,
}

#[derive(Deserialize)]
struct Stored {
    data: StoredKey,
}

#[derive(Deserialize)]
struct StoredKey {
    key: SecretText,
}

fn entry(system: System, tenant: &TenantNames) -> String {
    format!("tenants/{}/{}", tenant.openbao_namespace, system.as_str())
}

impl TenantKeys {
    /// The keys in the OpenBao that the client talks to.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Where a key is kept, from the root namespace: as much the tenant's own as the key.
    pub(crate) fn place(&self, system: System, tenant: &TenantNames) -> String {
        self.client.namespace_path(&format!("{KEYS_MOUNT}/{}", entry(system, tenant)))
    }

    /// The key, if there is one.
    ///
    /// # Errors
    /// OpenBao could not be asked.
    pub async fn get(&self, system: System, tenant: &TenantNames) -> Result<Option<SecretText>, SystemError> {
        let path = format!("{KEYS_MOUNT}/data/{}", entry(system, tenant));
        let stored: Option<Stored> = self.client.read("key_read", None, &path).await?;
        Ok(stored.map(|stored| stored.data.key))
    }

    /// The key; a fresh one, kept first, if there is none. Of two that ask at once both get the same.
    ///
    /// # Errors
    /// OpenBao did not keep it.
    pub async fn ensure(
        &self,
        system: System,
        tenant: &TenantNames,
        fresh: impl FnOnce() -> SecretText + Send,
    ) -> Result<SecretText, SystemError> {
        if let Some(key) = self.get(system, tenant).await? {
            return Ok(key);
        }
        let path = format!("{KEYS_MOUNT}/data/{}", entry(system, tenant));
        let key = fresh();
        let body = body_of(&key).ok_or_else(|| {
            error("key_write", ErrorClass::Broken, "a key holds characters that JSON cannot carry")
        })?;
        match self.client.send(Call::post("key_write", &path).body(body)).await {
            Ok(_) => Ok(key),
            // Another replica was first: its key is the one.
            Err(refused) if refused.status == Some(400) => self.get(system, tenant).await?.ok_or(refused),
            Err(failed) => Err(failed),
        }
    }

    /// Destroys the key with all its versions. Finding none is success.
    ///
    /// # Errors
    /// OpenBao did not do it.
    pub async fn remove(&self, system: System, tenant: &TenantNames) -> Result<(), SystemError> {
        let path = format!("{KEYS_MOUNT}/metadata/{}", entry(system, tenant));
        match self.client.send(Call::delete("key_delete", &path)).await {
            Ok(_) => Ok(()),
            Err(gone) if gone.class == ErrorClass::Gone => Ok(()),
            Err(failed) => Err(failed),
        }
    }
}

/// The body of the write, made in memory that is wiped.
fn body_of(key: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::with_capacity(key.expose().len() * 2 + 64));
    body.extend_from_slice(br#"{"options":{"cas":0},"data":{"key":"#);
    let mut writer = serde_json::Serializer::new(&mut *body);
    key.expose().serialize(&mut writer).ok()?;
    body.extend_from_slice(b"}}");
    Some(body)
}
