//! The configuration: a TOML file, overridden by the environment (`INTEGRACI_SERVER__OPENBAO__TOKEN`
//! sets `openbao.token`). Checked at start, every fault told at once, none of them quoting a value.

mod file;
mod plans;
mod stripe;
mod systems;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::billing::stripe::StripeConfig;
use crate::connectors::outbound::OutboundConfig;
use crate::http::HttpLimits;
use crate::isolation::keycloak::KeycloakConfig;
use crate::isolation::kubernetes::KubernetesConfig;
use crate::isolation::nats::NatsConfig;
use crate::isolation::openbao::OpenBaoConfig;
use crate::plans::Plans;
use crate::store::StoreConfig;

use file::File;
pub use systems::{Admin, CellConfig};

/// The prefix of the variables that override the file.
const ENV_PREFIX: &str = "INTEGRACI_SERVER";

/// What the server needs to know.
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the metrics are; nowhere when absent.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the API is reached from outside; port 0 stands for the one that is listened at. Without it the
    /// platform is no OIDC issuer, and no far side can send webhooks to it.
    pub public_url: Option<Url>,
    /// The database.
    pub store: StoreConfig,
    /// The login that `migrate` uses: one that may create roles.
    pub admin_url: Option<SecretString>,
    /// OpenBao: the platform cannot be without it.
    pub openbao: CellConfig<OpenBaoConfig>,
    /// Every Keycloak; none when the platform does not use it.
    pub keycloak: Vec<CellConfig<KeycloakConfig>>,
    /// Every NATS.
    pub nats: Vec<CellConfig<NatsConfig>>,
    /// Every cluster.
    pub kubernetes: Vec<CellConfig<KubernetesConfig>>,
    /// How often each tenant's places are looked at for drift.
    pub reconcile_every: Duration,
    /// How often each connector's far side is asked whether it still takes what is in force.
    pub connectors_checked_every: Duration,
    /// Calls to far sides.
    pub outbound: OutboundConfig,
    /// The plans.
    pub plans: Plans,
    /// How long after it happened an event is still counted.
    pub usage_late: Duration,
    /// Stripe; nothing is billed without.
    pub stripe: Option<StripeConfig>,
    /// How often a day's statement is made again while something may still change it.
    pub statements_every: Duration,
    /// Limits of every request.
    pub http: HttpLimits,
    /// How long an operation stays a replica's after it was last heard of: how soon a dead one's are
    /// taken up, and how long a stalled one may stall.
    pub operation_lease: Duration,
    /// How long after it was cut off a call may still take effect in a far system: before that has
    /// passed nothing is undone.
    pub operation_late: Duration,
}

/// What is wrong with a configuration: a line a fault, each naming its field and what to do.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not usable:\n{}", .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads the file, if one is named, and the environment over it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut source = config::Config::builder();
        if let Some(path) = file {
            source = source.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix(ENV_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let file: File = source
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError(vec![unreadable(&error, file)]))?;
        file.check().map_err(ConfigError)
    }
}

/// What the library says of a fault, where that cannot quote a value.
fn unreadable(error: &config::ConfigError, file: Option<&Path>) -> String {
    use config::ConfigError::{FileParse, NotFound, Type};
    let place = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
    match error {
        FileParse { .. } => format!("{place} is not valid TOML"),
        Type { key: Some(key), expected, .. } => format!("{key}: expected {expected}"),
        NotFound(field) => format!("{field}: missing"),
        config::ConfigError::Message(text)
            if text.starts_with("unknown field") || text.starts_with("missing field") =>
        {
            text.clone()
        }
        config::ConfigError::At { error, key, .. } => {
            let field = key.as_deref().unwrap_or("a field");
            format!("{field}: {}", unreadable(error, file))
        }
        _ => format!("{place} cannot be read, or holds a value of the wrong type"),
    }
}

/// Collects faults while the parts are read, so that all are told at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn take<T>(&mut self, field: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        result.map_err(|detail| self.0.push(format!("{field}: {detail}"))).ok()
    }

    fn required<T>(&mut self, field: &str, value: Option<T>, what: &str) -> Option<T> {
        self.take(field, value.ok_or_else(|| format!("missing; {what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), toml).unwrap();
        Config::load(Some(file.path()))
    }

    const GOOD: &str = r#"
        [database]
        tenant_url = "postgres://integraci_tenant:a@localhost/integraci"
        platform_url = "postgres://integraci_platform:b@localhost/integraci"
        [openbao]
        address = "http://localhost:8200"
        token = "t"
    "#;

    #[test]
    fn a_small_configuration_is_enough() {
        let config = read(GOOD).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.listen.port(), 8080);
        assert!(config.plans.get("team").is_ok());
    }

    #[test]
    fn a_plan_leaves_out_what_is_as_shipped() {
        let plans = r#"
            [[plans]]
            name = "team"
            limits = { memory = "2Gi", cpu = 0.5 }
            on_exceed = "refuse"
            [[plans]]
            name = "gold"
            like = "enterprise"
            limits = { connectors = 7 }
        "#;
        let config = read(&format!("{GOOD}{plans}")).unwrap_or_else(|error| panic!("{error}"));
        let (shipped, team) = (Plans::shipped(), config.plans.get("team").unwrap().view());
        assert_eq!((team.limits["memory"], team.limits["cpu"]), (2 << 30, 500));
        assert_eq!(team.limits["pods"], shipped.get("team").unwrap().limits["pods"]);
        let gold = config.plans.get("gold").unwrap();
        assert_eq!(gold.limits["connectors"], 7);
        assert_eq!(gold.limits["pods"], shipped.get("enterprise").unwrap().limits["pods"]);
        assert!(config.plans.get("free").is_err(), "there are those that are named");
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_secret_with_it() {
        let error = read(
            r#"
            listen = "here"
            [database]
            tenant_url = "postgres://postgres:hunter2@localhost/integraci"
            [openbao]
            address = "localhost"
            [outbound]
            allow = ["10.0.0.0/8", "everything"]
            [http]
            requests_per_minute_per_token = 0
            [usage]
            late_window_h = 337
            [[plans]]
            name = "own"
            limits = { unicorns = 1, memory = "16GB" }
            "#,
        )
        .err()
        .unwrap()
        .to_string();
        for field in [
            "listen:",
            "database.tenant_url:",
            "database.platform_url:",
            "openbao.address:",
            "openbao.token:",
            "outbound.allow[1]:",
            "http.requests_per_minute_per_token:",
            "usage.late_window_h:",
            "plans: `own` needs limits.connectors",
            "plans: `own` limits.memory: expected bytes",
            "plans: `own` limits `unicorns`",
        ] {
            assert!(error.contains(field), "{field} is not in:\n{error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_values() {
        for toml in [
            "database = 'hunter2'",
            "[database]\ntenant_url = ['hunter2']",
            "[openbao]\ntimeout_s = 'hunter2'",
            "= hunter2",
            "[openbao]\ncolour = 'hunter2'",
        ] {
            let error = read(toml).err().unwrap().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
