//! What the tests of a tenant's places do besides asking the API: the server's other commands, its
//! configuration by hand, and the records past which nothing is seen for long.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io::Write as _};

use acceptance_tests::nats::{Login, Nats, Said};
use acceptance_tests::process::{Finished, guarded, run};
use acceptance_tests::runtime::block_on;
use acceptance_tests::{World, binaries};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// No command of the server takes longer.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// The world's configuration, which its servers read when they start.
pub(crate) fn config(world: &World) -> PathBuf {
    world.dir().join("server.toml")
}

/// Changes the configuration.
pub(crate) fn configure(world: &World, change: impl FnOnce(String) -> String) -> Result<()> {
    let text = fs::read_to_string(config(world))?;
    // The same file: its mode is that of a file with secrets in it.
    fs::File::options().write(true).truncate(true).open(config(world))?.write_all(change(text).as_bytes())?;
    Ok(())
}

/// Runs a command of the server.
pub(crate) fn command(world: &World, verb: &[&str]) -> Result<Finished> {
    let mut command = guarded(&binaries::server()?);
    command.args(verb).arg("--config").arg(config(world)).current_dir(world.dir());
    run(command, "integraci-server", COMMAND_DEADLINE)
}

/// Has the database remember every state that a place was in: one that is mended at once is gone before
/// anybody asks.
pub(crate) fn record_watched(world: &World) -> Result<()> {
    let statement = "
        CREATE SCHEMA watched;
        CREATE TABLE watched.place (tenant_id uuid, system text, state text, drift jsonb);
        CREATE FUNCTION watched.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
          INSERT INTO watched.place VALUES (NEW.tenant_id, NEW.system, NEW.state, NEW.drift);
          RETURN NULL;
        END $$;
        GRANT USAGE ON SCHEMA watched TO PUBLIC;
        CREATE TRIGGER watched AFTER UPDATE ON tenant_system FOR EACH ROW EXECUTE FUNCTION watched.note();";
    block_on(sqlx::raw_sql(statement).execute(&mut world.database()?))?;
    Ok(())
}

/// Whether a place was in a state, with words about it.
pub(crate) fn recorded(world: &World, tenant: &str, system: &str, state: &str) -> Result<bool> {
    let tenant = tenant.trim_start_matches("ten_");
    let found = world.count(&format!(
        "watched.place WHERE tenant_id = '{tenant}' AND system = '{system}' AND state = '{state}' AND drift <> '[]'"
    ))?;
    Ok(found > 0)
}

/// The claims of an account, as the resolver keeps them.
pub(crate) fn account_claims(world: &World, name: &str) -> Result<Value> {
    for entry in fs::read_dir(&world.platform().nats()?.resolver_dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jwt") {
            continue;
        }
        // It may be replaced while it is looked at.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let claims = text.split('.').nth(1).context("claims have three parts")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim())?)?;
        if claims["name"] == name {
            return Ok(claims);
        }
    }
    anyhow::bail!("there is no account {name}")
}

/// Signs an account's claims with the operator's key and hands them to the resolver.
pub(crate) fn account_pushed(world: &World, claims: &Value) -> Result<()> {
    let nats = world.platform().nats()?;
    let operator = KeyPair::from_seed(nats.operator_signing_seed.expose_secret())?;
    let mut claims = claims.clone();
    claims["iss"] = Value::String(operator.public_key());
    claims["iat"] = Value::from(time::OffsetDateTime::now_utc().unix_timestamp());
    // The id is a digest of the rest; nobody looks which.
    claims["jti"] = Value::String(hex::encode(Sha256::digest(claims.to_string())));
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(operator.sign(signed.as_bytes())?));
    let said = nats_system(world)?.request("$SYS.REQ.CLAIMS.UPDATE", &jwt)?;
    ensure!(matches!(&said, Said::Answered(text) if text.contains("\"code\":200")), "{said:?}");
    Ok(())
}

/// A user of the system account.
fn nats_system(world: &World) -> Result<Nats> {
    let nats = world.platform().nats()?;
    let file = fs::read_to_string(&nats.system_creds)?;
    Nats::connect(&nats.url, Some(Login::of_file(&file)?))?
        .map_err(|words| anyhow::anyhow!("the system account's user is not let in: {words}"))
}
