//! The two keys of a tenant's account, made once and kept in the platform's own store.

use integraci_api::SecretText;
use integraci_api::tenants::TenantNames;
use nkeys::{KeyPair, KeyPairType};
use zeroize::Zeroizing;

use super::claims::AccountKeys;
use super::{Nats, error, unsigned};
use crate::isolation::{ErrorClass, System, SystemError};

impl Nats {
    pub(super) fn key(&self, kind: KeyPairType) -> Result<KeyPair, SystemError> {
        KeyPair::new_from_raw(kind, self.source.bytes()).map_err(|_| unsigned("key_create"))
    }

    /// The keys of a tenant's account, if it was ever begun.
    pub(super) async fn account_keys(
        &self,
        tenant: &TenantNames,
    ) -> Result<Option<AccountKeys>, SystemError> {
        let Some(text) = self.keys.get(System::Nats, tenant).await? else { return Ok(None) };
        keys_read(&text).map(Some)
    }

    /// The same; fresh ones, kept first, if there are none.
    pub(super) async fn account_keys_ensured(
        &self,
        tenant: &TenantNames,
    ) -> Result<AccountKeys, SystemError> {
        let fresh = AccountKeys {
            identity: self.key(KeyPairType::Account)?,
            signing: self.key(KeyPairType::Account)?,
        };
        let fresh = keys_written(&fresh)?;
        keys_read(&self.keys.ensure(System::Nats, tenant, || fresh).await?)
    }
}

/// Both seeds, as they are kept.
fn keys_written(keys: &AccountKeys) -> Result<SecretText, SystemError> {
    let seed = |key: &KeyPair| key.seed().map(Zeroizing::new).map_err(|_| unsigned("key_create"));
    let (identity, signing) = (seed(&keys.identity)?, seed(&keys.signing)?);
    Ok(SecretText::new(format!("{} {}", *identity, *signing)))
}

fn keys_read(text: &SecretText) -> Result<AccountKeys, SystemError> {
    let key =
        |seed: &str| KeyPair::from_seed(seed).ok().filter(|key| key.key_pair_type() == KeyPairType::Account);
    let read = || {
        let (identity, signing) = text.expose().split_once(' ')?;
        Some(AccountKeys { identity: key(identity)?, signing: key(signing)? })
    };
    read().ok_or_else(|| {
        error("key_read", ErrorClass::Refused, "what OpenBao keeps as the account's keys is none; remove it")
    })
}
