//! What every kind's file needs of its far side: the configuration and the secrets by name, calls, and
//! what the usual answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::SecretText;
use integraci_api::catalogue;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use url::Url;
use zeroize::Zeroizing;

use super::{Subject, VerifyError};
use crate::connectors::outbound::{Answer, Outbound, OutboundError, RETRY_AFTER_MAX, Request};
use crate::oidc::{self, Identity, Issuer};

/// The far side of one connector.
pub(super) struct FarSide<'a> {
    outbound: Outbound,
    issuer: Issuer,
    pub(super) subject: &'a Subject<'a>,
}

/// Who is called and what its answers are about: what is told to people when something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// "GitLab", "the registry".
    pub(super) who: &'a str,
    /// The secret that the call goes by, as a pointer: `/secrets/token`.
    pub(super) secret: &'a str,
    /// The field that says where the call goes or what it asks for, as a pointer: `/config/url`.
    pub(super) place: &'a str,
}

impl<'a> FarSide<'a> {
    /// Refused where the connector's own certificates are not usable.
    pub(super) fn new(
        outbound: &Outbound,
        issuer: &Issuer,
        subject: &'a Subject<'a>,
    ) -> Result<Self, VerifyError> {
        let authorities = subject.config.get("ca_certificate").and_then(serde_json::Value::as_str);
        let outbound = match authorities {
            None => outbound.clone(),
            Some(_) => outbound.for_far_side(authorities, None).ok_or_else(|| {
                VerifyError::refused("/config/ca_certificate", "it holds a certificate that cannot be read")
            })?,
        };
        Ok(Self { outbound, issuer: issuer.clone(), subject })
    }

    /// The same with other authorities, or with a client certificate (PEM, with its key). `None` where
    /// they are not usable.
    pub(super) fn identified(
        &self,
        authorities: Option<&str>,
        identity: Option<&SecretText>,
    ) -> Option<FarSide<'a>> {
        let outbound = self.outbound.for_far_side(authorities, identity)?;
        Some(FarSide { outbound, issuer: self.issuer.clone(), subject: self.subject })
    }

    /// Whether connectors of the kind can have certificate authorities of their own.
    fn takes_authorities(&self) -> bool {
        catalogue::kind(self.subject.kind)
            .is_some_and(|kind| kind.fields.iter().any(|field| field.name == "ca_certificate"))
    }

    /// A text of the configuration.
    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.subject.config.get(field)?.as_str()
    }

    /// A number of the configuration.
    pub(super) fn integer(&self, field: &str) -> Option<u64> {
        self.subject.config.get(field)?.as_u64()
    }

    /// An address of the configuration, or what stands in when it says none.
    pub(super) fn address(&self, field: &str, otherwise: &str) -> Result<Url, VerifyError> {
        Url::parse(self.text(field).unwrap_or(otherwise)).map_err(|_| {
            VerifyError::refused(
                format!("/config/{field}"),
                "expected a URL such as https://host.example/path",
            )
        })
    }

    /// A secret that must be there.
    pub(super) fn secret(&self, name: &str) -> Result<&'a SecretText, VerifyError> {
        self.subject
            .secrets
            .get(name)
            .ok_or_else(|| VerifyError::refused(format!("/secrets/{name}"), format!("`{name}` is required")))
    }

    /// Who the platform says that the connector is, to a far side that trusts it: of the audience that the
    /// configuration says, or the kind's own, or `otherwise`.
    pub(super) fn identity(&self, otherwise: &str) -> Result<Identity, VerifyError> {
        let of_kind = catalogue::kind(self.subject.kind).and_then(|kind| kind.keyless?.audience);
        let audience = self.text("audience").or(of_kind).unwrap_or(otherwise);
        let identity = self.issuer.identity(self.subject.tenant, self.subject.name, audience);
        identity.ok_or_else(|| VerifyError::refused("/kind", oidc::OFF))
    }

    /// A token that says so.
    pub(super) async fn token_of(&self, identity: &Identity) -> Result<SecretText, VerifyError> {
        let signed = self.issuer.token(identity, self.subject.now, self.subject.attempt).await;
        signed.map_err(|error| {
            tracing::warn!(%error, "a token could not be signed");
            VerifyError::Unreachable { detail: "the platform could not sign a token".to_owned() }
        })
    }

    /// Both at once.
    pub(super) async fn platform_token(&self, otherwise: &str) -> Result<SecretText, VerifyError> {
        self.token_of(&self.identity(otherwise)?).await
    }

    /// Makes a call; an answer of any status is an answer.
    pub(super) async fn send(&self, asked: Asked<'_>, request: Request) -> Result<Answer, VerifyError> {
        self.outbound.send(request).await.map_err(|error| {
            let mut detail = format!("{}: {error}", asked.who);
            if error == OutboundError::Tls && self.takes_authorities() {
                detail
                    .push_str("; if it has a certificate authority of its own, set `ca_certificate` to that");
            }
            match error {
                OutboundError::Unresolved
                | OutboundError::Unreachable
                | OutboundError::Timeout
                | OutboundError::Broken => VerifyError::Unreachable { detail },
                OutboundError::SchemeNotAllowed
                | OutboundError::CredentialsInUrl
                | OutboundError::AddressNotAllowed
                | OutboundError::Tls
                | OutboundError::TooLarge
                | OutboundError::TooManyRedirects => VerifyError::refused(asked.place, detail),
            }
        })
    }

    /// Makes a call that must be answered 2xx.
    pub(super) async fn ask(&self, asked: Asked<'_>, request: Request) -> Result<Answer, VerifyError> {
        let answer = self.send(asked, request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.declined(asked, &answer)) }
    }

    /// Makes a call that must be answered 2xx, with JSON of this shape.
    pub(super) async fn ask_json<T: DeserializeOwned>(
        &self,
        asked: Asked<'_>,
        request: Request,
    ) -> Result<T, VerifyError> {
        json(asked, &self.ask(asked, request).await?)
    }

    /// What an answer means that is not 2xx, where the kind knows nothing better.
    pub(super) fn declined(&self, asked: Asked<'_>, answer: &Answer) -> VerifyError {
        let Asked { who, secret, place } = asked;
        if let Some(busy) = self.busy(answer) {
            return busy;
        }
        match answer.status.as_u16() {
            status @ (401 | 403) => {
                VerifyError::refused(secret, format!("{who} refused the login (status {status})"))
            }
            404 => VerifyError::refused(
                place,
                format!("{who} has no such thing, or does not show it to this login (status 404)"),
            ),
            status @ 300..=399 => VerifyError::refused(
                place,
                format!("{who} redirects (status {status}); give the address that it redirects to"),
            ),
            status @ 500..=599 => {
                VerifyError::Unreachable { detail: format!("{who} failed on its side (status {status})") }
            }
            status => {
                VerifyError::refused(place, format!("{who} does not take the request (status {status})"))
            }
        }
    }

    /// What an answer means that says "later", if it is one.
    pub(super) fn busy(&self, answer: &Answer) -> Option<VerifyError> {
        let retry_after = answer.retry_after(self.subject.now);
        match answer.status.as_u16() {
            429 => {
                let retry_after = retry_after.or_else(|| reset_after(answer, self.subject.now));
                Some(VerifyError::Busy { retry_after })
            }
            503 if retry_after.is_some() => Some(VerifyError::Busy { retry_after }),
            _ => None,
        }
    }
}

/// An answer's JSON, of the shape that the far side's documentation gives it.
pub(super) fn json<T: DeserializeOwned>(asked: Asked<'_>, answer: &Answer) -> Result<T, VerifyError> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        VerifyError::refused(asked.place, format!("{} does not answer as its documentation says", asked.who))
    })
}

/// How long until a far side counts calls from zero again, for those that say it in place of
/// `Retry-After`: in seconds from now or, as a larger number, since 1970.
fn reset_after(answer: &Answer, now: OffsetDateTime) -> Option<Duration> {
    /// More than thirty years: no pause, but a time.
    const TIME_MIN_S: i64 = 1_000_000_000;
    let header = |name| answer.headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let said_s = header("ratelimit-reset").or_else(|| header("x-ratelimit-reset"))?;
    let pause_s = if said_s < TIME_MIN_S { said_s } else { said_s - now.unix_timestamp() };
    Some(Duration::from_secs(u64::try_from(pause_s).unwrap_or(0)).min(RETRY_AFTER_MAX))
}

/// `address` with these segments behind its path, each escaped; what query it had is gone.
pub(super) fn below(address: &Url, segments: &[&str]) -> Url {
    let mut url = address.clone();
    url.set_query(None);
    // An `http(s)` URL always has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// A form, which may hold secrets.
pub(super) fn post_form(url: Url, fields: &[(&str, &str)]) -> Request {
    // Room for every byte escaped: what grows leaves the smaller text behind.
    let room = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = url::form_urlencoded::Serializer::new(String::with_capacity(room));
    let body = form.extend_pairs(fields).finish().into_bytes();
    Request::post_secret(url, Zeroizing::new(body))
        .header("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"))
}

/// `Authorization: Bearer …`, or that the secret cannot be sent.
pub(super) fn bearer(token: &SecretText, pointer: &str) -> Result<HeaderValue, VerifyError> {
    header(&Zeroizing::new(format!("Bearer {}", token.expose())), pointer)
}

/// `Authorization: Basic …`, or that the secret cannot be sent.
pub(super) fn basic(user: &str, password: &SecretText, pointer: &str) -> Result<HeaderValue, VerifyError> {
    let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
    header(&Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))), pointer)
}

/// A header of a secret's own text, or that it cannot be sent.
pub(super) fn header(text: &str, pointer: &str) -> Result<HeaderValue, VerifyError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        VerifyError::refused(pointer, "it holds characters that cannot be sent, such as line breaks")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A time as far sides write it: RFC 3339, or a date alone, which is that day's beginning (UTC).
pub(super) fn time_of(text: &str) -> Option<OffsetDateTime> {
    use time::format_description::well_known::{Iso8601, Rfc3339};
    let whole = OffsetDateTime::parse(text, &Rfc3339).ok();
    whole.or_else(|| Some(time::Date::parse(text, &Iso8601::DATE).ok()?.midnight().assume_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped_and_stay_segments() {
        let base = Url::parse("https://x.example/api/?a=1").unwrap();
        assert_eq!(below(&base, &["v4", "groups", "a/b"]).as_str(), "https://x.example/api/v4/groups/a%2Fb");
        assert_eq!(below(&base, &["..", "?x#y"]).as_str(), "https://x.example/api/%3Fx%23y");
    }

    #[test]
    fn a_secret_with_a_line_break_is_told_and_not_quoted() {
        let fault = bearer(&SecretText::new("a\nb".into()), "/secrets/token").unwrap_err();
        assert_eq!(fault.faults()[0].pointer, "/secrets/token");
        assert!(bearer(&SecretText::new("ab".into()), "/secrets/token").unwrap().is_sensitive());
    }

    #[test]
    fn a_reset_is_a_pause_or_a_time() {
        let now = OffsetDateTime::from_unix_timestamp(1_795_478_400).unwrap();
        let reset = |name: &'static str, value: &'static str| {
            let headers = [(name.parse().unwrap(), HeaderValue::from_static(value))];
            let url = Url::parse("https://x.example").unwrap();
            let (status, body) = (reqwest::StatusCode::TOO_MANY_REQUESTS, Zeroizing::new(Vec::new()));
            let headers = headers.into_iter().collect();
            let answer = Answer { status, headers, body, url, left_origin: false };
            reset_after(&answer, now).map(|pause| pause.as_secs())
        };
        assert_eq!(reset("ratelimit-reset", "7"), Some(7));
        assert_eq!(reset("x-ratelimit-reset", "1795478430"), Some(30));
        assert_eq!(reset("x-ratelimit-reset", "1795478000"), Some(0));
        assert_eq!(reset("x-ratelimit-reset", "-9223372036854775808"), Some(0));
        assert_eq!(reset("ratelimit-reset", "9223372036854775807"), Some(3600));
        assert_eq!(reset("ratelimit-reset", "soon"), None);
        assert_eq!(reset("other", "7"), None);
    }

    #[test]
    fn times_with_and_without_a_clock() {
        assert_eq!(time_of("2026-11-24").unwrap().unix_timestamp(), 1_795_478_400);
        assert_eq!(time_of("2026-11-24T00:00:00Z").unwrap().unix_timestamp(), 1_795_478_400);
        assert_eq!(time_of("soon"), None);
    }
}
