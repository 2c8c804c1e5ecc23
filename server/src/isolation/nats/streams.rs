//! The streams of a tenant's account: the one in which its events are, and the removal of all.
//!
//! Facts (seen with NATS 2.15): making a stream that is there with the same configuration is success;
//! a stream's removal answers once its files are gone; a bound on a stream is taken from its account's
//! storage when the stream is made.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamError, CreateStreamErrorKind, DeleteStreamErrorKind,
    PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::error;
use crate::isolation::{ErrorClass, SystemError};

/// The stream in which a tenant's events are.
pub(crate) const EVENTS_STREAM: &str = "INTEGRACI_EVENTS";
/// How many bytes of events are kept: some ten thousand.
pub(super) const EVENTS_BYTES: u64 = 8 << 20;
/// How long events are kept.
const EVENTS_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long an event that is told again counts as told: longer than a replica that died between
/// telling it and noting that takes to be replaced.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

pub(super) fn context(client: &Client, wait: Duration) -> Context {
    ContextBuilder::new().timeout(wait).ack_timeout(wait).build(client.clone())
}

/// What the stream of events is to be.
pub(super) fn events(prefix: &str, replicas: u8) -> Config {
    Config {
        name: EVENTS_STREAM.to_owned(),
        description: Some("What became of this tenant, told by IntegraCI".to_owned()),
        subjects: vec![format!("{prefix}.events.>")],
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_bytes: i64::try_from(EVENTS_BYTES).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_age: EVENTS_AGE,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: usize::from(replicas),
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// Makes the stream of events, or makes it what it is to be.
pub(super) async fn ensure_events(streams: &Context, wanted: Config) -> Result<(), SystemError> {
    const OPERATION: &str = "stream_create";
    match streams.create_stream(wanted.clone()).await {
        Ok(_) => return Ok(()),
        Err(failed) if !differs(&failed) => return Err(refusal(OPERATION, &failed)),
        Err(_) => {}
    }
    match streams.update_stream(wanted).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(refusal("stream_update", &failed)),
    }
}

/// An event, as it is told.
#[derive(Debug)]
pub struct Told {
    /// Its id, the same whenever it is told.
    pub id: Uuid,
    /// What its subject ends in: `object.verb`.
    pub kind: String,
    /// What is told.
    pub body: Vec<u8>,
}

/// Puts an event into the stream. That it is there already is success.
pub(super) async fn tell(streams: &Context, prefix: &str, event: &Told) -> Result<(), SystemError> {
    const OPERATION: &str = "event_tell";
    let message = PublishMessage::build().payload(event.body.clone().into()).message_id(event.id.to_string());
    let sent = streams.send_publish(format!("{prefix}.events.{}", event.kind), message).await;
    let acknowledged = match sent {
        Ok(acknowledgement) => acknowledgement.await,
        Err(failed) => Err(failed),
    };
    match acknowledged {
        Ok(by) if by.stream == EVENTS_STREAM => Ok(()),
        Ok(_) => Err(error(OPERATION, ErrorClass::Refused, "another stream takes the events; remove it")),
        Err(failed) if failed.kind() == PublishErrorKind::StreamNotFound => {
            Err(error(OPERATION, ErrorClass::Gone, "the stream of events is missing"))
        }
        Err(_) => Err(silent(OPERATION)),
    }
}

/// In what the stream of events differs from what it is to be.
pub(super) async fn events_drift(
    streams: &Context,
    wanted: &Config,
) -> Result<Option<&'static str>, SystemError> {
    const OPERATION: &str = "stream_read";
    let found = match streams.get_stream(EVENTS_STREAM).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(failed) => {
            return match failed.kind() {
                jetstream::context::GetStreamErrorKind::JetStream(said)
                    if said.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(Some("the stream of events is missing"))
                }
                jetstream::context::GetStreamErrorKind::JetStream(said) => {
                    Err(class_of(OPERATION, said.code()))
                }
                _ => Err(silent(OPERATION)),
            };
        }
    };
    let same = found.subjects == wanted.subjects
        && found.storage == wanted.storage
        && found.discard == wanted.discard
        && found.max_bytes == wanted.max_bytes
        && found.max_age == wanted.max_age
        && found.duplicate_window == wanted.duplicate_window
        && found.num_replicas == wanted.num_replicas
        && found.deny_delete
        && found.deny_purge
        && found.sources.as_ref().is_none_or(Vec::is_empty)
        && found.mirror.is_none()
        && found.republish.is_none()
        && found.subject_transform.is_none();
    Ok((!same).then_some("the stream of events differs"))
}

/// Removes every stream of the account with all that is in it.
pub(super) async fn ensure_none(streams: &Context) -> Result<(), SystemError> {
    const OPERATION: &str = "stream_delete";
    let mut names = Vec::new();
    let mut found = streams.stream_names();
    while let Some(name) = found.next().await {
        names.push(name.map_err(|_| silent("stream_list"))?);
    }
    for name in names {
        match streams.delete_stream(&name).await {
            Ok(_) => {}
            Err(failed) => match failed.kind() {
                DeleteStreamErrorKind::JetStream(said)
                    if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                DeleteStreamErrorKind::JetStream(said) => return Err(class_of(OPERATION, said.code())),
                _ => return Err(silent(OPERATION)),
            },
        }
    }
    Ok(())
}

fn differs(failed: &CreateStreamError) -> bool {
    matches!(failed.kind(), CreateStreamErrorKind::JetStream(said)
        if said.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

fn refusal(operation: &'static str, failed: &CreateStreamError) -> SystemError {
    match failed.kind() {
        CreateStreamErrorKind::JetStream(said) => match said.error_code() {
            ErrorCode::STREAM_SUBJECT_OVERLAP => error(
                operation,
                ErrorClass::Refused,
                "another stream of the account takes the subjects of the events; remove it",
            ),
            ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES => error(
                operation,
                ErrorClass::Refused,
                "JetStream has no room for another stream; give the servers more storage, or the platform another cell",
            ),
            _ => class_of(operation, said.code()),
        },
        _ => silent(operation),
    }
}

/// JetStream answers with the codes of HTTP.
fn class_of(operation: &'static str, code: usize) -> SystemError {
    match code {
        503 => error(operation, ErrorClass::Busy { retry_after: None }, "JetStream is not ready"),
        400..500 => error(operation, ErrorClass::Refused, "JetStream refused"),
        _ => error(operation, ErrorClass::Broken, "JetStream failed"),
    }
}

pub(super) const fn silent(operation: &'static str) -> SystemError {
    error(operation, ErrorClass::Broken, "JetStream did not answer")
}
