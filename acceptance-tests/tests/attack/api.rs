//! The HTTP API: every operation of its description, with every kind of credential that the attacker
//! has, at another tenant and at one that never was.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::api::new_key;
use acceptance_tests::{Answer, Api, World};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::document::{self, Call, Operation};
use crate::score::{Score, Seen};
use crate::target::Target;

/// Fewer, and the description has lost some.
const OPERATIONS_MIN: usize = 40;
/// What everything else is in.
const THE_TENANT: &str = "/v1/tenants/{tenant_id}";
/// How long a connector may be busy after a rotation.
const FREE_DEADLINE: Duration = Duration::from_secs(60);
const FREE_POLL: Duration = Duration::from_millis(200);
/// Headers that differ from answer to answer whatever was asked. `ratelimit` counts down with each.
const OF_THE_ANSWER: [&str; 3] = ["date", "x-request-id", "ratelimit"];

/// What a caller shows.
pub(crate) struct Credential {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
    /// Whether the API takes it for anything at all: for the caller's own things.
    pub(crate) is_accepted: bool,
}

/// The credentials that the API itself gives out, and those it never saw. The suspended tenant is still to
/// be suspended.
pub(crate) fn credentials(
    world: &World,
    api: &Api,
    attacker: &Target,
    suspended: &Target,
) -> Result<Vec<Credential>> {
    let everything = json!({ "scopes": scopes(api)? });
    let reading: Vec<_> = scopes(api)?.into_iter().filter(|it| it.ends_with(":read")).collect();
    let (_, all) = attacker.token(api, &everything)?;
    let (_, reads) = attacker.token(api, &json!({ "scopes": reading }))?;
    let (id, revoked) = attacker.token(api, &everything)?;
    api.delete(&format!("/v1/tokens/{id}"))?.expect(204)?;
    let platforms = world.token_create(&["--name", "revoked"])?;
    let record =
        api.list("/v1/tokens")?.into_iter().find(|it| it["name"] == "revoked").context("a record")?;
    api.delete(&format!("/v1/tokens/{}", record["id"].as_str().context("an id")?))?.expect(204)?;
    let (_, of_suspended) = suspended.token(api, &everything)?;
    let refused = |name, value: Option<String>| Credential { name, value, is_accepted: false };
    Ok(vec![
        Credential { name: "a token of another tenant", value: Some(all), is_accepted: true },
        Credential { name: "a token that reads", value: Some(reads), is_accepted: true },
        refused("an expired token", Some(expired(api, attacker, &everything)?)),
        refused("a revoked token", Some(revoked)),
        refused("a revoked token of the platform", Some(platforms)),
        refused("a suspended tenant's token", Some(of_suspended)),
        refused("a mistyped token", Some(format!("{}x", world.token()))),
        refused("nonsense", Some("let me in".to_owned())),
        refused("nothing", None),
    ])
}

/// Every scope there is.
pub(crate) fn scopes(api: &Api) -> Result<Vec<String>> {
    let words = document(api)?["components"]["schemas"]["Scope"]["enum"].clone();
    Ok(serde_json::from_value(words)?)
}

/// A token that has run out by now.
fn expired(api: &Api, of: &Target, body: &Value) -> Result<String> {
    let soon = time::OffsetDateTime::now_utc() + Duration::from_secs(2);
    let mut body = body.clone();
    body["expires_at"] = json!(soon.format(&time::format_description::well_known::Rfc3339)?);
    let (_, value) = of.token(api, &body)?;
    let holder = api.with_token(Some(&value));
    let began = Instant::now();
    while holder.get("/v1/plans")?.status == 200 {
        ensure!(began.elapsed() < Duration::from_secs(30), "the token does not expire");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(value)
}

fn document(api: &Api) -> Result<Value> {
    Ok(api.with_token(None).get("/openapi.json")?.expect(200)?.body)
}

fn operations(api: &Api) -> Result<Vec<Operation>> {
    let operations = document::operations(&document(api)?)?;
    ensure!(operations.len() >= OPERATIONS_MIN, "the description lacks operations: {}", operations.len());
    Ok(operations)
}

/// Makes every attempt.
pub(crate) fn attack(
    api: &Api,
    credentials: &[Credential],
    attacker: &Target,
    victim: &Target,
) -> Result<Score> {
    let mut score = Score::default();
    let nobody = victim.nobody();
    for operation in operations(api)? {
        for credential in credentials {
            let what = format!("{}, with {}", operation.name(), credential.name);
            let holder = api.with_token(credential.value.as_deref());
            let ask = |at: &Target| -> Result<Seen> {
                let answer = send(&holder, &operation.call(attacker, at)?)?;
                Ok(seen(&answer, &operation, credential, victim))
            };
            let answers = ask(victim).and_then(|there| Ok((there, ask(&nobody)?)));
            let (there, nowhere) = answers.with_context(|| what.clone())?;
            score.attempt(&what, &there, &nowhere);
        }
    }
    Ok(score)
}

/// Does all of it as its rightful owner: the tenant itself, or the platform where a tenant's token is
/// told that the thing is the platform's. What removes comes last, the tenant at the very end.
pub(crate) fn controls(api: &Api, victim: &Target) -> Result<Score> {
    let mut score = Score::default();
    let (_, value) = victim.token(api, &json!({ "scopes": scopes(api)? }))?;
    let owner = api.with_token(Some(&value));
    let mut operations = operations(api)?;
    let rank = |it: &Operation| match it.method.as_str() {
        "GET" => 0,
        "DELETE" if it.path == THE_TENANT => 3,
        "DELETE" => 2,
        _ => 1,
    };
    operations.sort_by_key(rank);
    // To the owner all of it is its own.
    operations.retain(|it| !it.is_mixed());
    // What is gone cannot be removed in another way as well.
    let mut removed = BTreeSet::new();
    operations.retain(|it| it.method != "DELETE" || removed.insert(it.path.clone()));
    for operation in operations {
        let what = operation.name();
        let call = || -> Result<Call> {
            let new = victim.renamed();
            // Another name than the victim's for what is to be made, and for what must not be gone yet.
            let at =
                if operation.method == "POST" || operation.makes_tenant() { new } else { victim.clone() };
            operation.call(&at, &at)
        };
        let began = Instant::now();
        let answer = loop {
            let mut answer = send(&owner, &call()?)?;
            if answer.code() == "forbidden" {
                answer = send(api, &call()?)?;
            }
            // The last secret that a rotation took out of force is on its way out.
            if answer.code() != "busy" || began.elapsed() > FREE_DEADLINE {
                break answer;
            }
            thread::sleep(FREE_POLL);
        };
        ensure!(operation.successes.contains(&answer.status), "the owner cannot {what}: {answer:?}");
        if answer.status == 202 {
            api.succeeded(&answer).with_context(|| what)?;
        }
        score.control();
    }
    Ok(score)
}

fn send(api: &Api, call: &Call) -> Result<Answer> {
    let mut request = api.request(&call.method, &call.path)?;
    if call.method == "POST" {
        request = request.header("idempotency-key", &new_key());
    }
    if let Some(body) = &call.body {
        request = request.json(body);
    }
    request.send()
}

fn seen(answer: &Answer, operation: &Operation, credential: &Credential, victim: &Target) -> Seen {
    let is_success = answer.status < 400;
    // A list shows what the caller can see: it is refused when nothing of the victim is in it. Without
    // credentials that count it is not shown at all.
    let is_granted = if operation.is_list && credential.is_accepted {
        is_success && victim.is_in(&answer.body.to_string())
    } else {
        is_success
    };
    let mut body = answer.body.clone();
    if let Some(id) = body.get_mut("request_id") {
        *id = Value::Null;
    }
    let headers = answer.headers.iter().filter(|(name, _)| !OF_THE_ANSWER.contains(&name.as_str()));
    let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort();
    Seen { is_granted, answer: format!("{} {} {body}", answer.status, headers.join(", ")) }
}
