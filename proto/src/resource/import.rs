//! Import, and moves from another type of resource.

use crate::attribute::encode_set;
use crate::value::Dynamic;
use crate::{Private, Resource};

/// How the user has named what is to be imported.
pub enum ImportBy<I> {
    /// By a text: `terraform import`, or `id` in an `import` block.
    Id(String),
    /// By `identity` in an `import` block.
    Identity(I),
}

/// One resource that was found for an import.
pub struct Imported {
    pub(crate) type_name: &'static str,
    pub(crate) state: Dynamic,
    pub(crate) identity: Option<Dynamic>,
    pub(crate) private: Private,
}

impl Imported {
    /// That one. Usually of the type that was asked for; others may come along with it.
    pub fn new<R: Resource>(state: R) -> Self {
        let identity = state.identity().map(encode_set);
        Self { type_name: R::NAME, state: encode_set(state), identity, private: Private::default() }
    }

    /// Keeps bytes beside its state.
    #[must_use]
    pub fn private(mut self, key: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.private.set(key, bytes);
        self
    }
}

/// A state of another type of resource, from which one of this type is to be made.
pub struct MoveSource {
    /// The address of its provider: `registry.terraform.io/hashicorp/random`.
    pub provider_address: String,
    /// Its type: `random_pet`.
    pub type_name: String,
    /// The version of its schema.
    pub schema_version: i64,
    /// Its state, read without a schema: lists are tuples, maps are objects.
    pub state: Dynamic,
    /// Its identity, if it has one.
    pub identity: Option<Dynamic>,
    /// Its private data, in the form of the other provider.
    pub private: Vec<u8>,
}
