//! Types of one's own that are written as text.

use std::fmt::{self, Display};
use std::ops::Deref;
use std::str::FromStr;

use super::AttributeType;
use crate::schema::Shape;
use crate::value::{Dynamic, Problem, Type, ValueError};

/// A string attribute that is read as a `T`: an id, an address, an enumeration.
///
/// `T` comes from the text by `FromStr` and goes back by `Display`. The text must come back as it
/// was, for core refuses a plan that writes a configured value differently. The error of `FromStr`
/// is shown to the user, so it must not quote a secret.
///
/// It is a wrapper, because a type of another crate can get no trait of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<T>(pub T);

impl<T> Deref for Text<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Text<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> AttributeType for Text<T>
where
    T: FromStr<Err: Display> + Display + Send + Sync + 'static,
{
    fn shape() -> Shape {
        Shape::Plain(Type::String)
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let text = String::from_known(value)?;
        text.parse().map(Self).map_err(|error: T::Err| Problem::Other(error.to_string()).into())
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::String(self.0.to_string())
    }
}

super::scalars::bare_attribute!((T: FromStr<Err: Display> + Display + Send + Sync + 'static) Text<T>);

/// Lets a type of one's own crate stand as a string attribute: as [`Text`], without the wrapper.
///
/// ```
/// # use std::{fmt, str::FromStr};
/// struct NoteId(String);
/// # impl FromStr for NoteId { type Err = &'static str; fn from_str(s: &str) -> Result<Self, Self::Err> { Ok(Self(s.into())) } }
/// # impl fmt::Display for NoteId { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
/// // … with `FromStr` and `Display`
/// tfplugin::string_newtype!(NoteId);
/// ```
#[macro_export]
macro_rules! string_newtype {
    ($ty:ty) => {
        impl $crate::AttributeType for $ty {
            fn shape() -> $crate::schema::Shape {
                <$crate::Text<Self> as $crate::AttributeType>::shape()
            }

            fn from_known(
                value: $crate::value::Dynamic,
            ) -> ::std::result::Result<Self, $crate::value::ValueError> {
                <$crate::Text<Self> as $crate::AttributeType>::from_known(value).map(|text| text.0)
            }

            fn into_dynamic(self) -> $crate::value::Dynamic {
                $crate::AttributeType::into_dynamic($crate::Text(self))
            }
        }

        impl $crate::Attribute for $ty {
            type Known = Self;
            const HOLDS_ABSENT: bool = false;

            fn from_dynamic(
                value: $crate::value::Dynamic,
            ) -> ::std::result::Result<Self, $crate::value::ValueError> {
                $crate::__derive::bare(value)
            }

            fn into_dynamic(self) -> $crate::value::Dynamic {
                $crate::AttributeType::into_dynamic(self)
            }
        }
    };
}
