//! Whether the process lives, and whether it can serve.

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::App;

/// The process answers.
pub(super) async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The database answers; without it nothing can be served. OpenBao's absence leaves reads working,
/// so it does not take a replica out of the balance: `doctor` and operations tell of it.
pub(super) async fn ready(State(app): State<App>) -> StatusCode {
    match app.store.platform_tx().await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
