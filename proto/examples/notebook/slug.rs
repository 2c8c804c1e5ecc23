//! `provider::notebook::slug`: a function.

use tfplugin::{Function, FunctionError, Schema};

/// Makes the name of a shelf out of words.
///
/// Letters become lower-case, and whatever stands between them a dash:
/// `provider::notebook::slug("To Do", "2026")` is `"to-do-2026"`.
#[derive(Schema)]
pub(crate) struct Slug {
    /// The first word or words.
    #[attribute(required)]
    text: String,
    /// More of them.
    #[attribute(required, variadic)]
    more: Vec<String>,
}

impl Function for Slug {
    type Output = String;

    const NAME: &'static str = "slug";

    async fn call(self) -> Result<String, FunctionError> {
        let mut slug = String::new();
        for text in std::iter::once(self.text).chain(self.more) {
            for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                if !slug.is_empty() {
                    slug.push('-');
                }
                slug.push_str(&word.to_lowercase());
            }
        }
        if slug.is_empty() {
            Err(FunctionError::new("There is no letter in it.").argument(0))
        } else {
            Ok(slug)
        }
    }
}
