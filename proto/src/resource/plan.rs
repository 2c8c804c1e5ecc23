//! What passes between a resource and core around plan and apply.

use std::ops::{Deref, DerefMut};

use crate::Path;

/// A plan for a resource, to be improved on by [`Resource::plan`](crate::Resource::plan).
///
/// The layer has done the usual already: defaults, prior values of what is computed, unknown for
/// what an update may change, and which changes replace the resource.
pub struct Plan<T> {
    /// The state before, unless it is to be created.
    pub prior: Option<T>,
    /// The configuration, write-only values included.
    pub config: T,
    /// The state after. An attribute that is configured must stay as it is configured; the others
    /// that are computed are free.
    pub planned: T,
    pub(crate) replaces: Vec<Path>,
    pub(crate) changes: bool,
    pub(crate) forced: bool,
}

impl<T> Plan<T> {
    /// Whether it is to be created.
    pub fn is_create(&self) -> bool {
        self.prior.is_none()
    }

    /// Whether anything changes, as far as the layer has seen.
    pub fn changes(&self) -> bool {
        self.changes || self.forced
    }

    /// Has the resource replaced because of that attribute, whose planned value must differ from
    /// its prior one.
    pub fn replace(&mut self, because_of: impl Into<Path>) {
        self.replaces.push(because_of.into());
    }

    /// Plans an update although no attribute differs, as when a write-only value has changed:
    /// what is computed, and neither `keeps_prior` nor set by this plan, becomes unknown.
    pub fn force_update(&mut self) {
        self.forced = true;
    }
}

/// What has been planned, to be carried out. Derefs to the planned state, in which only what could
/// not be known before apply is unknown, and write-only values are null.
pub struct Planned<T> {
    pub(crate) planned: T,
    pub(crate) config: T,
}

impl<T> Planned<T> {
    /// The configuration: where the write-only values are.
    pub fn config(&self) -> &T {
        &self.config
    }

    /// The planned state and the configuration.
    pub fn into_parts(self) -> (T, T) {
        (self.planned, self.config)
    }

    /// The planned state.
    pub fn into_inner(self) -> T {
        self.planned
    }
}

impl<T> Deref for Planned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.planned
    }
}

impl<T> DerefMut for Planned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.planned
    }
}

/// The state that will be stored, whether or not the operation succeeds in the end.
///
/// May be set again and again; the last one counts. If the operation fails, what is still unknown
/// is stored as null, and a resource that was being created is marked for replacement by core.
pub struct Saved<T>(Option<T>);

impl<T> Saved<T> {
    pub(crate) fn new() -> Self {
        Self(None)
    }

    /// Stores this state.
    pub fn set(&mut self, state: T) {
        self.0 = Some(state);
    }

    /// What is stored so far.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    pub(crate) fn into_inner(self) -> Option<T> {
        self.0
    }
}
