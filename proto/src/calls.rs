//! The calls of core: how many are under way, and whether it has begun to apply.
//!
//! The protocol has no call that ends a plan, and its calls come in no order. Who has something to say of
//! a plan as a whole can only wait until core asks nothing more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The calls of core to one provider. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<watch::Sender<Now>>);

#[derive(Default)]
struct Now {
    under_way: usize,
    /// How many of those wait for the others.
    waiting: usize,
    applying: bool,
}

/// A change of a count, which is taken back when this is dropped.
pub(crate) struct Counted {
    calls: Calls,
    count: fn(&mut Now) -> &mut usize,
}

impl Calls {
    /// A call is under way until what this returns is dropped.
    pub(crate) fn begin(&self) -> Counted {
        self.count(|now| &mut now.under_way)
    }

    /// Core applies from now on, or, after it has configured the provider anew, does not yet.
    pub(crate) fn set_applying(&self, applying: bool) {
        self.0.send_if_modified(|now| std::mem::replace(&mut now.applying, applying) != applying);
    }

    pub(crate) fn is_applying(&self) -> bool {
        self.0.borrow().applying
    }

    /// Completes once core applies.
    pub(crate) async fn applying(&self) {
        // It cannot fail: this holds the sender.
        let _ = self.0.subscribe().wait_for(|now| now.applying).await;
    }

    /// Completes once no call but those that wait here was under way for so long.
    pub(crate) async fn quiet(&self, spell: Duration) {
        let _waiting = self.count(|now| &mut now.waiting);
        let mut changes = self.0.subscribe();
        loop {
            let is_quiet = {
                let now = changes.borrow_and_update();
                now.under_way <= now.waiting
            };
            tokio::select! {
                // A spell that is over is over for all who wait for it, although the first of them to be
                // told ends its call before the others look.
                biased;
                () = tokio::time::sleep(spell), if is_quiet => return,
                _ = changes.changed() => {}
            }
        }
    }

    fn count(&self, count: fn(&mut Now) -> &mut usize) -> Counted {
        self.0.send_modify(|now| *count(now) += 1);
        Counted { calls: self.clone(), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.calls.0.send_modify(|now| *(self.count)(now) -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SPELL: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn it_is_quiet_when_only_those_are_under_way_who_wait_for_it() {
        let calls = Calls::default();
        let waiting = |own: Counted| {
            let calls = calls.clone();
            async move {
                calls.quiet(SPELL).await;
                drop(own);
            }
        };
        tokio::join!(waiting(calls.begin()), waiting(calls.begin()));
    }

    #[tokio::test]
    async fn it_is_not_quiet_while_another_call_is_under_way() {
        let calls = Calls::default();
        let (_own, other) = (calls.begin(), calls.begin());
        let mut quiet = Box::pin(calls.quiet(SPELL));
        assert!(tokio::time::timeout(10 * SPELL, &mut quiet).await.is_err());
        drop(other);
        quiet.await;
    }

    #[tokio::test]
    async fn a_call_that_begins_in_a_spell_ends_it() {
        let calls = Calls::default();
        let _own = calls.begin();
        let mut quiet = Box::pin(calls.quiet(SPELL));
        assert!(quiet.as_mut().now_or_never().is_none());
        let other = calls.begin();
        assert!(tokio::time::timeout(10 * SPELL, &mut quiet).await.is_err());
        drop(other);
        quiet.await;
    }

    #[tokio::test]
    async fn who_no_longer_waits_is_a_call_like_any_other() {
        let calls = Calls::default();
        let (_one, other) = (calls.begin(), calls.begin());
        let mut given_up = Box::pin(calls.quiet(NEVER));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        let mut quiet = Box::pin(calls.quiet(SPELL));
        assert!(tokio::time::timeout(10 * SPELL, &mut quiet).await.is_err());
        drop(other);
        quiet.await;
    }

    #[tokio::test]
    async fn an_apply_is_told_to_who_waits_and_is_over_when_all_begins_anew() {
        let calls = Calls::default();
        let mut applying = Box::pin(calls.applying());
        assert!(applying.as_mut().now_or_never().is_none() && !calls.is_applying());
        calls.set_applying(true);
        applying.await;
        calls.applying().await;
        calls.set_applying(false);
        assert!(!calls.is_applying());
    }
}
