//! Which user a system that refuses to be root runs as, and whether that user gets at its files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Uid, User};

use crate::Error;

/// Another user to run a process as, when we are root.
#[derive(Debug, Clone)]
pub(crate) struct RunAs {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// The directories above its files are closed to it (`/root`, say): the process keeps the
    /// capability named here, so that nothing on the machine has to be opened up for it.
    pub(crate) keeps: Option<&'static str>,
}

/// `capabilities(7)`: the two that let a process walk through closed directories, weakest first,
/// by name and number. Containers often lack the first and have the second.
const WALK_ANYWHERE: [(&str, u32); 2] = [("dac_read_search", 2), ("dac_override", 1)];

impl RunAs {
    /// The user for a system that must not be root and has to reach all of `paths`; `None` when
    /// we are not root, and the system simply runs as us.
    pub(crate) fn unless_root(paths: &[&Path]) -> Result<Option<Self>, Error> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
        // 65534 is `nobody` wherever /etc/passwd has been left out.
        let mut run_as = found.map_or_else(
            || Self {
                name: "nobody".to_owned(),
                uid: Uid::from_raw(65534),
                gid: Gid::from_raw(65534),
                keeps: None,
            },
            |user| Self { name: user.name, uid: user.uid, gid: user.gid, keeps: None },
        );
        if let Some(closed) = paths.iter().find(|path| !run_as.reaches(path)) {
            run_as.keeps = Some(walking_capability().ok_or_else(|| Error::Unreachable {
                user: run_as.name.clone(),
                path: closed.to_path_buf(),
            })?);
        }
        Ok(Some(run_as))
    }

    /// Whether every directory from the root to `path` may be entered.
    fn reaches(&self, path: &Path) -> bool {
        path.ancestors().filter(|dir| !dir.as_os_str().is_empty()).all(|dir| {
            fs::metadata(dir).is_ok_and(|meta| {
                let enter = if meta.uid() == self.uid.as_raw() {
                    0o100
                } else if meta.gid() == self.gid.as_raw() {
                    0o010
                } else {
                    0o001
                };
                meta.mode() & enter != 0
            })
        })
    }
}

/// The weakest capability of ours that opens closed directories.
fn walking_capability() -> Option<&'static str> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let held = u64::from_str_radix(hex.trim(), 16).ok()?;
    WALK_ANYWHERE.iter().find(|(_, bit)| held >> bit & 1 == 1).map(|(name, _)| *name)
}
