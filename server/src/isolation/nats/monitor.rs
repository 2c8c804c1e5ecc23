//! What the servers tell the system account about a tenant's account: who is connected to it, and what
//! streams it has. It takes no connection in the account, and works while the account is closed.
//!
//! Facts (seen with NATS 2.15.1): a server tells of the connections to itself alone; of streams it tells
//! those of which it keeps a copy, and answers with an error where it keeps none; of a connection it tells
//! the key that signed its user, of which the platform's own are known.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::stream::{Config, StorageType};
use integraci_api::tenants::TenantNames;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::streams::{self, EVENTS_STREAM, USAGE_STREAM};
use super::{Nats, error};
use crate::isolation::{ErrorClass, SystemError};

/// How many connections are asked for at a time: each comes with its user's JWT.
const PAGE: usize = 256;
/// How many accounts are: each comes with what is in its streams.
const ACCOUNTS: usize = 512;

/// The answer of one server.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    data: Option<T>,
}

#[derive(Deserialize)]
struct Connections {
    total: usize,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    #[serde(default)]
    issuer_key: String,
}

#[derive(Deserialize)]
#[serde(bound = "S: DeserializeOwned")]
struct Account<S> {
    #[serde(default)]
    id: String,
    #[serde(default = "Vec::new")]
    stream_detail: Vec<S>,
}

#[derive(Deserialize)]
struct Configured {
    name: String,
    config: Config,
}

#[derive(Deserialize)]
struct Filled {
    name: String,
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
}

/// A page of the accounts that have streams on a server.
#[derive(Deserialize)]
struct Accounts {
    /// How many there are, on all pages.
    #[serde(default)]
    total: usize,
    #[serde(default)]
    account_details: Vec<Account<Filled>>,
}

impl Nats {
    /// How many connections the tenant's users have: all but the platform's own, which its identity key
    /// signs.
    pub(super) async fn connections(&self, account: &str) -> Result<i64, SystemError> {
        const OPERATION: &str = "connections_read";
        let mut count = 0;
        for offset in (0..).step_by(PAGE) {
            let asked = json!({ "auth": true, "offset": offset, "limit": PAGE });
            let servers: Vec<Connections> = self.told(OPERATION, &of(account, "CONNZ"), &asked).await?;
            let users = servers.iter().flat_map(|server| &server.connections);
            count += users.filter(|user| user.issuer_key != account).count();
            if servers.iter().all(|server| server.total <= offset + PAGE) {
                break;
            }
        }
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The streams of an account, by name; `None` where no server keeps any of it.
    pub(super) async fn streams(
        &self,
        account: &str,
    ) -> Result<Option<BTreeMap<String, Config>>, SystemError> {
        let asked = json!({ "streams": true, "config": true });
        let servers: Vec<Account<Configured>> =
            self.told("streams_read", &of(account, "JSZ"), &asked).await?;
        if servers.is_empty() {
            return Ok(None);
        }
        // A stream of several copies is told by each of their servers.
        let streams = servers.into_iter().flat_map(|server| server.stream_detail);
        Ok(Some(streams.map(|stream| (stream.name, stream.config)).collect()))
    }

    /// In what the platform's streams in an account differ from what they are to be.
    pub(super) async fn streams_drift(
        &self,
        account: &str,
        tenant: &TenantNames,
    ) -> Result<Vec<&'static str>, SystemError> {
        let found = self.streams(account).await?.unwrap_or_default();
        Ok(streams::drift(&found, &tenant.nats_subject_prefix, self.replicas()))
    }

    /// The accounts in which usage waits to be counted.
    pub(super) async fn accounts_unread(&self) -> Result<BTreeSet<String>, SystemError> {
        let mut unread = BTreeSet::new();
        for offset in (0..).step_by(ACCOUNTS) {
            let asked = json!({ "accounts": true, "streams": true, "offset": offset, "limit": ACCOUNTS });
            let servers: Vec<Accounts> =
                self.told("accounts_read", "$SYS.REQ.SERVER.PING.JSZ", &asked).await?;
            let is_over = servers.iter().all(|server| server.total <= offset + ACCOUNTS);
            let accounts = servers.into_iter().flat_map(|server| server.account_details);
            let waits = |stream: &Filled| stream.name == USAGE_STREAM && stream.state.messages > 0;
            unread.extend(
                accounts.filter(|account| account.stream_detail.iter().any(waits)).map(|account| account.id),
            );
            if is_over {
                break;
            }
        }
        Ok(unread)
    }

    /// What the servers that know something say.
    async fn told<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        subject: &str,
        asked: &Value,
    ) -> Result<Vec<T>, SystemError> {
        let answers = self.system.ask_all(operation, subject.to_owned(), asked.to_string()).await?;
        let read = |answer| serde_json::from_slice::<Answer<T>>(answer).map(|answer| answer.data);
        let data: Result<Vec<_>, _> = answers.iter().map(|answer| read(answer)).collect();
        let data = data.map_err(|_| {
            error(operation, ErrorClass::Broken, "a server answered with what is no report of an account")
        })?;
        Ok(data.into_iter().flatten().collect())
    }
}

fn of(account: &str, what: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{account}.{what}")
}

/// The bytes that the tenant's own streams take: of each the most that it may grow to, on all of its
/// servers, for that is what a further stream has to fit beside.
pub(super) fn bytes_taken(streams: &BTreeMap<String, Config>) -> i64 {
    let is_own = |name: &str| name != EVENTS_STREAM && name != USAGE_STREAM;
    let own = streams.iter().filter(|(name, config)| is_own(name) && config.storage == StorageType::File);
    let taken = own.map(|(_, config)| {
        let copies = i64::try_from(config.num_replicas.max(1)).unwrap_or(i64::MAX);
        config.max_bytes.max(0).saturating_mul(copies)
    });
    taken.fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_what_it_may_grow_to_on_each_of_its_servers() {
        let stream = |storage, max_bytes, num_replicas| Config {
            storage,
            max_bytes,
            num_replicas,
            ..Config::default()
        };
        let streams = BTreeMap::from([
            (EVENTS_STREAM.to_owned(), stream(StorageType::File, 8 << 20, 1)),
            (USAGE_STREAM.to_owned(), stream(StorageType::File, 8 << 20, 1)),
            (USAGE_STREAM.to_owned(), stream(StorageType::File, 8 << 20, 1)),
            ("ONE".to_owned(), stream(StorageType::File, 100, 1)),
            ("THREE".to_owned(), stream(StorageType::File, 10, 3)),
            ("MEMORY".to_owned(), stream(StorageType::Memory, 1, 1)),
        ]);
        assert_eq!(bytes_taken(&streams), 130);
        assert_eq!(bytes_taken(&BTreeMap::new()), 0);
    }
}
