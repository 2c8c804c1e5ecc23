//! The claims that NATS is told in: of a tenant's account, and of its removal. Those of users: `users.rs`.
//!
//! Facts: the form is that of nats-io/jwt, version 2. A limit that is left out counts as 0; -1 is none.
//! A revocation under `*` is one of every user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::streams;
use super::users::{nothing, template};
use crate::isolation::Wanted;

/// "No limit".
pub(super) const UNLIMITED: i64 = -1;
/// Subscriptions of all connections of an account together: far more than a tenant's pipelines make,
/// far fewer than burden a server.
const SUBSCRIPTIONS: u32 = 10_000;
/// Streams and consumers of the tenant's own, beside the platform's.
const STREAMS: u32 = 20;
const CONSUMERS: u32 = 100;
/// In the revocations: every user.
pub(super) const EVERYBODY: &str = "*";
/// A revocation holds for users issued until its time: this one for all that ever are.
pub(super) const FOR_EVER: i64 = 253_402_300_799;

/// The parts of claims by which accounts share subjects.
pub(super) const EXPORTS: &str = "exports";
pub(super) const IMPORTS: &str = "imports";

/// What an account's tags say of ours.
pub(super) const OWNER_TAG: &str = "managed-by:integraci";

/// A tag that tells of which keys an account is made, by where they are kept, to whoever knows that: it
/// stays when the keys are lost.
pub(super) fn origin(place: &str) -> String {
    let digest = hex::encode(Sha256::digest(place));
    format!("origin:{}", &digest[..32])
}

/// The two keys of a tenant's account.
pub(super) struct AccountKeys {
    /// What the account is known by. Signs the platform's own users in it.
    pub(super) identity: KeyPair,
    /// Signs the tenant's users, within its template.
    pub(super) signing: KeyPair,
}

impl AccountKeys {
    /// The account's public key, `A…`.
    pub(super) fn account(&self) -> String {
        self.identity.public_key()
    }
}

/// Claims that a resolver keeps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AccountClaims {
    name: String,
    issued_at_s: i64,
    nats: Map<String, Value>,
}

impl AccountClaims {
    /// What a tenant's account is to be. `revoked` is kept as it is, but for what has run out at `now_s`.
    pub(super) fn of(
        wanted: &Wanted,
        keys: &AccountKeys,
        origin: &str,
        replicas: u8,
        revoked: Option<&Self>,
        now_s: i64,
    ) -> Self {
        let (limits, prefix) = (&wanted.limits, &wanted.names.nats_subject_prefix);
        let mut revocations: Map<String, Value> = revoked.map(Self::revocations).unwrap_or_default();
        revocations
            .retain(|user, until| user != EVERYBODY && until.as_i64().is_some_and(|until| until > now_s));
        if wanted.suspended {
            revocations.insert(EVERYBODY.to_owned(), FOR_EVER.into());
        }
        let disk = limits.nats_stream_bytes + streams::BYTES * u64::from(replicas);
        let nats = json!({
            "type": "account",
            "version": 2,
            "tags": [OWNER_TAG, origin],
            "limits": {
                "subs": SUBSCRIPTIONS,
                "data": UNLIMITED,
                "payload": limits.nats_payload_bytes,
                "imports": 0,
                "exports": 0,
                "wildcards": false,
                "disallow_bearer": true,
                "conn": limits.nats_connections,
                "leaf": 0,
                "mem_storage": 0,
                "disk_storage": disk,
                "streams": STREAMS + streams::STREAMS,
                "consumer": CONSUMERS + streams::CONSUMERS,
                "max_bytes_required": true,
            },
            "signing_keys": [{
                "kind": "user_scope",
                "key": keys.signing.public_key(),
                "role": "tenant",
                "template": template(prefix),
            }],
            "revocations": revocations,
            "default_permissions": nothing(),
        });
        Self::made(&wanted.names.nats_account, nats)
    }

    /// What an account is while it is taken down: nobody of the tenant's gets in, and the platform does.
    pub(super) fn closing(name: &str, origin: &str, platform_key: &str) -> Self {
        let nats = json!({
            "type": "account",
            "version": 2,
            "tags": [OWNER_TAG, origin],
            "limits": {
                "subs": SUBSCRIPTIONS, "data": UNLIMITED, "payload": UNLIMITED,
                "imports": 0, "exports": 0, "wildcards": false, "disallow_bearer": true,
                "conn": UNLIMITED, "leaf": 0,
                "mem_storage": 0, "disk_storage": UNLIMITED, "streams": UNLIMITED, "consumer": UNLIMITED,
            },
            "signing_keys": [platform_key],
            "default_permissions": nothing(),
        });
        Self::made(name, nats)
    }

    fn made(name: &str, nats: Value) -> Self {
        let Value::Object(nats) = nats else {
            return Self { name: String::new(), issued_at_s: 0, nats: Map::new() };
        };
        Self { name: name.to_owned(), issued_at_s: 0, nats }
    }

    /// The claims in a JWT that came from a resolver, which has checked it.
    pub(super) fn read(jwt: &str) -> Option<Self> {
        Self::parse(&payload(jwt)?)
    }

    /// The same, where a name is in them. Of thousands of accounts few are read.
    pub(super) fn read_if_named(jwt: &str, name: &str) -> Option<Self> {
        let payload = payload(jwt)?;
        if payload.contains(name) { Self::parse(&payload) } else { None }
    }

    fn parse(payload: &str) -> Option<Self> {
        let mut claims: Value = serde_json::from_str(payload).ok()?;
        let Value::Object(nats) = claims["nats"].take() else { return None };
        let name = claims["name"].as_str().unwrap_or_default().to_owned();
        Some(Self { name, issued_at_s: claims["iat"].as_i64()?, nats })
    }

    /// The JWT of them, signed for the operator. Of two the resolvers keep the one issued later, so it is
    /// later than `before`, whatever the clocks of the replicas say.
    pub(super) fn sign(
        &self,
        operator: &KeyPair,
        account: &str,
        before: Option<&Self>,
        now_s: i64,
    ) -> Result<String, nkeys::error::Error> {
        let issued_at_s = before.map_or(now_s, |before| now_s.max(before.issued_at_s + 1));
        let claims = json!({ "name": self.name, "sub": account, "nats": self.nats });
        sign(operator, claims, issued_at_s)
    }

    /// When they were issued, in seconds.
    pub(super) const fn issued_at_s(&self) -> i64 {
        self.issued_at_s
    }

    /// Whether they say the same, whenever they were issued.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        self.name == other.name && self.nats == other.nats
    }

    /// In what they differ from what they are to be.
    pub(super) fn differences(&self, wanted: &Self) -> Vec<&'static str> {
        if self.says_as(wanted) {
            return Vec::new();
        }
        let differs = |part: &str| self.nats.get(part) != wanted.nats.get(part);
        let mut found = Vec::new();
        if self.has(EXPORTS) || self.has(IMPORTS) {
            found.push("the account shares subjects with other accounts");
        }
        if differs("limits") {
            found.push("the account's limits differ");
        }
        if differs("signing_keys") || differs("default_permissions") {
            found.push("what the account's users may do differs");
        }
        if self.is_suspended() != wanted.is_suspended() {
            found.push(if wanted.is_suspended() { "the account is open" } else { "the account is closed" });
        }
        if found.is_empty() {
            found.push("the account's claims differ");
        }
        found
    }

    /// Whether there is anything in a part.
    pub(super) fn has(&self, part: &str) -> bool {
        match self.nats.get(part) {
            None | Some(Value::Null) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(_) => true,
        }
    }

    /// Whether they are of the account of that name that we made from the keys of that origin.
    pub(super) fn is(&self, name: &str, origin: &str) -> bool {
        let tags = self.nats.get("tags").and_then(Value::as_array);
        let tagged = |tag: &str| tags.is_some_and(|tags| tags.iter().any(|found| found == tag));
        self.name == name && tagged(OWNER_TAG) && tagged(origin)
    }

    /// Whether a message of so many bytes is one that the account lets through.
    pub(super) fn lets_through(&self, bytes: usize) -> bool {
        let limit = self.nats.get("limits").and_then(|limits| limits["payload"].as_i64());
        limit.is_none_or(|limit| limit < 0 || u64::try_from(limit).is_ok_and(|limit| bytes as u64 <= limit))
    }

    /// Whether all users are shut out.
    pub(super) fn is_suspended(&self) -> bool {
        self.revocations().contains_key(EVERYBODY)
    }

    /// Whether a user is shut out.
    pub(super) fn has_revoked(&self, user: &str) -> bool {
        self.revocations().contains_key(user)
    }

    /// Shuts out a user whose claims are issued until then, in seconds.
    pub(super) fn revoke(&mut self, user: &str, until_s: i64) {
        let revocations = self.nats.entry("revocations").or_insert_with(|| Value::Object(Map::new()));
        revocations[user] = until_s.into();
    }

    fn revocations(&self) -> Map<String, Value> {
        self.nats.get("revocations").and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

/// What is said in a JWT.
fn payload(jwt: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?).ok()
}

/// The request to delete accounts; of none, it tells whether one of some would be heard.
pub(super) fn removal(
    operator: &KeyPair,
    accounts: &[&str],
    now_s: i64,
) -> Result<String, nkeys::error::Error> {
    let nats = json!({ "type": "generic", "version": 2, "accounts": accounts });
    sign(operator, json!({ "sub": operator.public_key(), "nats": nats }), now_s)
}

pub(super) fn sign(
    issuer: &KeyPair,
    mut claims: Value,
    issued_at_s: i64,
) -> Result<String, nkeys::error::Error> {
    claims["iss"] = issuer.public_key().into();
    claims["iat"] = issued_at_s.into();
    claims["jti"] = hex::encode(Sha256::digest(claims.to_string())).into();
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

#[cfg(test)]
mod tests {
    use integraci_api::TenantId;
    use integraci_api::tenants::TenantNames;

    use super::*;
    use crate::isolation::Limits;

    const NOW_S: i64 = 1_000;

    fn wanted(suspended: bool) -> Wanted {
        let names = TenantNames::of(&"acme".parse().unwrap());
        Wanted { tenant: TenantId::from_uuid(uuid::Uuid::nil()), names, suspended, limits: Limits::SHIPPED }
    }

    fn keys() -> AccountKeys {
        AccountKeys { identity: KeyPair::new_account(), signing: KeyPair::new_account() }
    }

    fn made(suspended: bool, keys: &AccountKeys, before: Option<&AccountClaims>) -> AccountClaims {
        AccountClaims::of(&wanted(suspended), keys, &origin("place"), 1, before, NOW_S)
    }

    #[test]
    fn claims_read_back_as_they_were_signed_and_are_later_than_those_before() {
        let (operator, keys) = (KeyPair::new_operator(), keys());
        let claims = made(false, &keys, None);
        let jwt = claims.sign(&operator, &keys.account(), None, NOW_S).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        operator.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let read = AccountClaims::read(&jwt).unwrap();
        assert!(read.says_as(&claims) && read.is("tenant-acme", &origin("place")));
        assert!(
            !read.is("tenant-acme", &origin("another place")) && !read.is("tenant-acne", &origin("place"))
        );
        assert_eq!(read.issued_at_s(), NOW_S);
        let next = claims.sign(&operator, &keys.account(), Some(&read), NOW_S - 100).unwrap();
        assert_eq!(AccountClaims::read(&next).unwrap().issued_at_s(), NOW_S + 1);
        for garbage in ["", "a.b.c", "..", "e30.e30.e30"] {
            assert_eq!(AccountClaims::read(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn revocations_are_kept_until_they_have_run_out_and_outlast_a_suspension() {
        let keys = keys();
        let mut claims = made(false, &keys, None);
        claims.revoke("U1", NOW_S + 1);
        claims.revoke("U2", NOW_S);
        let suspended = made(true, &keys, Some(&claims));
        assert!(suspended.is_suspended() && suspended.has_revoked("U1") && !suspended.has_revoked("U2"));
        assert_eq!(suspended.differences(&claims), ["the account is closed"]);
        let resumed = made(false, &keys, Some(&suspended));
        assert!(!resumed.is_suspended() && resumed.has_revoked("U1"));
    }

    #[test]
    fn an_account_leaves_no_way_out_and_a_user_without_permissions_gets_nothing() {
        let claims = made(false, &keys(), None);
        let nats = &claims.nats;
        for none in ["imports", "exports", "leaf", "mem_storage"] {
            assert_eq!(nats["limits"][none], 0, "{none}");
        }
        assert_eq!(
            nats["default_permissions"],
            json!({ "pub": { "deny": [">"] }, "sub": { "deny": [">"] } })
        );
        let template = &nats["signing_keys"][0]["template"];
        assert_eq!(template["sub"]["allow"], json!(["tenant.acme.>", "_INBOX.>"]));
        assert!(template["pub"]["deny"].as_array().unwrap().contains(&"tenant.acme.events.>".into()));
        assert_eq!(template.get("resp"), None, "a right to answer outweighs what is denied");
    }
}
