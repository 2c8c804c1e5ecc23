//! List resources: finding what exists, for `terraform query`.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::attribute::encode_set;
use crate::value::Dynamic;
use crate::{AttributeSet, Cx, Diagnostic, Diagnostics, Resource};

/// Lists the resources of one type. The struct is the configuration of the `list` block; the name
/// is that of the resource. The resource must have an identity.
pub trait ListResource: AttributeSet {
    /// What it lists.
    type Resource: Resource;

    /// How long it may take.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);

    /// Checks what a validator for one attribute cannot. Anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Finds them, and pushes each as it is found.
    fn list(
        cx: &Cx<<Self::Resource as Resource>::Api>,
        config: Self,
        listing: &mut Listing<Self::Resource>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;
}

/// Where a [`ListResource`] puts what it finds.
pub struct Listing<R: Resource> {
    events: mpsc::Sender<Event>,
    remaining: u64,
    with_resource: bool,
    resource: std::marker::PhantomData<fn(R)>,
}

/// One result on its way to core.
pub(crate) enum Event {
    Found { identity: Dynamic, display_name: String, resource: Option<Dynamic> },
    Told(Diagnostics),
}

impl<R: Resource> Listing<R> {
    pub(crate) fn new(events: mpsc::Sender<Event>, limit: u64, with_resource: bool) -> Self {
        Self { events, remaining: limit, with_resource, resource: std::marker::PhantomData }
    }

    /// Whether whole resources are wanted, and not just identities and names.
    pub fn with_resource(&self) -> bool {
        self.with_resource
    }

    /// How many more are wanted.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Hands one on, as soon as core takes it. Returns whether more are wanted.
    pub async fn push(&mut self, found: Listed<R>) -> bool {
        if self.remaining == 0 {
            return false;
        }
        let resource = found.resource.filter(|_| self.with_resource).map(encode_set);
        let event =
            Event::Found { identity: encode_set(found.identity), display_name: found.display_name, resource };
        self.remaining -= 1;
        self.events.send(event).await.is_ok() && self.remaining > 0
    }

    /// Tells the user something beside the results.
    pub async fn warn(&mut self, warning: Diagnostic) {
        // Nobody is left to tell if this fails.
        let _ = self.events.send(Event::Told(warning.into())).await;
    }
}

/// One resource that was found.
pub struct Listed<R: Resource> {
    identity: R::Identity,
    display_name: String,
    resource: Option<R>,
}

impl<R: Resource> Listed<R> {
    /// That one, with a name for people.
    pub fn new(identity: R::Identity, display_name: impl Into<String>) -> Self {
        Self { identity, display_name: display_name.into(), resource: None }
    }

    /// With all its attributes: for [`Listing::with_resource`].
    #[must_use]
    pub fn resource(mut self, resource: R) -> Self {
        self.resource = Some(resource);
        self
    }
}
