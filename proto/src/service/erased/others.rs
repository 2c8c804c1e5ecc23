//! Everything but managed resources behind trait objects.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Of, typed_config};
use crate::attribute::{decode_set, encode_set};
use crate::list::Event;
use crate::schema::{ObjectSchema, Shape};
use crate::value::Dynamic;
use crate::{
    Action, Attribute, Client, Cx, DataSource, Diagnostics, EphemeralResource, Function, FunctionError,
    ListResource, Listing, Opened, Private, Progress, Provider, Renewed, Resource,
};

/// A [`Provider`] whose type is not known here.
pub(in crate::service) trait AnyProvider<Api>: Send + Sync {
    fn schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn configure<'a>(
        &'a self,
        config: Dynamic,
        client: &'a Client,
        diags: &'a mut Diagnostics,
    ) -> BoxFuture<'a, Result<Option<Api>, Diagnostics>>;
}

impl<P: Provider> AnyProvider<P::Api> for Of<P> {
    fn schema(&self) -> ObjectSchema {
        P::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, P::validate, diags);
    }

    fn configure<'a>(
        &'a self,
        config: Dynamic,
        client: &'a Client,
        diags: &'a mut Diagnostics,
    ) -> BoxFuture<'a, Result<Option<P::Api>, Diagnostics>> {
        Box::pin(async move { Ok(P::configure(decode_set(config)?, client, diags).await) })
    }
}

/// A [`DataSource`] whose type is not known here.
pub(in crate::service) trait AnyDataSource<Api>: Send + Sync {
    fn timeout(&self) -> Duration;
    fn schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn read<'a>(&'a self, cx: &'a Cx<Api>, config: Dynamic) -> BoxFuture<'a, Result<Dynamic, Diagnostics>>;
}

impl<D: DataSource> AnyDataSource<D::Api> for Of<D> {
    fn timeout(&self) -> Duration {
        D::TIMEOUT
    }

    fn schema(&self) -> ObjectSchema {
        D::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, D::validate, diags);
    }

    fn read<'a>(
        &'a self,
        cx: &'a Cx<D::Api>,
        config: Dynamic,
    ) -> BoxFuture<'a, Result<Dynamic, Diagnostics>> {
        Box::pin(async move { D::read(cx, decode_set(config)?).await.map(encode_set) })
    }
}

/// An [`EphemeralResource`] whose type is not known here.
pub(in crate::service) trait AnyEphemeral<Api>: Send + Sync {
    fn timeout(&self) -> Duration;
    fn schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn open<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        config: Dynamic,
    ) -> BoxFuture<'a, Result<Opened<Dynamic>, Diagnostics>>;
    fn renew<'a>(&'a self, cx: &'a Cx<Api>, lease: Private) -> BoxFuture<'a, Result<Renewed, Diagnostics>>;
    fn close<'a>(&'a self, cx: &'a Cx<Api>, lease: Private) -> BoxFuture<'a, Result<(), Diagnostics>>;
}

impl<E: EphemeralResource> AnyEphemeral<E::Api> for Of<E> {
    fn timeout(&self) -> Duration {
        E::TIMEOUT
    }

    fn schema(&self) -> ObjectSchema {
        E::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, E::validate, diags);
    }

    fn open<'a>(
        &'a self,
        cx: &'a Cx<E::Api>,
        config: Dynamic,
    ) -> BoxFuture<'a, Result<Opened<Dynamic>, Diagnostics>> {
        Box::pin(async move {
            let opened = E::open(cx, decode_set(config)?).await?;
            Ok(Opened { result: encode_set(opened.result), renew_at: opened.renew_at, lease: opened.lease })
        })
    }

    fn renew<'a>(
        &'a self,
        cx: &'a Cx<E::Api>,
        lease: Private,
    ) -> BoxFuture<'a, Result<Renewed, Diagnostics>> {
        Box::pin(E::renew(cx, lease))
    }

    fn close<'a>(&'a self, cx: &'a Cx<E::Api>, lease: Private) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(E::close(cx, lease))
    }
}

/// A [`Function`] whose type is not known here.
pub(in crate::service) trait AnyFunction: Send + Sync {
    fn parameters(&self) -> ObjectSchema;
    fn output(&self) -> Shape;
    fn call(&self, arguments: Dynamic) -> BoxFuture<'_, Result<Dynamic, FunctionError>>;
}

impl<F: Function> AnyFunction for Of<F> {
    fn parameters(&self) -> ObjectSchema {
        F::schema()
    }

    fn output(&self) -> Shape {
        <F::Output as Attribute>::shape()
    }

    fn call(&self, arguments: Dynamic) -> BoxFuture<'_, Result<Dynamic, FunctionError>> {
        Box::pin(async move {
            let parameters: F =
                decode_set(arguments).map_err(|error| FunctionError::new(error.to_string()))?;
            parameters.call().await.map(Attribute::into_dynamic)
        })
    }
}

/// A [`ListResource`] whose type is not known here.
pub(in crate::service) trait AnyList<Api>: Send + Sync {
    fn timeout(&self) -> Duration;
    fn schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn list<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        config: Dynamic,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<(), Diagnostics>>;
}

/// How many results, and how much of each, and where to.
pub(in crate::service) struct Wanted {
    pub(in crate::service) events: mpsc::Sender<Event>,
    pub(in crate::service) limit: u64,
    pub(in crate::service) with_resource: bool,
}

impl<L: ListResource> AnyList<<L::Resource as Resource>::Api> for Of<L> {
    fn timeout(&self) -> Duration {
        L::TIMEOUT
    }

    fn schema(&self) -> ObjectSchema {
        L::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, L::validate, diags);
    }

    fn list<'a>(
        &'a self,
        cx: &'a Cx<<L::Resource as Resource>::Api>,
        config: Dynamic,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(async move {
            let mut listing = Listing::new(wanted.events, wanted.limit, wanted.with_resource);
            L::list(cx, decode_set(config)?, &mut listing).await
        })
    }
}

/// An [`Action`] whose type is not known here.
pub(in crate::service) trait AnyAction<Api>: Send + Sync {
    fn timeout(&self) -> Duration;
    fn schema(&self) -> ObjectSchema;
    fn validate(&self, config: Dynamic, diags: &mut Diagnostics);
    fn plan<'a>(&'a self, cx: &'a Cx<Api>, config: Dynamic) -> BoxFuture<'a, Result<(), Diagnostics>>;
    fn invoke<'a>(
        &'a self,
        cx: &'a Cx<Api>,
        config: Dynamic,
        progress: mpsc::Sender<String>,
    ) -> BoxFuture<'a, Result<(), Diagnostics>>;
}

impl<A: Action> AnyAction<A::Api> for Of<A> {
    fn timeout(&self) -> Duration {
        A::TIMEOUT
    }

    fn schema(&self) -> ObjectSchema {
        A::schema()
    }

    fn validate(&self, config: Dynamic, diags: &mut Diagnostics) {
        typed_config(config, A::validate, diags);
    }

    fn plan<'a>(&'a self, cx: &'a Cx<A::Api>, config: Dynamic) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(async move { A::plan(cx, decode_set(config)?).await })
    }

    fn invoke<'a>(
        &'a self,
        cx: &'a Cx<A::Api>,
        config: Dynamic,
        progress: mpsc::Sender<String>,
    ) -> BoxFuture<'a, Result<(), Diagnostics>> {
        Box::pin(async move { A::invoke(cx, decode_set(config)?, &Progress::new(progress)).await })
    }
}
