//! The life of the process between the handshake and its end.

use std::io::Write as _;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::handshake::{Asked, reattach};
use super::listen::{Socket, connections};
use super::tls::Identity;
use super::{ServeError, log};
use crate::service::{Catalogue, Plugin, Service};
use crate::wire::health::health_server::HealthServer;
use crate::wire::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::wire::plugin::grpc_controller_server::GrpcControllerServer;
use crate::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::wire::tfplugin6::provider_server::ProviderServer;

/// The largest message, either way: what Go's side of the protocol allows itself.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// How long answers under way may take to be sent when the end has come. Core waits two seconds
/// before it kills.
const GRACE: Duration = Duration::from_secs(1);

/// How often to look whether core is still there. It ends a provider before it ends itself, unless
/// it is killed.
const PARENT_POLL: Duration = Duration::from_secs(5);

pub(super) async fn run<Api: Send + Sync + 'static>(
    catalogue: Catalogue<Api>,
    address: &str,
    asked: Option<Asked>,
) -> Result<(), ServeError> {
    let ended = CancellationToken::new();
    let (socket, listener) = Socket::bind(asked.as_ref().and_then(|asked| asked.socket_dir.as_deref()))?;
    let client = asked.as_ref().and_then(|asked| asked.client.clone());
    let identity = client.map(Identity::new).transpose()?;
    let line = match &asked {
        Some(asked) => asked.answer(socket.path()?, identity.as_ref().map(|own| &own.certificate)),
        None => format!(
            "Serving. For Terraform and OpenTofu in another terminal:\n\n\t{}\nCtrl-C ends it.\n",
            reattach(address, socket.path()?),
        ),
    };
    end_on_signals(asked.is_none(), &ended)?;
    if asked.is_some() {
        // Asked for before core can know of us, and so before it can be gone.
        tokio::spawn(end_with_parent(std::os::unix::process::parent_id(), ended.clone()));
    }

    let incoming = connections(listener, identity.map(|own| own.acceptor));
    let plugin = Plugin::new(ended.clone());
    let provider = ProviderServer::new(Service::new(catalogue))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(plugin.clone()))
        .add_service(GrpcStdioServer::new(plugin.clone()))
        .add_service(GrpcBrokerServer::new(plugin.clone()))
        .add_service(HealthServer::new(plugin))
        .serve_with_incoming_shutdown(incoming, ended.clone().cancelled_owned());

    // The socket listens already: whoever reads this line can connect.
    announce(&line).map_err(|source| ServeError::Io { what: "write to stdout", source })?;
    tracing::debug!(target: log::TARGET, "serving");
    let graceful = async {
        ended.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served.map_err(ServeError::Transport),
        // Something did not want to end; it is not waited for.
        () = graceful => Ok(()),
    }
}

fn announce(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

/// SIGTERM ends the process in good order. SIGINT reaches core and its providers alike when a
/// person presses Ctrl-C; what is to happen then, core says by StopProvider, so it is ignored here.
fn end_on_signals(by_person: bool, ended: &CancellationToken) -> Result<(), ServeError> {
    let failed = |source| ServeError::Io { what: "handle signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let ended = ended.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => if by_person { break },
            }
        }
        ended.cancel();
    });
    Ok(())
}

/// Ends the process if core has gone without a word.
async fn end_with_parent(parent: u32, ended: CancellationToken) {
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_POLL).await;
    }
    ended.cancel();
}
