//! Where the systems are and how to get in.
//!
//! The credentials cannot be printed. They leave this process in one way only: the endpoints file,
//! mode 0600, whose path is in the environment variable [`ENV`].

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::data_dir::file_write;
use crate::{Error, System};

/// The environment variable that holds the path of the endpoints file.
pub const ENV: &str = "INTEGRACI_PLATFORM";

/// Where each system that runs is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    pub(crate) postgres: Option<Postgres>,
    pub(crate) openbao: Option<OpenBao>,
    pub(crate) nats: Option<Nats>,
    pub(crate) keycloak: Option<Keycloak>,
    pub(crate) kubernetes: Option<Kubernetes>,
    pub(crate) registry: Option<Registry>,
}

/// Postgres, on TCP.
#[derive(Debug, Clone, Deserialize)]
pub struct Postgres {
    /// `postgres://postgres:PASSWORD@127.0.0.1:PORT/postgres`: its superuser.
    pub superuser_url: SecretString,
}

/// OpenBao, on plain HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct OpenBao {
    /// `http://127.0.0.1:PORT`.
    pub addr: String,
    /// The root token.
    pub root_token: SecretString,
}

/// NATS in operator mode, with a full resolver and `JetStream`.
#[derive(Debug, Clone, Deserialize)]
pub struct Nats {
    /// `nats://127.0.0.1:PORT`.
    pub url: String,
    /// The operator's public key, `O…`.
    pub operator: String,
    /// The seed of the operator's signing key, `SO…`: signs account claims.
    pub operator_signing_seed: SecretString,
    /// The system account's public key, `A…`.
    pub system_account: String,
    /// The file with the credentials of a user in the system account, for `$SYS.REQ.CLAIMS.*`.
    pub system_creds: PathBuf,
    /// The directory in which the server keeps account claims.
    pub resolver_dir: PathBuf,
    /// The directory in which the server keeps streams.
    pub jetstream_dir: PathBuf,
}

/// Keycloak, on plain HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct Keycloak {
    /// `http://127.0.0.1:PORT`, without a path.
    pub url: String,
    /// A client of the realm `master`, for the grant `client_credentials`, that may do everything.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

/// A Kubernetes API server, on HTTPS.
#[derive(Debug, Clone, Deserialize)]
pub struct Kubernetes {
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// The certificate, in PEM, of the authority that signed the server's.
    pub ca_pem: String,
    /// A bearer token of the group `system:masters`.
    pub admin_token: SecretString,
    /// A kubeconfig with all of this.
    pub kubeconfig: PathBuf,
}

/// A container registry, on plain HTTP, with basic authentication. [`Registry::user_set`] lets others in.
#[derive(Debug, Clone, Deserialize)]
pub struct Registry {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// A user that may do everything, as every user may.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The file of the users.
    pub(crate) htpasswd: PathBuf,
}

impl Endpoints {
    /// The endpoints of the platform that this process was started under.
    ///
    /// # Errors
    /// [`Error::NoEndpoints`] when there is none.
    pub fn from_env() -> Result<Self, Error> {
        let path = std::env::var_os(ENV).ok_or(Error::NoEndpoints)?;
        Self::read(Path::new(&path))
    }

    /// The endpoints in a file that a platform wrote.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?;
        serde_json::from_slice(&text).map_err(|error| {
            // Not the error's own text: it may quote a credential.
            let why = format!("line {}, column {}", error.line(), error.column());
            Error::BadEndpoints { path: path.to_owned(), why }
        })
    }

    /// Postgres.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn postgres(&self) -> Result<&Postgres, Error> {
        self.postgres.as_ref().ok_or(Error::NotStarted { system: System::Postgres })
    }

    /// OpenBao.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn openbao(&self) -> Result<&OpenBao, Error> {
        self.openbao.as_ref().ok_or(Error::NotStarted { system: System::OpenBao })
    }

    /// NATS.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn nats(&self) -> Result<&Nats, Error> {
        self.nats.as_ref().ok_or(Error::NotStarted { system: System::Nats })
    }

    /// Keycloak.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn keycloak(&self) -> Result<&Keycloak, Error> {
        self.keycloak.as_ref().ok_or(Error::NotStarted { system: System::Keycloak })
    }

    /// Kubernetes.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn kubernetes(&self) -> Result<&Kubernetes, Error> {
        self.kubernetes.as_ref().ok_or(Error::NotStarted { system: System::Kubernetes })
    }

    /// The registry.
    ///
    /// # Errors
    /// [`Error::NotStarted`] when it is not among them.
    pub fn registry(&self) -> Result<&Registry, Error> {
        self.registry.as_ref().ok_or(Error::NotStarted { system: System::Registry })
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: Self) {
        self.postgres = other.postgres.or(self.postgres.take());
        self.openbao = other.openbao.or(self.openbao.take());
        self.nats = other.nats.or(self.nats.take());
        self.keycloak = other.keycloak.or(self.keycloak.take());
        self.kubernetes = other.kubernetes.or(self.kubernetes.take());
        self.registry = other.registry.or(self.registry.take());
    }

    /// The address of each, without any credential, for people to read.
    #[must_use]
    pub fn addresses(&self) -> Vec<(System, String)> {
        let postgres = self.postgres.as_ref().map(|it| {
            let url = it.superuser_url.expose_secret();
            let address = url.rsplit_once('@').map_or("", |(_, address)| address);
            (System::Postgres, format!("postgres://postgres@{address}"))
        });
        let openbao = self.openbao.as_ref().map(|it| (System::OpenBao, it.addr.clone()));
        let nats = self.nats.as_ref().map(|it| (System::Nats, it.url.clone()));
        let keycloak = self.keycloak.as_ref().map(|it| (System::Keycloak, it.url.clone()));
        let kubernetes = self.kubernetes.as_ref().map(|it| (System::Kubernetes, it.server.clone()));
        let registry = self.registry.as_ref().map(|it| (System::Registry, it.url.clone()));
        [postgres, openbao, nats, keycloak, kubernetes, registry].into_iter().flatten().collect()
    }

    /// Writes the endpoints file, mode 0600.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let mut file = serde_json::Map::new();
        let mut put = |system: System, value: Option<Value>| {
            if let Some(value) = value {
                file.insert(system.name().to_owned(), value);
            }
        };
        put(
            System::Postgres,
            self.postgres.as_ref().map(|it| json!({ "superuser_url": it.superuser_url.expose_secret() })),
        );
        put(
            System::OpenBao,
            self.openbao
                .as_ref()
                .map(|it| json!({ "addr": it.addr, "root_token": it.root_token.expose_secret() })),
        );
        put(
            System::Nats,
            self.nats.as_ref().map(|it| {
                json!({
                    "url": it.url,
                    "operator": it.operator,
                    "operator_signing_seed": it.operator_signing_seed.expose_secret(),
                    "system_account": it.system_account,
                    "system_creds": it.system_creds,
                    "resolver_dir": it.resolver_dir,
                    "jetstream_dir": it.jetstream_dir,
                })
            }),
        );
        put(
            System::Keycloak,
            self.keycloak.as_ref().map(|it| {
                json!({
                    "url": it.url,
                    "client_id": it.client_id,
                    "client_secret": it.client_secret.expose_secret(),
                })
            }),
        );
        put(
            System::Kubernetes,
            self.kubernetes.as_ref().map(|it| {
                json!({
                    "server": it.server,
                    "ca_pem": it.ca_pem,
                    "admin_token": it.admin_token.expose_secret(),
                    "kubeconfig": it.kubeconfig,
                })
            }),
        );
        put(
            System::Registry,
            self.registry.as_ref().map(|it| {
                json!({
                    "url": it.url,
                    "username": it.username,
                    "password": it.password.expose_secret(),
                    "htpasswd": it.htpasswd,
                })
            }),
        );
        file_write(path, Value::Object(file).to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Endpoints {
        Endpoints {
            postgres: Some(Postgres {
                superuser_url: "postgres://postgres:hush@127.0.0.1:1/postgres".into(),
            }),
            openbao: Some(OpenBao { addr: "http://127.0.0.1:2".into(), root_token: "hush".into() }),
            nats: Some(Nats {
                url: "nats://127.0.0.1:3".into(),
                operator: "O".into(),
                operator_signing_seed: "hush".into(),
                system_account: "A".into(),
                system_creds: "/creds".into(),
                resolver_dir: "/jwt".into(),
                jetstream_dir: "/js".into(),
            }),
            keycloak: Some(Keycloak {
                url: "http://127.0.0.1:4".into(),
                client_id: "id".into(),
                client_secret: "hush".into(),
            }),
            kubernetes: Some(Kubernetes {
                server: "https://127.0.0.1:5".into(),
                ca_pem: "PEM".into(),
                admin_token: "hush".into(),
                kubeconfig: "/kubeconfig".into(),
            }),
            registry: Some(Registry {
                url: "http://127.0.0.1:6".into(),
                username: "admin".into(),
                password: "hush".into(),
                htpasswd: "/htpasswd".into(),
            }),
        }
    }

    #[test]
    fn the_file_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("platform.json");
        all().write(&file).unwrap();
        let read = Endpoints::read(&file).unwrap();
        assert_eq!(read.addresses(), all().addresses());
        assert_eq!(read.openbao().unwrap().root_token.expose_secret(), "hush");
        assert_eq!(read.kubernetes().unwrap().admin_token.expose_secret(), "hush");
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{:?} {:?}", all(), all().addresses());
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_broken_file_does_not_leak_through_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("platform.json");
        fs::write(&file, r#"{"openbao": {"addr": 1, "root_token": "hush"}}"#).unwrap();
        let error = Endpoints::read(&file).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
