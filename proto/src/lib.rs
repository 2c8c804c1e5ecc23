//! A plugin layer for Terraform and OpenTofu providers: protocol 6.10.
//!
//! A provider is a struct with a schema and an `impl` for each of its resources, data sources,
//! ephemeral resources, functions, list resources and actions; [`Server`] serves them. See the
//! crate's README for a tour, and `examples/` for a whole provider.
//!
//! Knows nothing of any one provider. Facts about the protocol come from Terraform 1.11 to 1.16,
//! OpenTofu 1.12 and go-plugin 1.8, as observed and as published.

mod action;
mod attribute;
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
