//! What is described to core of a resource, a data source or the provider itself.
//!
//! `#[derive(Schema)]` makes an [`ObjectSchema`] out of a struct. Made by hand, as for an
//! [`AttributeSet`] whose attributes come from a catalogue, it is built from
//! [`AttributeSchema`]s. Facts about flags and types: plugin protocol 6.10.

pub(crate) mod faults;
mod read;
mod shape;
mod validate;
mod wire;

use std::sync::Arc;

pub use shape::{Nesting, Shape};
pub(crate) use validate::WriteOnly;
pub(crate) use wire::type_json;

use crate::attribute::{Attribute, AttributeSet, AttributeType};
use crate::value::{Dynamic, Type};

/// The attributes of an object, in the order in which they were declared.
#[derive(Clone, Default)]
pub struct ObjectSchema {
    pub(crate) description: String,
    pub(crate) deprecated: Option<String>,
    pub(crate) attributes: Vec<AttributeSchema>,
}

impl ObjectSchema {
    /// No attributes yet. The description is Markdown.
    pub fn new(description: &str) -> Self {
        Self { description: description.to_owned(), ..Self::default() }
    }

    /// Marks the whole as deprecated, and says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, instead: &str) -> Self {
        self.deprecated = Some(instead.to_owned());
        self
    }

    /// Adds an attribute.
    pub fn add(&mut self, attribute: AttributeSchema) {
        self.attributes.push(attribute);
    }

    /// Adds the attributes of another set.
    pub fn flatten<S: AttributeSet>(&mut self) {
        self.attributes.extend(S::schema().attributes);
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeSchema> {
        self.attributes.iter().find(|attribute| *attribute.name == *name)
    }

    /// The same for something of which nothing is stored: what has a default is optional there, and
    /// nothing is computed.
    pub(crate) fn configured_only(&self) -> Self {
        let mut only = self.clone();
        for attribute in &mut only.attributes {
            attribute.computed &= !attribute.optional;
        }
        only
    }

    /// The type of the object.
    pub fn ty(&self) -> Type {
        Type::object(self.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.shape.ty())))
    }
}

pub(crate) type Validator = Arc<dyn Fn(&Dynamic) -> Result<(), String> + Send + Sync>;

/// One attribute.
#[derive(Clone)]
pub struct AttributeSchema {
    pub(crate) name: Arc<str>,
    pub(crate) shape: Shape,
    pub(crate) description: String,
    pub(crate) deprecated: Option<String>,
    pub(crate) required: bool,
    pub(crate) optional: bool,
    pub(crate) computed: bool,
    pub(crate) sensitive: bool,
    pub(crate) write_only: bool,
    pub(crate) replaces: bool,
    pub(crate) keeps_prior: bool,
    pub(crate) timeouts: bool,
    pub(crate) variadic: bool,
    pub(crate) holds_absent: bool,
    pub(crate) required_for_import: bool,
    pub(crate) optional_for_import: bool,
    pub(crate) default: Option<Dynamic>,
    pub(crate) validators: Vec<Validator>,
}

impl AttributeSchema {
    /// An attribute of that Rust type. Neither required, optional nor computed yet.
    pub fn new<A: Attribute>(name: &str) -> Self {
        Self { holds_absent: A::HOLDS_ABSENT, ..Self::with_shape(name, A::shape()) }
    }

    /// An attribute of that shape.
    pub fn with_shape(name: &str, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            description: String::new(),
            deprecated: None,
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            replaces: false,
            keeps_prior: false,
            timeouts: false,
            variadic: false,
            holds_absent: true,
            required_for_import: false,
            optional_for_import: false,
            default: None,
            validators: Vec::new(),
        }
    }

    /// Says what it is, in Markdown.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }

    /// The value known at plan time if the configuration has none. Needs `optional` and `computed`.
    #[must_use]
    pub fn default_value<A: Attribute>(mut self, value: impl Into<A::Known>) -> Self {
        self.default = Some(value.into().into_dynamic());
        self
    }

    /// Checks known values at validation. The error is a sentence for the user; it must not quote
    /// a secret.
    #[must_use]
    pub fn validate<A: Attribute>(
        mut self,
        check: impl Fn(&A::Known) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        // A value that is not of the type is the business of decoding, which says so once.
        let check =
            move |value: &Dynamic| A::Known::from_known(value.clone()).map_or(Ok(()), |known| check(&known));
        self.validators.push(Arc::new(check));
        self
    }

    /// Marks it as deprecated, and says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, instead: &str) -> Self {
        self.deprecated = Some(instead.to_owned());
        self
    }

    pub(crate) fn with_timeouts(mut self) -> Self {
        self.timeouts = true;
        self
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $flag:ident;)+) => {
        impl AttributeSchema {$(
            $(#[$doc])*
            #[must_use]
            pub fn $flag(mut self) -> Self {
                self.$flag = true;
                self
            }
        )+}
    };
}

flags! {
    /// The configuration must set it.
    required;
    /// The configuration may set it.
    optional;
    /// The provider may set it.
    computed;
    /// Not shown in plans.
    sensitive;
    /// In the configuration only: never stored, and null in everything the provider answers.
    write_only;
    /// A change of it replaces the resource.
    replaces;
    /// Computed once: an update does not make it unknown.
    keeps_prior;
    /// The last parameter of a function, which may be given any number of times.
    variadic;
    /// For identities: import by identity must name it.
    required_for_import;
    /// For identities: import by identity may name it.
    optional_for_import;
}
