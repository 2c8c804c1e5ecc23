//! Connectors' secrets, in the tenant's own key-value store in OpenBao and nowhere else.
//!
//! One connector is one entry, `connectors/<con_…>`, whose versions OpenBao counts; what the store of
//! the platform keeps is [`reference()`] and a version. Every write is a check-and-set, so of two
//! writers one wins and the other is told. Values leave only through [`ConnectorSecrets::get`], for
//! the one who presents them to the far side.

use std::collections::BTreeMap;

use integraci_api::tenants::TenantNames;
use integraci_api::wire::SecretBody;
use integraci_api::{ConnectorId, SecretText};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::isolation::openbao::{Call, Client, KV_MOUNT};
use crate::isolation::{ErrorClass, SystemError};

/// Stores, compares and destroys connectors' secrets.
#[derive(Debug, Clone)]
pub struct ConnectorSecrets {
    bao: Client,
}

/// Why a secret could not be stored or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Somebody else wrote since the version was read.
    #[error("the secret was changed by somebody else: its version is now {current}, not {expected}")]
    Conflict {
        /// The version that was to be replaced.
        expected: i64,
        /// The version there is.
        current: i64,
    },
    /// There is no such version, or it was destroyed.
    #[error("version {version} of the secret is not there; send the secret again")]
    Missing {
        /// The version asked for.
        version: i64,
    },
    /// OpenBao did not do it.
    #[error(transparent)]
    System(#[from] SystemError),
}

#[derive(Deserialize)]
struct Stored {
    data: BTreeMap<String, SecretText>,
}

#[derive(Deserialize)]
struct Written {
    version: i64,
}

#[derive(Deserialize)]
struct Metadata {
    current_version: i64,
    #[serde(default)]
    versions: BTreeMap<i64, VersionMetadata>,
}

#[derive(Deserialize)]
struct VersionMetadata {
    /// Empty while it is not deleted.
    deletion_time: String,
    destroyed: bool,
}

/// What the platform's store keeps in place of the secret: opaque, and the same for every version.
#[must_use]
pub fn reference(connector: ConnectorId) -> String {
    format!("{KV_MOUNT}/{}", entry(connector))
}

/// How many values there are, as the quota `secrets` counts them.
#[must_use]
pub fn count(secrets: &BTreeMap<String, SecretText>) -> i64 {
    i64::try_from(secrets.len()).unwrap_or(i64::MAX)
}

fn entry(connector: ConnectorId) -> String {
    format!("connectors/{connector}")
}

impl ConnectorSecrets {
    /// Secrets in the OpenBao that the client talks to.
    #[must_use]
    pub const fn new(bao: Client) -> Self {
        Self { bao }
    }

    /// Stores all of a connector's secrets as the version after `cas` (0: there is none yet), and
    /// returns that version. Safe to repeat: if that version is there already and holds the same, it
    /// is returned.
    ///
    /// # Errors
    /// [`SecretError::Conflict`] when another version is there; [`SecretError::System`] of class
    /// [`ErrorClass::Gone`] when the tenant has no place in OpenBao.
    pub async fn put(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        cas: i64,
        secrets: &BTreeMap<String, SecretText>,
    ) -> Result<i64, SecretError> {
        let path = format!("{KV_MOUNT}/data/{}", entry(connector));
        let call = Call::post("secret_write", &path);
        let call = call.namespace(&tenant.openbao_namespace).body(put_body(cas, secrets));
        match self.bao.data::<Written>(call).await {
            Ok(written) => Ok(written.version),
            // A lost check-and-set and a malformed request are told apart only by the text of the
            // answer, which is nothing to rely on: the version that is there decides.
            Err(refused) if refused.status == Some(400) => {
                self.after_refusal(tenant, connector, cas, secrets, refused).await
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn after_refusal(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        cas: i64,
        secrets: &BTreeMap<String, SecretText>,
        refused: SystemError,
    ) -> Result<i64, SecretError> {
        let current = self.current_version(tenant, connector).await?;
        if current == cas {
            return Err(refused.into());
        }
        let conflict = SecretError::Conflict { expected: cas, current };
        if current != cas + 1 {
            return Err(conflict);
        }
        match self.compare(tenant, connector, current, secrets).await {
            Ok(true) => Ok(current),
            Ok(false) | Err(SecretError::Missing { .. }) => Err(conflict),
            Err(failed) => Err(failed),
        }
    }

    /// The secrets of one version.
    ///
    /// # Errors
    /// [`SecretError::Missing`] when there is no such version, or it was destroyed.
    pub async fn get(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        version: i64,
    ) -> Result<BTreeMap<String, SecretText>, SecretError> {
        // Version 0 would be the newest to OpenBao.
        if version < 1 {
            return Err(SecretError::Missing { version });
        }
        let path = format!("{KV_MOUNT}/data/{}?version={version}", entry(connector));
        let stored: Option<Stored> =
            absent_is_none(self.bao.read("secret_read", Some(&tenant.openbao_namespace), &path).await)?;
        stored.map(|stored| stored.data).ok_or(SecretError::Missing { version })
    }

    /// The newest version, whether or not it was destroyed; 0 when nothing was ever stored.
    ///
    /// # Errors
    /// OpenBao could not be asked.
    pub async fn current_version(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
    ) -> Result<i64, SecretError> {
        let path = format!("{KV_MOUNT}/metadata/{}", entry(connector));
        let read = self.bao.read("secret_version_read", Some(&tenant.openbao_namespace), &path).await;
        let metadata: Option<Metadata> = absent_is_none(read)?;
        Ok(metadata.map_or(0, |metadata| metadata.current_version))
    }

    /// Whether what is stored is what is in force: `version` (0: nothing) is there, and no newer one is,
    /// beside one that is `retiring`. Another is what somebody left who changed the secret by hand.
    ///
    /// # Errors
    /// OpenBao could not be asked.
    pub async fn is_newest(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        version: i64,
        retiring: Option<i64>,
    ) -> Result<bool, SecretError> {
        let mut live = self.live_versions(tenant, connector).await?.into_iter();
        Ok(live.rfind(|known| Some(*known) != retiring).unwrap_or(0) == version)
    }

    /// Destroys the values of every version up to `newest` but those of `keep`: also what somebody left who
    /// changed the secret by hand, once it was mended.
    ///
    /// # Errors
    /// OpenBao did not do it.
    pub async fn destroy_all_but(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        newest: i64,
        keep: &[i64],
    ) -> Result<(), SecretError> {
        let live = self.live_versions(tenant, connector).await?.into_iter();
        let old: Vec<_> = live.filter(|version| *version <= newest && !keep.contains(version)).collect();
        if old.is_empty() { Ok(()) } else { self.destroy_versions(tenant, connector, &old).await }
    }

    /// The versions whose values are there, the oldest first.
    async fn live_versions(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
    ) -> Result<Vec<i64>, SecretError> {
        let path = format!("{KV_MOUNT}/metadata/{}", entry(connector));
        let read = self.bao.read("secret_version_read", Some(&tenant.openbao_namespace), &path).await;
        let metadata: Option<Metadata> = absent_is_none(read)?;
        let versions = metadata.map(|metadata| metadata.versions).unwrap_or_default().into_iter();
        let live = versions.filter(|(_, known)| !known.destroyed && known.deletion_time.is_empty());
        Ok(live.map(|(version, _)| version).collect())
    }

    /// Destroys one version's values for good. One that is not there is success.
    ///
    /// # Errors
    /// OpenBao did not do it.
    pub async fn destroy_version(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        version: i64,
    ) -> Result<(), SecretError> {
        self.destroy_versions(tenant, connector, &[version]).await
    }

    async fn destroy_versions(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        versions: &[i64],
    ) -> Result<(), SecretError> {
        let path = format!("{KV_MOUNT}/destroy/{}", entry(connector));
        let body = serde_json::json!({ "versions": versions });
        let call = Call::put("secret_destroy", &path).namespace(&tenant.openbao_namespace).json(&body);
        absent_is_success(self.bao.send(call).await.map(drop))
    }

    /// Removes every version and all that is known about them. Nothing there is success.
    ///
    /// # Errors
    /// OpenBao did not do it.
    pub async fn destroy_all(&self, tenant: &TenantNames, connector: ConnectorId) -> Result<(), SecretError> {
        let path = format!("{KV_MOUNT}/metadata/{}", entry(connector));
        let call = Call::delete("secret_remove", &path).namespace(&tenant.openbao_namespace);
        absent_is_success(self.bao.send(call).await.map(drop))
    }

    /// Whether a version holds exactly these secrets. The values are compared in constant time; that
    /// a name is missing on either side is told at once, names being no secret.
    ///
    /// # Errors
    /// [`SecretError::Missing`] when there is no such version, or it was destroyed.
    pub async fn compare(
        &self,
        tenant: &TenantNames,
        connector: ConnectorId,
        version: i64,
        given: &BTreeMap<String, SecretText>,
    ) -> Result<bool, SecretError> {
        Ok(same(&self.get(tenant, connector, version).await?, given))
    }
}

/// Where the tenant has no place, it has no secret either.
fn absent_is_none<T>(read: Result<Option<T>, SystemError>) -> Result<Option<T>, SecretError> {
    match read {
        Err(gone) if gone.class == ErrorClass::Gone => Ok(None),
        read => Ok(read?),
    }
}

fn absent_is_success(done: Result<(), SystemError>) -> Result<(), SecretError> {
    absent_is_none(done.map(Some)).map(drop)
}

fn same(stored: &BTreeMap<String, SecretText>, given: &BTreeMap<String, SecretText>) -> bool {
    if !stored.keys().eq(given.keys()) {
        return false;
    }
    let every = stored.values().zip(given.values()).fold(Choice::from(1), |so_far, (stored, given)| {
        so_far & stored.expose().as_bytes().ct_eq(given.expose().as_bytes())
    });
    every.into()
}

/// `{"options":{"cas":…},"data":{…}}`
fn put_body(cas: i64, secrets: &BTreeMap<String, SecretText>) -> Zeroizing<Vec<u8>> {
    let mut body = SecretBody::new();
    body.member("options", &serde_json::json!({ "cas": cas }));
    body.secrets("data", secrets);
    body.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretText> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretText::new((*value).to_owned()))).collect()
    }

    #[test]
    fn the_body_is_json_whatever_the_secret_holds() {
        let hostile = secrets(&[("a", "q\"uo\\te\n\u{1}é"), ("b", "2")]);
        let body = put_body(3, &hostile);
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"options": {"cas": 3}, "data": {"a": "q\"uo\\te\n\u{1}é", "b": "2"}})
        );
        assert_eq!(&put_body(0, &BTreeMap::new())[..], br#"{"options":{"cas":0},"data":{}}"#);
    }

    #[test]
    fn secrets_are_the_same_by_name_and_value() {
        let stored = secrets(&[("a", "1"), ("b", "2")]);
        assert!(same(&stored, &stored.clone()));
        assert!(!same(&stored, &secrets(&[("a", "1")])));
        assert!(!same(&stored, &secrets(&[("a", "1"), ("c", "2")])));
        assert!(!same(&stored, &secrets(&[("a", "1"), ("b", "3")])));
        assert!(!same(&stored, &secrets(&[("a", "1"), ("b", "22")])));
        assert!(same(&BTreeMap::new(), &BTreeMap::new()));
    }

    #[test]
    fn a_reference_names_the_entry_and_no_version() {
        let id: ConnectorId = "con_00000000000000000000000000000007".parse().unwrap();
        assert_eq!(reference(id), "secret/connectors/con_00000000000000000000000000000007");
    }
}
