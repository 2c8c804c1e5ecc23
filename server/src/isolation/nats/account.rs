//! An account in the resolvers: read, written, changed, taken away.

use std::time::Duration;

use integraci_api::tenants::TenantNames;
use nkeys::KeyPairType;
use serde::Deserialize;
use tokio::time::Instant;

use super::claims::{self, AccountClaims};
use super::{Nats, connection, error, streams, unsigned};
use crate::isolation::{ErrorClass, SystemError};

/// Who changes an account begins from what it read at most this long ago, and looks once more when this
/// long has passed since its own write: by then whoever had read before it has written, and if that
/// undid the change, it is made again.
const WRITE_WINDOW: Duration = Duration::from_millis(500);
/// How often a change is made before it is left to the saga's next try.
const WRITES_MAX: u32 = 5;

/// What a resolver node says to new claims, and to a deletion.
#[derive(Deserialize)]
struct Verdict {
    data: Option<serde::de::IgnoredAny>,
}

/// What the resolvers have of an account.
pub(super) struct Found {
    /// The newest claims, if any node has any.
    pub(super) claims: Option<AccountClaims>,
    /// Whether all nodes have the same.
    pub(super) agreed: bool,
}

impl Nats {
    /// What the resolvers have of an account.
    pub(super) async fn account(&self, account: &str) -> Result<Found, SystemError> {
        const OPERATION: &str = "account_read";
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        let answers = self.system.ask_all(OPERATION, subject, "").await?;
        let agreed = answers.windows(2).all(|pair| pair[0] == pair[1]);
        let mut newest: Option<AccountClaims> = None;
        for answer in answers.iter().filter(|answer| !answer.is_empty()) {
            let claims = std::str::from_utf8(answer).ok().and_then(AccountClaims::read);
            let claims = claims.ok_or_else(|| {
                error(OPERATION, ErrorClass::Broken, "a resolver node answered with what is no account")
            })?;
            if newest.as_ref().is_none_or(|known| known.issued_at_s() < claims.issued_at_s()) {
                newest = Some(claims);
            }
        }
        Ok(Found { claims: newest, agreed })
    }

    /// The accounts that were made for a tenant, by their name and mark among all that a resolver node has.
    pub(super) async fn accounts_of(&self, tenant: &TenantNames) -> Result<Vec<String>, SystemError> {
        let parts = self.system.ask_for_parts("accounts_list", "$SYS.REQ.CLAIMS.PACK").await?;
        let origin = self.origin(tenant);
        let entries = parts.iter().filter_map(|part| std::str::from_utf8(part).ok()).flat_map(str::lines);
        let accounts = entries.filter_map(|entry| {
            let (account, jwt) = entry.split_once('|')?;
            let claims = AccountClaims::read_if_named(jwt, &tenant.nats_account)?;
            claims.is(&tenant.nats_account, &origin).then(|| account.to_owned())
        });
        Ok(accounts.collect())
    }

    /// Makes sure, once, that the nodes hear what the operator's key signs, and delete what it says: they
    /// would also keep the accounts of a key that they do not know, though nobody could use them.
    pub(super) async fn operator_check(&self) -> Result<(), SystemError> {
        const OPERATION: &str = "operator_check";
        let heard = self.is_operator.get_or_try_init(|| async {
            let jwt = claims::removal(&self.operator, &[], self.now_s()).map_err(|_| unsigned(OPERATION))?;
            let answers = self.system.ask_all(OPERATION, "$SYS.REQ.CLAIMS.DELETE".to_owned(), jwt).await?;
            if answers.iter().all(|answer| taken(answer)) {
                return Ok(());
            }
            Err(error(
                OPERATION,
                ErrorClass::Refused,
                "the resolver nodes do not hear the operator's key: give the seed of one of this operator's signing keys, and set `allow_delete: true` for the resolver",
            ))
        });
        heard.await.copied()
    }

    /// Hands claims to every resolver node.
    async fn account_write(
        &self,
        account: &str,
        claims: &AccountClaims,
        before: Option<&AccountClaims>,
    ) -> Result<(), SystemError> {
        const OPERATION: &str = "account_write";
        self.operator_check().await?;
        let jwt =
            claims.sign(&self.operator, account, before, self.now_s()).map_err(|_| unsigned(OPERATION))?;
        let answers = self.system.ask_all(OPERATION, "$SYS.REQ.CLAIMS.UPDATE".to_owned(), jwt).await?;
        if answers.iter().all(|answer| taken(answer)) {
            return Ok(());
        }
        Err(error(OPERATION, ErrorClass::Refused, "a resolver node refused the account's claims"))
    }

    /// Makes an account what `wanted` says, given what it is; `None` leaves it alone.
    pub(super) async fn account_change(
        &self,
        account: &str,
        wanted: impl Fn(Option<&AccountClaims>) -> Option<AccountClaims> + Send + Sync,
    ) -> Result<(), SystemError> {
        for _ in 0..WRITES_MAX {
            let asked_at = Instant::now();
            let found = self.account(account).await?;
            let Some(claims) = wanted(found.claims.as_ref()) else { return Ok(()) };
            if found.agreed && found.claims.as_ref().is_some_and(|there| there.says_as(&claims)) {
                return Ok(());
            }
            let is_new = found.claims.is_none();
            if !is_new && asked_at.elapsed() > WRITE_WINDOW {
                continue;
            }
            self.account_write(account, &claims, found.claims.as_ref()).await?;
            if is_new {
                return Ok(());
            }
            tokio::time::sleep(WRITE_WINDOW).await;
        }
        Err(error(
            "account_write",
            ErrorClass::Busy { retry_after: Some(WRITE_WINDOW) },
            "somebody else changes the account at the same time",
        ))
    }

    /// Removes all streams of an account, with nobody of the tenant's in it any more.
    pub(super) async fn account_empty(&self, account: &str, tenant: &TenantNames) -> Result<(), SystemError> {
        let issuer = self.key(KeyPairType::Account)?;
        let closing =
            AccountClaims::closing(&tenant.nats_account, &self.origin(tenant), &issuer.public_key());
        let found = self.account(account).await?;
        self.account_write(account, &closing, found.claims.as_ref()).await?;
        let user = self.platform_user(&issuer, account, &tenant.nats_subject_prefix)?;
        let client = connection::enter(&self.config, &user).await?;
        streams::ensure_none(&streams::context(&client, self.config.timeout)).await
    }

    /// Takes an account away from every resolver node.
    pub(super) async fn account_delete(&self, account: &str) -> Result<(), SystemError> {
        const OPERATION: &str = "account_delete";
        let jwt =
            claims::removal(&self.operator, &[account], self.now_s()).map_err(|_| unsigned(OPERATION))?;
        // What a node says is no proof: that one of another replica's was first is said like a refusal.
        self.system.ask_all(OPERATION, "$SYS.REQ.CLAIMS.DELETE".to_owned(), jwt).await?;
        match self.account(account).await?.claims {
            None => Ok(()),
            Some(_) => Err(error(
                OPERATION,
                ErrorClass::Refused,
                "the resolver nodes keep the account; set `allow_delete: true` for the resolver",
            )),
        }
    }
}

/// Whether a resolver node did what it was asked.
fn taken(answer: &[u8]) -> bool {
    serde_json::from_slice::<Verdict>(answer).is_ok_and(|verdict| verdict.data.is_some())
}
