//! The shape of an attribute: a plain type, or objects with a schema of their own.

use std::sync::Arc;

use super::ObjectSchema;
use crate::value::Type;

/// How nested objects are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// A list of objects.
    List,
    /// A set of objects.
    Set,
    /// A map of objects.
    Map,
}

/// A plain type, or nested objects.
#[derive(Clone)]
pub enum Shape {
    /// A type; what is in it has no flags of its own.
    Plain(Type),
    /// Objects, each of whose attributes has flags of its own.
    Nested(Nesting, Arc<ObjectSchema>),
}

impl Shape {
    /// The type of the values.
    pub fn ty(&self) -> Type {
        match self {
            Self::Plain(ty) => ty.clone(),
            Self::Nested(nesting, object) => match nesting {
                Nesting::Single => object.ty(),
                Nesting::List => Type::list(object.ty()),
                Nesting::Set => Type::set(object.ty()),
                Nesting::Map => Type::map(object.ty()),
            },
        }
    }
}
