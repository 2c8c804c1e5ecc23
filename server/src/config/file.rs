//! The file's sections as they are written, what stands for what they leave out, and what is wrong with
//! them. Systems, plans and Stripe have files of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::systems::{CellFields as _, KeycloakFields, KubernetesFields, NatsFields, OpenBaoFields};
use super::{Config, Faults, plans, stripe};
use crate::connectors::outbound::OutboundConfig;
use crate::http::HttpLimits;
use crate::plans::Plans;
use crate::store::{PLATFORM_ROLE, StoreConfig, TENANT_ROLE};
use crate::usage;

/// Enough for a busy replica; Postgres's own default allows 100 in all.
const MAX_CONNECTIONS: u32 = 10;
/// A far side that takes longer to answer a ping is not one to wait for.
const OUTBOUND_TIMEOUT: Duration = Duration::from_secs(10);
/// Five heartbeats and a pause of a virtual machine fit.
const OPERATION_LEASE: Duration = Duration::from_secs(15);
/// Less, and a busy machine loses operations that it works on.
const OPERATION_LEASE_MIN_S: u64 = 1;
/// A call that was cut off is on the wire or in a queue for less than this.
const OPERATION_LATE: Duration = Duration::from_secs(5);
/// Soon enough that what was changed by hand does not stay, seldom enough that no system notices.
const RECONCILE_EVERY: Duration = Duration::from_secs(5 * 60);
/// A secret that was revoked is known within the hour, and no far side's rate limit notices.
const CONNECTORS_CHECKED_EVERY: Duration = Duration::from_secs(60 * 60);
/// What comes late to a day is in its statement the day after.
const STATEMENTS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A list of tags fits; what does not is not what was asked for.
const OUTBOUND_MAX_BODY_BYTES: usize = 1024 * 1024;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    listen: Option<String>,
    metrics_listen: Option<String>,
    public_url: Option<String>,
    database: Database,
    openbao: OpenBaoFields,
    keycloak: Option<KeycloakFields>,
    nats: Option<NatsFields>,
    kubernetes: Option<KubernetesFields>,
    reconcile: Reconcile,
    connectors: ConnectorsSection,
    outbound: Outbound,
    http: Http,
    operations: Operations,
    usage: Usage,
    plans: Option<Vec<plans::PlanEntry>>,
    billing: Billing,
    stripe: Option<stripe::StripeFields>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Database {
    tenant_url: Option<SecretString>,
    platform_url: Option<SecretString>,
    admin_url: Option<SecretString>,
    max_connections: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reconcile {
    every_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConnectorsSection {
    check_every_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Outbound {
    allow: Vec<String>,
    allow_http: bool,
    timeout_s: Option<u64>,
    max_body_bytes: Option<usize>,
    ca_certificate: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    max_body_bytes: Option<usize>,
    timeout_s: Option<u64>,
    requests_per_minute_per_token: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Billing {
    statements_every_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Operations {
    lease_s: Option<u64>,
    late_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Usage {
    late_window_h: Option<u64>,
}

impl File {
    /// The configuration that it stands for.
    ///
    /// # Errors
    /// All that is wrong with it, a line each.
    pub(super) fn check(self) -> Result<Config, Vec<String>> {
        let mut faults = Faults::default();
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = faults.take(
            "listen",
            listen.parse().map_err(|_| "expected an address and a port such as 0.0.0.0:8080"),
        );
        let metrics_listen = self.metrics_listen.and_then(|text| {
            let address: Result<SocketAddr, _> =
                text.parse().map_err(|_| "expected an address and a port such as 127.0.0.1:9090");
            faults.take("metrics_listen", address)
        });
        let public_url = self.public_url.and_then(|text| faults.take("public_url", public_url(&text)));
        let tenant_url =
            database_url(&mut faults, "database.tenant_url", self.database.tenant_url, Some(TENANT_ROLE));
        let platform_url = database_url(
            &mut faults,
            "database.platform_url",
            self.database.platform_url,
            Some(PLATFORM_ROLE),
        );
        let admin_url = self
            .database
            .admin_url
            .and_then(|url| database_url(&mut faults, "database.admin_url", Some(url), None));
        let openbao = self.openbao.check(&mut faults).pop();
        let keycloak = self.keycloak.map_or_else(Vec::new, |section| section.check(&mut faults));
        let nats = self.nats.map_or_else(Vec::new, |section| section.check(&mut faults));
        let kubernetes = self.kubernetes.map_or_else(Vec::new, |section| section.check(&mut faults));
        let outbound = self.outbound.check(&mut faults);
        let plans = match self.plans {
            None => Some(Plans::shipped()),
            Some(entries) => plans::plans(entries).map_err(|plan_faults| faults.0.extend(plan_faults)).ok(),
        };
        let shipped = HttpLimits::default();
        let http = HttpLimits {
            body_bytes: self.http.max_body_bytes.unwrap_or(shipped.body_bytes),
            timeout: self.http.timeout_s.map_or(shipped.timeout, Duration::from_secs),
            requests_per_minute_per_token: self
                .http
                .requests_per_minute_per_token
                .unwrap_or(shipped.requests_per_minute_per_token),
        };
        if http.requests_per_minute_per_token < 1 {
            faults.0.push("http.requests_per_minute_per_token: at least 1".to_owned());
        }
        let max_connections = self.database.max_connections.unwrap_or(MAX_CONNECTIONS);
        if max_connections < 2 {
            faults
                .0
                .push("database.max_connections: at least 2, one of which listens for changes".to_owned());
        }
        if self.connectors.check_every_s == Some(0) {
            faults.0.push("connectors.check_every_s: at least 1".to_owned());
        }
        let stripe = self.stripe.map(|section| section.check(&mut faults));
        if self.billing.statements_every_s == Some(0) {
            faults.0.push("billing.statements_every_s: at least 1".to_owned());
        }
        if self.operations.lease_s.is_some_and(|lease_s| lease_s < OPERATION_LEASE_MIN_S) {
            faults.0.push(format!("operations.lease_s: at least {OPERATION_LEASE_MIN_S}"));
        }
        let usage_late = self.usage.late_window_h.map_or(usage::LATE, Duration::from_hours);
        if !(Duration::from_hours(1)..=usage::LATE_MAX).contains(&usage_late) {
            let most_h = usage::LATE_MAX.as_secs() / 3600;
            faults.0.push(format!("usage.late_window_h: expected 1 to {most_h}"));
        }
        match (listen, tenant_url, platform_url, openbao, plans, faults.0.is_empty()) {
            (Some(listen), Some(tenant_url), Some(platform_url), Some(openbao), Some(plans), true) => {
                Ok(Config {
                    listen,
                    metrics_listen,
                    public_url,
                    store: StoreConfig { tenant_url, platform_url, max_connections },
                    admin_url,
                    openbao,
                    keycloak,
                    nats,
                    kubernetes,
                    reconcile_every: self.reconcile.every_s.map_or(RECONCILE_EVERY, Duration::from_secs),
                    connectors_checked_every: self
                        .connectors
                        .check_every_s
                        .map_or(CONNECTORS_CHECKED_EVERY, Duration::from_secs),
                    outbound,
                    plans,
                    usage_late,
                    stripe: stripe.flatten(),
                    statements_every: self
                        .billing
                        .statements_every_s
                        .map_or(STATEMENTS_EVERY, Duration::from_secs),
                    http,
                    operation_lease: self.operations.lease_s.map_or(OPERATION_LEASE, Duration::from_secs),
                    operation_late: self.operations.late_s.map_or(OPERATION_LATE, Duration::from_secs),
                })
            }
            _ => Err(faults.0),
        }
    }
}

/// An address that tokens name as their issuer: far sides compare it as text, so it has no slash at its
/// end and nothing behind its path.
fn public_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "expected an address such as https://platform.example, without query and fragment";
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_| EXPECTED)?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if matches!(url.scheme(), "https" | "http") && url.has_host() && is_plain {
        Ok(url)
    } else {
        Err(EXPECTED)
    }
}

fn database_url(
    faults: &mut Faults,
    field: &str,
    url: Option<SecretString>,
    role: Option<&str>,
) -> Option<SecretString> {
    let url = faults.required(field, url, "a URL such as postgres://role:password@host:5432/integraci")?;
    let parsed = Url::parse(url.expose_secret())
        .ok()
        .filter(|parsed| matches!(parsed.scheme(), "postgres" | "postgresql"));
    let parsed = faults.required(
        field,
        parsed,
        "expected a URL such as postgres://role:password@host:5432/integraci",
    )?;
    match role {
        Some(role) if parsed.username() != role => {
            faults
                .0
                .push(format!("{field}: must log in as `{role}`, whose policies hold it to what it may see"));
            None
        }
        _ => Some(url),
    }
}

impl Outbound {
    fn check(self, faults: &mut Faults) -> OutboundConfig {
        let allow = self
            .allow
            .iter()
            .enumerate()
            .filter_map(|(n, text)| {
                let net: Result<IpNet, _> = text.parse().map_err(|_| "expected a network such as 10.0.0.0/8");
                faults.take(&format!("outbound.allow[{n}]"), net)
            })
            .collect();
        OutboundConfig {
            allow,
            allow_http: self.allow_http,
            timeout: self.timeout_s.map_or(OUTBOUND_TIMEOUT, Duration::from_secs),
            max_body_bytes: self.max_body_bytes.unwrap_or(OUTBOUND_MAX_BODY_BYTES),
            ca_certificate: self.ca_certificate,
        }
    }
}
