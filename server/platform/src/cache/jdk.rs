//! Finding a Java that Keycloak supports, wherever a machine keeps it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::on_path;
use crate::Error;

/// The releases that Keycloak 26 supports and that are not deprecated, best first.
const SUPPORTED: [u32; 2] = [25, 21];

/// A Java installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Jdk {
    /// What `JAVA_HOME` is to be.
    pub(crate) home: PathBuf,
}

impl Jdk {
    pub(crate) fn find() -> Result<Self, Error> {
        Self::best_of(candidates()).ok_or_else(|| Error::ToolMissing {
            what: "keycloak".to_owned(),
            tool: "a Java of release 21 or 25",
            remedy: "install one (openjdk-21-jre-headless, say), or set JAVA_HOME to it",
        })
    }

    fn best_of(homes: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let found: Vec<(u32, PathBuf)> =
            homes.into_iter().filter_map(|home| Some((release(&home)?, home))).collect();
        SUPPORTED
            .iter()
            .find_map(|wanted| found.iter().find(|(release, _)| release == wanted))
            .map(|(_, home)| Self { home: home.clone() })
    }
}

/// Where a Java may be: as the user says, as the `PATH` says, and where packages put it.
fn candidates() -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    homes.extend(on_path("java").and_then(|java| {
        let real = java.canonicalize().ok()?; // through /etc/alternatives
        Some(real.parent()?.parent()?.to_owned())
    }));
    for dir in ["/usr/lib/jvm", "/usr/java", "/opt/java"] {
        let mut installed: Vec<PathBuf> =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        installed.sort();
        homes.extend(installed);
    }
    homes
}

/// The release of the Java in a directory, from the file `release` that each one has.
fn release(home: &Path) -> Option<u32> {
    if !home.join("bin/java").is_file() {
        return None;
    }
    let text = fs::read_to_string(home.join("release")).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    version.trim_matches('"').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(root: &Path, name: &str, version: &str) -> PathBuf {
        let home = root.join(name);
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/java"), "").unwrap();
        fs::write(home.join("release"), format!("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"{version}\"\n")).unwrap();
        home
    }

    #[test]
    fn the_newest_supported_release_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let old = installed(root.path(), "a", "17.0.12");
        let good = installed(root.path(), "b", "21.0.4");
        let best = installed(root.path(), "c", "25");
        let unknown = installed(root.path(), "d", "26.0.1");
        let homes = [old.clone(), good.clone(), best.clone(), unknown.clone(), root.path().join("none")];
        assert_eq!(Jdk::best_of(homes), Some(Jdk { home: best }));
        assert_eq!(Jdk::best_of([old.clone(), good.clone()]), Some(Jdk { home: good }));
        assert_eq!(Jdk::best_of([old, unknown]), None);
    }
}
