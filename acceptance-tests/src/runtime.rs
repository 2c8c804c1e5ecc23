//! The one runtime of a test binary: scenarios read top to bottom and block; what they talk to is async.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "without a runtime no test can run, and each would say the same")]
    Runtime::new().expect("a tokio runtime")
});

/// Runs a future to its end. Never from within another future.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Runs a future beside the tests.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    RUNTIME.spawn(future)
}
