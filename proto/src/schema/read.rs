//! What a schema says, for those who write documentation from it or compare it.

use super::{AttributeSchema, ObjectSchema, Shape};

impl ObjectSchema {
    /// What it is, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The attributes, in the order in which they were declared.
    pub fn attributes(&self) -> &[AttributeSchema] {
        &self.attributes
    }
}

impl AttributeSchema {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type, or the objects in it.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What it is, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What to use instead, if it is deprecated.
    pub fn deprecation(&self) -> Option<&str> {
        self.deprecated.as_deref()
    }

    /// Whether the configuration must set it.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether the configuration may set it.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether the provider may set it.
    pub fn is_computed(&self) -> bool {
        self.computed
    }

    /// Whether it is not shown in plans.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// Whether it is in the configuration only.
    pub fn is_write_only(&self) -> bool {
        self.write_only
    }
}
