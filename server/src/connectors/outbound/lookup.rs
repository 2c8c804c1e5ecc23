//! Names of far sides, resolved to addresses that may be called and to no others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Name, Resolve, Resolving};

use super::OutboundError;
use super::addresses::Addresses;

/// Finds the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of a name, in the order to try them; an error or none when there are none.
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Resolves names to allowed addresses alone, for the connections of the client.
pub(super) struct CheckedResolver {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) addresses: Addresses,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, addresses) = (Arc::clone(&self.lookup), self.addresses.clone());
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await.unwrap_or_default();
            let allowed: Vec<_> = found.into_iter().filter(|&address| addresses.allowed(address)).collect();
            if allowed.is_empty() {
                return Err(OutboundError::Unresolved.into());
            }
            // Port 0 stands for the URL's own.
            let sockets = allowed.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
