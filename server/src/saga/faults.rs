//! Points at which a test may have the process die, or a step's call go wrong.
//!
//! Built only with the feature `crash-points`: `INTEGRACI_FAULTS` names a directory, and each file in it
//! holds one fault, such as `tenant_create/openbao_place/lost`. Whoever comes to that point first takes
//! it, by renaming the file from `NAME` to `NAME.came`; so a fault happens once, and a test sees that it
//! did. In a released binary there is nothing of it.
//!
//! | fault | what happens |
//! |---|---|
//! | `before_intent`, `before`, `after`, `after_done` | the process kills itself, as by power failure |
//! | `lost` | the call is made, and its answer is lost |
//! | `refused` | the call is not made, and a refusal is answered |
//! | `panics` | the code panics where it has a secret in hand: not at every step |
//! | `held` | the call waits until the file is removed, so that something can be done to its system first |
//!
//! Each has its like on the way back, with `undo_` before its name.

use integraci_api::operations::OperationKind;

/// Where in a step's course the process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Before the intent is written.
    BeforeIntent,
    /// After that, before the outside call.
    Before,
    /// After the outside call, before its outcome is written.
    After,
    /// After that.
    AfterDone,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is made, and its answer is lost.
    Lost,
    /// It is not made, and a refusal is answered.
    Refused,
}

/// Dies here if a test says so.
#[cfg(feature = "crash-points")]
pub(crate) fn crash_point(kind: OperationKind, step: &str, undo: bool, point: Point) {
    let point = match point {
        Point::BeforeIntent => "before_intent",
        Point::Before => "before",
        Point::After => "after",
        Point::AfterDone => "after_done",
    };
    if armed::taken(kind, step, undo, point).is_some() {
        // Nothing that follows could be right if this failed.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        std::thread::park();
    }
}

/// Waits here if a test says so, and tells what is to go wrong with the call that follows.
#[cfg(feature = "crash-points")]
pub(crate) async fn fault_point(kind: OperationKind, step: &str, undo: bool) -> Option<Fault> {
    if let Some(came) = armed::taken(kind, step, undo, "held") {
        while came.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let goes_wrong = |word| armed::taken(kind, step, undo, word).is_some();
    if goes_wrong("lost") { Some(Fault::Lost) } else { goes_wrong("refused").then_some(Fault::Refused) }
}

/// Panics here if a test says so: called where a secret is in hand, which must not come out by it.
#[cfg(feature = "crash-points")]
#[expect(clippy::panic, reason = "that is what it is for")]
pub(crate) fn panic_point(kind: OperationKind, step: &str) {
    if armed::taken(kind, step, false, "panics").is_some() {
        panic!("a test has this panic");
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::path::PathBuf;

    use integraci_api::operations::OperationKind;

    /// Takes the fault of this point, if there is one that nobody has taken; the file that says so.
    pub(super) fn taken(kind: OperationKind, step: &str, undo: bool, word: &str) -> Option<PathBuf> {
        let dir = std::env::var_os("INTEGRACI_FAULTS")?;
        let undo = if undo { "undo_" } else { "" };
        let at = format!("{}/{step}/{undo}{word}", kind.as_str());
        let files = std::fs::read_dir(dir).ok()?.filter_map(|file| Some(file.ok()?.path()));
        for file in files.filter(|file| file.extension().is_none()) {
            let came = file.with_extension("came");
            let is_it = std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == at);
            // Two may see it; one renames it.
            if is_it && std::fs::rename(&file, &came).is_ok() {
                tracing::warn!(at, "a fault happens here, as a test asks");
                return Some(came);
            }
        }
        None
    }
}

/// Nothing, in a build without faults.
#[cfg(not(feature = "crash-points"))]
pub(crate) const fn crash_point(_kind: OperationKind, _step: &str, _undo: bool, _point: Point) {}

/// Nothing, in a build without faults.
#[cfg(not(feature = "crash-points"))]
pub(crate) const fn panic_point(_kind: OperationKind, _step: &str) {}

/// Nothing, in a build without faults.
#[cfg(not(feature = "crash-points"))]
pub(crate) fn fault_point(
    _kind: OperationKind,
    _step: &str,
    _undo: bool,
) -> std::future::Ready<Option<Fault>> {
    std::future::ready(None)
}
