//! Connections to NATS: one in the system account, which lasts, and brief ones in a tenant's account.
//!
//! Facts: every resolver node answers a request to it by itself, so one request has as many answers as
//! there are nodes. Errors of the client may quote what a server said, so none is passed on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{AuthError, Client, ConnectErrorKind, ConnectOptions, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::users::PLATFORM_INBOX;
use super::{NatsConfig, error};
use crate::isolation::{ErrorClass, SystemError};

const UNREACHABLE: &str = "no server of the cluster can be reached, or the account has no connection left";
const SILENT: &str =
    "not every resolver node answered in time; are all of them up, and is `resolvers` their number?";
const REFUSED: &str = "the credentials are refused";

/// The way into the system account, made when it is first needed and again whenever it broke.
pub(super) struct SystemAccount {
    config: Arc<NatsConfig>,
    client: Mutex<Option<Client>>,
}

impl SystemAccount {
    pub(super) const fn new(config: Arc<NatsConfig>) -> Self {
        Self { config, client: Mutex::const_new(None) }
    }

    /// Asks every resolver node: as many answers as there are nodes, in no order.
    pub(super) async fn ask_all(
        &self,
        operation: &'static str,
        subject: String,
        payload: impl Into<Bytes> + Send,
    ) -> Result<Vec<Bytes>, SystemError> {
        let nodes = self.config.resolvers;
        self.asked(operation, subject, payload.into(), |answers| answers.len() >= nodes).await
    }

    /// Asks whichever node takes it for something of many parts: they are over with one that is empty.
    pub(super) async fn ask_for_parts(
        &self,
        operation: &'static str,
        subject: &str,
    ) -> Result<Vec<Bytes>, SystemError> {
        let is_over = |answers: &[Bytes]| answers.last().is_some_and(Bytes::is_empty);
        self.asked(operation, subject.to_owned(), Bytes::new(), is_over).await
    }

    async fn asked(
        &self,
        operation: &'static str,
        subject: String,
        payload: Bytes,
        is_over: impl Fn(&[Bytes]) -> bool + Send,
    ) -> Result<Vec<Bytes>, SystemError> {
        let answers = self.answers(operation, subject, payload, is_over).await;
        if let Err(failed) = &answers
            && failed.class == ErrorClass::Broken
        {
            // It may hang on a wire that was cut: the next call makes another.
            *self.client.lock().await = None;
        }
        answers
    }

    async fn answers(
        &self,
        operation: &'static str,
        subject: String,
        payload: Bytes,
        is_over: impl Fn(&[Bytes]) -> bool + Send,
    ) -> Result<Vec<Bytes>, SystemError> {
        let broken = |reason| error(operation, ErrorClass::Broken, reason);
        let deadline = Instant::now() + self.config.timeout;
        let client = self.client(operation).await?;
        let inbox = client.new_inbox();
        let mut heard = client.subscribe(inbox.clone()).await.map_err(|_| broken(UNREACHABLE))?;
        client.publish_with_reply(subject, inbox, payload).await.map_err(|_| broken(UNREACHABLE))?;
        let mut answers = Vec::new();
        while !is_over(&answers) {
            match timeout_at(deadline, heard.next()).await {
                Ok(Some(message)) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                    return Err(broken(
                        "nobody listens to account claims; do the servers have a full resolver, and is the user in the system account?",
                    ));
                }
                Ok(Some(message)) => answers.push(message.payload),
                Ok(None) => return Err(broken(UNREACHABLE)),
                Err(_) => return Err(broken(SILENT)),
            }
        }
        Ok(answers)
    }

    /// The connection, if need be a new one.
    pub(super) async fn client(&self, operation: &'static str) -> Result<Client, SystemError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref()
            && client.connection_state() == State::Connected
        {
            return Ok(client.clone());
        }
        let unreadable = || {
            error(
                operation,
                ErrorClass::Broken,
                "the file system_credentials_file cannot be read, or is not one",
            )
        };
        let file = ConnectOptions::with_credentials_file(&self.config.system_credentials_file);
        let options = file.await.map_err(|_| unreadable())?.name("integraci");
        let client = connect(operation, &self.config, options).await?;
        *kept = Some(client.clone());
        Ok(client)
    }
}

/// A user's way in.
pub(super) struct User {
    pub(super) jwt: String,
    pub(super) key: Arc<KeyPair>,
}

impl User {
    /// Options that log in as this user.
    pub(super) fn options(&self) -> ConnectOptions {
        let key = self.key.clone();
        ConnectOptions::with_jwt(self.jwt.clone(), move |nonce| {
            let key = key.clone();
            async move { key.sign(&nonce).map_err(AuthError::new) }
        })
    }
}

/// A brief connection as a user of the platform's in a tenant's account.
pub(super) async fn enter(config: &NatsConfig, user: &User) -> Result<Client, SystemError> {
    const OPERATION: &str = "account_enter";
    let options = user.options().name("integraci").custom_inbox_prefix(PLATFORM_INBOX);
    connect(OPERATION, config, options).await.map_err(|failed| match failed.class {
        // The account has just been found or made to take this user.
        ErrorClass::Refused => error(
            OPERATION,
            ErrorClass::Busy { retry_after: None },
            "the account refuses the platform's user: the tenant is suspended, somebody else changes or removes it, or the servers' clocks are minutes apart",
        ),
        _ => failed,
    })
}

/// Connects within the time that a call may take.
pub(super) async fn connect(
    operation: &'static str,
    config: &NatsConfig,
    options: ConnectOptions,
) -> Result<Client, SystemError> {
    // One that breaks is replaced when it is needed next; nothing is gained by its trying on.
    let options =
        options.max_reconnects(1).connection_timeout(config.timeout).request_timeout(Some(config.timeout));
    let options = trusting(options, config.ca_certificate.as_deref());
    // The client's future is large.
    let connecting = Box::pin(options.connect(config.servers.as_slice()));
    match timeout(config.timeout, connecting).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(failed)) => Err(match failed.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                error(operation, ErrorClass::Refused, REFUSED)
            }
            ConnectErrorKind::Tls => {
                error(operation, ErrorClass::Broken, "the servers' certificates are not trusted")
            }
            _ => error(operation, ErrorClass::Broken, UNREACHABLE),
        }),
        Err(_) => Err(error(operation, ErrorClass::Broken, "it did not answer in time")),
    }
}

fn trusting(options: ConnectOptions, ca_certificate: Option<&Path>) -> ConnectOptions {
    match ca_certificate {
        Some(file) => options.add_root_certificates(file.to_owned()).require_tls(true),
        None => options,
    }
}

/// How long more answers than expected are waited for.
const SURPLUS_WAIT: Duration = Duration::from_millis(500);

impl SystemAccount {
    /// How many nodes answer, which may be more than were expected.
    pub(super) async fn count(&self, operation: &'static str, subject: &str) -> Result<usize, SystemError> {
        let broken = |_| error(operation, ErrorClass::Broken, UNREACHABLE);
        let client = self.client(operation).await?;
        let inbox = client.new_inbox();
        let mut heard = client.subscribe(inbox.clone()).await.map_err(|_| broken(()))?;
        client.publish_with_reply(subject.to_owned(), inbox, Bytes::new()).await.map_err(|_| broken(()))?;
        let mut wait = self.config.timeout;
        let mut count = 0;
        while let Ok(Some(message)) = timeout(wait, heard.next()).await {
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                break;
            }
            count += 1;
            wait = SURPLUS_WAIT;
        }
        Ok(count)
    }
}
