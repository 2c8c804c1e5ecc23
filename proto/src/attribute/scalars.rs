//! Attributes of one value: booleans, texts, numbers, and the untyped.

use super::{Attribute, AttributeType, expected};
use crate::schema::Shape;
use crate::value::{Dynamic, Number, Problem, Type, ValueError};

/// A value where null and unknown cannot be held.
pub(super) fn bare<T: AttributeType>(value: Dynamic) -> Result<T, ValueError> {
    match value.into_untyped() {
        Dynamic::Null => Err(Problem::Other("a value is required here, and null is none".into()).into()),
        Dynamic::Unknown(_) => Err(expected(super::KNOWN)),
        known => T::from_known(known),
    }
}

/// `Attribute` for a type that stands for itself. Its own impl for each type, because a blanket
/// one would overlap with that for `Value<T>`.
macro_rules! bare_attribute {
    ($(($($generics:tt)*) $ty:ty),+ $(,)?) => {$(
        impl<$($generics)*> $crate::Attribute for $ty {
            type Known = Self;
            const HOLDS_ABSENT: bool = false;

            fn from_dynamic(value: Dynamic) -> Result<Self, ValueError> {
                $crate::attribute::support::bare(value)
            }

            fn into_dynamic(self) -> Dynamic {
                $crate::AttributeType::into_dynamic(self)
            }
        }
    )+};
}
pub(super) use bare_attribute;

bare_attribute!(() bool, () String, () Number, () i64, () u64, () i32, () u32, () u16);

impl AttributeType for bool {
    fn shape() -> Shape {
        Shape::Plain(Type::Bool)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        match value {
            Dynamic::Bool(value) => Ok(value),
            _ => Err(expected("true or false")),
        }
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::Bool(self)
    }
}

impl AttributeType for String {
    fn shape() -> Shape {
        Shape::Plain(Type::String)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        match value {
            Dynamic::String(value) => Ok(value),
            _ => Err(expected("a string")),
        }
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::String(self)
    }
}

impl AttributeType for Number {
    fn shape() -> Shape {
        Shape::Plain(Type::Number)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        match value {
            Dynamic::Number(value) => Ok(value),
            _ => Err(expected("a number")),
        }
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::Number(self)
    }
}

/// Integers. What does not fit is refused, never rounded.
macro_rules! integers {
    ($($int:ty => $to:ident, $what:literal;)+) => {$(
        impl AttributeType for $int {
            fn shape() -> Shape {
                Shape::Plain(Type::Number)
            }

            fn from_known(value: Dynamic) -> Result<Self, ValueError> {
                let whole = Number::from_known(value)?.$to();
                whole.and_then(|whole| Self::try_from(whole).ok()).ok_or_else(|| expected($what))
            }

            fn into_dynamic(self) -> Dynamic {
                Dynamic::Number(self.into())
            }
        }
    )+};
}

integers! {
    i64 => to_i64, "a whole number of at most 64 bits";
    u64 => to_u64, "a whole number from 0, of at most 64 bits";
    i32 => to_i64, "a whole number of at most 32 bits";
    u32 => to_u64, "a whole number from 0, of at most 32 bits";
}

impl AttributeType for u16 {
    fn shape() -> Shape {
        Shape::Plain(Type::Number)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let whole = Number::from_known(value)?.to_u64();
        whole
            .and_then(|whole| Self::try_from(whole).ok())
            .ok_or_else(|| expected("a whole number from 0 to 65535"))
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::Number(u32::from(self).into())
    }
}

/// An attribute of any type ("dynamic" in Terraform's words). Holds null and unknown itself, with
/// the types that they were given as; so there is no `Value<Dynamic>`.
impl Attribute for Dynamic {
    type Known = AnyType;
    const HOLDS_ABSENT: bool = true;

    fn from_dynamic(value: Dynamic) -> Result<Self, ValueError> {
        Ok(value)
    }

    fn into_dynamic(self) -> Dynamic {
        self
    }
}

/// The known values of a [`Dynamic`] attribute, for its validators.
pub struct AnyType(pub Dynamic);

impl AttributeType for AnyType {
    fn shape() -> Shape {
        Shape::Plain(Type::Dynamic)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        Ok(Self(value))
    }

    fn into_dynamic(self) -> Dynamic {
        self.0
    }
}
