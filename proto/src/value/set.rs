//! The elements of a set.

use super::Dynamic;

/// Elements without order: two sets of the same elements are equal, however they were given.
///
/// Kept sorted, so that comparing two large sets takes no longer than comparing two lists.
/// Elements that are wholly known appear once; two unknown ones may turn out to differ, and stay.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DynamicSet(Vec<Dynamic>);

impl DynamicSet {
    /// How many elements there are, those not yet known included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set has this very element.
    pub fn contains(&self, element: &Dynamic) -> bool {
        self.0.binary_search(element).is_ok()
    }

    /// The elements, in an order that means nothing but is always the same.
    pub fn iter(&self) -> std::slice::Iter<'_, Dynamic> {
        self.0.iter()
    }
}

impl FromIterator<Dynamic> for DynamicSet {
    fn from_iter<I: IntoIterator<Item = Dynamic>>(elements: I) -> Self {
        Self::from(elements.into_iter().collect::<Vec<_>>())
    }
}

impl From<Vec<Dynamic>> for DynamicSet {
    fn from(mut elements: Vec<Dynamic>) -> Self {
        elements.sort();
        elements.dedup_by(|later, kept| later == kept && kept.is_wholly_known());
        Self(elements)
    }
}

impl IntoIterator for DynamicSet {
    type Item = Dynamic;
    type IntoIter = std::vec::IntoIter<Dynamic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a DynamicSet {
    type Item = &'a Dynamic;
    type IntoIter = std::slice::Iter<'a, Dynamic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
