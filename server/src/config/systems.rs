//! The sections of the systems. A section describes the system's main cell; further cells stand below
//! it, each with the same fields:
//!
//! ```toml
//! [keycloak]
//! url = "https://keycloak.example"
//! client_id = "integraci"
//! client_secret_file = "/run/secrets/keycloak"
//! capacity = 300
//!
//! [keycloak.cells.second]
//! url = "https://keycloak-2.example"
//! # …
//! ```
//!
//! A system without a section is off. `admin_…` fields are read by `integraci-server setup` alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use integraci_api::SecretText;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::Faults;
use crate::isolation::cells::MAIN_CELL;
use crate::isolation::keycloak::KeycloakConfig;
use crate::isolation::kubernetes::KubernetesConfig;
use crate::isolation::nats::NatsConfig;
use crate::isolation::openbao::OpenBaoConfig;

/// A call to OpenBao takes milliseconds; a leader election some seconds.
const OPENBAO_TIMEOUT: Duration = Duration::from_secs(10);
/// Making a realm takes a second, on a Keycloak with hundreds of them several.
const KEYCLOAK_TIMEOUT: Duration = Duration::from_secs(25);
const NATS_TIMEOUT: Duration = Duration::from_secs(5);
const KUBERNETES_TIMEOUT: Duration = Duration::from_secs(10);

/// One cell of a system, configured.
#[derive(Debug, Clone)]
pub struct CellConfig<T> {
    /// Its name.
    pub name: String,
    /// The most tenants that may live in it.
    pub capacity: Option<i64>,
    /// How to reach it.
    pub system: T,
    /// An administrator's way in, for `setup`.
    pub admin: Option<Admin>,
    /// The file that the server reads its credential from, which `setup` writes.
    pub credential_file: Option<PathBuf>,
}

/// An administrator's way into a system.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The client, where the system has such.
    pub client_id: Option<String>,
    /// The token or the client's secret.
    pub secret: SecretText,
}

/// What a section is checked into. Its cells have the same fields as the section itself.
pub(super) trait CellFields: Sized {
    type Config;
    /// The section's name.
    const SECTION: &'static str;

    /// The further cells that stand below the section.
    fn take_cells(&mut self) -> BTreeMap<String, Self>;

    fn check_cell(self, at: &str, faults: &mut Faults) -> Option<CellConfig<Self::Config>>;

    /// Every cell, the main one first.
    fn check(mut self, faults: &mut Faults) -> Vec<CellConfig<Self::Config>> {
        let further = self.take_cells();
        let mut cells: Vec<_> = self.check_cell(Self::SECTION, faults).into_iter().collect();
        for (name, mut fields) in further {
            let at = format!("{}.cells.{name}", Self::SECTION);
            if name == MAIN_CELL {
                faults
                    .0
                    .push(format!("{at}: the section itself is the cell `{MAIN_CELL}`; choose another name"));
            }
            if !fields.take_cells().is_empty() {
                faults.0.push(format!("{at}.cells: a cell has no cells of its own"));
            }
            cells.extend(fields.check_cell(&at, faults).map(|cell| CellConfig { name, ..cell }));
        }
        cells
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpenBaoFields {
    address: Option<String>,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
    namespace: Option<String>,
    ca_certificate: Option<PathBuf>,
    timeout_s: Option<u64>,
    admin_token: Option<SecretString>,
    admin_token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeycloakFields {
    cells: BTreeMap<String, Self>,
    url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
    client_secret_file: Option<PathBuf>,
    ca_certificate: Option<PathBuf>,
    timeout_s: Option<u64>,
    capacity: Option<i64>,
    admin_client_id: Option<String>,
    admin_client_secret: Option<SecretString>,
    admin_client_secret_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NatsFields {
    cells: BTreeMap<String, Self>,
    servers: Vec<String>,
    operator_signing_seed: Option<SecretString>,
    operator_signing_seed_file: Option<PathBuf>,
    system_credentials_file: Option<PathBuf>,
    resolvers: Option<usize>,
    ca_certificate: Option<PathBuf>,
    timeout_s: Option<u64>,
    capacity: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KubernetesFields {
    cells: BTreeMap<String, Self>,
    server: Option<String>,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
    ca_certificate: Option<PathBuf>,
    timeout_s: Option<u64>,
    capacity: Option<i64>,
    admin_token: Option<SecretString>,
    admin_token_file: Option<PathBuf>,
}

/// The fields of one cell, while they are checked.
pub(super) struct Reader<'a> {
    pub(super) at: &'a str,
    pub(super) faults: &'a mut Faults,
}

impl Reader<'_> {
    fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.at)
    }

    pub(super) fn url(&mut self, name: &str, text: Option<String>, example: &str) -> Option<Url> {
        let field = self.field(name);
        let text = self.faults.required(&field, text, &format!("a URL such as {example}"))?;
        let url =
            Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        self.faults.required(&field, url, &format!("expected a URL such as {example}"))
    }

    /// A secret that stands in the configuration or in a file, not in both. A file that is not there yet
    /// is an empty secret where `setup` is to write it.
    pub(super) fn secret(
        &mut self,
        name: &str,
        inline: Option<SecretString>,
        file: Option<&Path>,
        is_made_by_setup: bool,
    ) -> Option<SecretText> {
        let field = self.field(name);
        match (inline, file) {
            (Some(secret), None) => Some(SecretText::new(secret.expose_secret().to_owned())),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Some(SecretText::new(text.trim().to_owned())),
                Err(error) if is_made_by_setup && error.kind() == std::io::ErrorKind::NotFound => {
                    Some(SecretText::new(String::new()))
                }
                Err(error) => {
                    self.faults.0.push(format!(
                        "{field}_file: {} cannot be read: {}",
                        path.display(),
                        error.kind()
                    ));
                    None
                }
            },
            (None, None) => {
                self.faults
                    .0
                    .push(format!("{field}: missing; set {field}_file, or {field} by the environment"));
                None
            }
            (Some(_), Some(_)) => {
                self.faults.0.push(format!("{field}: set it or {field}_file, not both"));
                None
            }
        }
    }

    fn admin(
        &mut self,
        name: &str,
        client_id: Option<String>,
        inline: Option<SecretString>,
        file: Option<&Path>,
    ) -> Option<Admin> {
        if inline.is_none() && file.is_none() {
            return None;
        }
        Some(Admin { client_id, secret: self.secret(name, inline, file, false)? })
    }

    fn capacity(&mut self, capacity: Option<i64>) -> Option<i64> {
        if capacity.is_some_and(|most| most < 0) {
            let field = self.field("capacity");
            self.faults.0.push(format!("{field}: zero or more tenants; leave it out for no limit"));
        }
        capacity
    }
}

fn seconds(given: Option<u64>, usual: Duration) -> Duration {
    given.map_or(usual, Duration::from_secs)
}

impl CellFields for OpenBaoFields {
    type Config = OpenBaoConfig;
    const SECTION: &'static str = "openbao";

    /// Connectors' secrets are in the one OpenBao there is.
    fn take_cells(&mut self) -> BTreeMap<String, Self> {
        BTreeMap::new()
    }

    fn check_cell(self, at: &str, faults: &mut Faults) -> Option<CellConfig<OpenBaoConfig>> {
        let mut fields = Reader { at, faults };
        let address = fields.url("address", self.address, "https://openbao.example:8200");
        let token = fields.secret("token", self.token, self.token_file.as_deref(), true);
        let admin = fields.admin("admin_token", None, self.admin_token, self.admin_token_file.as_deref());
        let system = OpenBaoConfig {
            address: address?,
            token: token?,
            namespace: self.namespace,
            ca_certificate: self.ca_certificate,
            timeout: seconds(self.timeout_s, OPENBAO_TIMEOUT),
        };
        Some(CellConfig {
            name: MAIN_CELL.to_owned(),
            capacity: None,
            system,
            admin,
            credential_file: self.token_file,
        })
    }
}

impl CellFields for KeycloakFields {
    type Config = KeycloakConfig;
    const SECTION: &'static str = "keycloak";

    fn take_cells(&mut self) -> BTreeMap<String, Self> {
        std::mem::take(&mut self.cells)
    }

    fn check_cell(self, at: &str, faults: &mut Faults) -> Option<CellConfig<KeycloakConfig>> {
        let mut fields = Reader { at, faults };
        let url = fields.url("url", self.url, "https://keycloak.example");
        let file = self.client_secret_file;
        let secret = fields.secret("client_secret", self.client_secret, file.as_deref(), true);
        let admin_file = self.admin_client_secret_file.as_deref();
        let admin_id = self.admin_client_id;
        let admin = fields.admin("admin_client_secret", admin_id, self.admin_client_secret, admin_file);
        let capacity = fields.capacity(self.capacity);
        let system = KeycloakConfig {
            url: url?,
            client_id: self.client_id.unwrap_or_else(|| "integraci".to_owned()),
            client_secret: secret?,
            ca_certificate: self.ca_certificate,
            timeout: seconds(self.timeout_s, KEYCLOAK_TIMEOUT),
        };
        Some(CellConfig { name: MAIN_CELL.to_owned(), capacity, system, admin, credential_file: file })
    }
}

impl CellFields for NatsFields {
    type Config = NatsConfig;
    const SECTION: &'static str = "nats";

    fn take_cells(&mut self) -> BTreeMap<String, Self> {
        std::mem::take(&mut self.cells)
    }

    fn check_cell(self, at: &str, faults: &mut Faults) -> Option<CellConfig<NatsConfig>> {
        let mut fields = Reader { at, faults };
        let file = self.operator_signing_seed_file.as_deref();
        let seed = fields.secret("operator_signing_seed", self.operator_signing_seed, file, false);
        let capacity = fields.capacity(self.capacity);
        let (servers_field, file_field) = (fields.field("servers"), fields.field("system_credentials_file"));
        if self.servers.is_empty() {
            faults.0.push(format!("{servers_field}: missing; a list such as [\"nats://nats.example:4222\"]"));
        }
        let file = self.system_credentials_file;
        let credentials = faults.required(&file_field, file, "the .creds file of a system account's user");
        let system = NatsConfig {
            servers: self.servers,
            operator_signing_seed: seed?,
            system_credentials_file: credentials?,
            resolvers: self.resolvers.unwrap_or(1),
            ca_certificate: self.ca_certificate,
            timeout: seconds(self.timeout_s, NATS_TIMEOUT),
        };
        Some(CellConfig { name: MAIN_CELL.to_owned(), capacity, system, admin: None, credential_file: None })
    }
}

impl CellFields for KubernetesFields {
    type Config = KubernetesConfig;
    const SECTION: &'static str = "kubernetes";

    fn take_cells(&mut self) -> BTreeMap<String, Self> {
        std::mem::take(&mut self.cells)
    }

    fn check_cell(self, at: &str, faults: &mut Faults) -> Option<CellConfig<KubernetesConfig>> {
        let mut fields = Reader { at, faults };
        let server = fields.url("server", self.server, "https://kubernetes.example:6443");
        let token = fields.secret("token", self.token, self.token_file.as_deref(), true);
        let admin = fields.admin("admin_token", None, self.admin_token, self.admin_token_file.as_deref());
        let capacity = fields.capacity(self.capacity);
        let system = KubernetesConfig {
            server: server?,
            token: token?,
            ca_certificate: self.ca_certificate,
            timeout: seconds(self.timeout_s, KUBERNETES_TIMEOUT),
        };
        Some(CellConfig {
            name: MAIN_CELL.to_owned(),
            capacity,
            system,
            admin,
            credential_file: self.token_file,
        })
    }
}
