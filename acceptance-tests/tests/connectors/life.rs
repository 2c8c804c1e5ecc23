//! The life of one connector by the API, of any kind.

use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::kinds::{Place, Secrets, Trust, connector_body, far_end};
use acceptance_tests::{Api, OpenBao, World};
use anyhow::{Context as _, Result, ensure};
use integraci_api::catalogue::Kind;
use serde_json::{Value, json};

use crate::{Living, Tenant};

/// Verifications of one connector are limited to one in six seconds.
const ASKED_EVERY: Duration = Duration::from_secs(7);
/// Longer than any far end remembers what it should not.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// From nothing to a connector that was installed, verified, broken, mended, changed by hand and rotated.
pub(crate) fn begin(world: &World, api: &Api, tenant: &Tenant, kind: &'static Kind) -> Result<Living> {
    let (bao, tenant) = (&tenant.bao, tenant.id.as_str());
    let name = kind.name.replace('_', "-");
    let trust = match kind.requires_secret() {
        true => None,
        false => Some(Trust::of(api, tenant, kind.name, &name)?),
    };
    let place = Place { tenant, name: &name, trust };
    let mut far_end = far_end(kind.name, world.platform(), &place)?;
    let connectors = format!("/v1/tenants/{tenant}/connectors");

    // What the far side does not take is not installed, and leaves nothing.
    let unknown = far_end.renew()?;
    far_end.spoil()?;
    let body = connector_body(kind.name, &name, &far_end.config(), &unknown);
    let refused = api.settled(&api.post(&connectors, &body)?.expect(202)?)?;
    ensure!(refused["error"]["code"] == "verification_failed", "worthless secrets are installed: {refused}");
    ensure!(refused["error"]["errors"][0]["pointer"].is_string(), "no field is named: {refused}");
    says_no_secret(&refused, &unknown)?;

    let secrets = far_end.renew()?;
    let body = connector_body(kind.name, &name, &far_end.config(), &secrets);
    let id = api.succeeded(&api.post(&connectors, &body)?.expect(202)?).context("installing")?;
    let mut it = Living { kind, name, id, far_end, secrets };
    let path = format!("{connectors}/{}", it.id);
    let installed = api.get(&path)?.expect(200)?.body;
    ensure!(installed["verification_status"] == "verified", "not verified: {installed}");
    ensure!(installed["secret_version"] == i64::from(!it.secrets.is_empty()), "{installed}");
    says_no_secret(&installed, &it.secrets)?;
    compares(api, &path, &it.secrets, false)?;

    broken_and_mended(api, &path, &mut it).context("breaking and mending")?;
    if it.secrets.is_empty() {
        let refused = api.post(&format!("{path}/rotations"), &json!({}))?.problem(422, "invalid_request")?;
        ensure!(refused.pointers() == ["/secrets"], "{:?}", refused.pointers());
        return Ok(it);
    }
    changed_by_hand(bao, api, &path, &it).context("changing by hand")?;
    rotated(bao, api, &path, &mut it).context("rotating")?;
    if it.kind.minted_by.is_some() {
        rotated_by_itself(bao, api, &path, &mut it).context("rotating by itself")?;
    }
    Ok(it)
}

/// The far side does not take what is in force any more; what the user sends next does.
fn broken_and_mended(api: &Api, path: &str, it: &mut Living) -> Result<()> {
    it.far_end.spoil()?;
    let broken = verified_until(api, path, "refused")?;
    let reason = broken["verification_reason"].as_str().context("a reason")?;
    ensure!(reason.starts_with('/'), "the reason names no field: {reason}");
    says_no_secret(&broken, &it.secrets)?;
    let secrets = it.far_end.renew()?;
    if secrets.is_empty() {
        verified_until(api, path, "verified")?;
        return Ok(());
    }
    compares(api, path, &secrets, true)?;
    api.succeeded(&api.patch(path, &json!({ "secrets": secrets }))?.expect(202)?)?;
    it.secrets = secrets;
    let mended = api.get(path)?.expect(200)?.body;
    ensure!(mended["verification_status"] == "verified", "not mended: {mended}");
    compares(api, path, &it.secrets, false)
}

/// Somebody writes another secret into OpenBao: it is drift, and the configured one mends it.
fn changed_by_hand(bao: &OpenBao, api: &Api, path: &str, it: &Living) -> Result<()> {
    bao.connector_change(&it.id, "changed by hand")?;
    compares(api, path, &it.secrets, true)?;
    thread::sleep(ASKED_EVERY);
    let drifted = api.post(&format!("{path}/verifications"), &Value::Null)?.expect(200)?.body;
    ensure!(drifted["secret_drifted"] == true, "no drift: {drifted}");
    api.succeeded(&api.patch(path, &json!({ "secrets": it.secrets }))?.expect(202)?)?;
    let mended = api.get(path)?.expect(200)?.body;
    ensure!(mended["secret_drifted"] == false, "still drift: {mended}");
    compares(api, path, &it.secrets, false)
}

/// A new secret is put in force, and the old one destroyed when it has been kept for no time at all.
fn rotated(bao: &OpenBao, api: &Api, path: &str, it: &mut Living) -> Result<()> {
    let before = api.get(path)?.expect(200)?.body["secret_version"].clone();
    let secrets = it.far_end.renew()?;
    let body = json!({ "secrets": secrets, "overlap_s": 0 });
    api.succeeded(&api.post(&format!("{path}/rotations"), &body)?.expect(202)?)?;
    it.secrets = secrets;
    let after =
        until(api, path, |connector| connector["retiring"].is_null() && connector["status"] == "active")?;
    ensure!(after["secret_version"].as_i64() > before.as_i64(), "{after}");
    compares(api, path, &it.secrets, false)?;
    only_is_stored(bao, it)
}

/// The far side makes a secret that nobody else ever has.
fn rotated_by_itself(bao: &OpenBao, api: &Api, path: &str, it: &mut Living) -> Result<()> {
    let every = json!({ "rotate_every_days": 30 });
    api.succeeded(&api.patch(path, &every)?.expect(202)?)?;
    // With what it takes to make one, which a secret from outside may lack.
    let revoke = if it.kind.revoked_by.is_some() { "revoke" } else { "forget" };
    let body = json!({ "overlap_s": 0, "old_secret": revoke });
    api.succeeded(&api.post(&format!("{path}/rotations"), &body)?.expect(202)?)?;
    let after =
        until(api, path, |connector| connector["retiring"].is_null() && connector["status"] == "active")?;
    ensure!(after["verification_status"] == "verified", "{after}");
    compares(api, path, &it.secrets, false).context("what was configured is no difference")?;
    let stored = bao.connector_versions(&it.id)?.pop().unwrap_or_default();
    ensure!(stored != it.secrets, "the secret is still the one that was sent");
    if revoke == "revoke" {
        ensure!(
            it.far_end.takes(&it.secrets)? == Some(false),
            "the old secret is still good at the far side"
        );
    }
    ensure!(it.far_end.takes(&stored)? == Some(true), "what was made is not good");
    Ok(())
}

/// Removed, its secret made worthless at the far side where that can be, and nothing left.
pub(crate) fn end(api: &Api, tenant: &Tenant, it: &Living) -> Result<()> {
    let bao = &tenant.bao;
    let path = format!("/v1/tenants/{}/connectors/{}", tenant.id, it.id);
    let stored = bao.connector_versions(&it.id)?.pop().unwrap_or_default();
    if it.kind.revoked_by.is_some() && !it.secrets.is_empty() {
        api.succeeded(&api.delete(&format!("{path}?old_secret=revoke"))?.expect(202)?)?;
        ensure!(it.far_end.takes(&stored)? == Some(false), "the secret is still good at the far side");
    } else {
        let refused = api.delete(&format!("{path}?old_secret=revoke"))?;
        ensure!(it.secrets.is_empty() || refused.status == 422, "{} {}", refused.status, refused.body);
        if refused.status == 202 {
            api.succeeded(&refused)?;
        } else {
            api.succeeded(&api.delete(&path)?.expect(202)?)?;
        }
    }
    api.get(&path)?.expect(404)?;
    ensure!(bao.connector_versions(&it.id)?.is_empty(), "something is left in OpenBao");
    Ok(())
}

/// What is in force is all that OpenBao has.
fn only_is_stored(bao: &OpenBao, it: &Living) -> Result<()> {
    let stored = bao.connector_versions(&it.id)?;
    ensure!(stored == [it.secrets.clone()], "OpenBao has {} versions", stored.len());
    Ok(())
}

fn compares(api: &Api, path: &str, secrets: &Secrets, differs: bool) -> Result<()> {
    let compared = api.post(&format!("{path}/secret-comparisons"), &json!({ "secrets": secrets }))?;
    let said = compared.expect(200)?.body;
    ensure!(said["differs"] == differs, "compared: {said}, expected {differs}");
    Ok(())
}

/// Has the connector verified until the far side says this.
fn verified_until(api: &Api, path: &str, status: &str) -> Result<Value> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        let connector = api.post(&format!("{path}/verifications"), &Value::Null)?.expect(200)?.body;
        if connector["verification_status"] == status {
            return Ok(connector);
        }
        ensure!(Instant::now() < deadline, "never {status}: {connector}");
        thread::sleep(ASKED_EVERY);
    }
}

fn until(api: &Api, path: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        let connector = api.get(path)?.expect(200)?.body;
        if is_right(&connector) {
            return Ok(connector);
        }
        ensure!(Instant::now() < deadline, "never came to be: {connector}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn says_no_secret(said: &Value, secrets: &Secrets) -> Result<()> {
    let said = said.to_string();
    for (name, secret) in secrets {
        let first_line = secret.lines().nth(1).unwrap_or(secret);
        ensure!(!said.contains(secret) && !said.contains(first_line), "`{name}` is in an answer");
    }
    Ok(())
}
