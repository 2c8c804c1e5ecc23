//! One line for each thing that takes time, with how long it took.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// Where progress is told.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Progress {
    /// To standard error.
    #[must_use]
    pub fn stderr() -> Self {
        // A closed standard error is no reason to stop.
        Self::to(|line| drop(writeln!(std::io::stderr(), "{line}")))
    }

    /// To nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::to(|_| ())
    }

    /// To a function, called with one line without its end.
    #[must_use]
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink) }
    }

    pub(crate) fn say(&self, about: impl fmt::Display, what: impl fmt::Display) {
        (self.sink)(&format!("{about}: {what}"));
    }

    /// Begins a phase that is told when it ends.
    pub(crate) fn phase(&self, about: impl fmt::Display) -> Phase {
        Phase { progress: self.clone(), about: about.to_string(), began: Instant::now() }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A phase under way.
pub(crate) struct Phase {
    progress: Progress,
    about: String,
    began: Instant,
}

impl Phase {
    pub(crate) fn done(self, what: impl fmt::Display) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.progress.say(&self.about, format_args!("{what} ({seconds:.1} s)"));
    }
}
