//! The binary: logs, panics and exit codes. The rest is the library.

use std::process::ExitCode;

use clap::Parser;
use integraci_server::cli::Cli;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    logs_to_stderr();
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// JSON where a machine reads, plain lines where a person does. INTEGRACI_LOG sets the level.
fn logs_to_stderr() {
    let filter = EnvFilter::try_from_env("INTEGRACI_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,async_nats=warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        subscriber.compact().init();
    } else {
        subscriber.json().init();
    }
}
