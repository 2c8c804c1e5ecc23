//! What NATS refuses: messages that are too large, streams that have no room, and connections.

use acceptance_tests::nats::{Login, Nats, Said};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::tenant::{Tenant, base_units, text};
use crate::{Case, Refused};

/// How many of the tenant's connections the platform may have for a moment, to tell it of events.
const OF_PLATFORM: usize = 1;

/// A message of the largest size, and one of a byte more.
pub(crate) fn payload<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let account = Account::of(tenant)?;
    let limit = usize::try_from(base_units(case.dimension, case.small)?)?;
    let publish = move |bytes: usize| -> Result<Result<(), String>> {
        let said = account.connected()?.publish(&account.subject("sized"), &"x".repeat(bytes))?;
        Ok(if let Said::Refused(words) = said { Err(words) } else { Ok(()) })
    };
    let fits = publish(limit)?;
    ensure!(fits.is_ok(), "a message of {limit} bytes fits: {fits:?}");
    let words = publish(limit + 1)?.err().unwrap_or_default();
    ensure!(words.to_lowercase().contains("maximum payload"), "a byte too many: {words:?}");
    tenant.limit_is(case.dimension, case.small)?;
    Ok(Box::new(move || tenant.done(|| publish(limit + 1))))
}

/// A stream that may grow to all of it, and one of a KiB.
pub(crate) fn streams<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let account = Account::of(tenant)?;
    let limit = base_units(case.dimension, case.small)?;
    let make = move |name: &str, bytes: i64| -> Result<Result<(), String>> {
        let subjects = [account.subject(name)];
        let config = json!({ "name": name, "subjects": subjects, "storage": "file", "max_bytes": bytes });
        let asked = format!("$JS.API.STREAM.CREATE.{name}");
        Ok(match account.connected()?.request(&asked, &config.to_string())? {
            Said::Answered(text) if !text.contains("\"error\"") => Ok(()),
            refused => Err(format!("{refused:?}")),
        })
    };
    let fits = make("FITS", limit)?;
    ensure!(fits.is_ok(), "a stream of {limit} bytes fits: {fits:?}");
    let words = make("OVER", 1024)?.err().unwrap_or_default();
    ensure!(words.contains("insufficient storage"), "a stream too many: {words:?}");
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || tenant.done(|| make("OVER", 1024))))
}

/// Connections until the broker lets no more in.
pub(crate) fn connections<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let account = Account::of(tenant)?;
    let limit = usize::try_from(base_units(case.dimension, case.small)?)?;
    let mut open = Vec::new();
    let words = loop {
        match account.connect()? {
            Err(words) => break words,
            Ok(connection) => open.push(connection),
        }
        ensure!(open.len() <= limit, "the broker lets more in than {limit}");
    };
    ensure!(words.to_lowercase().contains("maximum account active connections"), "one too many: {words}");
    ensure!(open.len() >= limit - OF_PLATFORM, "only {} were let in", open.len());
    tenant.is_used(case.dimension, case.small, i64::try_from(open.len())?)?;
    Ok(Box::new(move || {
        tenant.done(|| Ok(account.connect()?.map(drop)))?;
        // Those that were there are there yet.
        for connection in &mut open {
            ensure!(connection.ping()? == Said::Taken, "a connection was thrown out as the limit was raised");
        }
        Ok(())
    }))
}

/// The tenant's account, as a user of it.
struct Account {
    url: String,
    prefix: String,
    secrets: Value,
}

impl Account {
    fn of(tenant: &Tenant<'_>) -> Result<Self> {
        let (fields, secrets) = tenant.credential("nats")?;
        let url = tenant.world.platform().nats()?.url.clone();
        Ok(Self { url, prefix: text(&fields["subject_prefix"])?.to_owned(), secrets })
    }

    fn subject(&self, name: &str) -> String {
        format!("{}.{}", self.prefix, name.to_lowercase())
    }

    fn connect(&self) -> Result<Result<Nats, String>> {
        let login = Login { jwt: text(&self.secrets["jwt"])?, seed: text(&self.secrets["seed"])? };
        Nats::connect(&self.url, Some(login))
    }

    fn connected(&self) -> Result<Nats> {
        self.connect()?.map_err(anyhow::Error::msg).context("the tenant's user is let in")
    }
}
