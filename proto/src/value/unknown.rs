//! What is known of an unknown value.

use std::fmt;

use super::{Number, Type};

/// What is promised of a value that is not known yet: that it will not be null, how its text
/// begins, between which bounds it lies.
///
/// Kept rather than dropped, although an answer without them is always correct: a provider that
/// says "this id will not be null" lets `count = x == null ? 0 : 1` be planned before `x` exists.
/// A plain unknown costs nothing; promises are behind a pointer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Refinements(Option<Box<Promises>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Promises {
    pub(super) not_null: bool,
    pub(super) prefix: Option<String>,
    pub(super) number_min: Option<NumberBound>,
    pub(super) number_max: Option<NumberBound>,
    pub(super) length_min: Option<u64>,
    pub(super) length_max: Option<u64>,
}

/// One end of a range of numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberBound {
    /// Where the range ends.
    pub limit: Number,
    /// Whether the limit itself is in the range.
    pub inclusive: bool,
}

impl Refinements {
    /// Nothing is promised.
    pub const NONE: Self = Self(None);

    pub(super) fn from_promises(promises: Promises) -> Self {
        if promises == Promises::default() { Self::NONE } else { Self(Some(Box::new(promises))) }
    }

    pub(super) fn promises(&self) -> Option<&Promises> {
        self.0.as_deref()
    }

    /// Those that can be true of a value of that type; nothing is promised of a value whose type
    /// is itself not known yet.
    pub(super) fn fitting(self, ty: &Type) -> Self {
        let Some(promises) = self.0 else { return self };
        let Promises { not_null, prefix, number_min, number_max, length_min, length_max } = *promises;
        let basic = Promises { not_null, ..Promises::default() };
        Self::from_promises(match ty {
            Type::Dynamic => Promises::default(),
            Type::String => Promises { prefix, ..basic },
            Type::Number => Promises { number_min, number_max, ..basic },
            Type::List(_) | Type::Set(_) | Type::Map(_) => Promises { length_min, length_max, ..basic },
            Type::Bool | Type::Object(_) | Type::Tuple(_) => basic,
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Promises)) -> Self {
        change(self.0.get_or_insert_default());
        self
    }

    /// Whether nothing is promised.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Promises that the value will not be null.
    #[must_use]
    pub fn not_null(self) -> Self {
        self.with(|promises| promises.not_null = true)
    }

    /// Promises that the text will begin so, and not be null. For strings; elsewhere it is not
    /// sent. Cores refuse refinements beyond 1,024 bytes, so a longer prefix is not sent either.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.not_null().with(|promises| promises.prefix = (!prefix.is_empty()).then_some(prefix))
    }

    /// Whether the value will not be null.
    pub fn is_not_null(&self) -> bool {
        self.promises().is_some_and(|promises| promises.not_null)
    }

    /// How the text will begin.
    pub fn as_prefix(&self) -> Option<&str> {
        self.promises()?.prefix.as_deref()
    }

    /// The lower and the upper end of the number.
    pub fn number_range(&self) -> (Option<&NumberBound>, Option<&NumberBound>) {
        match self.promises() {
            Some(promises) => (promises.number_min.as_ref(), promises.number_max.as_ref()),
            None => (None, None),
        }
    }

    /// The least and the greatest length of the list, set or map.
    pub fn length_range(&self) -> (Option<u64>, Option<u64>) {
        match self.promises() {
            Some(promises) => (promises.length_min, promises.length_max),
            None => (None, None),
        }
    }
}

/// Says what kind of promises there are, not their limits: those are parts of the value.
impl fmt::Debug for Refinements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refinements").field("not_null", &self.is_not_null()).finish_non_exhaustive()
    }
}
