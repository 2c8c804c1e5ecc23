//! A provider's own code, run so that its panics become diagnostics.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use futures_util::FutureExt as _;

use crate::{Diagnostic, Diagnostics};

thread_local! {
    /// Where this thread last panicked: the hook knows, the one who catches does not.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the standard hook, which would print to stderr whatever TF_LOG says.
///
/// Users get no backtrace and not the panic's message either, which may quote a secret; who looks
/// for the fault sets TF_LOG and gets both.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(on_panic));
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    if tracing::enabled!(target: "tfplugin", tracing::Level::ERROR) {
        let message = info.payload_as_str().unwrap_or("a value that is no text");
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(target: "tfplugin", %location, %backtrace, "the provider panicked: {message}");
    }
    LAST_PANIC.with_borrow_mut(|last| *last = Some(location));
}

/// Awaits the provider's code; a panic in it is an error.
pub(super) async fn guard<T>(
    what: &str,
    code: impl Future<Output = Result<T, Diagnostics>> + Send,
) -> Result<T, Diagnostics> {
    AssertUnwindSafe(code).catch_unwind().await.unwrap_or_else(|_| Err(panicked(what).into()))
}

/// Runs the provider's code; a panic in it is an error.
pub(super) fn guard_sync<T>(what: &str, code: impl FnOnce() -> T) -> Result<T, Diagnostics> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| panicked(what).into())
}

pub(super) fn panicked(what: &str) -> Diagnostic {
    let location = LAST_PANIC.with_borrow_mut(Option::take).filter(|location| !location.is_empty());
    let location = location.map(|location| format!(" at {location}")).unwrap_or_default();
    Diagnostic::error(format!("The provider failed to {what}")).detail(format!(
        "It panicked{location}. This is a fault of the provider: please report it, with the log that \
         TF_LOG=error makes it write. The provider goes on working.",
    ))
}
