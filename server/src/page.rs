//! Cuts lists into pages. Ids are UUIDv7, so their order is the order of making, and the last id of a
//! page is all that its cursor needs to say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::page::{DEFAULT_LIMIT, MAX_LIMIT, PageQuery};
use integraci_api::{FieldProblem, Page};
use uuid::Uuid;

use crate::error::Error;

/// Where a page ends. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

/// The part of a list that a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Only what comes after this id.
    pub after: Option<Uuid>,
    limit: u32,
}

impl Slice {
    /// What a query asks for.
    ///
    /// # Errors
    /// `invalid_request` at `/limit` or `/cursor`.
    pub fn of(query: &PageQuery) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            faults.push(FieldProblem::new("/limit", format!("a page has 1 to {MAX_LIMIT} items")));
        }
        let after = query.cursor.as_deref().map(Cursor::parse);
        if after == Some(None) {
            faults.push(FieldProblem::new(
                "/cursor",
                "not a cursor; give `next_cursor` of the page before, unchanged",
            ));
        }
        if faults.is_empty() {
            Ok(Self { after: after.flatten().map(|cursor| cursor.0), limit })
        } else {
            Err(Error::invalid(faults))
        }
    }

    /// How many rows to fetch: one more than the page, to know whether another follows.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page of the rows fetched.
    pub fn page<T>(&self, rows: impl Iterator<Item = T>, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let limit = self.limit as usize;
        let mut items: Vec<T> = rows.collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| cursor(last).text());
        Page { items, next_cursor }
    }
}

impl Cursor {
    fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_cursor() {
        let slice = Slice::of(&PageQuery { limit: Some(2), cursor: None }).unwrap();
        let page = |count: u128| slice.page((1..=count).map(Uuid::from_u128), |id| Cursor(*id));
        assert_eq!(page(2).next_cursor, None);
        let first = page(3);
        assert_eq!(first.items.len(), 2);
        let next = Slice::of(&PageQuery { limit: Some(2), cursor: first.next_cursor }).unwrap();
        assert_eq!(next.after, Some(Uuid::from_u128(2)));
    }

    #[test]
    fn rubbish_is_told_at_its_place() {
        let query = PageQuery { limit: Some(0), cursor: Some("?".into()) };
        let Err(Error::Refused(problem)) = Slice::of(&query) else { panic!("expected a refusal") };
        let pointers: Vec<_> = problem.errors.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/limit", "/cursor"]);
    }
}
