//! The tenant who tries, what it asks for, and what it learns by the answers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use acceptance_tests::{Answer, Api, new_slug};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::score::{Score, Seen};

/// How many ways are tried at a time.
const LANES: usize = 8;
/// More connectors than there are ways.
pub(super) const QUOTA: u32 = 100_000;

/// The words by which a server says that an address is forbidden.
pub(super) const ADDRESS: &str = "it has an address that this server may not call";
/// The words for a name that stands for none that may be called, be there any or not.
pub(super) const NAME: &str = "its name cannot be resolved to an address that this server may call";
/// The words for anything but `https`, and `http` where that is allowed.
pub(super) const SCHEME: &str = "only https:// may be called";

/// One way to a forbidden address.
pub(super) struct Way {
    /// What is tried, for people.
    pub(super) what: String,
    /// The connector that leads to where somebody listens.
    pub(super) there: Value,
    /// The same that leads to where nobody does.
    pub(super) nowhere: Value,
    /// How it must end.
    pub(super) ends: Ends,
}

/// How a way must end, besides that nobody is called.
#[derive(Debug, Clone)]
pub(super) enum Ends {
    /// Refused in these words.
    With(String),
    /// Not verified.
    Unverified,
    /// Anyhow: the far side at the allowed address may well be glad of what it got.
    Anyhow,
}

/// A tenant of the server under attack.
pub(super) struct Tenant {
    api: Api,
    id: String,
    connectors: String,
}

impl Tenant {
    /// A new one, with room for as many connectors as there are ways.
    pub(super) fn made(api: Api) -> Result<Self> {
        let id = api.tenant(&new_slug("ssrf"))?;
        let tenant = Self { connectors: format!("/v1/tenants/{id}/connectors"), id, api };
        tenant.quota_set(QUOTA)?;
        Ok(tenant)
    }

    /// Sets its quota, which its webhooks are told of that ask for it.
    pub(super) fn quota_set(&self, connectors: u32) -> Result<()> {
        let limits = json!({ "limits": { "connectors": connectors, "secrets": 4 * connectors } });
        self.api.put(&format!("/v1/tenants/{}/quota", self.id), &limits)?.expect(200).map(drop)
    }

    /// The same at another server.
    pub(super) fn at(self, api: Api) -> Self {
        Self { api, ..self }
    }

    /// Asks for a connector, and tells what is learnt.
    pub(super) fn install(&self, body: &Value) -> Result<Seen> {
        let mut body = body.clone();
        body["name"] = json!(new_slug("way"));
        let answer = self.api.post(&self.connectors, &body)?;
        self.outcome(&answer)
    }

    /// Asks for a connector that must be there afterwards, and gives its id.
    pub(super) fn installed(&self, body: &Value) -> Result<String> {
        let mut body = body.clone();
        body["name"] = json!(new_slug("way"));
        self.api.succeeded(&self.api.post(&self.connectors, &body)?)
    }

    /// A connector as it is.
    pub(super) fn connector(&self, id: &str) -> Result<Value> {
        Ok(self.api.get(&format!("{}/{id}", self.connectors))?.expect(200)?.body)
    }

    /// Asks for a change, and tells what is learnt.
    pub(super) fn change(&self, id: &str, body: &Value) -> Result<Seen> {
        let answer = self.api.patch(&format!("{}/{id}", self.connectors), body)?;
        self.outcome(&answer)
    }

    /// Asks for a rotation, and tells what is learnt.
    pub(super) fn rotate(&self, id: &str, body: &Value) -> Result<Seen> {
        let answer = self.api.post(&format!("{}/{id}/rotations", self.connectors), body)?;
        self.outcome(&answer)
    }

    /// Asks for its removal with its secret revoked at the far side, and tells what is learnt.
    pub(super) fn revoke(&self, id: &str) -> Result<Seen> {
        let answer = self.api.delete(&format!("{}/{id}?old_secret=revoke", self.connectors))?;
        self.outcome(&answer)
    }

    /// Has the far side asked again, and tells what is learnt.
    pub(super) fn verify(&self, id: &str) -> Result<Seen> {
        let answer = self.api.post(&format!("{}/{id}/verifications", self.connectors), &json!({}))?;
        Ok(found(&answer.expect(200)?.body))
    }

    /// Tries each way, some at a time.
    pub(super) fn try_all(&self, ways: Vec<Way>) -> Result<Score> {
        let left = Mutex::new(ways.into_iter());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let lane = || -> Result<Score> {
            let mut score = Score::default();
            while let Some(way) = next() {
                let seen = |body| self.install(body).with_context(|| way.what.clone());
                judge(&mut score, &way.what, seen(&way.there)?, seen(&way.nowhere)?, &way.ends);
            }
            Ok(score)
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
            let mut score = Score::default();
            for lane in lanes {
                score.add(lane.join().unwrap_or_else(|_| bail!("a lane panicked"))?);
            }
            Ok(score)
        })
    }

    /// What is learnt by an answer: every word of it that is not the tenant's own.
    fn outcome(&self, answer: &Answer) -> Result<Seen> {
        if answer.status == 422 {
            let said = format!("{} {}", answer.code(), answer.body["errors"]);
            return Ok(Seen { is_granted: false, answer: said });
        }
        let operation = self.api.settled(answer)?;
        match operation["state"].as_str() {
            Some("succeeded") => {
                let target = operation["target_id"].as_str().context("an operation has a target")?;
                let left = self.api.get(&format!("{}/{target}", self.connectors))?;
                if left.status == 404 {
                    return Ok(Seen { is_granted: true, answer: "removed".to_owned() });
                }
                Ok(found(&left.expect(200)?.body))
            }
            Some("failed") => {
                let error = &operation["error"];
                Ok(Seen { is_granted: false, answer: format!("{} {}", error["code"], error["errors"]) })
            }
            _ => bail!("the operation is stuck: {operation}"),
        }
    }
}

/// What a connector shows of what its far side said.
fn found(connector: &Value) -> Seen {
    let status = connector["verification_status"].as_str().unwrap_or_default();
    let reason = connector["verification_reason"].as_str().unwrap_or_default();
    Seen { is_granted: status == "verified", answer: format!("{status}: {reason}") }
}

/// Counts a way that was tried at where somebody listens and at where nobody does.
pub(super) fn judge(score: &mut Score, what: &str, there: Seen, nowhere: Seen, ends: &Ends) {
    let as_must_be = |seen: Seen| match ends {
        Ends::With(words) => Seen { is_granted: !seen.answer.contains(words.as_str()), ..seen },
        Ends::Unverified => seen,
        Ends::Anyhow => Seen { is_granted: false, ..seen },
    };
    score.way(what, &as_must_be(there), &as_must_be(nowhere));
}

/// That something must not have changed.
pub(super) fn ensure_same(what: &str, before: &Value, after: &Value) -> Result<()> {
    let in_force = |it: &Value| ["config", "secret_version", "status"].map(|field| it[field].clone());
    ensure!(in_force(before) == in_force(after), "{what}: {before} became {after}");
    Ok(())
}
