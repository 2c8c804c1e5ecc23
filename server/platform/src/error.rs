//! What can go wrong, said so that the reader knows what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::System;

/// Why the local platform could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is none of [`System::ALL`].
    #[error("there is no system `{name}`; there are postgres, openbao, nats, keycloak and kubernetes")]
    UnknownSystem {
        /// What was asked for.
        name: String,
    },
    /// A program that gets or runs a system is not on this machine.
    #[error("{what} needs {tool}, which was not found: {remedy}")]
    ToolMissing {
        /// The system that needs it.
        what: String,
        /// The program.
        tool: &'static str,
        /// What to install.
        remedy: &'static str,
    },
    /// A download or a build failed.
    #[error("getting {what}: {command} ended with {status}; its last lines:\n{tail}")]
    Fetch {
        /// What was being got, with its version.
        what: String,
        /// The program that failed.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines that it wrote.
        tail: String,
    },
    /// What was downloaded is not what was expected.
    #[error("unpacking {what}: {why}")]
    Unpack {
        /// What was being unpacked, with its version.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A system ended, or did not get ready in time.
    #[error("{system} is down: {why}; the end of its log, {}:\n{tail}", log.display())]
    Down {
        /// The system.
        system: System,
        /// What happened.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A system is up but refused what is needed to set it up.
    #[error("setting up {system}: {operation} failed: {why}")]
    Setup {
        /// The system.
        system: System,
        /// What was attempted.
        operation: &'static str,
        /// What came back. Never holds a secret.
        why: String,
    },
    /// Another process uses the data directory.
    #[error("{0} is in use by process {pid}; stop it with `local-platform stop --dir {0}`", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// Its owner's process id.
        pid: String,
    },
    /// Nothing runs on the data directory.
    #[error("nothing runs on {}", dir.display())]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// A process did not end in time.
    #[error("process {pid} still runs {} s after it was told to stop", waited.as_secs())]
    StillRunning {
        /// Its id.
        pid: i32,
        /// How long it was given.
        waited: Duration,
    },
    /// Part of the data directory is missing, so that the rest is of no use.
    #[error("{} is incomplete: {why}; remove the directory to begin anew", dir.display())]
    Incomplete {
        /// The directory of the system.
        dir: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// The user that the system is to run as cannot get at its files.
    #[error(
        "postgres does not run as root, and the user `{user}` cannot reach {}; \
         use a directory that others may enter (INTEGRACI_CACHE says where programs are kept)",
        path.display()
    )]
    Unreachable {
        /// The user it would run as.
        user: String,
        /// What it cannot reach.
        path: PathBuf,
    },
    /// The endpoints are asked for where nobody has said where they are.
    #[error(
        "INTEGRACI_PLATFORM is not set: run this by `make test`, \
         or by `local-platform with postgres openbao -- COMMAND`"
    )]
    NoEndpoints,
    /// The endpoints file is not one.
    #[error("{} is not an endpoints file: {why}", path.display())]
    BadEndpoints {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any value from the file.
        why: String,
    },
    /// The system is not among those that were started.
    #[error("{system} is not running here; start it as well: `local-platform with {system} … -- COMMAND`")]
    NotStarted {
        /// The system.
        system: System,
    },
    /// The operating system refused.
    #[error("{operation}")]
    Io {
        /// What was attempted, with the path.
        operation: String,
        /// Why it was refused.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }
}

/// Gives an I/O error the operation and the path that it is about.
pub(crate) trait At<T> {
    fn at(self, operation: &str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { operation: format!("{operation} {}", path.display()), source })
    }
}
