//! `#[derive(Schema)]` for the crate `tfplugin`, which documents and re-exports it.
//!
//! `input` reads the struct and finds every fault that can be found in it, `expand` writes the
//! implementations.

mod expand;
mod input;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a set of attributes: `AttributeSet`, and `AttributeType` for use as a nested one.
///
/// The doc comment of the struct describes the whole, those of its fields describe the attributes;
/// both are Markdown. On the struct, `#[schema(deprecated = "use … instead")]`. On a field,
/// `#[attribute(…)]` with one or more of:
///
/// | word | meaning |
/// |---|---|
/// | `required` | the configuration must set it |
/// | `optional` | the configuration may set it |
/// | `computed` | the provider sets it (with `optional`: unless the configuration does) |
/// | `default = expr` | known at plan time if not configured; needs `optional, computed` |
/// | `keeps_prior` | an update does not make it unknown; needs `computed` |
/// | `replaces` | a change of it replaces the resource |
/// | `sensitive` | not shown in plans |
/// | `write_only` | in the configuration only, never stored |
/// | `deprecated = "…"` | warns, and says what to use instead |
/// | `validate = path` | a `fn(&T) -> Result<(), String>`, for a string a `fn(&str) -> …`; may be repeated |
/// | `name = "…"` | instead of the field's own name |
/// | `required_for_import`, `optional_for_import` | for the attributes of an identity |
/// | `variadic` | the last parameter of a function |
/// | `flatten` | (alone) the attributes of another `AttributeSet` join these |
/// | `timeouts(create, …)` | (alone) the usual `timeouts` attribute, on a field of type `Timeouts` |
#[proc_macro_derive(Schema, attributes(attribute, schema))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match input::Set::read(&input) {
        Ok(set) => expand::expand(&set).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
