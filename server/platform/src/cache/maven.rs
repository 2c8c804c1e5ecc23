//! Keycloak: a zip file in a Maven repository, and one build step that fixes its configuration.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::wheel::{only_file, unzip};
use super::{Entry, Jdk, tool};
use crate::{Error, Progress};

/// Named with its version, or Maven would first look up what the newest is.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

pub(super) async fn keycloak(entry: Entry, into: &Path, progress: &Progress) -> Result<(), Error> {
    let mvn = tool::require(&["mvn"], entry, "mvn", "install Apache Maven 3.6 or later")?;
    let jdk = Jdk::find()?;

    let phase = progress.phase(entry.name);
    progress.say(entry.name, format_args!("downloading {} (180 MB, once)", entry.version));
    let zip_dir = into.with_file_name("zip");
    tool::run(
        entry,
        Command::new(mvn)
            .args(["--quiet", "--batch-mode", COPY])
            .arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{}:zip", entry.version))
            .arg(format!("-DoutputDirectory={}", zip_dir.display()))
            .current_dir(into), // where there is no pom.xml
    )
    .await?;
    let top = PathBuf::from(format!("keycloak-{}", entry.version));
    unzip(entry, only_file(&zip_dir)?, top, into.to_owned()).await?;
    phase.done(format_args!("downloaded {}", entry.version));

    // Once, so that every start may say `--optimized` and take seconds.
    let phase = progress.phase(entry.name);
    tool::run(
        entry,
        Command::new(into.join("bin/kc.sh")).env("JAVA_HOME", jdk.home).args(["build", "--db=dev-file"]),
    )
    .await?;
    phase.done("built for a database in a file");
    Ok(())
}
