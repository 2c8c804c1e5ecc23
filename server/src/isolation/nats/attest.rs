//! The attempts of one tenant's user on what is another's, and the controls that show that they could
//! have succeeded.
//!
//! Two users are connected for a minute, one of each tenant. What a server does for a connection it does
//! in order, so once a message to itself has come round, all that was sent before it has been dealt with,
//! and what was refused has been told.
//!
//! No attempt does harm where it succeeds: what would change events is such that JetStream turns it down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_STREAM;
use async_nats::{Client, Event, HeaderMap, ServerError, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use integraci_api::attestations::{Check, CheckKind};
use nkeys::KeyPairType;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::claims::{self, AccountClaims, AccountKeys, EXPORTS, IMPORTS};
use super::connection::{self, User};
use super::streams::{self, EVENTS_STREAM, USAGE_STREAM};
use super::{Nats, seconds, users};
use crate::isolation::{ErrorClass, System, SystemError, Wanted};

/// The longest that all of it may take.
const DEADLINE: Duration = Duration::from_secs(12);
/// How long the users live.
const USER_LIFE: Duration = Duration::from_secs(60);
/// How long a message may be under way.
const UNDER_WAY: Duration = Duration::from_secs(3);
/// How long the client may take to pass a refusal on that has arrived.
const PASSED_ON: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);

struct Spec {
    name: &'static str,
    kind: CheckKind,
    attempted: &'static str,
    expected: &'static str,
}

const OWN_MESSAGE: &str = "own_message_arrives";
const THEIR_MESSAGE: &str = "message_of_the_other_arrives_at_the_other";
const PUBLISH_TO_OTHER: &str = "publish_to_another_tenant";
const SUBSCRIBE_TO_OTHER: &str = "subscribe_to_another_tenant";
const PUBLISH_OUTSIDE: &str = "publish_outside_own_subjects";
const SUBSCRIBE_OUTSIDE: &str = "subscribe_outside_own_subjects";
const ENTER_OTHER: &str = "enter_account_of_another_tenant";
const GRANT_ITSELF: &str = "user_with_permissions_of_its_own";
const READ_EVENTS: &str = "own_events_are_read";
const TELL_EVENTS: &str = "tell_own_events";
const REMOVE_EVENTS: &str = "remove_own_events";
const TAKE_USAGE: &str = "take_own_usage_before_it_is_counted";
const ANSWER: &str = "answer_at_refused_subjects";
const SHARED: &str = "subjects_shared_between_accounts";
const AS_MADE: &str = "account_as_made";

const SPECS: &[Spec] = &[
    control(OWN_MESSAGE, "publish and subscribe below the tenant's own subjects", "the message arrives"),
    control(
        THEIR_MESSAGE,
        "the other tenant's user publishes and subscribes below that tenant's subjects",
        "the message arrives",
    ),
    attempt(
        PUBLISH_TO_OTHER,
        "publish to a subject of the other tenant's that its user listens to",
        "nothing arrives",
    ),
    attempt(
        SUBSCRIBE_TO_OTHER,
        "subscribe to all subjects of the other tenant's while its user publishes",
        "nothing arrives",
    ),
    attempt(PUBLISH_OUTSIDE, "publish to a subject outside the tenant's own", "the server refuses"),
    attempt(SUBSCRIBE_OUTSIDE, "subscribe to every subject", "the server refuses"),
    attempt(
        ENTER_OTHER,
        "log in to the other tenant's account as a user signed by this tenant's key",
        "the server refuses",
    ),
    attempt(
        GRANT_ITSELF,
        "log in to the tenant's own account as a user that its key signed with permissions of its own",
        "the server refuses",
    ),
    control(READ_EVENTS, "look up the stream of the tenant's events", "it is the tenant's own"),
    attempt(TELL_EVENTS, "publish to the subjects of the tenant's events", "the server refuses"),
    attempt(REMOVE_EVENTS, "delete a message from the stream of the tenant's events", "the server refuses"),
    attempt(
        TAKE_USAGE,
        "delete a message from the stream in which the tenant's usage waits to be counted",
        "the server refuses",
    ),
    attempt(
        ANSWER,
        "receive requests that are to be answered at such subjects, and answer them",
        "the server refuses",
    ),
    attempt(SHARED, "look for exports and imports in the claims of both accounts", "there are none"),
    attempt(
        AS_MADE,
        "compare the account's claims, as every resolver node has them, with what the platform signs",
        "they are the same",
    ),
];

const fn control(name: &'static str, attempted: &'static str, expected: &'static str) -> Spec {
    Spec { name, kind: CheckKind::Control, attempted, expected }
}

const fn attempt(name: &'static str, attempted: &'static str, expected: &'static str) -> Spec {
    Spec { name, kind: CheckKind::Attempt, attempted, expected }
}

/// What came of each check that was tried: whether it was as expected, and in words.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<&'static str, (bool, &'static str)>>);

impl Seen {
    fn note(&self, check: &'static str, passed: bool, as_expected: &'static str, else_: &'static str) {
        let observed = if passed { as_expected } else { else_ };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(check, (passed, observed));
    }

    /// An attempt that the server has to refuse.
    fn refused(&self, check: &'static str, refused: bool) {
        self.note(check, refused, "refused", "not refused");
    }
}

/// Tries everything. What could not be tried did not pass.
pub(super) async fn attest(nats: &Nats, own: &Wanted, canary: &Wanted) -> Vec<Check> {
    let seen = Seen::default();
    let not_tried = match timeout(DEADLINE, Box::pin(tries(nats, own, canary, &seen))).await {
        Ok(Ok(())) => "not tried",
        Ok(Err(failed)) if failed.class == ErrorClass::Refused => "not tried: the tenant's user was refused",
        Ok(Err(failed)) if failed.class == ErrorClass::Gone => "not tried: the account is not there",
        Ok(Err(_)) => "not tried: NATS did not answer",
        Err(_) => "not tried: the time was up",
    };
    let seen = seen.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let check = |spec: &Spec| {
        let (passed, observed) = seen.get(spec.name).copied().unwrap_or((false, not_tried));
        Check {
            system: System::Nats,
            check: spec.name.to_owned(),
            kind: spec.kind,
            attempted: spec.attempted.to_owned(),
            expected: spec.expected.to_owned(),
            observed: observed.to_owned(),
            passed,
            at: nats.source.now(),
        }
    };
    SPECS.iter().map(check).collect()
}

async fn tries(nats: &Nats, own: &Wanted, canary: &Wanted, seen: &Seen) -> Result<(), SystemError> {
    let (own_keys, canary_keys) = tokio::try_join!(keys(nats, own), keys(nats, canary))?;
    let (own_user, canary_user) = (user(nats, &own_keys)?, user(nats, &canary_keys)?);
    tokio::try_join!(
        claims_looked_at(nats, own, &own_keys, &canary_keys, seen),
        logins_tried(nats, &own_keys, &canary_keys, seen),
        async {
            let (mut own_side, mut canary_side) = tokio::try_join!(
                Side::connect(nats, &own_user, &own.names.nats_subject_prefix),
                Side::connect(nats, &canary_user, &canary.names.nats_subject_prefix),
            )?;
            messages_tried(&mut own_side, &mut canary_side, seen).await?;
            events_tried(nats, &own_side, seen).await?;
            answers_tried(&mut own_side, seen).await
        },
    )?;
    Ok(())
}

async fn keys(nats: &Nats, tenant: &Wanted) -> Result<AccountKeys, SystemError> {
    nats.account_keys(&tenant.names)
        .await?
        .ok_or_else(|| failed(ErrorClass::Gone, "the tenant has no account"))
}

const fn failed(class: ErrorClass, reason: &'static str) -> SystemError {
    super::error("attest", class, reason)
}

fn user(nats: &Nats, keys: &AccountKeys) -> Result<User, SystemError> {
    let key = nats.key(KeyPairType::User)?;
    let now_s = nats.now_s();
    let expires_at_s = now_s + seconds(USER_LIFE);
    let jwt = users::tenant_user(keys, &key.public_key(), "attestation", now_s, expires_at_s)
        .map_err(|_| super::unsigned("attest"))?;
    Ok(User { jwt, key: Arc::new(key) })
}

/// What is looked at because nothing that is tried would show it: an export does harm only to whom an
/// import of it is added.
async fn claims_looked_at(
    nats: &Nats,
    own: &Wanted,
    own_keys: &AccountKeys,
    canary_keys: &AccountKeys,
    seen: &Seen,
) -> Result<(), SystemError> {
    let (own_account, canary_account) = (own_keys.account(), canary_keys.account());
    let (own_found, canary_found) =
        tokio::try_join!(nats.account(&own_account), nats.account(&canary_account))?;
    let gone = || failed(ErrorClass::Gone, "the account is not there");
    let (own_claims, canary_claims) =
        (own_found.claims.ok_or_else(gone)?, canary_found.claims.ok_or_else(gone)?);
    let shares = |claims: &AccountClaims| claims.has(EXPORTS) || claims.has(IMPORTS);
    let apart = !shares(&own_claims) && !shares(&canary_claims);
    seen.note(SHARED, apart, "none", "an account exports or imports subjects");
    let wanted = AccountClaims::of(
        own,
        own_keys,
        &nats.origin(&own.names),
        nats.replicas(),
        Some(&own_claims),
        nats.now_s(),
    );
    let as_made = own_found.agreed && own_claims.differences(&wanted).is_empty();
    seen.note(AS_MADE, as_made, "the same", "they differ");
    Ok(())
}

/// Logins that have to fail. That the tenant's proper users get in is seen when they connect.
async fn logins_tried(
    nats: &Nats,
    own: &AccountKeys,
    canary: &AccountKeys,
    seen: &Seen,
) -> Result<(), SystemError> {
    let everything = json!({ "allow": [">"] });
    let with = |account: String, granted: bool| {
        let key = nats.key(KeyPairType::User)?;
        let mut nats_claims = json!({ "type": "user", "version": 2, "issuer_account": account });
        if granted {
            nats_claims["pub"] = everything.clone();
            nats_claims["sub"] = everything.clone();
        }
        let now_s = nats.now_s();
        let user = json!({ "sub": key.public_key(), "exp": now_s + seconds(USER_LIFE), "nats": nats_claims });
        let jwt = claims::sign(&own.signing, user, now_s).map_err(|_| super::unsigned("attest"))?;
        Ok::<_, SystemError>(User { jwt, key: Arc::new(key) })
    };
    let (strange, greedy) = (with(canary.account(), false)?, with(own.account(), true)?);
    let (strange, greedy) = tokio::join!(
        connection::connect("attest", &nats.config, strange.options()),
        connection::connect("attest", &nats.config, greedy.options()),
    );
    for (check, tried) in [(ENTER_OTHER, strange), (GRANT_ITSELF, greedy)] {
        match tried {
            Ok(_) => seen.refused(check, false),
            Err(refused) if refused.class == ErrorClass::Refused => seen.refused(check, true),
            Err(unknown) => return Err(unknown),
        }
    }
    Ok(())
}

/// One tenant's user, connected.
struct Side {
    client: Client,
    /// A subject below the tenant's that nobody else uses, and who listens to it.
    subject: String,
    listener: Subscriber,
    prefix: String,
    /// What the server refused, in its words.
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Side {
    async fn connect(nats: &Nats, user: &User, prefix: &str) -> Result<Self, SystemError> {
        let refusals: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = refusals.clone();
        let options = user.options().event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(text)) = event {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            async {}
        });
        let client = connection::connect("attest", &nats.config, options).await?;
        let subject = format!("{prefix}.attestation.{}", Uuid::from_bytes(first_half(nats)).simple());
        let listener = client.subscribe(subject.clone()).await.map_err(|_| cut())?;
        Ok(Self { client, subject, listener, prefix: prefix.to_owned(), refusals })
    }

    async fn publish(&self, subject: &str, text: &'static str) -> Result<(), SystemError> {
        self.client.publish(subject.to_owned(), text.into()).await.map_err(|_| cut())
    }

    /// The next message that arrives at this side's own subject.
    async fn heard(&mut self) -> Result<Option<Vec<u8>>, SystemError> {
        match timeout(UNDER_WAY, self.listener.next()).await {
            Ok(Some(message)) => Ok(Some(message.payload.to_vec())),
            Ok(None) => Err(cut()),
            Err(_) => Ok(None),
        }
    }

    /// Sends a message round: whether it is the next that arrives.
    async fn comes_round(&mut self, text: &'static str) -> Result<bool, SystemError> {
        let subject = self.subject.clone();
        self.publish(&subject, text).await?;
        Ok(self.heard().await?.is_some_and(|heard| heard == text.as_bytes()))
    }

    /// Whether the server refused what was tried on a subject. Ask after a message has come round.
    async fn was_refused(&self, subject: &str) -> bool {
        let named = format!("\"{subject}\"");
        let asked_at = Instant::now();
        loop {
            let refused = {
                let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                refusals.iter().any(|text| text.contains(&named))
            };
            if refused || asked_at.elapsed() > PASSED_ON {
                return refused;
            }
            sleep(POLL).await;
        }
    }
}

const fn cut() -> SystemError {
    failed(ErrorClass::Broken, "the connection was cut")
}

fn first_half(nats: &Nats) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&nats.source.bytes()[..16]);
    half
}

async fn messages_tried(own: &mut Side, canary: &mut Side, seen: &Seen) -> Result<(), SystemError> {
    const ARRIVED: &str = "it arrived";
    const LOST: &str = "it did not arrive";
    let (own_arrived, canary_arrived) =
        tokio::try_join!(own.comes_round("own"), canary.comes_round("canary"))?;
    seen.note(OWN_MESSAGE, own_arrived, ARRIVED, LOST);
    seen.note(THEIR_MESSAGE, canary_arrived, ARRIVED, LOST);

    let outside = canary.subject.replacen("tenant.", "outside.", 1);
    let theirs = format!("{}.>", canary.prefix);
    let mut from_theirs = own.client.subscribe(theirs).await.map_err(|_| cut())?;
    let _from_all = own.client.subscribe(">").await.map_err(|_| cut())?;
    own.publish(&canary.subject, "from another tenant").await?;
    own.publish(&outside, "outside").await?;
    if !own.comes_round("after the attempts").await? {
        return Err(failed(ErrorClass::Broken, "a message was lost"));
    }
    // Whatever got through is there before this.
    let only_its_own = canary.comes_round("canary again").await?;
    seen.note(
        PUBLISH_TO_OTHER,
        only_its_own,
        "nothing arrived",
        "it arrived, or the other heard nothing any more",
    );
    if !own.comes_round("after the other's message").await? {
        return Err(failed(ErrorClass::Broken, "a message was lost"));
    }
    // What this side published under the other's subject may have come back to it: that is its own.
    let mut heard_theirs = false;
    while let Some(Some(message)) = from_theirs.next().now_or_never() {
        heard_theirs |= message.payload == "canary again";
    }
    seen.note(SUBSCRIBE_TO_OTHER, !heard_theirs, "nothing arrived", "the other tenant's message arrived");
    seen.refused(PUBLISH_OUTSIDE, own.was_refused(&outside).await);
    seen.refused(SUBSCRIBE_OUTSIDE, own.was_refused(">").await);
    Ok(())
}

async fn events_tried(nats: &Nats, own: &Side, seen: &Seen) -> Result<(), SystemError> {
    let told = format!("{}.events.attestation.tried", own.prefix);
    let [removed, taken] =
        [EVENTS_STREAM, USAGE_STREAM].map(|stream| format!("$JS.API.STREAM.MSG.DELETE.{stream}"));
    // A stream of no such name is meant, so JetStream keeps nothing of what gets through.
    let mut elsewhere = HeaderMap::new();
    elsewhere.insert(NATS_EXPECTED_STREAM, "INTEGRACI_NONE");
    own.client.publish_with_headers(told.clone(), elsewhere, "".into()).await.map_err(|_| cut())?;
    // There is no message 0.
    own.publish(&removed, r#"{"seq":0}"#).await?;
    own.publish(&taken, r#"{"seq":0}"#).await?;
    let streams = streams::context(&own.client, nats.config.timeout);
    let found = streams.get_stream(EVENTS_STREAM).await;
    let subjects = found.map(|stream| stream.cached_info().config.subjects.clone());
    let is_own = subjects.is_ok_and(|subjects| subjects == [format!("{}.events.>", own.prefix)]);
    seen.note(READ_EVENTS, is_own, "it is", "it is not, or cannot be read");
    seen.refused(TELL_EVENTS, own.was_refused(&told).await);
    seen.refused(REMOVE_EVENTS, own.was_refused(&removed).await);
    seen.refused(TAKE_USAGE, own.was_refused(&taken).await);
    Ok(())
}

/// Answers requests of its own: who had a right to answer could publish wherever the request says.
async fn answers_tried(own: &mut Side, seen: &Seen) -> Result<(), SystemError> {
    let event = format!("{}.events.attestation.answered", own.prefix);
    let [purged, emptied] =
        [EVENTS_STREAM, USAGE_STREAM].map(|stream| format!("$JS.API.STREAM.PURGE.{stream}"));
    // Nothing is told under this subject.
    let nothing = json!({ "filter": format!("{}.events.attestation.none", own.prefix) }).to_string();
    let mut elsewhere = HeaderMap::new();
    elsewhere.insert(NATS_EXPECTED_STREAM, "INTEGRACI_NONE");
    for subject in [&event, &purged, &emptied] {
        let (request, answer) = (own.subject.clone(), subject.clone());
        own.client.publish_with_reply(request, answer, "request".into()).await.map_err(|_| cut())?;
        if own.heard().await?.is_none_or(|heard| heard != b"request") {
            return Err(failed(ErrorClass::Broken, "a message was lost"));
        }
    }
    own.client.publish_with_headers(event.clone(), elsewhere, "".into()).await.map_err(|_| cut())?;
    for subject in [&purged, &emptied] {
        own.client.publish(subject.clone(), nothing.clone().into()).await.map_err(|_| cut())?;
    }
    if !own.comes_round("after the answers").await? {
        return Err(failed(ErrorClass::Broken, "a message was lost"));
    }
    let mut refused = true;
    for subject in [&event, &purged, &emptied] {
        refused &= own.was_refused(subject).await;
    }
    seen.refused(ANSWER, refused);
    Ok(())
}
