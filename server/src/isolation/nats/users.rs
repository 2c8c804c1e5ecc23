//! The claims of users in a tenant's account, and what they may do there: the tenant's, by the template of
//! its account's signing key, and the platform's, by permissions of their own.
//!
//! Facts: a user that a scoped signing key signed must carry no permissions of its own, else the server takes
//! it for none; it has those of the key's template. A right to answer (`resp`) outweighs what is denied: whoever
//! has it sends itself a request that is to be answered at a denied subject, and may then publish there. So
//! nobody has it, and answers are published as all else is.
//! What JetStream itself sends is held to no permissions: it answers and delivers wherever a request says, so
//! that a tenant can have a message of its own put among its events. Its API does
//! nothing upon what comes so (seen with NATS 2.15.1).

use integraci_api::SecretText;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::claims::{AccountKeys, UNLIMITED, sign};
use super::streams::{EVENTS_STREAM, USAGE_STREAM};

/// What the tenant's users may do: all below the tenant's subjects but to tell its events, and all with
/// streams but to change the platform's, or to read what it tells of its usage. Answers are sent and come to
/// `_INBOX.>`, which is the account's own.
pub(super) fn template(prefix: &str) -> Value {
    let change = [
        "CREATE",
        "UPDATE",
        "DELETE",
        "PURGE",
        "SNAPSHOT",
        "RESTORE",
        "MSG.DELETE",
        "PEER.REMOVE",
        "LEADER.STEPDOWN",
    ];
    let of_stream =
        |stream: &'static str| change.into_iter().map(move |verb| format!("$JS.API.STREAM.{verb}.{stream}"));
    // Further words after the stream's name are those of a consumer, or of a subject.
    let read = [
        "$JS.API.STREAM.MSG.GET",
        "$JS.API.DIRECT.GET",
        "$JS.API.CONSUMER.CREATE",
        "$JS.API.CONSUMER.DURABLE.CREATE",
        "$JS.API.CONSUMER.DELETE",
        "$JS.API.CONSUMER.MSG.NEXT",
        "$JS.API.CONSUMER.PAUSE",
        "$JS.API.CONSUMER.UNPIN",
        "$JS.API.CONSUMER.RESET",
        "$JS.API.CONSUMER.LEADER.STEPDOWN",
        "$JS.ACK",
    ];
    let of_usage =
        read.into_iter().flat_map(|verb| ["", ".>"].map(|rest| format!("{verb}.{USAGE_STREAM}{rest}")));
    let mut deny: Vec<String> = [EVENTS_STREAM, USAGE_STREAM].into_iter().flat_map(of_stream).collect();
    deny.extend(of_usage);
    // Acknowledgements name a domain and an account before the stream, where there are such.
    deny.push(format!("$JS.ACK.*.*.{USAGE_STREAM}.>"));
    deny.push(format!("{prefix}.events.>"));
    json!({
        "pub": {
            "allow": [format!("{prefix}.>"), "_INBOX.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"],
            "deny": deny,
        },
        "sub": { "allow": [format!("{prefix}.>"), "_INBOX.>"] },
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
    })
}

/// What a user without permissions of its own may do.
pub(super) fn nothing() -> Value {
    json!({ "pub": { "deny": [">"] }, "sub": { "deny": [">"] } })
}

/// The JWT of a user of the tenant's, until `expires_at_s`.
pub(super) fn tenant_user(
    keys: &AccountKeys,
    user: &str,
    name: &str,
    now_s: i64,
    expires_at_s: i64,
) -> Result<String, nkeys::error::Error> {
    let nats = json!({ "type": "user", "version": 2, "issuer_account": keys.account() });
    sign(&keys.signing, json!({ "name": name, "sub": user, "exp": expires_at_s, "nats": nats }), now_s)
}

/// What the platform's answers in a tenant's account come to: the tenant's users cannot listen there.
pub(super) const PLATFORM_INBOX: &str = "_INTEGRACI";

/// The JWT of a user of the platform's in an account, until `expires_at_s`: it works with the streams,
/// tells the events, and takes what is told of usage.
pub(super) fn platform_user(
    issuer: &KeyPair,
    account: &str,
    prefix: &str,
    user: &str,
    now_s: i64,
    expires_at_s: i64,
) -> Result<String, nkeys::error::Error> {
    let mut nats = json!({
        "type": "user",
        "version": 2,
        "pub": { "allow": [
            "$JS.API.>",
            format!("$JS.ACK.{USAGE_STREAM}.>"),
            format!("$JS.ACK.*.*.{USAGE_STREAM}.>"),
            format!("{prefix}.events.>"),
        ] },
        "sub": { "allow": [format!("{PLATFORM_INBOX}.>")] },
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
    });
    if issuer.public_key() != account {
        nats["issuer_account"] = account.into();
    }
    sign(issuer, json!({ "name": "integraci", "sub": user, "exp": expires_at_s, "nats": nats }), now_s)
}

/// A credentials file, as clients read it.
pub(super) fn credentials_file(jwt: &str, seed: &str) -> SecretText {
    SecretText::new(format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}
