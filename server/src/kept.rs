//! What another system told, kept for a while: nobody can make that system work by asking us, and while it
//! is away, what it last told still stands.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// What a system last told. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    kept_for: Duration,
    last: Arc<Mutex<Option<(Instant, T)>>>,
}

impl<T: Clone> Kept<T> {
    /// Nothing yet; what comes is taken to be as it was told for this long.
    pub(crate) fn new(kept_for: Duration) -> Self {
        Self { kept_for, last: Arc::default() }
    }

    /// What was told, or what is told now.
    ///
    /// # Errors
    /// That of the question, where nothing was ever told.
    pub(crate) async fn get<E: Display>(&self, ask: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        // Held while the system is asked: of many who ask at once, one does.
        let mut last = self.last.lock().await;
        if let Some((told_at, told)) = last.as_ref()
            && told_at.elapsed() < self.kept_for
        {
            return Ok(told.clone());
        }
        match ask.await {
            Ok(told) => {
                *last = Some((Instant::now(), told.clone()));
                Ok(told)
            }
            Err(error) => match last.as_mut() {
                Some((told_at, told)) => {
                    tracing::warn!(%error, "what was told before is used further");
                    // Not asked again by each who waits: it may take long to say nothing.
                    *told_at = Instant::now();
                    Ok(told.clone())
                }
                None => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_told_stands_while_it_is_new_and_while_nobody_answers() {
        let kept = Kept::new(Duration::from_secs(3600));
        assert_eq!(kept.get(async { Err::<u8, _>("away") }).await, Err("away"));
        assert_eq!(kept.get(async { Ok::<_, &str>(1) }).await, Ok(1));
        assert_eq!(kept.clone().get(async { Ok::<_, &str>(2) }).await, Ok(1), "not asked again");

        let kept = Kept::new(Duration::ZERO);
        assert_eq!(kept.get(async { Ok::<_, &str>(1) }).await, Ok(1));
        assert_eq!(kept.get(async { Err::<u8, _>("away") }).await, Ok(1));
        assert_eq!(kept.get(async { Ok::<_, &str>(2) }).await, Ok(2));
    }
}
