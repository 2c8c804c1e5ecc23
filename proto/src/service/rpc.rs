//! The gRPC service: one line a method, to where it is answered.

use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};

use super::stream::Answers;
use super::{Service, apply, data_source, describe, ephemeral, function, import, plan, provider, resource};
use super::{state_store, validate};
use crate::wire::tfplugin6::provider_server::Provider;
use crate::wire::tfplugin6::{self as pb};

/// Answers the methods with the functions given for them; those with a `_` ignore the request.
macro_rules! answer {
    ($($method:ident($message:ident): |$service:ident, $request:pat_param| $answer:expr;)+) => {
        #[tonic::async_trait]
        impl<Api: Send + Sync + 'static> Provider for Service<Api> {
            type ListResourceStream = Answers<pb::list_resource::Event>;
            type InvokeActionStream = Answers<pb::invoke_action::Event>;
            type ReadStateBytesStream = Answers<pb::read_state_bytes::Response>;

            $(async fn $method(
                &self,
                request: Request<pb::$message::Request>,
            ) -> Result<Response<pb::$message::Response>, Status> {
                tracing::trace!(target: "tfplugin", rpc = stringify!($method), "asked");
                let _call = self.calls().begin();
                let $service = self;
                let $request = request.into_inner();
                Ok(Response::new($answer))
            })+

            async fn list_resource(
                &self,
                request: Request<pb::list_resource::Request>,
            ) -> Result<Response<Self::ListResourceStream>, Status> {
                Ok(Response::new(super::stream::list(self, request.into_inner())))
            }

            async fn invoke_action(
                &self,
                request: Request<pb::invoke_action::Request>,
            ) -> Result<Response<Self::InvokeActionStream>, Status> {
                Ok(Response::new(super::stream::invoke_action(self, request.into_inner())))
            }

            async fn read_state_bytes(
                &self,
                _: Request<pb::read_state_bytes::Request>,
            ) -> Result<Response<Self::ReadStateBytesStream>, Status> {
                let diagnostics = state_store::none();
                let answer = pb::read_state_bytes::Response { diagnostics, ..Default::default() };
                Ok(Response::new(Box::pin(stream::iter([Ok(answer)]))))
            }

            async fn write_state_bytes(
                &self,
                _: Request<Streaming<pb::write_state_bytes::RequestChunk>>,
            ) -> Result<Response<pb::write_state_bytes::Response>, Status> {
                Ok(Response::new(pb::write_state_bytes::Response { diagnostics: state_store::none() }))
            }
        }
    };
}

answer! {
    get_metadata(get_metadata): |service, _| describe::metadata(service);
    get_provider_schema(get_provider_schema): |service, _| describe::schemas(service);
    get_resource_identity_schemas(get_resource_identity_schemas): |service, _| describe::identities(service);
    get_functions(get_functions): |service, _| describe::functions(service);

    validate_provider_config(validate_provider_config): |service, asked| validate::provider(service, &asked);
    configure_provider(configure_provider): |service, asked| provider::configure(service, asked).await;
    stop_provider(stop_provider): |service, _| {
        service.stop();
        pb::stop_provider::Response::default()
    };

    validate_resource_config(validate_resource_config): |service, asked| validate::resource(service, &asked);
    upgrade_resource_state(upgrade_resource_state): |service, asked| resource::upgrade(service, asked).await;
    upgrade_resource_identity(upgrade_resource_identity): |service, asked| {
        resource::upgrade_identity(service, asked).await
    };
    read_resource(read_resource): |service, asked| resource::read(service, asked).await;
    plan_resource_change(plan_resource_change): |service, asked| plan::plan(service, asked).await;
    apply_resource_change(apply_resource_change): |service, asked| apply::apply(service, asked).await;
    import_resource_state(import_resource_state): |service, asked| import::import(service, asked).await;
    move_resource_state(move_resource_state): |service, asked| import::move_state(service, asked).await;
    generate_resource_config(generate_resource_config): |service, asked| {
        resource::generate_config(service, &asked)
    };

    validate_data_resource_config(validate_data_resource_config): |service, asked| {
        validate::data_source(service, &asked)
    };
    read_data_source(read_data_source): |service, asked| data_source::read(service, asked).await;

    validate_ephemeral_resource_config(validate_ephemeral_resource_config): |service, asked| {
        validate::ephemeral(service, &asked)
    };
    open_ephemeral_resource(open_ephemeral_resource): |service, asked| ephemeral::open(service, asked).await;
    renew_ephemeral_resource(renew_ephemeral_resource): |service, asked| ephemeral::renew(service, asked).await;
    close_ephemeral_resource(close_ephemeral_resource): |service, asked| ephemeral::close(service, asked).await;

    call_function(call_function): |service, asked| function::call(service, asked).await;

    validate_list_resource_config(validate_list_resource_config): |service, asked| {
        validate::list(service, &asked)
    };
    validate_action_config(validate_action_config): |service, asked| validate::action(service, &asked);
    plan_action(plan_action): |service, asked| super::stream::plan_action(service, asked).await;

    validate_state_store_config(validate_state_store): |_service, _| {
        pb::validate_state_store::Response { diagnostics: state_store::none() }
    };
    configure_state_store(configure_state_store): |_service, _| {
        pb::configure_state_store::Response { diagnostics: state_store::none(), capabilities: None }
    };
    lock_state(lock_state): |_service, _| {
        pb::lock_state::Response { diagnostics: state_store::none(), ..Default::default() }
    };
    unlock_state(unlock_state): |_service, _| {
        pb::unlock_state::Response { diagnostics: state_store::none() }
    };
    get_states(get_states): |_service, _| {
        pb::get_states::Response { diagnostics: state_store::none(), ..Default::default() }
    };
    delete_state(delete_state): |_service, _| {
        pb::delete_state::Response { diagnostics: state_store::none() }
    };
}
