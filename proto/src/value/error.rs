//! What is wrong with a value, and where.

use std::fmt;
use std::sync::Arc;

/// One step from a value into a value inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The attribute of an object.
    Attribute(Arc<str>),
    /// The element of a map.
    Key(Arc<str>),
    /// The element of a list or tuple, from 0.
    Index(usize),
}

/// A value that cannot be read or written.
///
/// It says where (down to the list, map or object; the elements of a set have no names) and what,
/// and never quotes the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ValueError {
    // Innermost step first: it is built on the way out of the recursion.
    steps: Vec<PathStep>,
    problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value of another type stands here.
    #[error("{expected} is required")]
    Expected {
        /// The wanted type, with its article: "a string", "a list".
        expected: &'static str,
    },
    /// A number that has no exact decimal form: infinity, or text that is no number.
    #[error("this is not a decimal number")]
    NotANumber,
    /// Bytes that are not UTF-8, or a JSON escape of half a surrogate pair.
    #[error("the text is not valid Unicode")]
    NotUnicode,
    /// A type's JSON that says no type.
    #[error("the description of a type is not valid")]
    NotAType,
    /// An object without one of its attributes.
    #[error("the attribute is missing")]
    MissingAttribute,
    /// An object with an attribute that its type does not have. The name is not repeated: it is
    /// as much the sender's as a value is.
    #[error("the object has an attribute that its type does not have")]
    UnexpectedAttribute,
    /// Two entries of the same name.
    #[error("the same name appears twice")]
    DuplicateName,
    /// A tuple of another length.
    #[error("{expected} elements are required")]
    WrongLength {
        /// The length of the tuple's type.
        expected: usize,
    },
    /// Elements of a list, set or map that have no type in common, in a place whose type is for
    /// the value to say.
    #[error("the elements are of different types")]
    MixedElements,
    /// JSON has no way to write an unknown value.
    #[error("an unknown value cannot be written as JSON")]
    UnknownInJson,
    /// The bytes are not msgpack or not JSON, or end too early.
    #[error("the encoding is damaged or incomplete")]
    Malformed,
    /// Something follows the value.
    #[error("bytes follow the end of the value")]
    TrailingBytes,
    /// Nested beyond [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("the value is nested too deep")]
    TooDeep,
    /// More than [`MAX_VALUES`](super::MAX_VALUES), or text too long to be encoded.
    #[error("the value is too large")]
    TooLarge,
    /// Said by a type of the caller's own, in words that do not quote the value.
    #[error("{0}")]
    Other(String),
}

impl ValueError {
    /// An error at the value itself; callers further out add their steps with [`Self::under`].
    pub fn new(problem: Problem) -> Self {
        Self { steps: Vec::new(), problem }
    }

    /// The same error seen from one level further out.
    #[must_use]
    pub fn under(mut self, step: PathStep) -> Self {
        self.steps.push(step);
        self
    }

    /// The way to the faulty value, outermost step first.
    pub fn path(&self) -> impl ExactSizeIterator<Item = &PathStep> {
        self.steps.iter().rev()
    }

    /// What is wrong there.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<Problem> for ValueError {
    fn from(problem: Problem) -> Self {
        Self::new(problem)
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.path().enumerate() {
            match step {
                PathStep::Attribute(name) if depth == 0 => write!(f, "{name}")?,
                PathStep::Attribute(name) => write!(f, ".{name}")?,
                PathStep::Key(key) => write!(f, "[{key:?}]")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        if !self.steps.is_empty() {
            f.write_str(": ")?;
        }
        self.problem.fmt(f)
    }
}
