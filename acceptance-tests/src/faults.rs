//! Faults that a server is to run into: files in a directory that it is told of, one a fault.
//!
//! What they may say, and what happens then, stands in the server's `saga/faults.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::scratch;

const POLL: Duration = Duration::from_millis(10);

/// The faults of one server, or of several.
#[derive(Debug)]
pub struct Faults {
    dir: PathBuf,
    count: AtomicU32,
}

/// A fault that waits for its moment.
#[derive(Debug)]
#[must_use]
pub struct Armed {
    file: PathBuf,
    came: PathBuf,
}

impl Faults {
    /// A directory for them, with none in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self { dir: scratch::dir("faults")?, count: AtomicU32::new(0) })
    }

    /// What a server is told: the name and the value of a variable.
    #[must_use]
    pub fn env(&self) -> (&'static str, &str) {
        ("INTEGRACI_FAULTS", self.dir.to_str().unwrap_or_default())
    }

    /// Has the server that first comes to a point, `kind/step/fault`, run into it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn arm(&self, at: &str) -> Result<Armed> {
        let file = self.dir.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        // Whole when it appears: a server may look at any moment.
        let beside = file.with_extension("new");
        fs::write(&beside, at)?;
        fs::rename(&beside, &file)?;
        Ok(Armed { came: file.with_extension("came"), file })
    }
}

impl Armed {
    /// Whether a server came to it.
    #[must_use]
    pub fn came(&self) -> bool {
        self.came.exists()
    }

    /// Waits until a server comes to it.
    ///
    /// # Errors
    /// When none does within `deadline`.
    pub fn awaited(&self, deadline: Duration) -> Result<()> {
        let began = Instant::now();
        while !self.came() {
            ensure!(began.elapsed() < deadline, "no server came to the fault within {deadline:?}");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Lets a call go on that waits here.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn let_go(self) -> Result<()> {
        Ok(fs::remove_file(&self.came)?)
    }

    /// Takes it back, if nobody came to it.
    pub fn disarm(self) {
        remove(&self.file);
        remove(&self.came);
    }
}

fn remove(file: &Path) {
    // It is gone, or was never there.
    let _ = fs::remove_file(file);
}
