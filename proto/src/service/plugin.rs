//! The services that go-plugin expects beside the provider: health, stdio, broker, shutdown.

use std::pin::Pin;

use futures_util::stream::{Stream, StreamExt as _, once};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::health_server::Health;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse};
use crate::wire::plugin::grpc_broker_server::GrpcBroker;
use crate::wire::plugin::grpc_controller_server::GrpcController;
use crate::wire::plugin::grpc_stdio_server::GrpcStdio;
use crate::wire::plugin::{ConnInfo, Empty, StdioData};

/// Answers for the process rather than for the provider.
#[derive(Clone)]
pub(crate) struct Plugin {
    ended: CancellationToken,
}

impl Plugin {
    /// Cancels the token when core asks the process to end.
    pub(crate) fn new(ended: CancellationToken) -> Self {
        Self { ended }
    }

    /// A stream without items that core may hold open: it ends with the process, so that it does
    /// not hold up the end.
    fn silent<T: Send + 'static>(&self) -> Silent<T> {
        let ended = self.ended.clone();
        let silence = once(async move { ended.cancelled().await });
        Box::pin(silence.filter_map(|()| std::future::ready(None)))
    }
}

type Silent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl GrpcController for Plugin {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.ended.cancel();
        Ok(Response::new(Empty {}))
    }
}

/// Nothing comes here: what a plugin says, it says on stderr, which core reads anyway.
#[tonic::async_trait]
impl GrpcStdio for Plugin {
    type StreamStdioStream = Silent<StdioData>;

    async fn stream_stdio(&self, _: Request<Empty>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(self.silent()))
    }
}

/// Further connections are offered by neither side.
#[tonic::async_trait]
impl GrpcBroker for Plugin {
    type StartStreamStream = Silent<ConnInfo>;

    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(self.silent()))
    }
}

/// The name under which go-plugin asks for a plugin's health; an empty one means the process.
const SERVICES: [&str; 2] = ["plugin", ""];

#[tonic::async_trait]
impl Health for Plugin {
    type WatchStream = Silent<HealthCheckResponse>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if SERVICES.contains(&&*request.get_ref().service) {
            Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
        } else {
            Err(Status::not_found("there is no such service"))
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&&*request.get_ref().service);
        let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        let first = once(async move { Ok(HealthCheckResponse { status: status.into() }) });
        Ok(Response::new(Box::pin(first.chain(self.silent()))))
    }
}
