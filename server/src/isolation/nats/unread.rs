//! What a tenant tells of its usage, in its own account, on its way to being counted.
//!
//! A message is removed when it is acknowledged; one that was read and is not is given to the next who
//! reads. So each is read once or more often, and who counts has to know what was counted.

use std::collections::BTreeSet;

use async_nats::Client;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use integraci_api::tenants::TenantNames;

use super::{Nats, error, streams};
use crate::isolation::{ErrorClass, SystemError};

/// How many messages are read in one go. All that the stream may hold would be no burden, either.
const MESSAGES: usize = 32;

/// A brief connection in a tenant's account, to read what waits there.
pub struct Reader {
    consumer: jetstream::consumer::PullConsumer,
    _client: Client,
}

/// A message as the tenant published it. Nobody has looked at it.
pub struct Unread {
    /// Its place in the stream, by which it is told of.
    pub sequence: u64,
    /// What is in it.
    pub payload: Bytes,
    message: jetstream::Message,
}

impl Nats {
    /// The accounts in which something waits, without a connection to any of them.
    ///
    /// # Errors
    /// The servers did not tell.
    pub async fn usage_unread(&self) -> Result<BTreeSet<String>, SystemError> {
        self.accounts_unread().await
    }

    /// Goes into a tenant's account to read what waits.
    ///
    /// # Errors
    /// The tenant has no account, its account lets nobody in, or the stream is missing.
    pub async fn usage_reader(&self, tenant: &TenantNames) -> Result<Reader, SystemError> {
        let gone = || error("usage_read", ErrorClass::Gone, "the tenant has no account");
        let keys = self.account_keys(tenant).await?.ok_or_else(gone)?;
        let client = self.enter(&keys, tenant).await?;
        let streams = streams::context(&client, self.config.timeout);
        Ok(Reader { consumer: streams::usage_consumer(&streams).await?, _client: client })
    }
}

impl Reader {
    /// The next messages, in their order; none when nothing waits.
    ///
    /// # Errors
    /// The servers did not answer.
    pub async fn read(&self) -> Result<Vec<Unread>, SystemError> {
        const OPERATION: &str = "usage_read";
        let fetch = self.consumer.fetch().max_messages(MESSAGES);
        let mut messages = fetch.messages().await.map_err(|_| streams::silent(OPERATION))?;
        let mut unread = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|_| streams::silent(OPERATION))?;
            let sequence = message.info().map_err(|_| streams::silent(OPERATION))?.stream_sequence;
            unread.push(Unread { sequence, payload: message.payload.clone(), message });
        }
        Ok(unread)
    }
}

impl Unread {
    /// It was dealt with, and is removed.
    ///
    /// # Errors
    /// The servers did not say so: it may be read again.
    pub async fn done(self) -> Result<(), SystemError> {
        self.message.double_ack().await.map_err(|_| streams::silent("usage_acknowledge"))
    }

    /// It was not dealt with, and may be read again at once. Where this fails it may be later.
    pub async fn give_back(self) {
        if self.message.ack_with(AckKind::Nak(None)).await.is_err() {
            tracing::debug!("a message stays with a reader that is gone, until its time is up");
        }
    }
}
