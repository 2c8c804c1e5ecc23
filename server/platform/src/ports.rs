//! Free TCP ports on the loopback address.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// Ports given out by this process, so that systems starting side by side never get the same one
/// in the moment between its choice and its use.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// `count` different ports that nobody listens on.
pub(crate) fn free(count: usize) -> Result<Vec<u16>, Error> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // Kept open until all are chosen, or the kernel might offer one twice.
    let mut listeners = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < count {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("finding a free port"))?;
        let port = listener.local_addr().map_err(Error::io("finding a free port"))?.port();
        listeners.push(listener);
        if given.insert(port) {
            ports.push(port);
        }
    }
    Ok(ports)
}

/// Whether nobody listens on the port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
