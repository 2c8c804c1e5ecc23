//! A value that may be null or unknown.

use super::{Attribute, AttributeType};
use crate::value::{Dynamic, ValueError};

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Value<T> {
    /// This value.
    Known(T),
    /// No value: left out, or set to `null`.
    #[default]
    Null,
    /// Not known before apply.
    Unknown,
}

impl<T> Value<T> {
    /// A known value.
    pub fn known(value: impl Into<T>) -> Self {
        Self::Known(value.into())
    }

    /// The value, if it is known.
    pub fn as_known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// The value, if it is known.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Whether there is a value and it is known.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is not known before apply.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The same with the known value replaced.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Value<U> {
        match self {
            Self::Known(value) => Value::Known(f(value)),
            Self::Null => Value::Null,
            Self::Unknown => Value::Unknown,
        }
    }

    /// A view of it.
    pub fn as_ref(&self) -> Value<&T> {
        match self {
            Self::Known(value) => Value::Known(value),
            Self::Null => Value::Null,
            Self::Unknown => Value::Unknown,
        }
    }

    /// The known value, to change it.
    pub fn as_known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Moves the value out and leaves null.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The known value, or that of `f`.
    pub fn unwrap_or_else(self, f: impl FnOnce() -> T) -> T {
        self.into_option().unwrap_or_else(f)
    }

    /// The known value, or `other`.
    pub fn unwrap_or(self, other: T) -> T {
        self.into_option().unwrap_or(other)
    }
}

impl<T> Value<T>
where
    T: std::ops::Deref,
{
    /// A view of what the value derefs to: `Value<String>` as `Option<&str>`.
    pub fn as_deref(&self) -> Option<&T::Target> {
        self.as_known().map(|value| &**value)
    }
}

/// `None` is null.
impl<T> From<Option<T>> for Value<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}

impl<T> From<T> for Value<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: AttributeType> Attribute for Value<T> {
    type Known = T;
    const HOLDS_ABSENT: bool = true;

    fn from_dynamic(value: Dynamic) -> Result<Self, ValueError> {
        match value.into_untyped() {
            Dynamic::Null => Ok(Self::Null),
            Dynamic::Unknown(_) => Ok(Self::Unknown),
            known => T::from_known(known).map(Self::Known),
        }
    }

    fn into_dynamic(self) -> Dynamic {
        match self {
            Self::Known(value) => value.into_dynamic(),
            Self::Null => Dynamic::Null,
            Self::Unknown => Dynamic::UNKNOWN,
        }
    }
}
