//! What a user is told: errors and warnings, each at an attribute where there is one.

use crate::Path;
use crate::value::ValueError;

/// Whether the operation may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It may not.
    Error,
    /// It may; the user should know.
    Warning,
}

/// One thing that a user is told.
///
/// ```
/// # use tfplugin::{Diagnostic, Path};
/// let diagnostic = Diagnostic::error("The slug is taken")
///     .detail("Another tenant is called `acme`. Choose a different slug, or import the tenant.")
///     .at(Path::root("slug"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    summary: String,
    detail: String,
    path: Option<Path>,
}

impl Diagnostic {
    /// Something is wrong. The summary is one short sentence without a full stop.
    pub fn error(summary: impl Into<String>) -> Self {
        Self { severity: Severity::Error, summary: summary.into(), detail: String::new(), path: None }
    }

    /// Something is worth knowing.
    pub fn warning(summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(summary) }
    }

    /// Says more, and above all what to do about it. Plain text, whole sentences.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Points at an attribute: core then shows the lines of the configuration.
    #[must_use]
    pub fn at(mut self, path: impl Into<Path>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The short sentence.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The longer text; may be empty.
    pub fn detail_text(&self) -> &str {
        &self.detail
    }

    /// The attribute, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }
}

/// Errors and warnings, in the order in which they were found.
///
/// `?` turns a [`Diagnostic`] into one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing to say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of those.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// `Ok(value)`, or these if one of them is an error. Warnings beside a value are lost here:
    /// give them to [`Cx::warn`](crate::Cx::warn).
    ///
    /// # Errors
    /// These, if [`Self::has_errors`].
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A value that is not what the schema or a type asks for, at its attribute.
impl From<ValueError> for Diagnostic {
    fn from(error: ValueError) -> Self {
        Self::error("Invalid value").detail(sentence(&error.problem().to_string())).at(&error)
    }
}

impl From<ValueError> for Diagnostics {
    fn from(error: ValueError) -> Self {
        Diagnostic::from(error).into()
    }
}

/// "a string is required" as people write it: "A string is required."
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut out: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
    out.push_str(letters.as_str());
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}
