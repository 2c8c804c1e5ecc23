//! The untyped value.

use std::fmt;

use super::{DynamicSet, Fields, Number, Refinements, Type, ValueError, json, msgpack};

/// Any value, with no Rust type of its own.
///
/// 32 bytes each. Two are equal if Terraform would say so: numbers by their value, sets without
/// order. A list and a tuple of the same elements are different values, as are a map and an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Dynamic {
    /// No value.
    #[default]
    Null,
    /// A value to be known after apply.
    Unknown(Refinements),
    /// `true` or `false`.
    Bool(bool),
    /// A number, exact.
    Number(Number),
    /// A text.
    String(String),
    /// Elements of one type, in order.
    List(Vec<Dynamic>),
    /// Elements of one type, without order.
    Set(DynamicSet),
    /// Elements of one type, by key.
    Map(Fields),
    /// Attributes, each of its own type.
    Object(Fields),
    /// Elements in order, each of its own type.
    Tuple(Vec<Dynamic>),
    /// A value that does not show its whole type: see [`Dynamic::typed`].
    Typed(Box<Typed>),
}

/// A value together with the type it was given as.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Typed {
    ty: Type,
    value: Dynamic,
}

impl Typed {
    /// The type it was given as.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The value; never itself a [`Dynamic::Typed`].
    pub fn value(&self) -> &Dynamic {
        &self.value
    }

    /// The value alone.
    pub fn into_value(self) -> Dynamic {
        self.value
    }
}

impl Dynamic {
    /// An unknown value of which nothing is promised.
    pub const UNKNOWN: Self = Self::Unknown(Refinements::NONE);

    /// A value with the type that it has in a place whose own type is "dynamic".
    ///
    /// An empty list does not show what it is a list of, nor a null what it is a null of, and core
    /// compares types as well: where `value` shows its type it is returned as it is, and otherwise
    /// as [`Dynamic::Typed`].
    pub fn typed(ty: Type, value: Dynamic) -> Self {
        if ty == Type::Dynamic {
            return value;
        }
        let value = value.into_untyped();
        if value.implied_type().is_ok_and(|implied| implied == ty) {
            value
        } else {
            Self::Typed(Box::new(Typed { ty, value }))
        }
    }

    /// The value without the type beside it, if it has one.
    pub fn into_untyped(self) -> Self {
        match self {
            Self::Typed(typed) => typed.into_value(),
            other => other,
        }
    }

    /// The value without the type beside it, if it has one.
    pub fn untyped(&self) -> &Self {
        match self {
            Self::Typed(typed) => typed.value(),
            other => other,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.untyped(), Self::Null)
    }

    /// Whether this itself is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self.untyped(), Self::Unknown(_))
    }

    /// Whether neither this nor anything in it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => true,
            Self::List(elements) | Self::Tuple(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Set(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(fields) | Self::Object(fields) => {
                fields.iter().all(|(_, value)| value.is_wholly_known())
            }
            Self::Typed(typed) => typed.value.is_wholly_known(),
        }
    }

    /// The type that the value itself shows. What it does not show, such as the element type of an
    /// empty list, is [`Type::Dynamic`].
    ///
    /// # Errors
    /// [`Problem::MixedElements`](super::Problem::MixedElements) if a list, set or map has elements with no type in common.
    pub fn implied_type(&self) -> Result<Type, ValueError> {
        super::types::implied(self)
    }

    /// Reads msgpack as a value of that type.
    ///
    /// # Errors
    /// Where and how the bytes are not exactly one such value.
    pub fn from_msgpack(bytes: &[u8], ty: &Type) -> Result<Self, ValueError> {
        msgpack::decode(bytes, ty)
    }

    /// Reads msgpack whose type is not known: arrays become tuples, maps objects.
    ///
    /// # Errors
    /// Where and how the bytes are not exactly one value.
    pub fn from_msgpack_untyped(bytes: &[u8]) -> Result<Self, ValueError> {
        msgpack::decode_untyped(bytes)
    }

    /// Writes msgpack, as a value of that type.
    ///
    /// # Errors
    /// Where the value is not of that type.
    pub fn to_msgpack(&self, ty: &Type) -> Result<Vec<u8>, ValueError> {
        msgpack::encode(self, ty)
    }

    /// Reads JSON as a value of that type. An attribute that is left out is null.
    ///
    /// # Errors
    /// Where and how the bytes are not exactly one such value.
    pub fn from_json(bytes: &[u8], ty: &Type) -> Result<Self, ValueError> {
        json::decode(bytes, ty, json::Extra::Refused)
    }

    /// Reads JSON that an earlier version of a schema wrote: as [`Self::from_json`], and
    /// attributes that the type does not have (any more) are dropped.
    ///
    /// # Errors
    /// Where and how the bytes are not exactly one such value.
    pub fn from_stored_json(bytes: &[u8], ty: &Type) -> Result<Self, ValueError> {
        json::decode(bytes, ty, json::Extra::Dropped)
    }

    /// Reads JSON whose type is not known: arrays become tuples, objects objects.
    ///
    /// # Errors
    /// Where and how the bytes are not exactly one value.
    pub fn from_json_untyped(bytes: &[u8]) -> Result<Self, ValueError> {
        json::decode_untyped(bytes)
    }

    /// Writes compact JSON, as a value of that type.
    ///
    /// # Errors
    /// Where the value is not of that type, or not known.
    pub fn to_json(&self, ty: &Type) -> Result<String, ValueError> {
        json::encode(self, ty)
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Unknown(_) => "Unknown",
            Self::Bool(_) => "Bool",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::List(_) => "List",
            Self::Set(_) => "Set",
            Self::Map(_) => "Map",
            Self::Object(_) => "Object",
            Self::Tuple(_) => "Tuple",
            Self::Typed(_) => "Typed",
        }
    }
}

/// The shape only: any value may be a secret. To see one, encode it.
impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(elements) | Self::Tuple(elements) => {
                f.write_str(self.kind())?;
                f.debug_list().entries(elements).finish()
            }
            Self::Set(elements) => {
                f.write_str(self.kind())?;
                f.debug_list().entries(elements).finish()
            }
            Self::Map(fields) | Self::Object(fields) => {
                f.write_str(self.kind())?;
                f.debug_map().entries(fields.iter()).finish()
            }
            Self::Typed(typed) => f.debug_tuple(self.kind()).field(&typed.ty).field(&typed.value).finish(),
            other => f.write_str(other.kind()),
        }
    }
}

impl From<bool> for Dynamic {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Dynamic {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Number> for Dynamic {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Dynamic {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&str> for Dynamic {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}
