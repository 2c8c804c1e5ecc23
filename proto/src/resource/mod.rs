//! Managed resources: what a provider's author writes.

mod import;
mod plan;

use std::time::Duration;

pub use import::{ImportBy, Imported, MoveSource};
pub use plan::{Plan, Planned, Saved};

use crate::schema::ObjectSchema;
use crate::value::{Dynamic, ValueError};
use crate::{AttributeSet, Cx, Diagnostic, Diagnostics, ObjectReader, ObjectWriter};

/// A managed resource. The struct is both its configuration and its state.
///
/// What core insists on is done by the layer: a planned value is the configured one, or the prior
/// one, or unknown where computed; write-only values are null in every answer; unknown values are
/// gone after apply.
pub trait Resource: AttributeSet {
    /// The provider's [`Api`](crate::Provider::Api).
    type Api: Send + Sync + 'static;

    /// What tells one of these from all others, as a struct with a schema; or [`NoIdentity`].
    type Identity: AttributeSet;

    /// The name as users write it: `notebook_note`.
    const NAME: &'static str;

    /// The version of the schema. A higher one makes core ask for [`Self::upgrade`].
    const VERSION: i64 = 0;

    /// The version of the identity's schema.
    const IDENTITY_VERSION: i64 = 0;

    /// How long an operation may take for which the user has set nothing under `timeouts`.
    const TIMEOUT: Duration = Duration::from_secs(20 * 60);

    /// Checks what a validator for one attribute cannot. Anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Improves on the plan: see [`Plan`]. Called for create and update, twice each.
    fn plan(
        cx: &Cx<Self::Api>,
        plan: &mut Plan<Self>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        let _ = (cx, plan);
        async { Ok(()) }
    }

    /// Objects to a planned destroy, or warns of it.
    fn plan_destroy(cx: &Cx<Self::Api>, prior: Self) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        let _ = (cx, prior);
        async { Ok(()) }
    }

    /// Creates it. What is saved is kept even if an error is returned, so save as soon as there is
    /// something that would otherwise be orphaned.
    fn create(
        cx: &Cx<Self::Api>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;

    /// Looks how it is now. `None`: it is gone, and core will plan to create it again.
    fn read(
        cx: &Cx<Self::Api>,
        state: Self,
    ) -> impl Future<Output = Result<Option<Self>, Diagnostics>> + Send;

    /// Changes it in place. Until something is saved, the prior state stays.
    fn update(
        cx: &Cx<Self::Api>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        let _ = (cx, prior, plan, saved);
        async {
            Err(Diagnostic::error("This resource cannot be changed in place")
                .detail("Every attribute of it should be marked as replacing it. This is a fault of the provider.")
                .into())
        }
    }

    /// Deletes it. That it is gone already is success.
    fn delete(cx: &Cx<Self::Api>, state: Self) -> impl Future<Output = Result<(), Diagnostics>> + Send;

    /// Finds what exists: usually one, with as much filled in as [`Self::read`] needs, for core
    /// reads it next.
    fn import(
        cx: &Cx<Self::Api>,
        by: ImportBy<Self::Identity>,
    ) -> impl Future<Output = Result<Vec<Imported>, Diagnostics>> + Send {
        let _ = (cx, by);
        async { Err(Diagnostic::error(format!("{} cannot be imported", Self::NAME)).into()) }
    }

    /// Makes a state of this version of one that an earlier version wrote. A state of the same
    /// version never comes here: attributes that no longer exist are dropped by the layer.
    fn upgrade(from_version: i64, state: Dynamic) -> impl Future<Output = Result<Self, Diagnostics>> + Send {
        let _ = state;
        async move {
            Err(Diagnostic::error(format!(
                "A {} of schema version {from_version} cannot be upgraded",
                Self::NAME
            ))
            .into())
        }
    }

    /// Makes a state of this type of one of another type, for `moved` blocks. `None`: not from
    /// that one.
    fn move_from(source: MoveSource) -> impl Future<Output = Result<Option<Self>, Diagnostics>> + Send {
        let _ = source;
        async { Ok(None) }
    }

    /// Makes an identity of this version of one that an earlier version wrote.
    fn upgrade_identity(
        from_version: i64,
        identity: Dynamic,
    ) -> impl Future<Output = Result<Self::Identity, Diagnostics>> + Send {
        let _ = identity;
        async move {
            Err(Diagnostic::error(format!(
                "A {} identity of version {from_version} cannot be upgraded",
                Self::NAME
            ))
            .into())
        }
    }

    /// The identity of a resource in this state. `None` while it is not known.
    fn identity(&self) -> Option<Self::Identity> {
        None
    }
}

/// For resources that have no identity but their id.
#[derive(Debug, Clone, Copy)]
pub enum NoIdentity {}

impl AttributeSet for NoIdentity {
    fn schema() -> ObjectSchema {
        ObjectSchema::default()
    }

    fn decode(_: &mut ObjectReader) -> Result<Self, ValueError> {
        Err(crate::value::Problem::Other("this resource has no identity".to_owned()).into())
    }

    fn encode(self, _: &mut ObjectWriter) {
        match self {}
    }
}
