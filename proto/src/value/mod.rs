//! Values as Terraform and OpenTofu send them, before they are anything's attributes.
//!
//! [`Dynamic`] is a value, [`Type`] says how one is to be read and written, [`Number`] is a number
//! that keeps its decimal text. The two encodings are msgpack (what a provider answers in) and
//! JSON (how state is stored, and so how a state upgrade arrives).
//!
//! Nothing here knows of schemas, resources or gRPC. The rules of the wire are those of go-cty,
//! the library that both cores use (`cty`, `cty/msgpack`, `cty/json`).
//!
//! Every byte that comes in is taken to be hostile: depth and count are bounded ([`MAX_DEPTH`],
//! [`MAX_VALUES`]), and a declared length is believed only as far as there are bytes to fill it.
//! Every value may be a secret: errors carry a path and never a value, and `Debug` of a
//! [`Dynamic`] shows its shape only.

mod decode;
mod dynamic;
mod encode;
mod error;
mod fields;
mod json;
mod msgpack;
mod number;
mod set;
#[cfg(test)]
mod tests;
mod types;
mod unknown;

pub use dynamic::{Dynamic, Typed};
pub use error::{PathStep, Problem, ValueError};
pub use fields::Fields;
pub use number::{Number, NumberError};
pub use set::DynamicSet;
pub use types::{ObjectType, Type};
pub use unknown::{NumberBound, Refinements};

/// How deep a value, a type, or one inside the other may be nested. Configurations reach a dozen;
/// a stack holds this many frames with room to spare.
pub const MAX_DEPTH: usize = 128;

/// How many values one encoded value may hold, all levels together. A null takes one byte on the
/// wire and 32 in memory, so the limit on a message's bytes does not limit the memory it costs.
pub const MAX_VALUES: usize = 1 << 21;
