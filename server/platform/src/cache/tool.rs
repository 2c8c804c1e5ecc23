//! Running the programs that fetch and build.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Entry;
use crate::Error;
use crate::process::last_lines;

/// The program of that name on the `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The first of these programs on the `PATH`, or an error that says what to install.
pub(super) fn require(
    names: &[&str],
    entry: Entry,
    tool: &'static str,
    remedy: &'static str,
) -> Result<PathBuf, Error> {
    names.iter().find_map(|name| on_path(name)).ok_or_else(|| Error::ToolMissing {
        what: entry.name.to_owned(),
        tool,
        remedy,
    })
}

/// The version that a program gives: what follows `marker` on the first line of its answer.
pub(super) async fn version(program: &Path, marker: &str) -> Option<String> {
    let output = Command::new(program).arg("version").stdin(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.lines().find_map(|line| line.split_once(marker))?;
    Some(version.trim().to_owned())
}

/// Runs a program to its end. It ends with us.
pub(super) async fn run(entry: Entry, command: &mut Command) -> Result<(), Error> {
    let name = Path::new(command.as_std().get_program()).file_name().unwrap_or(OsStr::new("?")).to_owned();
    let name = name.to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::io(format!("running {name} to get {entry}")))?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Error::Fetch {
        what: entry.to_string(),
        command: name,
        status: output.status.to_string(),
        tail: last_lines(&text),
    })
}
