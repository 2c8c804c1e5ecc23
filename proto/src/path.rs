//! Where in a configuration or a state something is.

use std::fmt;

use crate::value::{PathStep, ValueError};

/// The way from a resource to one of its attributes, or to something inside one.
///
/// ```
/// # use tfplugin::Path;
/// let path = Path::root("webhook").attr("headers").key("Accept");
/// assert_eq!(path.to_string(), r#"webhook.headers["Accept"]"#);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<PathStep>);

impl Path {
    /// The resource as a whole.
    pub fn empty() -> Self {
        Self::default()
    }

    /// An attribute of the resource.
    pub fn root(name: &str) -> Self {
        Self::empty().attr(name)
    }

    /// An attribute of the object here.
    #[must_use]
    pub fn attr(self, name: &str) -> Self {
        self.step(PathStep::Attribute(name.into()))
    }

    /// An element of the list here, from 0.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.step(PathStep::Index(index))
    }

    /// An element of the map here.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.step(PathStep::Key(key.into()))
    }

    /// One step further in.
    #[must_use]
    pub fn step(mut self, step: PathStep) -> Self {
        self.0.push(step);
        self
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// Whether this is the resource as a whole.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` is `outer`, or inside it.
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    pub(crate) fn push(&mut self, step: PathStep) {
        self.0.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

impl From<&str> for Path {
    fn from(name: &str) -> Self {
        Self::root(name)
    }
}

impl From<&ValueError> for Path {
    fn from(error: &ValueError) -> Self {
        Self(error.path().cloned().collect())
    }
}

impl FromIterator<PathStep> for Path {
    fn from_iter<I: IntoIterator<Item = PathStep>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// As it would be written in a configuration.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Attribute(name) if depth == 0 => write!(f, "{name}")?,
                PathStep::Attribute(name) => write!(f, ".{name}")?,
                PathStep::Key(key) => write!(f, "[{key:?}]")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
