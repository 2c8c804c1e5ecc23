//! Sagas: long work in steps over systems that fail, taken up by another replica when one dies.
//!
//! A capability declares a [`Definition`]: steps that can be probed, applied and undone. It enqueues
//! an operation with [`log::operation_insert`] inside the transaction of its own effect. The
//! [`Runner`] of some replica claims it, writes each intent before the outside call, and ends with
//! everything in place or nothing left behind; a definition that only goes forward ends with
//! everything done. What to do next is decided by a pure state machine (`machine`), which a
//! simulation drives through every fault it can think of; `runner` is the thin shell around it,
//! `lease` and `log` its SQL. Knows nothing of HTTP or of what any step does.
//! Why it is our own and why an undo may not fail silently: docs/decisions/0003-sagas.md.

mod definition;
mod error;
mod faults;
mod lease;
pub mod log;
mod machine;
mod runner;
#[cfg(test)]
mod simulation;
mod systems;
mod words;

pub use definition::{Definition, DefinitionError, Definitions, Direction, Probe, Step, StepCx};
pub use error::{Class, StepError};
pub(crate) use faults::{Fault, Point, crash_point, fault_point, panic_point};
pub use log::Fence;
pub use runner::{Runner, RunnerConfig};
