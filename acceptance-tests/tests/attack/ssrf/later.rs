//! Ways of a connector that is there already: by a change, by a rotation, when it is asked about again, when
//! its secret is revoked or made at the far side, when it is told of events.

use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::far::new_secret;
use acceptance_tests::runtime::block_on;
use acceptance_tests::{World, new_slug};
use anyhow::{Result, ensure};
use integraci_api::catalogue::KINDS;
use local_platform::far_side::{Behaviour, FarSide};
use serde_json::{Value, json};

use super::addresses::{ALLOWED, SOME_HOSTS};
use super::directly::request;
use super::kinds;
use super::machine::{Machine, Path};
use super::tenant::{ADDRESS, Ends, QUOTA, Tenant, ensure_same, judge};
use crate::score::{Score, Seen};

/// Events are told within seconds.
const TOLD_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// All of them; the far side in force is a real one, at the allowed address.
pub(super) fn ways(world: &World, machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let side = block_on(FarSide::start_at((ALLOWED, 0).into()))?;
    let mut score = Score::default();
    score.add(changes(machine, tenant, &side)?);
    score.add(rotations(machine, tenant, &side)?);
    score.add(unasked(machine, tenant)?);
    score.add(deliveries(world, machine, tenant)?);
    Ok(score)
}

/// A change to a forbidden address leaves what was; one that is in force whatever the far side says is
/// written down as refused, and stays so when it is asked again.
fn changes(machine: &Machine, tenant: &Tenant, side: &FarSide) -> Result<Score> {
    let mut score = Score::default();
    let (name, key) = (new_slug("hook"), new_secret());
    side.webhook_key(&name, key.clone().into());
    let good = json!({ "url": side.webhook_url(&name), "events": ["tenant.updated"] });
    for host in SOME_HOSTS {
        let id = tenant.installed(&request("webhook", &good, &json!({ "hmac_key": key }), "required"))?;
        let before = tenant.connector(&id)?;
        ensure!(before["verification_status"] == "verified", "the far side was not asked: {before}");
        score.control();
        let config =
            |port: u16| json!({ "url": format!("http://{host}:{port}/"), "events": ["tenant.updated"] });
        let (there, nowhere) = (config(machine.port()), config(machine.silent_port()));

        // Without the secret it would be refused for that.
        let secrets = json!({ "hmac_key": key });
        let change = |config: &Value| tenant.change(&id, &json!({ "config": config, "secrets": secrets }));
        let what = format!("a change to {host}");
        judge(&mut score, &what, change(&there)?, change(&nowhere)?, &address());
        ensure_same(&what, &before, &tenant.connector(&id)?)?;

        let change = |config: &Value| {
            let body = json!({ "config": config, "secrets": secrets, "verify": "optional" });
            tenant.change(&id, &body)
        };
        let (changed_there, again_there) = (change(&there)?, tenant.verify(&id)?);
        let (changed_nowhere, again_nowhere) = (change(&nowhere)?, tenant.verify(&id)?);
        let what = format!("a change to {host} that is in force unverified");
        judge(&mut score, &what, changed_there, changed_nowhere, &address());
        judge(&mut score, &format!("{what}, asked again"), again_there, again_nowhere, &address());
    }
    Ok(score)
}

/// A rotation whose far side leads astray by then leaves the secret that was.
fn rotations(machine: &Machine, tenant: &Tenant, side: &FarSide) -> Result<Score> {
    let mut score = Score::default();
    let user = new_slug("ci");
    let mut password = new_secret();
    side.registry_user(&user, password.clone().into());
    let config = json!({ "url": side.url(), "username": user });
    let secrets = json!({ "password": password });
    let id = tenant.installed(&request("container_registry", &config, &secrets, "required"))?;
    let before = tenant.connector(&id)?;
    for host in SOME_HOSTS {
        let rotate = |port: u16| {
            side.behave(Behaviour::Redirect(format!("http://{host}:{port}/")));
            tenant.rotate(&id, &json!({ "secrets": { "password": new_secret() } }))
        };
        let what = format!("a rotation redirected to {host}");
        judge(&mut score, &what, rotate(machine.port())?, rotate(machine.silent_port())?, &address());
        ensure_same(&what, &before, &tenant.connector(&id)?)?;
    }
    side.behave(Behaviour::Normal);
    password = new_secret();
    side.registry_user(&user, password.clone().into());
    let rotated = tenant.rotate(&id, &json!({ "secrets": { "password": password } }))?;
    ensure!(rotated.is_granted, "the far side does not get the new secret: {}", rotated.answer);
    score.control();
    Ok(score)
}

/// Connectors that nobody has asked about: their secret is to be revoked, or made, where nobody may go.
fn unasked(machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let mut score = Score::default();
    for kind in KINDS {
        let Some(secrets) = kinds::secrets(kind)?.into_iter().find(|secrets| !secrets.is_empty()) else {
            continue;
        };
        let at = |host: &str, port: u16| {
            let config = kinds::config(kind, |_| format!("http://{host}:{port}/"))?;
            tenant.installed(&request(kind.name, &json!(config), &json!(secrets), "off"))
        };
        for host in SOME_HOSTS {
            if kind.revoked_by.is_some() {
                let revoke = |port| tenant.revoke(&at(host, port)?);
                let (there, nowhere) = (revoke(machine.port())?, revoke(machine.silent_port())?);
                judge(&mut score, &format!("a {} revoked at {host}", kind.name), there, nowhere, &address());
            }
            if kind.minted_by.is_some() {
                let mint = |port| tenant.rotate(&at(host, port)?, &json!({}));
                let (there, nowhere) = (mint(machine.port())?, mint(machine.silent_port())?);
                judge(&mut score, &format!("a {} rotated at {host}", kind.name), there, nowhere, &address());
            }
        }
    }
    Ok(score)
}

/// Webhooks that nobody has asked about are told of an event.
fn deliveries(world: &World, machine: &Machine, tenant: &Tenant) -> Result<Score> {
    let install = |url: &str| {
        let config = json!({ "url": url, "events": ["quota.set"] });
        tenant.installed(&request("webhook", &config, &json!({ "hmac_key": new_secret() }), "off"))
    };
    let mut installed = Vec::new();
    for host in SOME_HOSTS {
        let at = |port: u16| format!("http://{host}:{port}/");
        installed.push((format!("an event told to {host}"), install(&at(machine.port()))?));
        let redirect = Path::redirect(308, 0, &at(machine.port()));
        installed.push((format!("an event redirected to {host}"), install(&machine.allowed(&redirect))?));
    }
    let path = Path::yes(&new_slug("told"));
    install(&machine.allowed(&path))?;
    tenant.quota_set(QUOTA - 1)?;
    let mut score = Score::default();
    for (what, id) in installed {
        let uuid = id.trim_start_matches("con_");
        wait_for(&what, || {
            Ok(world.count(&format!("webhook_outbox WHERE connector_id = '{uuid}' AND tries > 0"))? > 0)
        })?;
        let nothing = || Seen { is_granted: false, answer: String::new() };
        judge(&mut score, &what, nothing(), nothing(), &Ends::Anyhow);
    }
    wait_for("an event told at the allowed address", || Ok(machine.was_asked(&path)))?;
    score.control();
    Ok(score)
}

fn wait_for(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < TOLD_DEADLINE, "{what}: it was not even tried");
        thread::sleep(POLL);
    }
    Ok(())
}

fn address() -> Ends {
    Ends::With(ADDRESS.to_owned())
}
