//! A NATS that answers late, with garbage, in part or not at all: a wire to the real one that can be cut,
//! and listeners that are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integraci_server::isolation::nats::{Nats, NatsConfig};
use integraci_server::isolation::{ErrorClass, Isolation as _};
use integraci_server::source::Source;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{World, config, fresh};

const SHORT: Duration = Duration::from_millis(700);

/// A wire to the real NATS.
pub(crate) struct Wire {
    pub(crate) address: String,
    /// What goes one way or the other is swallowed.
    silent: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Wire {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("nats://{}", listener.local_addr().unwrap());
        let far = config().servers[0].strip_prefix("nats://").unwrap().to_owned();
        let silent = Arc::new(AtomicBool::new(false));
        let (cut, _) = watch::channel(());
        let (is_silent, cuts) = (silent.clone(), cut.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&far).await.unwrap();
                let (silent, mut cut) = (is_silent.clone(), cuts.subscribe());
                tokio::spawn(async move {
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near_in, far_out, silent.clone()) => {}
                        () = carry(far_in, near_out, silent) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, silent, cut }
    }

    /// Swallows everything from now on.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Carries again, on new connections.
    pub(crate) fn recover(&self) {
        self.silent.store(false, Ordering::SeqCst);
        self.cut.send_replace(());
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    silent: Arc<AtomicBool>,
) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !silent.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_wire_that_is_cut_or_falls_silent_breaks_the_call_and_not_the_next() {
    let world = World::new().await;
    let wire = Wire::new().await;
    let config = NatsConfig { servers: vec![wire.address.clone()], timeout: SHORT, ..config() };
    let nats = Nats::new(config, world.keys.clone(), Source::real()).unwrap();
    let tenant = fresh();
    nats.ensure(&tenant).await.unwrap();

    wire.cut.send_replace(());
    nats.ensure(&tenant).await.unwrap();

    wire.fall_silent();
    for failed in [nats.ensure(&tenant).await.map(drop), nats.remains(&tenant).await.map(drop)] {
        assert_eq!(failed.unwrap_err().class, ErrorClass::Broken);
    }
    wire.recover();
    nats.ensure(&tenant).await.unwrap();
    nats.ensure_none(&tenant).await.unwrap();
    assert_eq!(nats.remains(&tenant).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_nats_is_broken() {
    let world = World::new().await;
    let tenant = fresh();
    for greeting in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "INFO {]\r\n", "-ERR 'go away'\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![format!("nats://{}", listener.local_addr().unwrap())];
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut near, _)) = listener.accept().await {
                near.write_all(greeting.as_bytes()).await.unwrap();
                held.push(near);
            }
        });
        let config = NatsConfig { servers, timeout: SHORT, ..config() };
        let nats = Nats::new(config, world.keys.clone(), Source::real()).unwrap();
        let failed = nats.ensure(&tenant).await.unwrap_err();
        assert_eq!(failed.class, ErrorClass::Broken, "{greeting}: {failed}");
    }
    world.removed(&[&tenant]).await;
}
