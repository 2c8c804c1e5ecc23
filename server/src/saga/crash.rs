//! Points at which a test may have the process die, as by power failure.
//!
//! Built only with the feature `crash-points`: with `INTEGRACI_CRASH_AT=tenant_create/activate/before`
//! in the environment, the process kills itself with SIGKILL when it comes to that point of that
//! step. In a released binary there is nothing of it.

use integraci_api::operations::OperationKind;

/// Where in a step's course. Each has its like on the way back, with `undo_` before its name.
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

/// Dies here if the environment says so.
#[cfg(feature = "crash-points")]
pub(crate) fn crash_point(kind: OperationKind, step: &str, undo: bool, point: Point) {
    let Ok(wanted) = std::env::var("INTEGRACI_CRASH_AT") else { return };
    let point = match point {
        Point::BeforeIntent => "before_intent",
        Point::Before => "before",
        Point::After => "after",
        Point::AfterDone => "after_done",
    };
    let undo = if undo { "undo_" } else { "" };
    if wanted == format!("{}/{step}/{undo}{point}", kind.as_str()) {
        tracing::warn!(at = wanted, "dying here, as the environment asks");
        // Nothing that follows could be right if this failed.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        std::thread::park();
    }
}

/// Nothing, in a build without crash points.
#[cfg(not(feature = "crash-points"))]
pub(crate) const fn crash_point(_kind: OperationKind, _step: &str, _undo: bool, _point: Point) {}
