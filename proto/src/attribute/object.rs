//! Taking attributes out of an object, and putting them into one.

use std::sync::Arc;

use super::Attribute;
use crate::value::{Dynamic, Fields, PathStep, ValueError};

/// The attributes of an object that is being read.
pub struct ObjectReader(Fields);

impl ObjectReader {
    /// Reads from these.
    pub fn new(fields: Fields) -> Self {
        Self(fields)
    }

    /// Takes one attribute out. One that is missing reads as null.
    ///
    /// # Errors
    /// Where it is not of that type.
    pub fn take<A: Attribute>(&mut self, name: &str) -> Result<A, ValueError> {
        A::from_dynamic(self.take_dynamic(name))
            .map_err(|error| error.under(PathStep::Attribute(name.into())))
    }

    /// Takes one attribute out as it is. One that is missing reads as null.
    pub fn take_dynamic(&mut self, name: &str) -> Dynamic {
        self.0.take(name).unwrap_or_default()
    }
}

/// The attributes of an object that is being written.
#[derive(Default)]
pub struct ObjectWriter(Vec<(Arc<str>, Dynamic)>);

impl ObjectWriter {
    /// Puts one attribute in.
    pub fn put<A: Attribute>(&mut self, name: &str, value: A) {
        self.put_dynamic(name, value.into_dynamic());
    }

    /// Puts one attribute in, as it is.
    pub fn put_dynamic(&mut self, name: &str, value: Dynamic) {
        self.0.push((name.into(), value));
    }

    pub(crate) fn into_fields(self) -> Fields {
        self.0.into_iter().collect()
    }
}
