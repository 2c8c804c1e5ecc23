//! Keeps the server's own token in force: renews it, and takes up another when the file that it was
//! read from changes, so that it can be rotated without a restart.
//!
//! A token is renewed when a third of its time is over, so two more tries of an hour each, or many
//! short ones, fit in before it is lost. Every replica does this by itself: renewing twice does no harm.

use std::path::{Path, PathBuf};
use std::time::Duration;

use integraci_api::SecretText;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Call, Client, ErrorClass, SystemError};

/// How often the file is looked at: a rotation is noticed before its maker has turned to something else.
const FILE_POLL: Duration = Duration::from_secs(5);

/// The pauses between tries: short, since the next may succeed; bounded, since each try is a line in
/// the log.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How often a token that never expires is looked at.
const IDLE: Duration = Duration::from_secs(60 * 60);

#[derive(Deserialize)]
struct OwnToken {
    /// Seconds left; zero for one that does not expire.
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Renewed {
    auth: RenewedAuth,
}

#[derive(Deserialize)]
struct RenewedAuth {
    /// Seconds.
    lease_duration: u64,
}

/// Runs until `stop`. `file` is where the token was read from, if it was in one.
pub async fn renewal(client: Client, file: Option<PathBuf>, stop: CancellationToken) {
    stop.run_until_cancelled(Keeper::new(client, file).run()).await;
}

struct Keeper {
    client: Client,
    file: Option<PathBuf>,
    retry: Duration,
    /// When the token is lost unless it is renewed, as far as that is known.
    expires_at: Option<Instant>,
}

impl Keeper {
    const fn new(client: Client, file: Option<PathBuf>) -> Self {
        Self { client, file, retry: RETRY_FIRST, expires_at: None }
    }

    async fn run(mut self) {
        loop {
            let pause = match keep(&self.client).await {
                Ok(left) => self.kept(left),
                Err(failed) => self.failed(failed),
            };
            self.wait(pause).await;
        }
    }

    fn kept(&mut self, left: Option<Duration>) -> Duration {
        self.retry = RETRY_FIRST;
        self.expires_at = left.map(|left| Instant::now() + left);
        left.map_or(IDLE, |left| (left / 3).max(RETRY_FIRST))
    }

    fn failed(&mut self, failed: SystemError) -> Duration {
        let pause = self.retry;
        self.retry = (pause * 2).min(RETRY_MAX);
        let left_s = self.expires_at.map(|at| at.saturating_duration_since(Instant::now()).as_secs());
        if matches!(failed.class, ErrorClass::Refused) || left_s == Some(0) {
            tracing::error!(
                error = %failed,
                left_s,
                "the server's token for OpenBao cannot be renewed; run setup, or put a new one into its file"
            );
        } else {
            tracing::warn!(error = %failed, left_s, "the server's token for OpenBao could not be renewed yet");
        }
        pause
    }

    /// Waits, or less when another token is taken up meanwhile.
    async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            tokio::time::sleep_until(until.min(Instant::now() + FILE_POLL)).await;
            if self.take_up().await {
                self.retry = RETRY_FIRST;
                return;
            }
        }
    }

    /// Takes up the token in the file if it is another one and works; else goes on with the old one.
    async fn take_up(&self) -> bool {
        let Some(path) = &self.file else { return false };
        let Some(found) = read(path).await else { return false };
        if self.client.has_token(&found) {
            return false;
        }
        let taken = match self.client.with_token(&found) {
            // The new one may be good and OpenBao away: it is tried again with the next look.
            Ok(candidate) => match look_up(&candidate).await {
                Ok(_) => self.client.replace_token(&found).map_err(|invalid| invalid.to_string()),
                Err(failed) => Err(failed.to_string()),
            },
            Err(invalid) => Err(invalid.to_string()),
        };
        match &taken {
            Ok(()) => tracing::info!("the server's token for OpenBao is now the new one in its file"),
            Err(error) => tracing::error!(error, "the new token for OpenBao in the file does not work yet"),
        }
        taken.is_ok()
    }
}

/// Renews the token if it expires. How long it lasts from now; nothing if for ever.
async fn keep(client: &Client) -> Result<Option<Duration>, SystemError> {
    let token = look_up(client).await?;
    if token.ttl == 0 {
        return Ok(None);
    }
    if !token.renewable {
        tracing::warn!(
            left_s = token.ttl,
            "the server's token for OpenBao expires and cannot be renewed; run setup"
        );
        return Ok(Some(Duration::from_secs(token.ttl)));
    }
    let call = Call::post("token_renew", "auth/token/renew-self").root().json(&json!({}));
    let renewed: Renewed = client.parsed(call).await?;
    Ok(Some(Duration::from_secs(renewed.auth.lease_duration)))
}

async fn look_up(client: &Client) -> Result<OwnToken, SystemError> {
    client.data(Call::get("token_lookup", "auth/token/lookup-self").root()).await
}

async fn read(path: &Path) -> Option<SecretText> {
    let text = zeroize::Zeroizing::new(tokio::fs::read_to_string(path).await.ok()?);
    let token = text.trim();
    (!token.is_empty()).then(|| SecretText::new(token.to_owned()))
}
