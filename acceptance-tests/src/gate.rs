//! A gate on the way to a system: a TCP relay that can be shut, or made deaf, while the server works.
//!
//! It knows nothing of what it relays, so it stands before any system, with TLS or without.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::runtime::{block_on, spawn};

/// What a gate does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets all through.
    Open,
    /// Lets nobody in, and throws out who is there: the system is down, or the network is cut.
    Shut,
    /// Lets requests through and no answers back: what is asked happens, and nobody hears of it.
    Deaf,
    /// Lets requests through, and holds answers back until it is something else.
    Slow,
    /// Throws out who is there, lets nobody through, and answers whoever comes with what means nothing.
    Garbled,
}

/// No system says this. It is a whole answer in HTTP, so that what is in it is looked at.
const GARBAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n<garbage>";
/// Whoever speaks first has spoken by then; of others, nothing more is heard before they are answered.
const SPEAKS_WITHIN: Duration = Duration::from_millis(200);

/// A gate before one address.
#[derive(Clone)]
pub struct Gate {
    address: String,
    mode: Arc<watch::Sender<Mode>>,
}

impl Gate {
    /// Opens one before `target`, `host:port`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn before(target: &str) -> Result<Self> {
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).context("opening a gate")?;
        let address = listener.local_addr()?.to_string();
        let mode = Arc::new(watch::Sender::new(Mode::Open));
        let (target, seen) = (target.to_owned(), mode.clone());
        drop(spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                drop(tokio::spawn(relay(client, target.clone(), seen.subscribe())));
            }
        }));
        Ok(Self { address, mode })
    }

    /// `host:port` at which the system is reached through it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sets what it does from now on, with those who are there as well.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn relay(mut client: TcpStream, target: String, mut mode: watch::Receiver<Mode>) {
    let now = *mode.borrow();
    match now {
        Mode::Shut => return,
        Mode::Garbled => {
            let mut said = vec![0; 16 * 1024];
            let _ = tokio::time::timeout(SPEAKS_WITHIN, client.read(&mut said)).await;
            let _ = client.write_all(GARBAGE).await;
            return;
        }
        Mode::Open | Mode::Deaf | Mode::Slow => {}
    }
    let Ok(system) = TcpStream::connect(&target).await else { return };
    // Passed on at once, as without a gate: else what is left of a long message waits for an answer to the rest.
    if client.set_nodelay(true).is_err() || system.set_nodelay(true).is_err() {
        return;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_system, mut to_system) = system.into_split();
    let mut now = mode.clone();
    let there = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            if to_system.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let back = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_system.read(&mut buffer).await {
            let Ok(now) = now.wait_for(|mode| *mode != Mode::Slow).await.map(|now| *now) else { break };
            if now != Mode::Deaf && to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = mode.wait_for(|mode| matches!(mode, Mode::Shut | Mode::Garbled)) => {}
    }
}
