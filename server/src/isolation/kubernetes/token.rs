//! The bearer token of a client: given once, or read from a file that somebody else renews.
//!
//! Fact (Kubernetes, "Service account token volume projection"): the kubelet replaces a projected token
//! when 80 % of its life is over, so that a file read every minute is always fresh.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use integraci_api::SecretText;
use reqwest::header::HeaderValue;

use super::client::bearer;

/// How long a token from a file is used before the file is looked at again.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// A token, ready to be sent.
pub(super) struct Token {
    held: Mutex<Held>,
    file: Option<PathBuf>,
}

struct Held {
    header: HeaderValue,
    read_at: Instant,
    /// The API server did not accept it: the file is looked at before the next call.
    is_doubted: bool,
}

impl Token {
    /// A token that stays as it is; nothing where it cannot be one.
    pub(super) fn fixed(token: &SecretText) -> Option<Self> {
        Self::kept_in(token, None)
    }

    /// A token that was read from a file, and is read from it again.
    pub(super) fn kept_in(token: &SecretText, file: Option<PathBuf>) -> Option<Self> {
        let header = bearer(token.expose())?;
        Some(Self { held: Mutex::new(Held { header, read_at: Instant::now(), is_doubted: false }), file })
    }

    /// What stands in the header. A file that cannot be read, or is empty for a moment, changes nothing.
    pub(super) fn header(&self) -> HeaderValue {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file
            && (held.is_doubted || held.read_at.elapsed() >= REREAD_AFTER)
        {
            // Some hundred bytes from memory, once a minute: not worth a thread.
            let read = std::fs::read_to_string(file).map(zeroize::Zeroizing::new);
            if let Some(header) = read.ok().and_then(|text| bearer(text.trim())) {
                held.header = header;
            }
            held.read_at = Instant::now();
            held.is_doubted = false;
        }
        held.header.clone()
    }

    /// Notes that the API server did not accept it.
    pub(super) fn doubt(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_doubted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_not_accepted_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let token = Token::kept_in(&SecretText::new("first".to_owned()), Some(file.clone())).unwrap();
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(token.header(), "Bearer first");
        token.doubt();
        assert_eq!(token.header(), "Bearer second");
        std::fs::write(&file, "").unwrap();
        token.doubt();
        assert_eq!(token.header(), "Bearer second");
        assert_eq!(format!("{:?}", token.header()), "Sensitive");
    }
}
