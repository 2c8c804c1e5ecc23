//! Serving a provider to core: from the handshake to the end of the process.
//!
//! go-plugin's protocol as of 1.6 to 1.8: what core says in the environment, the one line on
//! stdout, mutual TLS over a Unix socket, and the ways to end.

mod handshake;
mod listen;
mod log;
mod run;
mod tls;

use std::io::Write as _;
use std::process::ExitCode;

use crate::service::{Catalogue, install_panic_hook};
use crate::{Action, DataSource, EphemeralResource, Function, ListResource, Provider, Resource};

/// A provider with all that it offers.
///
/// ```no_run
/// # use tfplugin::*;
/// # #[derive(Schema)] struct Notebook {}
/// # impl Provider for Notebook {
/// #     type Api = (); const NAME: &'static str = "notebook";
/// #     async fn configure(_: Self, _: &Client, _: &mut Diagnostics) -> Option<()> { Some(()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     Server::<Notebook>::new("registry.terraform.io/example/notebook").serve()
/// }
/// ```
pub struct Server<P: Provider> {
    address: &'static str,
    catalogue: Catalogue<P::Api>,
}

impl<P: Provider> Server<P> {
    /// A provider at that address: `registry.terraform.io/namespace/name`.
    pub fn new(address: &'static str) -> Self {
        Self { address, catalogue: Catalogue::new::<P>() }
    }

    /// Offers a managed resource.
    #[must_use]
    pub fn resource<R: Resource<Api = P::Api>>(mut self) -> Self {
        self.catalogue.resource::<R>();
        self
    }

    /// Offers a data source.
    #[must_use]
    pub fn data_source<D: DataSource<Api = P::Api>>(mut self) -> Self {
        self.catalogue.data_source::<D>();
        self
    }

    /// Offers an ephemeral resource.
    #[must_use]
    pub fn ephemeral_resource<E: EphemeralResource<Api = P::Api>>(mut self) -> Self {
        self.catalogue.ephemeral::<E>();
        self
    }

    /// Offers a function.
    #[must_use]
    pub fn function<F: Function>(mut self) -> Self {
        self.catalogue.function::<F>();
        self
    }

    /// Offers a listing of a resource that is offered too.
    #[must_use]
    pub fn list_resource<L: ListResource<Resource: Resource<Api = P::Api>>>(mut self) -> Self {
        self.catalogue.list::<L>();
        self
    }

    /// Offers an action.
    #[must_use]
    pub fn action<A: Action<Api = P::Api>>(mut self) -> Self {
        self.catalogue.action::<A>();
        self
    }

    /// What is wrong with the schemas: nothing, a test of the provider should say. Core hears of it
    /// too.
    pub fn faults(&self) -> Vec<String> {
        self.catalogue.faults()
    }

    /// Serves until core is done with it, or, with `--debug`, until Ctrl-C.
    ///
    /// Started by a person rather than by core, it says so and ends. Call this first thing in
    /// `main`: it makes the async runtime, and takes over the panic hook and SIGINT.
    pub fn serve(self) -> ExitCode {
        match self.try_serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Core shows what a plugin that fails to start has written; stderr is all there is.
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_serve(self) -> Result<(), ServeError> {
        let debug = std::env::args().skip(1).any(|arg| matches!(&*arg, "--debug" | "-debug"));
        let asked = if debug { None } else { Some(handshake::Asked::from_env()?) };
        log::init(std::any::type_name::<P>());
        install_panic_hook();
        // One thread: a provider waits for others nearly all the time, core sends ten calls at
        // once at most, and every further thread costs memory and start-up time. What blocks or
        // computes for long belongs into `tokio::task::spawn_blocking`.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ServeError::Io { what: "start the async runtime", source })?;
        let served = runtime.block_on(run::run(self.catalogue, self.address, asked));
        // What still runs, such as an action that nobody waits for, must not hold up the end.
        runtime.shutdown_background();
        served
    }
}

/// Why a provider could not be served.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(
        "This is a provider plugin for Terraform or OpenTofu, which start it themselves. To have one use it \
         while it is being debugged, start it with --debug."
    )]
    NotByCore,
    #[error(
        "The version of Terraform or OpenTofu that started this provider does not speak plugin protocol 6."
    )]
    NoCommonProtocol,
    #[error("The client certificate that was handed over is not valid.")]
    ClientCertificate,
    #[error("Could not {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("Could not make a certificate: {0}")]
    Certificate(rcgen::Error),
    #[error("Could not set up TLS: {0}")]
    Tls(rustls::Error),
    #[error("Serving failed: {0}")]
    Transport(tonic::transport::Error),
}
