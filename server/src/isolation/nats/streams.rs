//! The streams of a tenant's account: those of the platform, one in which the tenant's events are and one
//! in which what it tells of its usage waits to be counted, and the removal of all.
//!
//! Facts (seen with NATS 2.15): making a stream that is there with the same configuration is success;
//! a stream's removal answers once its files are gone; a bound on a stream is taken from its account's
//! storage when the stream is made; a work queue has one consumer of a subject, so that the platform's
//! keeps every other out, also that of a stream which has this one as its source.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamError, CreateStreamErrorKind, DeleteStreamErrorKind,
    PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::error;
use crate::isolation::{ErrorClass, SystemError};

/// The stream in which a tenant's events are.
pub(crate) const EVENTS_STREAM: &str = "INTEGRACI_EVENTS";
/// How many bytes of events are kept: some ten thousand.
const EVENTS_BYTES: u64 = 8 << 20;
/// How long events are kept.
const EVENTS_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long an event that is told again counts as told: longer than a replica that died between
/// telling it and noting that takes to be replaced.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

pub(super) fn context(client: &Client, wait: Duration) -> Context {
    ContextBuilder::new().timeout(wait).ack_timeout(wait).build(client.clone())
}

/// The stream in which a tenant's usage waits.
pub(super) const USAGE_STREAM: &str = "INTEGRACI_USAGE";
/// How many bytes of it may wait: some ten thousand events.
const USAGE_BYTES: u64 = 8 << 20;
/// The largest message of usage: far more than a batch of as many events as may be in one.
const USAGE_MESSAGE_BYTES: i32 = 1 << 20;
/// Who reads it.
const USAGE_CONSUMER: &str = "integraci";
/// For how long what was read and not acknowledged is left to whoever read it: as long as a claim of the
/// tenant holds.
const USAGE_ACK_WAIT: Duration = Duration::from_secs(30);

/// How many streams are the platform's,
pub(super) const STREAMS: u32 = 2;
/// how many consumers,
pub(super) const CONSUMERS: u32 = 1;
/// and how much of an account's storage is theirs, on each of their servers.
pub(super) const BYTES: u64 = EVENTS_BYTES + USAGE_BYTES;

/// A stream of the platform's in a tenant's account.
struct Kept {
    wanted: Config,
    /// That it is not there.
    missing: &'static str,
    /// That it is not as it is to be.
    differs: &'static str,
}

/// The streams of the platform's, as they are to be.
fn kept(prefix: &str, replicas: u8) -> [Kept; STREAMS as usize] {
    let bounded = |bytes: u64| Config {
        storage: StorageType::File,
        max_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        num_replicas: usize::from(replicas),
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    };
    let events = Config {
        name: EVENTS_STREAM.to_owned(),
        description: Some("What became of this tenant, told by IntegraCI".to_owned()),
        subjects: vec![format!("{prefix}.events.>")],
        discard: DiscardPolicy::Old,
        max_age: EVENTS_AGE,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..bounded(EVENTS_BYTES)
    };
    // One that is full refuses: who publishes is told, and nothing that was taken is lost.
    let usage = Config {
        name: USAGE_STREAM.to_owned(),
        description: Some("Events of this tenant that IntegraCI is to count".to_owned()),
        subjects: vec![format!("{prefix}.usage")],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_message_size: USAGE_MESSAGE_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        ..bounded(USAGE_BYTES)
    };
    [
        Kept {
            wanted: events,
            missing: "the stream of events is missing",
            differs: "the stream of events differs",
        },
        Kept {
            wanted: usage,
            missing: "the stream of usage is missing",
            differs: "the stream of usage differs",
        },
    ]
}

/// Makes the streams of the platform's, or makes them what they are to be.
pub(super) async fn ensure(streams: &Context, prefix: &str, replicas: u8) -> Result<(), SystemError> {
    for kept in kept(prefix, replicas) {
        ensure_one(streams, kept.wanted).await?;
    }
    usage_consumer(streams).await.map(drop)
}

/// In what the streams that an account has differ from those that it is to have.
pub(super) fn drift(found: &BTreeMap<String, Config>, prefix: &str, replicas: u8) -> Vec<&'static str> {
    let differs = |kept: Kept| match found.get(&kept.wanted.name) {
        None => Some(kept.missing),
        Some(found) => (!is_as(found, &kept.wanted)).then_some(kept.differs),
    };
    kept(prefix, replicas).into_iter().filter_map(differs).collect()
}

/// Whether a stream is as it is to be, in all that is asked of it.
fn is_as(found: &Config, wanted: &Config) -> bool {
    found.subjects == wanted.subjects
        && found.storage == wanted.storage
        && found.retention == wanted.retention
        && found.discard == wanted.discard
        && found.max_bytes == wanted.max_bytes
        && found.max_age == wanted.max_age
        && (wanted.max_message_size == 0 || found.max_message_size == wanted.max_message_size)
        && found.duplicate_window == wanted.duplicate_window
        && found.num_replicas == wanted.num_replicas
        && found.no_ack == wanted.no_ack
        && found.deny_delete
        && found.deny_purge
        && found.sources.as_ref().is_none_or(Vec::is_empty)
        && found.mirror.is_none()
        && found.republish.is_none()
        && found.subject_transform.is_none()
}

/// The consumer by which the platform reads a tenant's usage, made if it is not there.
pub(super) async fn usage_consumer(
    streams: &Context,
) -> Result<jetstream::consumer::PullConsumer, SystemError> {
    let wanted = pull::Config {
        durable_name: Some(USAGE_CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: USAGE_ACK_WAIT,
        ..pull::Config::default()
    };
    let made = streams.create_consumer_on_stream(wanted, USAGE_STREAM).await;
    made.map_err(|failed| match failed.kind() {
        ConsumerErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            error("consumer_create", ErrorClass::Gone, "the stream of usage is missing")
        }
        ConsumerErrorKind::JetStream(said) => class_of("consumer_create", said.code()),
        _ => silent("consumer_create"),
    })
}

async fn ensure_one(streams: &Context, wanted: Config) -> Result<(), SystemError> {
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

/// What is sent beside the body: the line of the version, that of the id, and an empty one.
const HEADER_BYTES: usize = "NATS/1.0\r\nNats-Msg-Id: \r\n\r\n".len() + uuid::fmt::Hyphenated::LENGTH;

impl Told {
    /// How many bytes of an account's limit of a message it takes.
    pub(super) const fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
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
                "another stream of the account takes the subjects of the platform's; remove it",
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
