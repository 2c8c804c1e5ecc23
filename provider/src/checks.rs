//! What a configured value must be, as far as it can be told without the server. The rules are
//! those of `integraci-api`, which the server applies as well.

use integraci_api::connectors::{ROTATE_EVERY_DAYS_MAX, ROTATE_EVERY_DAYS_MIN, VerifyMode};
use integraci_api::quotas::OnExceed;
use integraci_api::{SecretText, Slug, catalogue, connectors, tenants};

use crate::{api, preflight};

type Check = Result<(), String>;

pub(crate) fn slug<T: AsRef<str>>(text: &T) -> Check {
    text.as_ref().parse::<Slug>().map(drop).map_err(|error| error.to_string())
}

pub(crate) fn tenant_name<T: AsRef<str>>(text: &T) -> Check {
    tenants::name_check(text.as_ref())
}

pub(crate) fn email<T: AsRef<str>>(text: &T) -> Check {
    tenants::email_check(text.as_ref())
}

pub(crate) fn connector_name<T: AsRef<str>>(text: &T) -> Check {
    connectors::name_check(text.as_ref())
}

/// What `on_destroy` may be: [`connectors::OldSecret::Forget`].
pub(crate) const FORGET: &str = "forget";
/// What `on_destroy` may be: [`connectors::OldSecret::Revoke`].
pub(crate) const REVOKE: &str = "revoke";

pub(crate) fn on_destroy<T: AsRef<str>>(text: &T) -> Check {
    one_of(text.as_ref(), &[FORGET, REVOKE])
}

pub(crate) fn verify<T: AsRef<str>>(text: &T) -> Check {
    one_of(text.as_ref(), &VerifyMode::ALL.iter().map(|mode| mode.as_str()).collect::<Vec<_>>())
}

pub(crate) fn on_exceed<T: AsRef<str>>(text: &T) -> Check {
    one_of(text.as_ref(), &[OnExceed::Allow.as_str(), OnExceed::Refuse.as_str()])
}

pub(crate) fn rotate_every_days(days: &i64) -> Check {
    if (i64::from(ROTATE_EVERY_DAYS_MIN)..=i64::from(ROTATE_EVERY_DAYS_MAX)).contains(days) {
        Ok(())
    } else {
        Err(format!("expected {ROTATE_EVERY_DAYS_MIN} to {ROTATE_EVERY_DAYS_MAX} days"))
    }
}

pub(crate) fn connector_kind<T: AsRef<str>>(text: &T) -> Check {
    one_of(text.as_ref(), &catalogue::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>())
}

/// A kind whose far side takes tokens that the platform signs.
pub(crate) fn keyless_kind<T: AsRef<str>>(text: &T) -> Check {
    let keyless = catalogue::KINDS.iter().filter(|kind| kind.keyless.is_some());
    one_of(text.as_ref(), &keyless.map(|kind| kind.name).collect::<Vec<_>>())
}

fn one_of(text: &str, words: &[&str]) -> Check {
    if words.contains(&text) { Ok(()) } else { Err(format!("expected one of: {}", words.join(", "))) }
}

/// Plans have the form of slugs; which there are is the server's to know.
pub(crate) fn plan<T: AsRef<str>>(text: &T) -> Check {
    if text.as_ref().is_empty() {
        Err("expected the name of a plan, such as team".to_owned())
    } else {
        Ok(())
    }
}

/// A filter `key=value`.
pub(crate) fn label_filter<T: AsRef<str>>(text: &T) -> Check {
    let (key, value) =
        text.as_ref().split_once('=').ok_or("expected a label as key=value, such as cost_centre=42")?;
    tenants::label_check(key, value)
}

/// How old something may be.
pub(crate) fn age<T: AsRef<str>>(text: &T) -> Check {
    match api::duration_parse(text.as_ref()) {
        Some(_) => Ok(()),
        None => Err("expected a duration, such as 24h or 1h30m".to_owned()),
    }
}

pub(crate) fn endpoint<T: AsRef<str>>(text: &T) -> Check {
    api::endpoint_parse(text.as_ref()).map(drop).map_err(|error| error.to_string())
}

pub(crate) fn token<T: AsRef<str>>(text: &T) -> Check {
    api::token_check(&SecretText::new(text.as_ref().to_owned())).map_err(|error| error.to_string())
}

pub(crate) fn authorities<T: AsRef<str>>(text: &T) -> Check {
    api::authorities_parse(text.as_ref()).map(drop).map_err(|error| error.to_string())
}

pub(crate) fn timeout<T: AsRef<str>>(text: &T) -> Check {
    api::timeout_parse(text.as_ref()).map(drop).map_err(|error| error.to_string())
}

pub(crate) fn quota_preflight<T: AsRef<str>>(text: &T) -> Check {
    preflight::Mode::parse(text.as_ref()).map(drop).map_err(|error| error.to_string())
}
