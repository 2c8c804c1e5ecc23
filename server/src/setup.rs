//! `setup`: what an administrator does once in each system before the server can work there, and the
//! least-privileged credential that the server then works with.
//!
//! Reads the `admin_…` fields of the configuration, which the server itself never uses, and writes each
//! credential to the file that the configuration names for it. A system without them is left alone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use integraci_api::SecretText;

use crate::config::{CellConfig, Config};
use crate::isolation::http::HttpSetupError;
use crate::isolation::openbao::ClientError;
use crate::isolation::{System, SystemError, keycloak, kubernetes, openbao};

/// Why a system could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The system did not do it.
    #[error(transparent)]
    System(#[from] SystemError),
    /// OpenBao's client cannot be made.
    #[error(transparent)]
    OpenBao(#[from] ClientError),
    /// A system's HTTP client cannot be made.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    /// Kubernetes' client cannot be made.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::ClientError),
    /// The configuration does not say where the server reads its credential from.
    #[error(
        "{0}: name a file for the server's credential, which setup writes: token_file or client_secret_file"
    )]
    NoFile(String),
    /// The file cannot be written.
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
}

/// What was prepared, a line each for people.
///
/// # Errors
/// At the first system that could not be prepared; what was done before stays, and setup may be run again.
pub async fn run(config: &Config) -> Result<Vec<String>, SetupError> {
    let mut done = Vec::new();
    if config.openbao.admin.is_some() {
        let credential = openbao::setup::prepare(&config.openbao).await?;
        done.push(keep(System::OpenBao, &config.openbao, &credential)?);
    }
    for cell in config.keycloak.iter().filter(|cell| cell.admin.is_some()) {
        let credential = keycloak::setup::prepare(cell).await?;
        done.push(keep(System::Keycloak, cell, &credential)?);
    }
    for cell in config.kubernetes.iter().filter(|cell| cell.admin.is_some()) {
        let credential = kubernetes::setup::prepare(cell).await?;
        done.push(keep(System::Kubernetes, cell, &credential)?);
    }
    Ok(done)
}

/// Writes a credential where the server reads it.
fn keep<T>(system: System, cell: &CellConfig<T>, credential: &SecretText) -> Result<String, SetupError> {
    let at = format!("{} ({})", system.title(), cell.name);
    let path = cell.credential_file.as_deref().ok_or_else(|| SetupError::NoFile(at.clone()))?;
    write_private(path, credential.expose()).map_err(|error| SetupError::Write(path.to_owned(), error))?;
    Ok(format!("{at}: prepared; the server's credential is in {}", path.display()))
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
