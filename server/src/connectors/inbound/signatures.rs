//! Who a delivery is from, what it tells, and by what it is known when it comes again: a function a
//! kind, each pure.
//!
//! Facts: each far side's own documentation of its webhooks ("Validating webhook deliveries" of GitHub,
//! "Webhooks" of GitLab, "Secure webhooks" of Bitbucket and of Jira, "Verifying requests from Slack",
//! "Verifying signatures" of PagerDuty, "Securing your webhooks" of SonarQube). All but GitLab sign the
//! body, as it was sent, with HMAC-SHA256. Signatures and tokens are compared in constant time, and
//! nothing of a body is read before.
//!
//! A delivery's id is worth as much as what covers it. Where the id is in the signed body, it is the
//! mark. Where it is in a header, anybody who saw the delivery could send it again under another id: so
//! the signature is a mark beside it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use integraci_api::SecretText;
use integraci_api::inbound::OTHER;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

/// How far the time of a signature may be from ours: Slack's own advice.
const TOLERANCE_S: u64 = 5 * 60;
/// The longest word for a kind of event, in bytes: no far side has a longer one.
const WORD_MAX_BYTES: usize = 64;
/// The longest challenge that is sent back, in bytes. Slack's have 52.
const CHALLENGE_MAX_BYTES: usize = 256;

/// A digest by which a delivery is known when it comes again.
pub(super) type Mark = [u8; 32];

/// What came, with the right signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// Something happened at the far side.
    Event {
        /// Its own word for that.
        kind: String,
        /// What nothing else it sends has in common with this.
        marks: Vec<Mark>,
    },
    /// It wants to see this again, to know that the address is ours.
    Challenge(String),
}

/// What came, if it was signed with the secret by a far side of this kind, and where the signature has
/// a time, at about `now`.
pub(super) fn check(
    kind: &str,
    secret: &SecretText,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Option<Signed> {
    let came = Came { secret, headers, body };
    match kind {
        "bitbucket" => bitbucket(&came),
        "github_app" => github_app(&came),
        "gitlab" => gitlab(&came),
        "jira" => jira(&came),
        "pagerduty" => pagerduty(&came),
        "slack" => slack(&came, now),
        "sonarqube" => sonarqube(&came),
        _ => None,
    }
}

struct Came<'a> {
    secret: &'a SecretText,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

fn bitbucket(came: &Came<'_>) -> Option<Signed> {
    let signature = came.signature_in("x-hub-signature", "sha256=")?;
    let id = came.header("x-request-uuid");
    Some(event(came.header("x-event-key"), id.map(id_mark).into_iter().chain([signature_mark(&signature)])))
}

fn github_app(came: &Came<'_>) -> Option<Signed> {
    let signature = came.signature_in("x-hub-signature-256", "sha256=")?;
    let id = came.header("x-github-delivery");
    Some(event(
        came.header("x-github-event"),
        id.map(id_mark).into_iter().chain([signature_mark(&signature)]),
    ))
}

/// The secret itself comes along, so that there is nothing that covers the body; who can send something
/// again could send something else as well.
fn gitlab(came: &Came<'_>) -> Option<Signed> {
    let digest = |text: &[u8]| Sha256::digest(text);
    let token = came.headers.get("x-gitlab-token")?.as_bytes();
    if !bool::from(digest(token).ct_eq(&digest(came.secret.expose().as_bytes()))) {
        return None;
    }
    let mark = match (came.header("idempotency-key"), came.header("x-gitlab-event-uuid")) {
        (Some(id), _) => id_mark(id),
        // Before 17.4. Events that set each other off share the UUID, and differ in the body.
        (None, id) => signature_mark(&came.mac(&[id.unwrap_or_default().as_bytes(), b"\n", came.body])),
    };
    Some(event(came.header("x-gitlab-event"), [mark]))
}

fn jira(came: &Came<'_>) -> Option<Signed> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        webhook_event: Option<String>,
    }
    let signature = came.signature_in("x-hub-signature", "sha256=")?;
    let id = came.header("x-atlassian-webhook-identifier");
    let body: Body = came.json();
    let marks = id.map(id_mark).into_iter().chain([signature_mark(&signature)]);
    Some(event(body.webhook_event.as_deref(), marks))
}

/// Several signatures may come, of the secrets there were while one is replaced.
fn pagerduty(came: &Came<'_>) -> Option<Signed> {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(default)]
        event: Event,
    }
    #[derive(Default, Deserialize)]
    struct Event {
        id: Option<String>,
        event_type: Option<String>,
    }
    let signature = came
        .header("x-pagerduty-signature")?
        .split(',')
        .filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok())
        .find(|signature| came.is_signed(&[came.body], signature))?;
    let Body { event: Event { id, event_type } } = came.json();
    let mark = id.map_or_else(|| signature_mark(&signature), |id| id_mark(&id));
    Some(event(event_type.as_deref(), [mark]))
}

fn slack(came: &Came<'_>, now: OffsetDateTime) -> Option<Signed> {
    #[derive(Default, Deserialize)]
    struct Body {
        r#type: Option<String>,
        challenge: Option<String>,
        event_id: Option<String>,
        #[serde(default)]
        event: Event,
    }
    #[derive(Default, Deserialize)]
    struct Event {
        r#type: Option<String>,
    }
    let timestamp = came.header("x-slack-request-timestamp")?;
    let signature = came.signature("x-slack-signature", "v0=")?;
    let is_signed = came.is_signed(&[b"v0:", timestamp.as_bytes(), b":", came.body], &signature);
    let timestamp_s: i64 = timestamp.parse().ok()?;
    if !is_signed || now.unix_timestamp().abs_diff(timestamp_s) > TOLERANCE_S {
        return None;
    }
    // What people do in Slack comes as a form, not as JSON, and is no event of a name.
    let body: Body = came.json();
    if body.r#type.as_deref() == Some("url_verification") {
        let fits = |text: &String| {
            text.len() <= CHALLENGE_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        return body.challenge.filter(fits).map(Signed::Challenge);
    }
    let mark = body.event_id.map_or_else(|| signature_mark(&signature), |id| id_mark(&id));
    Some(event(body.event.r#type.as_deref(), [mark]))
}

/// There is one event, the end of an analysis; how that ended is its kind.
fn sonarqube(came: &Came<'_>) -> Option<Signed> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        /// Absent where a quality gate changed without an analysis.
        task_id: Option<String>,
        status: Option<String>,
    }
    let signature = came.signature_in("x-sonar-webhook-hmac-sha256", "")?;
    let body: Body = came.json();
    let mark = body.task_id.map_or_else(|| signature_mark(&signature), |id| id_mark(&id));
    Some(event(body.status.as_deref(), [mark]))
}

impl Came<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
    }

    /// The bytes of a signature in hexadecimal.
    fn signature(&self, name: &str, prefix: &str) -> Option<Vec<u8>> {
        hex::decode(self.header(name)?.strip_prefix(prefix)?).ok()
    }

    /// The same, if it is the body's.
    fn signature_in(&self, name: &str, prefix: &str) -> Option<Vec<u8>> {
        self.signature(name, prefix).filter(|signature| self.is_signed(&[self.body], signature))
    }

    /// In constant time.
    fn is_signed(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        self.hmac(parts).verify_slice(signature).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Vec<u8> {
        self.hmac(parts).finalize().into_bytes().to_vec()
    }

    fn hmac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let key = self.secret.expose().as_bytes();
        let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        for part in parts {
            hmac.update(part);
        }
        hmac
    }

    /// What the body tells; nothing where it is of another shape: it is signed, and counts all the same.
    fn json<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

fn event(kind: Option<&str>, marks: impl IntoIterator<Item = Mark>) -> Signed {
    Signed::Event { kind: kind.map_or_else(|| OTHER.to_owned(), word), marks: marks.into_iter().collect() }
}

/// The mark of what a far side calls a delivery.
fn id_mark(id: &str) -> Mark {
    Sha256::new().chain_update(b"id\n").chain_update(id).finalize().into()
}

/// The mark of what was signed, which who has not the secret cannot guess the body by.
fn signature_mark(signature: &[u8]) -> Mark {
    Sha256::new().chain_update(b"signature\n").chain_update(signature).finalize().into()
}

/// A far side's word, if it is one.
fn word(text: &str) -> String {
    let word = text.to_ascii_lowercase().replace(' ', "_");
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b':' | b'-')
    };
    if (1..=WORD_MAX_BYTES).contains(&word.len()) && word.bytes().all(fits) { word } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_531_420_618;

    fn signed(kind: &str, secret: &str, headers: &[(&'static str, &str)], body: &str) -> Option<Signed> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let now = OffsetDateTime::from_unix_timestamp(NOW_S).unwrap();
        check(kind, &SecretText::new(secret.to_owned()), &headers.collect(), body.as_bytes(), now)
    }

    /// The example of GitHub's documentation.
    #[test]
    fn githubs_own_example_is_taken() {
        const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let github = |signature: &str, body| {
            let headers =
                [("x-hub-signature-256", signature), ("x-github-event", "push"), ("x-github-delivery", "1")];
            signed("github_app", "It's a Secret to Everybody", &headers, body)
        };
        let taken = github(SIGNATURE, "Hello, World!");
        assert!(matches!(taken, Some(Signed::Event { kind, marks }) if kind == "push" && marks.len() == 2));
        assert_eq!(github(SIGNATURE, "Hello, World"), None);
        assert_eq!(github(&SIGNATURE.replace("75710", "75711"), "Hello, World!"), None);
        assert_eq!(github(SIGNATURE.trim_start_matches("sha256="), "Hello, World!"), None);
        assert_eq!(github("sha256=", "Hello, World!"), None);
    }

    /// The example of Slack's documentation.
    #[test]
    fn slacks_own_example_is_taken_at_its_time() {
        const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let slack = |timestamp: &str| {
            let headers = [("x-slack-signature", SIGNATURE), ("x-slack-request-timestamp", timestamp)];
            signed("slack", "8f742231b10e8888abcd99yyyzzz85a5", &headers, BODY)
        };
        assert!(matches!(slack("1531420618"), Some(Signed::Event { kind, .. }) if kind == OTHER));
        assert_eq!(slack("1531420619"), None);
        assert_eq!(slack(""), None);
    }

    #[test]
    fn the_time_of_a_signature_may_be_five_minutes_off() {
        let slack = |timestamp_s: i64| {
            let secret = SecretText::new("12345678".to_owned());
            let (headers, body) = (HeaderMap::new(), b"{}".as_slice());
            let came = Came { secret: &secret, headers: &headers, body };
            let mac = hex::encode(came.mac(&[format!("v0:{timestamp_s}:{{}}").as_bytes()]));
            let (signature, timestamp) = (format!("v0={mac}"), timestamp_s.to_string());
            let headers = [("x-slack-signature", &*signature), ("x-slack-request-timestamp", &*timestamp)];
            signed("slack", "12345678", &headers, "{}").is_some()
        };
        assert!(slack(NOW_S - 300) && slack(NOW_S + 300));
        assert!(!slack(NOW_S - 301) && !slack(NOW_S + 301) && !slack(i64::MIN) && !slack(i64::MAX));
    }

    #[test]
    fn gitlabs_token_is_the_secret_and_nothing_like_it() {
        let gitlab = |token: &str| {
            let headers =
                [("x-gitlab-token", token), ("x-gitlab-event", "Push Hook"), ("idempotency-key", "7")];
            signed("gitlab", "12345678", &headers, "{}")
        };
        assert_eq!(gitlab("12345678"), Some(event(Some("push_hook"), [id_mark("7")])));
        assert_eq!((gitlab("1234567"), gitlab("123456789"), gitlab("")), (None, None, None));
    }

    #[test]
    fn a_word_is_bounded() {
        for (text, kind) in [
            ("push", "push"),
            ("Merge Request Hook", "merge_request_hook"),
            ("jira:issue_created", "jira:issue_created"),
            ("incident.triggered", "incident.triggered"),
            ("", OTHER),
            ("naïve", OTHER),
            ("a\nb", OTHER),
            ("<script>", OTHER),
        ] {
            assert_eq!(word(text), kind, "{text}");
        }
        assert_eq!((word(&"a".repeat(64)).len(), word(&"a".repeat(65)).as_str()), (64, OTHER));
    }
}
