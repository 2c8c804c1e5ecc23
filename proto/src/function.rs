//! Functions of a provider: pure computations for use in any expression.

use crate::{Attribute, AttributeSet};

/// A function, called in configurations as `provider::notebook::slugify("…")`.
///
/// The struct is its parameters, in order, each `required`. A parameter of a bare type is never
/// null or unknown: core refuses null, and does not call while something is unknown. One that is a
/// [`Value`](crate::Value) may be either. The last may be `#[attribute(required, variadic)]`, a
/// `Vec` of the arguments that remain. The first line of the struct's doc comment is the summary.
pub trait Function: AttributeSet {
    /// What it returns.
    type Output: Attribute;

    /// Its name, without the provider's.
    const NAME: &'static str;

    /// Computes it. The same arguments must give the same result; there is no API here.
    fn call(self) -> impl Future<Output = Result<Self::Output, FunctionError>> + Send;
}

/// Why a function has no result for its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    pub(crate) text: String,
    pub(crate) argument: Option<i64>,
}

impl FunctionError {
    /// For that reason: a whole sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), argument: None }
    }

    /// Because of that argument, from 0.
    #[must_use]
    pub fn argument(mut self, position: u32) -> Self {
        self.argument = Some(position.into());
        self
    }
}

impl From<&str> for FunctionError {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for FunctionError {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}
