//! The data directory: one owner at a time, secrets in files that only the owner reads.
//!
//! ```text
//! DIR/owner.lock       held while someone runs the systems; holds the process id
//! DIR/platform.json    the endpoints, while they are up
//! DIR/SYSTEM/          data, secrets, logs and ports of one system
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;
use secrecy::SecretString;

use crate::error::At as _;
use crate::{Error, ProcessId, System, ports};

const LOCK: &str = "owner.lock";

/// The data directory, held for ourselves until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    lock: Flock<File>,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // The process may live on; its id is not to stand for an owner any more.
        let _ = self.lock.set_len(0);
    }
}

impl DataDir {
    /// Makes the directory if need be, and takes it.
    pub(crate) fn take(root: &Path) -> Result<Self, Error> {
        dir_ensure(root)?;
        // Absolute, because the systems do not run in our working directory.
        let root = root.canonicalize().at("finding", root)?;
        let mut lock = match Flock::lock(lock_file(&root)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, _)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = pid.split_whitespace().next().unwrap_or("unknown").to_owned();
                return Err(Error::InUse { dir: root, pid });
            }
        };
        let owner = ProcessId::current().map(|id| id.to_string()).unwrap_or_default();
        lock.set_len(0).at("writing the lock in", &root)?;
        lock.write_all(owner.as_bytes()).at("writing the lock in", &root)?;
        Ok(Self { root, lock })
    }

    /// Where the endpoints are written.
    pub(crate) fn endpoints_file(&self) -> PathBuf {
        endpoints_file(&self.root)
    }

    /// The directory of one system.
    pub(crate) fn system(&self, system: System) -> Result<SystemDir, Error> {
        let path = self.root.join(system.name());
        dir_ensure(&path)?;
        Ok(SystemDir { path })
    }
}

/// Where the endpoints of a data directory are written.
pub(crate) fn endpoints_file(root: &Path) -> PathBuf {
    root.join("platform.json")
}

fn lock_file(root: &Path) -> Result<File, Error> {
    let path = root.join(LOCK);
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .at("opening", &path)
}

/// Who runs the systems of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// This process.
    By(ProcessId),
}

/// Who runs the systems of the data directory `root`.
///
/// # Errors
/// When the directory is there but cannot be read.
pub fn holder(root: &Path) -> Result<Held, Error> {
    let path = root.join(LOCK);
    match fs::read_to_string(&path) {
        // Not taken for a lock that is tried: that would be in the way of one who wants to take it.
        Ok(text) => {
            let owner = text.parse().ok().filter(|owner: &ProcessId| owner.is_alive());
            Ok(owner.map_or(Held::Free, Held::By))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::Free),
        Err(error) => Err(error).at("reading", &path),
    }
}

/// Makes a directory for ourselves. As root it may be passed through, though not listed, because
/// Postgres then runs as another user; every secret in it is a file of mode 0600.
fn dir_ensure(path: &Path) -> Result<(), Error> {
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).at("making the directory", path)
}

/// The directory of one system.
#[derive(Debug)]
pub(crate) struct SystemDir {
    path: PathBuf,
}

impl SystemDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The secret of that name, made the first time it is asked for.
    pub(crate) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> SecretString,
    ) -> Result<SecretString, Error> {
        use secrecy::ExposeSecret as _;
        if let Some(kept) = self.secret_kept(name)? {
            return Ok(kept);
        }
        let made = make();
        file_write(&self.join(name), made.expose_secret().as_bytes())?;
        Ok(made)
    }

    /// The secret of that name, if it has been made.
    pub(crate) fn secret_kept(&self, name: &str) -> Result<Option<SecretString>, Error> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("reading", &path),
        }
    }

    /// Whether somebody listens on a port that [`SystemDir::ports`] chose; to be asked when the
    /// system itself does not run.
    pub(crate) fn ports_were_taken(&self) -> bool {
        let text = fs::read_to_string(self.join("ports")).unwrap_or_default();
        text.split_whitespace().filter_map(|port| port.parse().ok()).any(|port| !ports::is_free(port))
    }

    /// Ports for the system: those of the last start if they are free, so that what others wrote
    /// down stays true, otherwise new ones.
    pub(crate) fn ports<const N: usize>(&self) -> Result<[u16; N], Error> {
        let file = self.join("ports");
        let kept: Option<[u16; N]> = fs::read_to_string(&file).ok().and_then(|text| {
            let ports: Vec<u16> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
            ports.try_into().ok()
        });
        if let Some(kept) = kept.filter(|ports| ports.iter().all(|port| ports::is_free(*port))) {
            return Ok(kept);
        }
        let mut chosen = [0; N];
        chosen.copy_from_slice(&ports::free(N)?);
        let text: Vec<String> = chosen.iter().map(u16::to_string).collect();
        file_write(&file, text.join(" ").as_bytes())?;
        Ok(chosen)
    }
}

/// Writes a file of mode 0600, whole or not at all.
pub(crate) fn file_write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().at("writing", path)
}

/// 256 random bits in hexadecimal: a password that needs no quoting anywhere.
pub(crate) fn random_secret() -> SecretString {
    hex::encode(rand::random::<[u8; 32]>()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("data");
        let first = DataDir::take(&root).unwrap();
        assert!(matches!(DataDir::take(&root), Err(Error::InUse { .. })));
        assert_eq!(holder(&root).unwrap(), Held::By(ProcessId::current().unwrap()));
        drop(first);
        assert_eq!(holder(&root).unwrap(), Held::Free);
        DataDir::take(&root).unwrap();
    }

    #[test]
    fn secrets_and_ports_are_kept() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::take(parent.path()).unwrap().system(System::Nats).unwrap();
        let made = dir.secret("password", random_secret).unwrap();
        let kept = dir.secret("password", random_secret).unwrap();
        assert_eq!(made.expose_secret(), kept.expose_secret());
        let mode = fs::metadata(dir.join("password")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let ports: [u16; 2] = dir.ports().unwrap();
        assert_eq!(dir.ports::<2>().unwrap(), ports);
        let _taken = std::net::TcpListener::bind(("127.0.0.1", ports[0])).unwrap();
        assert_ne!(dir.ports::<2>().unwrap(), ports);
    }
}
