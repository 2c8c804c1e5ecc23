//! A plugin layer for Terraform and OpenTofu providers: protocol 6.10.
//!
//! A provider is a struct with a schema and an `impl` for each of its resources, data sources,
//! ephemeral resources, functions, list resources and actions; [`Server`] serves them. See the
//! crate's README for a tour, and `examples/` for a whole provider.
//!
//! ```
//! use tfplugin::{Cx, Diagnostics, NoIdentity, Planned, Resource, Saved, Schema, Value};
//!
//! /// A note on a shelf.
//! #[derive(Schema, Default)]
//! struct Note {
//!     /// Identifies the note for as long as it exists.
//!     #[attribute(computed, keeps_prior)]
//!     id: Value<String>,
//!     /// What it is called.
//!     #[attribute(required)]
//!     title: Value<String>,
//! }
//! # struct Api;
//! # impl Api {
//! #     async fn note_put(&self, _: &Note) -> Result<String, Diagnostics> { Ok("note-1".into()) }
//! #     async fn note_get(&self, _: Note) -> Result<Option<Note>, Diagnostics> { Ok(None) }
//! #     async fn note_remove(&self, _: &Note) -> Result<(), Diagnostics> { Ok(()) }
//! # }
//!
//! impl Resource for Note {
//!     type Api = Api;
//!     type Identity = NoIdentity;
//!     const NAME: &'static str = "notebook_note";
//!
//!     async fn create(cx: &Cx<Api>, plan: Planned<Self>, saved: &mut Saved<Self>) -> Result<(), Diagnostics> {
//!         let id = cx.api()?.note_put(&plan).await?;
//!         saved.set(Self { id: id.into(), ..plan.into_inner() });
//!         Ok(())
//!     }
//!
//!     async fn read(cx: &Cx<Api>, state: Self) -> Result<Option<Self>, Diagnostics> {
//!         cx.api()?.note_get(state).await
//!     }
//!
//!     async fn delete(cx: &Cx<Api>, state: Self) -> Result<(), Diagnostics> {
//!         cx.api()?.note_remove(&state).await
//!     }
//! }
//! ```
//!
//! Knows nothing of any one provider. Facts about the protocol come from Terraform 1.11 to 1.16,
//! OpenTofu 1.12 and go-plugin 1.8, as observed and as published.

mod action;
mod attribute;
mod calls;
mod change;
mod cx;
mod data_source;
mod diagnostic;
mod ephemeral;
mod function;
mod list;
mod path;
mod private;
mod provider;
mod resource;
pub mod schema;
mod server;
mod service;
pub mod value;
mod wire;

pub use action::{Action, Progress};
#[doc(hidden)]
pub use attribute::support as __derive;
pub use attribute::{
    Attribute, AttributeSet, AttributeType, ObjectReader, ObjectWriter, Text, Timeouts, Value,
};
pub use cx::Cx;
pub use data_source::DataSource;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use function::{Function, FunctionError};
pub use list::{ListResource, Listed, Listing};
pub use path::Path;
pub use private::Private;
pub use provider::{Client, Provider};
pub use resource::{ImportBy, Imported, MoveSource, NoIdentity, Plan, Planned, Resource, Saved};
pub use server::Server;
pub use tfplugin_macros::Schema;
pub use value::{Dynamic, Number, Type};
