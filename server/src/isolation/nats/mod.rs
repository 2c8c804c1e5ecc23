//! NATS: an account for each tenant, by decentralised JWTs, with a stream of its events in it.
//!
//! | what | where |
//! |---|---|
//! | account | named `tenant-<slug>`, known by its public key; its two seeds are the platform's [`TenantKeys`] |
//! | the tenant's users | signed by the account's scoped signing key, held to `tenant.<slug>.>` by its template |
//! | the platform's users | signed by the account's identity, for the minutes that they are needed |
//! | events | the stream `INTEGRACI_EVENTS` of `tenant.<slug>.events.>`, which the tenant reads and cannot change |
//! | usage | the stream `INTEGRACI_USAGE` of `tenant.<slug>.usage`, which the tenant publishes to and can neither read nor change |
//!
//! A limit is the broker's own: the account's limit of connections is the tenant's, with nothing added for
//! the platform, since the broker does not tell the two apart and would let the tenant have what is added.
//! So the platform connects only to do something there: for moments, but its collector of usage stays while
//! messages come, until half of its claim is over. Whether the streams are as they should be is read by the
//! system account. Where the tenant uses all its connections, its events wait until one
//! is free, and so does its usage; of everything else nothing waits.
//!
//! An account is written by whoever has the operator's signing key, and read back from the resolvers:
//! what it was is the base of every change, so that nothing revoked comes back.
//!
//! Facts (seen with NATS 2.15.1): a resolver takes any claims that are in form, older ones and those of an
//! operator it does not know too, so the operator's key is tried before it is used, and two writers may
//! undo each other's change (hence `account.rs`); a change of a limit, a key or a revocation reaches
//! the connections that there are at once: those too many are closed, the newest first; streams that hold
//! more than a lowered limit lose nothing and take nothing, the platform's among them, until they hold less;
//! the payload of a message counts its headers, and a larger one ends the connection; a deletion leaves the streams on the disk, so they are removed
//! before it, and the claims as `<account>.jwt.deleted` beside those of the living; what a suspended
//! tenant's users meet is a revocation of all of them, for ever, which tells a client more than a limit of
//! 0 connections does, and lets its streams be.

mod account;
mod attest;
mod check;
mod claims;
mod connection;
mod keys;
mod monitor;
mod streams;
mod unread;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use nkeys::{KeyPair, KeyPairType};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use self::claims::{AccountClaims, AccountKeys};
use self::connection::{SystemAccount, User};
pub use self::streams::Told;
pub use self::unread::{Reader, Unread};
use super::openbao::TenantKeys;
use super::{
    Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Usage, Wanted,
};
use crate::source::Source;

/// How long the platform's users in an account live: each does its work in one go.
const PLATFORM_USER_LIFE: Duration = Duration::from_secs(5 * 60);
/// The longest that a tenant's user may live. A revocation is dropped after it.
const USER_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The events' stream is on this many servers where there are enough: the most that outlives the loss of
/// one without a vote being taken by two.
const EVENTS_REPLICAS: u8 = 3;

/// How to reach one NATS (a server or a cluster) in operator mode. Its `Debug` does not show the seed.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// The addresses of its servers, such as `nats://nats.example:4222`.
    pub servers: Vec<String>,
    /// The seed of a signing key of the operator, `SO…`: signs the accounts.
    pub operator_signing_seed: SecretText,
    /// The credentials file of a user in the system account: hands the accounts to the resolvers.
    pub system_credentials_file: PathBuf,
    /// How many servers keep accounts: each has to answer before an account counts as made.
    pub resolvers: usize,
    /// A PEM file with the certificate authorities to trust beside the machine's own.
    pub ca_certificate: Option<PathBuf>,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// Why there can be no client of a NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NatsSetupError {
    /// The seed is none of an operator's key.
    #[error("nats.operator_signing_seed is not the seed of a signing key of an operator (SO…)")]
    Seed,
    /// An address is none.
    #[error("nats.servers: each must be an address such as nats://nats.example:4222")]
    Servers,
}

/// The tenants' accounts in one NATS.
#[derive(Clone)]
pub struct Nats {
    config: Arc<NatsConfig>,
    operator: Arc<KeyPair>,
    system: Arc<SystemAccount>,
    keys: TenantKeys,
    source: Source,
    /// Set once the nodes were seen to hear the operator's key.
    is_operator: Arc<OnceCell<()>>,
}

impl Nats {
    /// The tenants' accounts in the NATS that the configuration names; nothing is connected until it is
    /// needed.
    ///
    /// # Errors
    /// The configuration cannot be one.
    pub fn new(config: NatsConfig, keys: TenantKeys, source: Source) -> Result<Self, NatsSetupError> {
        let operator = KeyPair::from_seed(config.operator_signing_seed.expose())
            .ok()
            .filter(|key| key.key_pair_type() == KeyPairType::Operator)
            .ok_or(NatsSetupError::Seed)?;
        if config.servers.iter().any(|server| server.parse::<async_nats::ServerAddr>().is_err()) {
            return Err(NatsSetupError::Servers);
        }
        let config = Arc::new(config);
        let system = Arc::new(SystemAccount::new(config.clone()));
        Ok(Self { config, operator: Arc::new(operator), system, keys, source, is_operator: Arc::default() })
    }

    fn now_s(&self) -> i64 {
        self.source.now().unix_timestamp()
    }

    fn replicas(&self) -> u8 {
        if self.config.resolvers >= usize::from(EVENTS_REPLICAS) { EVENTS_REPLICAS } else { 1 }
    }

    /// What the tenant's account is marked with.
    fn origin(&self, tenant: &TenantNames) -> String {
        claims::origin(&self.keys.place(System::Nats, tenant))
    }

    fn platform_user(&self, issuer: &KeyPair, account: &str, prefix: &str) -> Result<User, SystemError> {
        let key = self.key(KeyPairType::User)?;
        let now_s = self.now_s();
        let expires_at_s = now_s + seconds(PLATFORM_USER_LIFE);
        let jwt = users::platform_user(issuer, account, prefix, &key.public_key(), now_s, expires_at_s)
            .map_err(|_| unsigned("user_create"))?;
        Ok(User { jwt, key: Arc::new(key) })
    }

    /// A brief connection of the platform's in a tenant's account.
    async fn enter(&self, keys: &AccountKeys, tenant: &TenantNames) -> Result<Client, SystemError> {
        let user = self.platform_user(&keys.identity, &keys.account(), &tenant.nats_subject_prefix)?;
        connection::enter(&self.config, &user).await
    }

    /// Tells a tenant events in their order, within `within`: how many its stream has now, the first ones,
    /// and why not all.
    pub async fn events_tell(
        &self,
        tenant: &TenantNames,
        events: &[Told],
        within: Duration,
    ) -> (usize, Option<SystemError>) {
        let mut acknowledged = 0;
        let telling = async {
            let gone = || error("event_tell", ErrorClass::Gone, "the tenant has no account");
            let keys = self.account_keys(tenant).await?.ok_or_else(gone)?;
            let client = self.enter(&keys, tenant).await?;
            let streams = streams::context(&client, self.config.timeout);
            for event in events {
                streams::tell(&streams, &tenant.nats_subject_prefix, event).await?;
                acknowledged += 1;
            }
            Ok(())
        };
        let failure = match tokio::time::timeout(within, telling).await {
            Ok(told) => told.err(),
            Err(_) => Some(error("event_tell", ErrorClass::Broken, "it did not answer in time")),
        };
        (acknowledged, failure)
    }

    /// Whether an event is small enough for the tenant's account to let it through.
    ///
    /// # Errors
    /// The servers did not tell, or the tenant has no account.
    pub async fn event_fits(&self, tenant: &TenantNames, event: &Told) -> Result<bool, SystemError> {
        let gone = || error("account_read", ErrorClass::Gone, "the tenant has no account");
        let keys = self.account_keys(tenant).await?.ok_or_else(gone)?;
        let claims = self.account(&keys.account()).await?.claims.ok_or_else(gone)?;
        Ok(claims.lets_through(event.bytes()))
    }

    fn facts(&self, account: String, tenant: &TenantNames) -> Facts {
        Facts::from([
            ("url", self.config.servers.join(",")),
            ("account", account),
            ("subject_prefix", tenant.nats_subject_prefix.clone()),
        ])
    }
}

#[async_trait]
impl Isolation for Nats {
    fn system(&self) -> System {
        System::Nats
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        let keys = self.account_keys_ensured(&wanted.names).await?;
        let account = keys.account();
        self.account_change(&account, |there| {
            Some(AccountClaims::of(
                wanted,
                &keys,
                &self.origin(&wanted.names),
                self.replicas(),
                there,
                self.now_s(),
            ))
        })
        .await?;
        // Nobody gets into the account of a suspended tenant; its streams are as they were.
        if !wanted.suspended && !self.streams_drift(&account, &wanted.names).await?.is_empty() {
            let client = self.enter(&keys, &wanted.names).await?;
            let streams = streams::context(&client, self.config.timeout);
            streams::ensure(&streams, &wanted.names.nats_subject_prefix, self.replicas()).await?;
        }
        Ok(self.facts(account, &wanted.names))
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        let tenant = &wanted.names;
        // Also where no node has the account: somebody may have deleted it and left its streams, and they
        // can only be reached through it.
        let Some(keys) = self.account_keys(tenant).await? else { return Ok(()) };
        let account = keys.account();
        self.account_empty(&account, tenant).await?;
        self.account_delete(&account).await?;
        // Last, for without it nobody finds the account any more.
        self.keys.remove(System::Nats, tenant).await
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        let tenant = &wanted.names;
        let Some(keys) = self.account_keys(tenant).await? else {
            // Nobody can do anything with an account whose keys are lost, but it is told of.
            let lost = self.accounts_of(tenant).await?;
            return Ok(lost.into_iter().map(|name| Remnant { class: "account", name }).collect());
        };
        let account = keys.account();
        let mut remnants = vec![Remnant { class: "account_keys", name: account.clone() }];
        if self.account(&account).await?.claims.is_some() {
            remnants.push(Remnant { class: "account", name: account });
        }
        Ok(remnants)
    }

    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        let Some(keys) = self.account_keys(&wanted.names).await? else {
            return Ok(vec![Drift("the account's keys are missing")]);
        };
        let found = self.account(&keys.account()).await?;
        let Some(there) = found.claims else { return Ok(vec![Drift("the account is missing")]) };
        let as_wanted = AccountClaims::of(
            wanted,
            &keys,
            &self.origin(&wanted.names),
            self.replicas(),
            Some(&there),
            self.now_s(),
        );
        let mut drift = there.differences(&as_wanted);
        if !found.agreed {
            drift.push("the resolver nodes do not have the same account");
        }
        if !wanted.suspended {
            drift.extend(self.streams_drift(&keys.account(), &wanted.names).await?);
        }
        Ok(drift.into_iter().map(Drift).collect())
    }

    /// Of the connections, those of the tenant's users; of the streams, what they may grow to. The platform's
    /// own are in neither.
    async fn usage(&self, wanted: &Wanted) -> Result<Usage, SystemError> {
        let gone = || error("usage_read", ErrorClass::Gone, "the tenant has no account");
        let account = self.account_keys(&wanted.names).await?.ok_or_else(gone)?.account();
        let (connections, streams) = tokio::try_join!(self.connections(&account), self.streams(&account))?;
        let bytes = monitor::bytes_taken(&streams.ok_or_else(gone)?);
        Ok(Usage::from([("nats_connections", connections), ("nats_stream_bytes", bytes)]))
    }

    async fn attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        attest::attest(self, own, canary).await
    }

    async fn credentials_issue(
        &self,
        tenant: &Wanted,
        credential: CredentialId,
        ttl: Duration,
    ) -> Result<Issued, SystemError> {
        const OPERATION: &str = "credentials_issue";
        if tenant.suspended {
            return Err(error(OPERATION, ErrorClass::Refused, "the tenant is suspended"));
        }
        let keys = self.account_keys(&tenant.names).await?;
        let keys = keys.ok_or_else(|| error(OPERATION, ErrorClass::Gone, "the tenant has no account"))?;
        let key = self.key(KeyPairType::User)?;
        let (user, now_s) = (key.public_key(), self.now_s());
        let expires_at_s = now_s + seconds(ttl.min(USER_LIFE_MAX));
        let jwt = users::tenant_user(&keys, &user, &credential.to_string(), now_s, expires_at_s)
            .map_err(|_| unsigned(OPERATION))?;
        let seed = Zeroizing::new(key.seed().map_err(|_| unsigned(OPERATION))?);
        let mut fields = self.facts(keys.account(), &tenant.names);
        fields.insert("user", user.clone());
        Ok(Issued {
            handle: Some(user),
            fields,
            secrets: [
                ("credentials", users::credentials_file(&jwt, &seed)),
                ("jwt", SecretText::new(jwt)),
                ("seed", SecretText::new(seed.as_str().to_owned())),
            ]
            .into(),
        })
    }

    /// A user's claims say when they end, and nothing prolongs them: they were issued for as long as the
    /// lease can last.
    async fn credentials_renew(
        &self,
        tenant: &TenantNames,
        _credential: CredentialId,
        handle: Option<&str>,
        _ttl: Duration,
    ) -> Result<(), SystemError> {
        const OPERATION: &str = "credentials_renew";
        let gone = || error(OPERATION, ErrorClass::Gone, "the user is not there any more");
        let keys = self.account_keys(tenant).await?.ok_or_else(gone)?;
        let claims = self.account(&keys.account()).await?.claims.ok_or_else(gone)?;
        match handle {
            Some(user) if !claims.has_revoked(user) => Ok(()),
            _ => Err(error(OPERATION, ErrorClass::Refused, "the user is revoked")),
        }
    }

    async fn credentials_revoke(
        &self,
        tenant: &TenantNames,
        _credential: CredentialId,
        handle: Option<&str>,
    ) -> Result<(), SystemError> {
        let (Some(user), Some(keys)) = (handle, self.account_keys(tenant).await?) else { return Ok(()) };
        let until_s = self.now_s() + seconds(USER_LIFE_MAX);
        self.account_change(&keys.account(), |there| {
            let mut claims = there?.clone();
            if !claims.has_revoked(user) {
                claims.revoke(user, until_s);
            }
            Some(claims)
        })
        .await
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(self).await
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

const fn error(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::Nats, operation, class, reason, status: None }
}

const fn unsigned(operation: &'static str) -> SystemError {
    error(operation, ErrorClass::Broken, "a key could not be made or used")
}
