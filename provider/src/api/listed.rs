//! One list of a tenant's connectors answers many reads of them.
//!
//! A plan over five hundred connectors would otherwise make five hundred requests. What a read is told
//! is as true as the answer to a request of its own would be, within these bounds:
//!
//! - A list is good until this process begins or ends a change of a connector of that tenant, and for
//!   [`GOOD_FOR`] at most. What somebody else changes meanwhile is found as it would be a moment after a
//!   read of its own: the next plan sees it, and an apply is refused by its `If-Match`, because the
//!   revision that was listed is the one that is sent.
//! - A connector that is not in the list is asked for by itself before it is said to be gone.
//! - What reads its own change (after create and update) does not come here.
//!
//! Pages are fetched as reads need them, one a read at most, so that a configuration with one connector
//! of a tenant of thousands makes two requests and not a list of thousands. Reads of one tenant take
//! turns while a page is on its way, so that it is asked for once.
//!
//! Knows nothing of Terraform. Why: docs/decisions/0013-one-list-serves-many-reads.md.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use integraci_api::connectors::Connector;
use integraci_api::{ConnectorId, Page, TenantId};
use tokio::time::Instant;

use super::send::none_if_not_found;
use super::{Api, Error, Patience};

/// How long a list may answer reads. A refresh of some hundreds takes less, and it is far less than what
/// lies between a plan that is shown and an apply that is agreed to.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// The lists of all tenants that were read from.
#[derive(Default)]
pub(super) struct Lists(Mutex<HashMap<TenantId, Arc<Listed>>>);

/// What is known of one tenant's connectors.
#[derive(Default)]
struct Listed {
    /// Counts the beginnings and ends of changes that this process makes.
    changes: AtomicU64,
    /// Held while a page is on its way.
    list: tokio::sync::Mutex<List>,
}

/// A list as far as it was fetched.
#[derive(Default)]
struct List {
    /// When it was begun, and at which count of changes.
    begun: Option<(Instant, u64)>,
    connectors: HashMap<ConnectorId, Connector>,
    next: Next,
}

#[derive(Default)]
enum Next {
    #[default]
    First,
    After(String),
    Nothing,
}

/// A change of a connector that is under way; it ends when this is dropped.
pub(super) struct Change(Arc<Listed>);

impl Lists {
    /// Whatever was listed of the tenant is out of date from now on, and what is listed before this
    /// is dropped will be.
    pub(super) fn change(&self, tenant: TenantId) -> Change {
        let listed = self.of(tenant);
        listed.changes.fetch_add(1, Ordering::SeqCst);
        Change(listed)
    }

    fn of(&self, tenant: TenantId) -> Arc<Listed> {
        // Whole even if a holder has panicked: nothing is done under it but this.
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant).or_default())
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl List {
    /// Empty, unless it is still good.
    fn renew(&mut self, now: Instant, changes: u64) {
        let is_good =
            self.begun.is_some_and(|(at, count)| count == changes && now.duration_since(at) < GOOD_FOR);
        if !is_good {
            *self = Self { begun: Some((now, changes)), ..Self::default() };
        }
    }

    /// The cursor of the page that would be fetched next: none for the first.
    fn cursor(&self) -> Option<Option<&str>> {
        match &self.next {
            Next::First => Some(None),
            Next::After(cursor) => Some(Some(cursor)),
            Next::Nothing => None,
        }
    }

    /// Takes a page in; none is that there is no such tenant.
    fn add(&mut self, page: Option<Page<Connector>>) {
        let (items, next) = page.map_or_else(Default::default, |page| (page.items, page.next_cursor));
        self.next = match next {
            // A server that goes round in circles is not followed.
            Some(next) if self.cursor() != Some(Some(&next)) => Next::After(next),
            _ => Next::Nothing,
        };
        self.connectors.extend(items.into_iter().map(|connector| (connector.id, connector)));
    }
}

impl Api {
    /// The connector, if there is one, as it was some seconds ago at most, but never as it was before a
    /// change that this process has made.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn connector_listed(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        patience: &Patience,
    ) -> Result<Option<Connector>, Error> {
        match self.find_listed(tenant, id, patience).await? {
            Some(connector) => Ok(Some(connector)),
            None => self.connector_read(tenant, id, patience).await,
        }
    }

    async fn find_listed(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        patience: &Patience,
    ) -> Result<Option<Connector>, Error> {
        let listed = self.lists.of(tenant);
        let mut list = tokio::select! {
            biased;
            () = patience.stopped.cancelled() => return Err(Error::Stopped),
            list = listed.list.lock() => list,
        };
        list.renew(Instant::now(), listed.changes.load(Ordering::SeqCst));
        if !list.connectors.contains_key(&id)
            && let Some(cursor) = list.cursor()
        {
            let page = none_if_not_found(self.connector_page(tenant, None, cursor, patience).await)?;
            list.add(page);
        }
        Ok(list.connectors.get(&id).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next: Option<&str>) -> Page<Connector> {
        Page { items: Vec::new(), next_cursor: next.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_list_ends_with_its_last_page_and_when_it_goes_in_circles() {
        let mut list = List::default();
        assert_eq!(list.cursor(), Some(None));
        list.add(Some(page(Some("a"))));
        assert_eq!(list.cursor(), Some(Some("a")));
        list.add(Some(page(Some("b"))));
        assert_eq!(list.cursor(), Some(Some("b")));
        list.add(Some(page(Some("b"))));
        assert_eq!(list.cursor(), None);
        for last in [Some(page(None)), None] {
            let mut list = List::default();
            list.add(last);
            assert_eq!(list.cursor(), None);
        }
    }

    #[test]
    fn a_list_is_good_for_a_while_and_until_something_is_changed() {
        let (lists, tenant) = (Lists::default(), TenantId::from_uuid(uuid::Uuid::nil()));
        let (begun, count) = (Instant::now(), || lists.of(tenant).changes.load(Ordering::SeqCst));
        let is_kept = |list: &mut List, at: Instant| {
            list.renew(at, count());
            list.cursor() == Some(Some("a"))
        };
        let fetched = || {
            let mut list = List::default();
            list.renew(begun, count());
            list.add(Some(page(Some("a"))));
            list
        };
        assert!(is_kept(&mut fetched(), begun + GOOD_FOR / 2));
        assert!(!is_kept(&mut fetched(), begun + GOOD_FOR), "it is old");
        let mut before = fetched();
        let change = lists.change(tenant);
        assert!(!is_kept(&mut before, begun), "a change has begun");
        let mut meanwhile = fetched();
        drop(change);
        assert!(!is_kept(&mut meanwhile, begun), "it has ended");
        let mut after = fetched();
        drop(lists.change(TenantId::from_uuid(uuid::Uuid::max())));
        assert!(is_kept(&mut after, begun), "that was another tenant's");
    }
}
