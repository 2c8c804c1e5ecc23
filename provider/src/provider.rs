//! The provider's own configuration.

use integraci_api::SecretText;
use tfplugin::{Client, Diagnostic, Diagnostics, Path, Provider, Schema, Value};

use crate::api::{self, Api, Settings};
use crate::checks;
use crate::connection::{Connection, Missing};
use crate::preflight::{self, Preflight};

/// Manages the tenants of an IntegraCI platform, their connectors and their quotas.
///
/// Every setting can come from the environment instead, so that the block may stay empty.
#[derive(Schema, Default)]
pub struct IntegraCi {
    /// Address of the server, such as `https://platform.example`. Environment variable:
    /// `INTEGRACI_ENDPOINT`.
    #[attribute(optional, validate = checks::endpoint)]
    endpoint: Value<String>,
    /// API token (`ici_…`). Environment variable: `INTEGRACI_TOKEN`, which keeps it out of files.
    #[attribute(optional, sensitive, validate = checks::token)]
    token: Value<String>,
    /// Certificates, in PEM, of the authorities that the server's certificate may come from, and no
    /// others; the system's authorities when absent. Environment variable: `INTEGRACI_CA_CERTIFICATE`.
    #[attribute(optional, validate = checks::authorities)]
    ca_certificate: Value<String>,
    /// How long a single request may take, from `1s` to `10m`; `30s` when absent. How long a
    /// resource may take is set by its own `timeouts`. Environment variable:
    /// `INTEGRACI_REQUEST_TIMEOUT`.
    #[attribute(optional, validate = checks::timeout)]
    request_timeout: Value<String>,
    /// What becomes of a plan that creates more connectors, or gives them more secrets, than the quotas of
    /// their tenants have room for: it is refused (`error`), warned of (`warn`), or not looked at (`off`); `warn`
    /// when absent. The guide [Quotas](guides/quotas.md) has what is counted, and what cannot be. Environment
    /// variable: `INTEGRACI_QUOTA_PREFLIGHT`.
    #[attribute(optional, validate = checks::quota_preflight)]
    quota_preflight: Value<String>,
}

const ENDPOINT: Missing = Missing { attribute: "endpoint", variable: "INTEGRACI_ENDPOINT" };
const TOKEN: Missing = Missing { attribute: "token", variable: "INTEGRACI_TOKEN" };
const CA_CERTIFICATE: Missing = Missing { attribute: "ca_certificate", variable: "INTEGRACI_CA_CERTIFICATE" };
const REQUEST_TIMEOUT: Missing =
    Missing { attribute: "request_timeout", variable: "INTEGRACI_REQUEST_TIMEOUT" };
const QUOTA_PREFLIGHT: Missing =
    Missing { attribute: "quota_preflight", variable: "INTEGRACI_QUOTA_PREFLIGHT" };

impl Provider for IntegraCi {
    type Api = Connection;
    const NAME: &'static str = "integraci";

    async fn configure(config: Self, _client: &Client, diags: &mut Diagnostics) -> Option<Connection> {
        config.connect(|name| std::env::var(name).ok(), diags)
    }
}

impl IntegraCi {
    /// Makes the connection of the configuration and the environment, without using it.
    pub(crate) fn connect(
        self,
        environment: impl Fn(&str) -> Option<String>,
        diags: &mut Diagnostics,
    ) -> Option<Connection> {
        let mut settings = Reader { environment, diags, later: None };
        let endpoint = settings.read(ENDPOINT, self.endpoint, api::endpoint_parse);
        let token = settings.read(TOKEN, self.token, |text| {
            let token = SecretText::new(text.to_owned());
            api::token_check(&token).map(|()| token)
        });
        let authorities = settings.read(CA_CERTIFICATE, self.ca_certificate, api::authorities_parse);
        let timeout = settings.read(REQUEST_TIMEOUT, self.request_timeout, api::timeout_parse);
        let preflight = settings.read(QUOTA_PREFLIGHT, self.quota_preflight, preflight::Mode::parse);
        let later = settings.later;
        if let Some(endpoint) = &endpoint
            && api::is_exposed(endpoint)
        {
            diags.push(exposed());
        }
        if diags.has_errors() {
            return None;
        }
        if let Some(attribute) = later {
            return Some(Connection::Later(attribute));
        }
        let Some(endpoint) = endpoint else { return Some(Connection::Missing(ENDPOINT)) };
        let Some(token) = token else { return Some(Connection::Missing(TOKEN)) };
        let mut settings = Settings::new(endpoint, &token)
            .map_err(|error| diags.push(malformed(TOKEN, &error, true)))
            .ok()?;
        if let Some(authorities) = authorities {
            settings = settings.with_authorities(authorities);
        }
        if let Some(timeout) = timeout {
            settings = settings.with_request_timeout(timeout);
        }
        let preflight = Preflight::new(preflight.unwrap_or_default());
        Some(Connection::Ready(Box::new(Api::new(settings)), preflight))
    }
}

struct Reader<'a, E> {
    environment: E,
    diags: &'a mut Diagnostics,
    later: Option<&'static str>,
}

impl<E: Fn(&str) -> Option<String>> Reader<'_, E> {
    /// The setting from the configuration, or else from the environment.
    fn read<T>(
        &mut self,
        name: Missing,
        configured: Value<String>,
        parse: impl Fn(&str) -> Result<T, api::Invalid>,
    ) -> Option<T> {
        let (text, from_block) = match configured {
            Value::Known(text) => (text, true),
            Value::Null => ((self.environment)(name.variable).filter(|text| !text.is_empty())?, false),
            Value::Unknown => {
                self.later.get_or_insert(name.attribute);
                return None;
            }
        };
        parse(&text).map_err(|error| self.diags.push(malformed(name, &error, from_block))).ok()
    }
}

fn malformed(name: Missing, error: &api::Invalid, from_block: bool) -> Diagnostic {
    let Missing { attribute, variable } = name;
    let place = if from_block { attribute } else { variable };
    let told = Diagnostic::error(format!("Invalid {attribute} of the provider"))
        .detail(format!("{place}: {error}."));
    if from_block { told.at(Path::root(attribute)) } else { told }
}

fn exposed() -> Diagnostic {
    Diagnostic::warning("The connection to IntegraCI is not encrypted")
        .detail(
            "`endpoint` begins with http:// and is not on this machine: the token and the connectors' secrets \
             can be read by everyone on the way. Use https://, with ca_certificate where the authority is your own.",
        )
        .at("endpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(config: IntegraCi, environment: &[(&str, &str)]) -> (Option<Connection>, Diagnostics) {
        let mut diags = Diagnostics::new();
        let variable = |name: &str| {
            environment.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        let connection = config.connect(variable, &mut diags);
        (connection, diags)
    }

    fn given(endpoint: &str) -> IntegraCi {
        IntegraCi {
            endpoint: endpoint.to_owned().into(),
            token: "ici_test".to_owned().into(),
            ..IntegraCi::default()
        }
    }

    #[test]
    fn the_environment_stands_in_for_what_the_block_leaves_out() {
        let environment = [
            ("INTEGRACI_ENDPOINT", "https://a.example"),
            ("INTEGRACI_TOKEN", "ici_test"),
            ("INTEGRACI_CA_CERTIFICATE", ""),
        ];
        let (connection, diags) = connect(IntegraCi::default(), &environment);
        assert!(diags.is_empty());
        assert_eq!(connection.unwrap().api().unwrap().endpoint(), "https://a.example");
        let (connection, _) = connect(given("https://b.example"), &environment);
        assert_eq!(connection.unwrap().api().unwrap().endpoint(), "https://b.example");
    }

    #[test]
    fn what_is_missing_is_told_when_it_is_needed() {
        let (connection, diags) =
            connect(IntegraCi::default(), &[("INTEGRACI_ENDPOINT", "https://a.example")]);
        assert!(diags.is_empty());
        let diags = connection.unwrap().api().unwrap_err();
        let diag = diags.iter().next().unwrap();
        assert_eq!(diag.summary(), "The provider has no token");
        assert!(diag.detail_text().contains("INTEGRACI_TOKEN"));
    }

    #[test]
    fn what_is_not_known_yet_can_wait() {
        let config = IntegraCi { endpoint: Value::Unknown, ..IntegraCi::default() };
        let (connection, diags) = connect(config, &[("INTEGRACI_TOKEN", "ici_test")]);
        assert!(diags.is_empty());
        let connection = connection.unwrap();
        assert!(connection.api_if_known().unwrap().is_none());
        assert!(connection.api().is_err());
    }

    #[test]
    fn every_malformed_setting_is_told_without_its_value() {
        let config = IntegraCi {
            endpoint: "platform.s3cret".to_owned().into(),
            token: "ici_ s3cret".to_owned().into(),
            ..IntegraCi::default()
        };
        let environment = [
            ("INTEGRACI_REQUEST_TIMEOUT", "s3cret"),
            ("INTEGRACI_CA_CERTIFICATE", "s3cret"),
            ("INTEGRACI_QUOTA_PREFLIGHT", "s3cret"),
        ];
        let (connection, diags) = connect(config, &environment);
        assert!(connection.is_none());
        assert_eq!(diags.len(), 5);
        assert!(!format!("{diags:?}").contains("s3cret"));
        let paths: Vec<_> = diags.iter().map(|diag| diag.path().map(ToString::to_string)).collect();
        assert_eq!(paths, [Some("endpoint".to_owned()), Some("token".to_owned()), None, None, None]);
    }

    #[test]
    fn plain_http_to_another_machine_is_warned_of() {
        let (connection, diags) = connect(given("http://platform.example"), &[]);
        assert!(connection.is_some());
        assert_eq!(diags.len(), 1);
        assert!(!diags.has_errors());
        assert!(connect(given("http://127.0.0.1:8080"), &[]).1.is_empty());
    }
}
