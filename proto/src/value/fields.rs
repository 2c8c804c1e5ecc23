//! The entries of an object or a map.

use std::sync::Arc;

use super::Dynamic;

/// Values by name, in the order of their names, which is also the order of the wire.
///
/// A sorted vector rather than a tree: objects are small, are built once and read once, and names
/// that come from a [`Type`](super::Type) are shared with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fields(Vec<(Arc<str>, Dynamic)>);

impl Fields {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sorts what a decoder has read; `None` if a name appears twice.
    pub(super) fn from_decoded(mut entries: Vec<(Arc<str>, Dynamic)>) -> Option<Self> {
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
        }
        Some(Self(entries))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name))
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Dynamic> {
        self.position(name).ok().map(|at| &self.0[at].1)
    }

    /// The value of that name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Dynamic> {
        self.position(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Moves the value out and leaves a null in its place, so that taking every field of an
    /// object moves nothing around.
    pub fn take(&mut self, name: &str) -> Option<Dynamic> {
        self.get_mut(name).map(std::mem::take)
    }

    /// Sets the value of that name, and returns the one it had. Building many in no order is
    /// quicker with `collect`.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, value: Dynamic) -> Option<Dynamic> {
        let name = name.into();
        match self.position(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes the entry out, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Dynamic> {
        self.position(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Dynamic)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Names and values, by name, to change the values.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Arc<str>, &mut Dynamic)> {
        self.0.iter_mut().map(|(name, value)| (&*name, value))
    }
}

/// Of two entries of one name, the later one stays.
impl<N: Into<Arc<str>>> FromIterator<(N, Dynamic)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Dynamic)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().map(|(name, value)| (name.into(), value)).collect();
        // The sort is stable, so of equal names the last given stands last; the walk from behind
        // that `dedup` does not offer is had by moving it forward.
        entries.sort_by(|(a, _): &(Arc<str>, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(entries)
    }
}

impl IntoIterator for Fields {
    type Item = (Arc<str>, Dynamic);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
