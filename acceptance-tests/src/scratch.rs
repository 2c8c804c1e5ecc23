//! Where a run keeps its files: `target/tmp/acceptance/PID/NAME-N`.
//!
//! They are left there for whoever looks into a failure, and removed by the next run.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::binaries;

/// A new, empty directory.
///
/// # Errors
/// When it cannot be made.
pub fn dir(name: &str) -> Result<PathBuf> {
    static RUN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let run = RUN.get_or_init(|| run_dir().map_err(|error| format!("{error:#}")));
    let run = run.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let dir = run.join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    make(&dir)?;
    Ok(dir)
}

fn run_dir() -> Result<PathBuf> {
    let all = binaries::profile_dir()?.with_file_name("tmp").join("acceptance");
    if let Ok(entries) = fs::read_dir(&all) {
        for entry in entries.flatten() {
            let pid = entry.file_name();
            if !Path::new("/proc").join(&pid).exists() {
                fs::remove_dir_all(entry.path()).context("removing the files of an earlier run")?;
            }
        }
    }
    let run = all.join(std::process::id().to_string());
    make(&run)?;
    Ok(run)
}

/// Ours alone, except that others may pass through to what is theirs: Postgres refuses to be root.
fn make(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)
        .with_context(|| format!("making the directory {}", dir.display()))
}
