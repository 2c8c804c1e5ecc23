//! The programs under test, which cargo puts beside the test executable.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use local_platform::{Cache, Progress};

use crate::runtime;

/// `target/PROFILE`.
///
/// # Errors
/// When this is not run by cargo.
pub fn profile_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the test executable")?;
    // target/PROFILE/deps/NAME-HASH of a test, target/PROFILE/NAME of the benchmark
    let dir = exe.ancestors().skip(1).take(2).find(|dir| dir.join("deps").is_dir());
    dir.map(PathBuf::from).context("the acceptance tests are run by `cargo test`")
}

/// The control plane.
///
/// # Errors
/// When it is not built.
pub fn server() -> Result<PathBuf> {
    built("integraci-server", "cargo build -p integraci-server --features crash-points")
}

/// The provider.
///
/// # Errors
/// When it is not built.
pub fn provider() -> Result<PathBuf> {
    built("terraform-provider-integraci", "cargo build -p terraform-provider-integraci")
}

fn built(name: &str, how: &str) -> Result<PathBuf> {
    let path = profile_dir()?.join(name);
    ensure!(path.is_file(), "{} is not built: run `make test`, or `{how}`", path.display());
    Ok(path)
}

/// `terraform`.
///
/// # Errors
/// When it is not installed.
pub fn terraform() -> Result<PathBuf> {
    Ok(local_platform::terraform()?)
}

/// `tofu`, got into the platform's cache the first time.
///
/// # Errors
/// When it cannot be got.
pub fn tofu() -> Result<PathBuf> {
    static TOFU: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = TOFU.get_or_init(|| {
        let cache = Cache::from_env().map_err(|error| error.to_string())?;
        runtime::block_on(cache.tofu(&Progress::stderr())).map_err(|error| error.to_string())
    });
    found.clone().map_err(|error| anyhow::anyhow!("{error}"))
}
