//! The methods that answer with a stream: ListResource and InvokeAction.

use std::pin::Pin;

use futures_util::stream::{Stream, StreamExt as _, once};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::catalogue::find;
use super::erased::Wanted;
use super::guard::guard;
use super::resource::identity_for_core;
use super::{Service, Told, convert, interruptible, timeout};
use crate::change::{fill_defaults, null_unknowns, null_write_only};
use crate::list::Event;
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics, Private};

pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How many answers may lie ready before core has taken them.
const AHEAD: usize = 16;

/// For a limit of 0, which core does not send: it asks for 100 unless the user says otherwise.
const NO_LIMIT: u64 = u64::MAX;

pub(super) fn list<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::list_resource::Request,
) -> Answers<pb::list_resource::Event> {
    let (events, received) = mpsc::channel(AHEAD);
    let for_core = service.clone();
    let type_name = request.type_name.clone();
    // The provider's code runs by itself, so that it is not held up by the way events are taken.
    tokio::spawn(run_list(service.clone(), request, events));
    Box::pin(ReceiverStream::new(received).map(move |event| Ok(event_for_core(&for_core, &type_name, event))))
}

async fn run_list<Api: Send + Sync + 'static>(
    service: Service<Api>,
    request: pb::list_resource::Request,
    events: mpsc::Sender<Event>,
) {
    let listed = async {
        let entry = find(&service.catalogue().lists, "list resource", &request.type_name)?;
        let described = entry.described();
        let mut config = convert::decode(request.config.as_ref(), &described.ty)?;
        fill_defaults(&described.schema, &mut config);
        let cx =
            service.cx(timeout(&described.schema, &config, "list", entry.code.timeout()), Private::default());
        let wanted = Wanted {
            events: events.clone(),
            limit: u64::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(NO_LIMIT),
            with_resource: request.include_resource_object,
        };
        let what = format!("list {}", request.type_name);
        let outcome = guard(&what, interruptible(&cx, entry.code.list(&cx, config, wanted))).await;
        Ok::<_, Diagnostics>(Told::new(&cx, outcome).diags)
    };
    let diags = listed.await.unwrap_or_else(|errors| errors);
    if !diags.is_empty() {
        // If core has gone, there is nobody to tell.
        let _ = events.send(Event::Told(diags)).await;
    }
}

fn event_for_core<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    type_name: &str,
    event: Event,
) -> pb::list_resource::Event {
    let mut diags = Diagnostics::new();
    let mut answer = pb::list_resource::Event::default();
    match event {
        Event::Told(told) => diags = told,
        Event::Found { identity, display_name, resource } => {
            answer.display_name = display_name;
            match find(&service.catalogue().resources, super::resource::KIND, type_name) {
                Ok(entry) => {
                    answer.identity =
                        identity_for_core(entry.identity().map(|own| &own.ty), Some(identity), &mut diags);
                    if answer.identity.is_none() && diags.is_empty() {
                        diags.push(
                            Diagnostic::error("A listed resource has no identity")
                                .detail("This is a fault of the provider."),
                        );
                    }
                    answer.resource_object = resource.and_then(|mut resource| {
                        null_write_only(&entry.described().schema, &mut resource);
                        null_unknowns(&mut resource);
                        convert::encode_or_tell(&resource, &entry.described().ty, &mut diags)
                    });
                }
                Err(fault) => diags.push(fault),
            }
        }
    }
    answer.diagnostic = convert::diagnostics(diags);
    answer
}

pub(super) async fn plan_action<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::plan_action::Request,
) -> pb::plan_action::Response {
    let planned = async {
        let entry = find(&service.catalogue().actions, "action", &request.action_type)?;
        let described = entry.described();
        let mut config = convert::decode(request.config.as_ref(), &described.ty)?;
        fill_defaults(&described.schema, &mut config);
        let cx = service.cx(entry.code.timeout(), Private::default());
        let what = format!("plan the action {}", request.action_type);
        let outcome = guard(&what, interruptible(&cx, entry.code.plan(&cx, config))).await;
        Ok::<_, Diagnostics>(Told::new(&cx, outcome).diags)
    };
    let diags = planned.await.unwrap_or_else(|errors| errors);
    pb::plan_action::Response { diagnostics: convert::diagnostics(diags), deferred: None }
}

pub(super) fn invoke_action<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::invoke_action::Request,
) -> Answers<pb::invoke_action::Event> {
    use pb::invoke_action::event::{Completed, Progress, Type};
    let (messages, received) = mpsc::channel(AHEAD);
    // By itself: once begun, an action is finished even if core is no longer listening.
    let work = tokio::spawn(run_action(service.clone(), request, messages));
    let progress = ReceiverStream::new(received).map(|message| Type::Progress(Progress { message }));
    let completed = once(async move {
        let diags = work.await.unwrap_or_else(|_| Diagnostic::error("The action was cut off").into());
        Type::Completed(Completed { diagnostics: convert::diagnostics(diags) })
    });
    Box::pin(progress.chain(completed).map(|event| Ok(pb::invoke_action::Event { r#type: Some(event) })))
}

async fn run_action<Api: Send + Sync + 'static>(
    service: Service<Api>,
    request: pb::invoke_action::Request,
    messages: mpsc::Sender<String>,
) -> Diagnostics {
    let invoked = async {
        let entry = find(&service.catalogue().actions, "action", &request.action_type)?;
        let described = entry.described();
        let mut config = convert::decode(request.config.as_ref(), &described.ty)?;
        fill_defaults(&described.schema, &mut config);
        let allowed = timeout(&described.schema, &config, "invoke", entry.code.timeout());
        let cx = service.cx(allowed, Private::default());
        let what = format!("carry out the action {}", request.action_type);
        let outcome = guard(&what, entry.code.invoke(&cx, config, messages)).await;
        Ok::<_, Diagnostics>(Told::new(&cx, outcome).diags)
    };
    invoked.await.unwrap_or_else(|errors| errors)
}
