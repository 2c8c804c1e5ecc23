//! How Rust types stand for attributes.
//!
//! [`AttributeSet`] is a struct of attributes; `#[derive(Schema)]` writes it. [`Attribute`] is what
//! may stand as a field of one: a [`Value`] of an [`AttributeType`], or, where neither null nor
//! unknown can occur, the type itself.

mod collections;
mod object;
mod scalars;
#[cfg(test)]
mod tests;
mod text;
mod timeouts;
mod value;

pub use object::{ObjectReader, ObjectWriter};
pub use text::Text;
pub use timeouts::Timeouts;
pub(crate) use timeouts::timeout_of;
pub use value::Value;

use crate::schema::{ObjectSchema, Shape};
use crate::value::{Dynamic, Problem, ValueError};

/// A struct whose fields are attributes. `#[derive(Schema)]` writes it.
///
/// Written by hand, its attributes can come from a catalogue at run time. As a field marked
/// `#[attribute(flatten)]` of another struct, its attributes join that struct's own.
pub trait AttributeSet: Sized + Send + Sync + 'static {
    /// The attributes, and the description of the whole.
    fn schema() -> ObjectSchema;

    /// Takes its attributes out of an object.
    ///
    /// # Errors
    /// Where an attribute is not of its type.
    fn decode(object: &mut ObjectReader) -> Result<Self, ValueError>;

    /// Puts its attributes into an object: all of them, null ones too.
    fn encode(self, object: &mut ObjectWriter);
}

/// A type of which an attribute's known values are: `String` in `Value<String>`.
pub trait AttributeType: Sized + Send + Sync + 'static {
    /// How it is described to core.
    fn shape() -> Shape;

    /// Reads a value that is neither null nor unknown.
    ///
    /// # Errors
    /// Where it is not of this type. Errors never quote the value.
    fn from_known(value: Dynamic) -> Result<Self, ValueError>;

    /// The value, untyped.
    fn into_dynamic(self) -> Dynamic;
}

/// What may stand as an attribute, or as an element of a list, set or map.
///
/// `Value<T>` holds whatever core sends. A bare `T` can hold known values only. It is for places
/// where core sends no others (function parameters, identities, what a data source finds), and for
/// elements, where a null is an error and what is unknown is waited for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an attribute",
    note = "an attribute is `Value<T>` of `bool`, `String`, an integer, `Number`, `Vec`, `BTreeSet`, `BTreeMap<String, _>`, \
            `Text<T>` or a struct that derives `Schema`; or `Dynamic`"
)]
pub trait Attribute: Sized + Send + Sync + 'static {
    /// The type of its known values.
    type Known: AttributeType;

    /// Whether null and unknown can be held.
    const HOLDS_ABSENT: bool;

    /// How it is described to core.
    fn shape() -> Shape {
        Self::Known::shape()
    }

    /// Reads any value.
    ///
    /// # Errors
    /// Where it is not of this type.
    fn from_dynamic(value: Dynamic) -> Result<Self, ValueError>;

    /// The value, untyped.
    fn into_dynamic(self) -> Dynamic;
}

/// An object of these attributes.
pub(crate) fn encode_set<S: AttributeSet>(set: S) -> Dynamic {
    let mut writer = ObjectWriter::default();
    set.encode(&mut writer);
    Dynamic::Object(writer.into_fields())
}

/// The attributes of an object.
pub(crate) fn decode_set<S: AttributeSet>(value: Dynamic) -> Result<S, ValueError> {
    match value.into_untyped() {
        Dynamic::Object(fields) => S::decode(&mut ObjectReader::new(fields)),
        _ => Err(expected("an object")),
    }
}

/// Whether a value could not be read only because it is not known yet.
pub(crate) fn is_premature(error: &ValueError) -> bool {
    matches!(error.problem(), Problem::Expected { expected: KNOWN })
}

/// What a type asks for that cannot hold an unknown value.
const KNOWN: &str = "a value that is known before apply";

pub(crate) fn expected(what: &'static str) -> ValueError {
    Problem::Expected { expected: what }.into()
}

/// What the derive and the macros of this crate call. Not for others.
#[doc(hidden)]
pub mod support {
    use super::{AttributeSet, Dynamic, ValueError};

    pub fn decode_set<S: AttributeSet>(value: Dynamic) -> Result<S, ValueError> {
        super::decode_set(value)
    }

    pub fn encode_set<S: AttributeSet>(set: S) -> Dynamic {
        super::encode_set(set)
    }

    pub fn bare<T: super::AttributeType>(value: Dynamic) -> Result<T, ValueError> {
        super::scalars::bare(value)
    }
}
