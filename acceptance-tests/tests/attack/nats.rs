//! NATS: every verb of the protocol, and every request that its servers answer, at another tenant's
//! subjects, streams and account.
//!
//! A user is in one account, and there is no verb that leads out of it, so the attacker also comes with
//! claims that say he is in the other's. That a message got through is seen where it would arrive.

use acceptance_tests::World;
use acceptance_tests::nats::{Login, Message, Nats, Said};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::cast::{Issued, Logins};
use crate::score::{Score, Seen};
use crate::target::Target;

/// What a message says by which it is known again.
const WORD: &str = "xyzzy";

/// An account: the victim's, or one that never was.
struct Account {
    key: String,
    prefix: String,
    /// A stream in it.
    stream: String,
}

/// What is said to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Publish,
    Subscribe,
    Request,
}

/// Makes every attempt, and does the same as the owner.
pub(crate) fn attack(world: &World, logins: &Logins, victim: &Target) -> Result<Score> {
    let url = &world.platform().nats()?.url;
    let nobody = victim.nobody();
    let there = Account {
        key: logins.owner.field("account")?.to_owned(),
        prefix: logins.owner.field("subject_prefix")?.to_owned(),
        stream: format!("ORDERS-{}", victim.slug),
    };
    let never = Account {
        key: KeyPair::new_account().public_key(),
        prefix: there.prefix.replace(&victim.slug, &nobody.slug),
        stream: format!("ORDERS-{}", nobody.slug),
    };
    let mut score = Score::default();
    forged(&mut score, url, logins, &there, &never)?;

    let mut owner = connected(url, &logins.owner)?;
    let orders = format!("{}.orders", there.prefix);
    let config = json!({
        "name": there.stream, "subjects": [orders], "storage": "file", "allow_direct": true, "max_bytes": 1 << 20,
    });
    let made = owner.request(&format!("$JS.API.STREAM.CREATE.{}", there.stream), &config.to_string())?;
    ensure!(has_succeeded(&made), "the owner's stream: {made:?}");
    owner.request(&orders, WORD)?;
    let listens = owner.subscribe(&format!("{}.>", there.prefix))?;
    ensure!(listens == Said::Taken, "the owner cannot listen: {listens:?}");
    let mut system = system(world)?;
    let logins = [
        ("another tenant's user", Some(&logins.live)),
        ("a revoked user", Some(&logins.revoked)),
        ("a suspended tenant's user", Some(&logins.suspended)),
        ("no user", None),
    ];
    for (verb, subject) in subjects() {
        for (name, login) in &logins {
            let what = format!("NATS, {verb:?} {subject}, as {name}");
            let mut ask = |at: &Account| -> Result<Seen> {
                owner.messages()?;
                attempt(url, *login, verb, &at.filled(subject), at, &mut owner)
            };
            let seen = ask(&there).with_context(|| what.clone())?;
            score.attempt(&what, &seen, &ask(&never)?);
        }
        control(verb, &there.filled(subject), &mut owner, &mut system, &there)?;
        score.control();
    }
    Ok(score)
}

/// Every subject with which something of an account is reached; `PREFIX`, `ACCOUNT` and `STREAM` stand for
/// what is the account's.
fn subjects() -> Vec<(Verb, &'static str)> {
    let of =
        |verb: Verb, subjects: &[&'static str]| subjects.iter().map(|it| (verb, *it)).collect::<Vec<_>>();
    let mut all = of(Verb::Publish, &["PREFIX.orders", "PREFIX.orders.new", "PREFIX.x.y.z"]);
    all.extend(of(
        Verb::Subscribe,
        &["PREFIX.orders", "PREFIX.events.>", "PREFIX.events.*.*", "PREFIX.*", "PREFIX.>"],
    ));
    all.extend(of(
        Verb::Request,
        &[
            "$JS.API.STREAM.INFO.STREAM",
            "$JS.API.STREAM.MSG.GET.STREAM",
            "$JS.API.DIRECT.GET.STREAM",
            "$JS.API.CONSUMER.NAMES.STREAM",
            "$JS.API.CONSUMER.LIST.STREAM",
            "$JS.API.STREAM.PURGE.STREAM",
            "$JS.API.STREAM.DELETE.STREAM",
        ],
    ));
    all.extend(of(
        Verb::Request,
        &[
            "$SYS.REQ.ACCOUNT.KEY.CONNZ",
            "$SYS.REQ.ACCOUNT.KEY.SUBSZ",
            "$SYS.REQ.ACCOUNT.KEY.JSZ",
            "$SYS.REQ.ACCOUNT.KEY.INFO",
            "$SYS.REQ.ACCOUNT.KEY.CLAIMS.LOOKUP",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.CLAIMS.PACK",
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.SERVER.PING.CONNZ",
            "$SYS.REQ.SERVER.PING.JSZ",
            "$SYS.REQ.SERVER.PING.ACCOUNTZ",
        ],
    ));
    all.extend(of(Verb::Subscribe, &["$SYS.>", "$SYS.ACCOUNT.KEY.>", "$SYS.ACCOUNT.*.CONNECT", ">"]));
    all
}

impl Account {
    fn filled(&self, subject: &str) -> String {
        let subject = subject.replace("PREFIX", &self.prefix).replace(".KEY", &format!(".{}", self.key));
        match subject.strip_suffix(".STREAM") {
            Some(request) => format!("{request}.{}", self.stream),
            None => subject,
        }
    }

    fn without_names(&self, text: &str) -> String {
        [&self.prefix, &self.key, &self.stream]
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(*name, "…"))
    }
}

/// Says it, and looks whether it got to the victim, or the victim's messages here.
fn attempt(
    url: &str,
    login: Option<&Issued>,
    verb: Verb,
    subject: &str,
    at: &Account,
    owner: &mut Nats,
) -> Result<Seen> {
    let refused = |words: &str| Seen { is_granted: false, answer: at.without_names(words) };
    let mut nats = match Nats::connect(url, login.map(Issued::login).transpose()?)? {
        Ok(nats) => nats,
        Err(words) => return Ok(refused(&words)),
    };
    let said = match verb {
        Verb::Publish => nats.publish(subject, WORD)?,
        Verb::Subscribe => nats.subscribe(subject)?,
        Verb::Request => nats.request(subject, question(subject))?,
    };
    let is_through = match verb {
        Verb::Publish => came(&owner.messages()?),
        Verb::Request => has_succeeded(&said),
        Verb::Subscribe => {
            // What the victim says to itself.
            owner.publish(&format!("{}.orders", at.prefix), WORD)?;
            matches!(said, Said::Taken) && came(&nats.messages()?)
        }
    };
    Ok(Seen { is_granted: is_through, answer: at.without_names(&format!("{said:?}")) })
}

/// The victim does it itself, or the platform in its system account.
fn control(verb: Verb, subject: &str, owner: &mut Nats, system: &mut Nats, at: &Account) -> Result<()> {
    let is_platforms = subject.starts_with("$SYS") || subject == ">";
    let by = if is_platforms { system } else { owner };
    by.messages()?;
    let is_done = match verb {
        Verb::Publish => by.publish(subject, WORD)? == Said::Taken && came(&by.messages()?),
        Verb::Request => has_succeeded(&by.request(subject, question(subject))?),
        Verb::Subscribe if is_platforms => by.subscribe(subject)? == Said::Taken,
        Verb::Subscribe => {
            let is_taken = by.subscribe(subject)? == Said::Taken;
            by.publish(&format!("{}.orders", at.prefix), WORD)?;
            is_taken && came(&by.messages()?)
        }
    };
    ensure!(is_done, "its owner cannot {verb:?} {subject}");
    Ok(())
}

/// What is asked with a request.
fn question(subject: &str) -> &'static str {
    if subject.contains(".GET.") { r#"{ "seq": 1 }"# } else { "" }
}

fn came(messages: &[Message]) -> bool {
    messages.iter().any(|it| it.body.contains(WORD))
}

/// Whether a request was answered with something else than that it failed.
fn has_succeeded(said: &Said) -> bool {
    matches!(said, Said::Answered(text) if !text.contains("\"error\"") && !text.starts_with("NATS/1.0 4"))
}

/// Comes with claims of his own making that say that he is in the account.
fn forged(score: &mut Score, url: &str, logins: &Logins, there: &Account, never: &Account) -> Result<()> {
    let own = logins.live.login()?;
    let key = KeyPair::from_seed(own.seed)?;
    let claims: Value = serde_json::from_slice(
        &URL_SAFE_NO_PAD.decode(own.jwt.split('.').nth(1).context("claims have three parts")?)?,
    )?;
    for (name, change) in [
        ("the account in them changed", json!({ "issuer_account": true })),
        ("the account and the issuer in them changed", json!({ "issuer_account": true, "iss": true })),
        ("signed by himself", json!({ "issuer_account": true, "iss": key.public_key() })),
    ] {
        let come = |at: &Account| -> Result<Seen> {
            let mut claims = claims.clone();
            claims["nats"]["issuer_account"] = json!(at.key);
            match &change["iss"] {
                Value::Bool(true) => claims["iss"] = json!(at.key),
                Value::String(key) => claims["iss"] = json!(key),
                _ => {}
            }
            let signed = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#),
                URL_SAFE_NO_PAD.encode(claims.to_string())
            );
            let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?));
            let came = Nats::connect(url, Some(Login { jwt: &jwt, seed: own.seed }))?;
            let answer =
                came.as_ref().err().map_or_else(|| "let in".to_owned(), |words| at.without_names(words));
            Ok(Seen { is_granted: came.is_ok(), answer })
        };
        let seen = come(there)?;
        score.attempt(&format!("NATS, claims with {name}"), &seen, &come(never)?);
    }
    // And with the victim's claims, but not its seed.
    let victims = logins.owner.login()?;
    let stolen = Nats::connect(url, Some(Login { jwt: victims.jwt, seed: own.seed }))?;
    let seen =
        Seen { is_granted: stolen.is_ok(), answer: stolen.err().unwrap_or_else(|| "let in".to_owned()) };
    let elsewhere = KeyPair::new_user().seed()?;
    let never = Nats::connect(url, Some(Login { jwt: own.jwt, seed: &elsewhere }))?;
    let never =
        Seen { is_granted: never.is_ok(), answer: never.err().unwrap_or_else(|| "let in".to_owned()) };
    score.attempt("NATS, another's claims without the seed", &seen, &never);
    connected(url, &logins.owner)?;
    score.control();
    Ok(())
}

fn connected(url: &str, login: &Issued) -> Result<Nats> {
    Nats::connect(url, Some(login.login()?))?
        .map_err(|words| anyhow::anyhow!("the owner is not let in: {words}"))
}

/// A user of the system account.
fn system(world: &World) -> Result<Nats> {
    let nats = world.platform().nats()?;
    let file = std::fs::read_to_string(&nats.system_creds)?;
    Nats::connect(&nats.url, Some(Login::of_file(&file)?))?
        .map_err(|words| anyhow::anyhow!("the system account's user is not let in: {words}"))
}
