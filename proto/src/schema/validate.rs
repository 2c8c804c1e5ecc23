//! Checks of a configuration that every resource gets without asking.

use super::{AttributeSchema, ObjectSchema, Shape};
use crate::diagnostic::sentence;
use crate::value::{Dynamic, PathStep};
use crate::{Diagnostic, Diagnostics, Path};

/// What the core that asks can handle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WriteOnly {
    /// It keeps write-only values out of state.
    Allowed,
    /// It is too old to, so they are refused.
    Refused,
}

impl ObjectSchema {
    /// Runs the validators on all that is known, and checks what the flags say.
    pub(crate) fn validate(&self, config: &Dynamic, write_only: WriteOnly, diags: &mut Diagnostics) {
        Walk { write_only, path: Path::empty(), in_set: false, diags }.objects(self, config);
    }
}

struct Walk<'a> {
    write_only: WriteOnly,
    path: Path,
    /// The elements of a set have no names: the path ends at the set.
    in_set: bool,
    diags: &'a mut Diagnostics,
}

impl Walk<'_> {
    fn within(&mut self, step: PathStep, walk: impl FnOnce(&mut Self)) {
        if self.in_set {
            return walk(self);
        }
        self.path.push(step);
        walk(self);
        self.path.pop();
    }

    fn objects(&mut self, schema: &ObjectSchema, value: &Dynamic) {
        match value {
            Dynamic::Object(fields) => {
                for own in &schema.attributes {
                    let Some(value) = fields.get(&own.name) else { continue };
                    self.within(PathStep::Attribute(own.name.clone()), |walk| walk.attribute(own, value));
                }
            }
            Dynamic::List(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    self.within(PathStep::Index(at), |walk| walk.objects(schema, element));
                }
            }
            Dynamic::Map(elements) => {
                for (key, element) in elements.iter() {
                    self.within(PathStep::Key(key.clone()), |walk| walk.objects(schema, element));
                }
            }
            Dynamic::Set(elements) => {
                let outside = !std::mem::replace(&mut self.in_set, true);
                elements.iter().for_each(|element| self.objects(schema, element));
                self.in_set = !outside;
            }
            _ => {}
        }
    }

    fn attribute(&mut self, own: &AttributeSchema, value: &Dynamic) {
        if value.is_null() {
            return;
        }
        if !own.required && !own.optional {
            self.say(
                Diagnostic::error("Read-only attribute").detail(format!(
                    "`{}` is set by the provider. Remove it from the configuration.",
                    own.name,
                )),
            );
        }
        if let (true, WriteOnly::Refused) = (own.write_only, self.write_only) {
            self.say(Diagnostic::error("Write-only attributes are not supported by this version").detail(format!(
                "`{}` must not be stored, and only Terraform 1.11, OpenTofu 1.11 and later can keep it out of state.",
                own.name,
            )));
        }
        if let Some(instead) = &own.deprecated {
            self.say(Diagnostic::warning("Deprecated attribute").detail(sentence(instead)));
        }
        if value.is_unknown() {
            return;
        }
        for check in &own.validators {
            if let Err(reason) = check(value.untyped()) {
                // The whole way to it: core points at the line of an attribute of the resource itself,
                // and for one that is nested at the first line of the resource.
                let place = if self.in_set { own.name.to_string() } else { self.path.to_string() };
                self.say(Diagnostic::error(format!("Invalid value for `{place}`")).detail(sentence(&reason)));
            }
        }
        if let Shape::Nested(_, inner) = &own.shape {
            self.objects(inner, value);
        }
    }

    fn say(&mut self, diagnostic: Diagnostic) {
        self.diags.push(diagnostic.at(self.path.clone()));
    }
}
