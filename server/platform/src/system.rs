//! Which systems there are, and which of them someone wants.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One of the real systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum System {
    /// `PostgreSQL`.
    Postgres,
    /// OpenBao, the secrets store.
    OpenBao,
    /// NATS with `JetStream`, in operator mode.
    Nats,
    /// Keycloak.
    Keycloak,
    /// A Kubernetes API: etcd, API server and controller manager, without nodes.
    Kubernetes,
    /// The CNCF distribution registry: no part of the platform, but what its connectors connect to.
    Registry,
}

impl System {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Postgres, Self::OpenBao, Self::Nats, Self::Keycloak, Self::Kubernetes, Self::Registry];
    /// Those that the platform is made of.
    pub const PLATFORM: [Self; 5] =
        [Self::Postgres, Self::OpenBao, Self::Nats, Self::Keycloak, Self::Kubernetes];

    /// The name on the command line, in the endpoints file and of its directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::OpenBao => "openbao",
            Self::Nats => "nats",
            Self::Keycloak => "keycloak",
            Self::Kubernetes => "kubernetes",
            Self::Registry => "registry",
        }
    }

    /// The version that is started.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Postgres => "18.6",
            Self::OpenBao => "2.7.2",
            Self::Nats => "2.15.1",
            Self::Keycloak => "26.7.3",
            Self::Kubernetes => "1.37.2",
            Self::Registry => "3.1.2",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for System {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|system| system.name() == name)
            .ok_or_else(|| Error::UnknownSystem { name: name.to_owned() })
    }
}

/// What to start, and how careful it is to be with the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    systems: Vec<System>,
    throwaway: bool,
}

impl Wanted {
    /// These systems, keeping data as they would in production.
    #[must_use]
    pub fn of(systems: impl IntoIterator<Item = System>) -> Self {
        let mut systems: Vec<System> = systems.into_iter().collect();
        systems.sort_unstable();
        systems.dedup();
        Self { systems, throwaway: false }
    }

    /// Says that the data will not outlive the run: nothing waits for the disk, which is faster.
    /// A crash of the machine, not of a process, may then lose data.
    #[must_use]
    pub fn throwaway(mut self) -> Self {
        self.throwaway = true;
        self
    }

    /// The systems, each once, in the order of [`System::ALL`].
    #[must_use]
    pub fn systems(&self) -> &[System] {
        &self.systems
    }

    pub(crate) const fn is_throwaway(&self) -> bool {
        self.throwaway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for system in System::ALL {
            assert_eq!(system.name().parse::<System>().unwrap(), system);
        }
        assert!("mysql".parse::<System>().is_err());
    }

    #[test]
    fn wanting_twice_is_wanting_once() {
        let wanted = Wanted::of([System::Nats, System::Postgres, System::Nats]);
        assert_eq!(wanted.systems(), [System::Postgres, System::Nats]);
    }
}
