//! One call to OpenBao, before it is made.

use std::time::Duration;

use reqwest::Method;
use zeroize::Zeroizing;

/// One call. Holds its body in memory that is wiped, since the body may be a secret.
pub(crate) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) namespace: Namespace<'a>,
    pub(super) authenticated: bool,
    pub(super) wrap_ttl: Option<Duration>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// Where a call is made.
#[derive(Clone, Copy)]
pub(super) enum Namespace<'a> {
    Root,
    Platform,
    /// Below the platform's own.
    Below(&'a str),
}

impl<'a> Call<'a> {
    const fn new(operation: &'static str, method: Method, path: &'a str) -> Self {
        let namespace = Namespace::Platform;
        Self { operation, method, path, namespace, authenticated: true, wrap_ttl: None, body: None }
    }

    /// Reads.
    pub(crate) const fn get(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::GET, path)
    }

    /// Creates, changes or asks.
    pub(crate) const fn post(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::POST, path)
    }

    /// Writes.
    pub(crate) const fn put(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::PUT, path)
    }

    /// Deletes.
    pub(crate) const fn delete(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::DELETE, path)
    }

    /// In a namespace below the platform's own.
    pub(crate) const fn namespace(mut self, name: &'a str) -> Self {
        self.namespace = Namespace::Below(name);
        self
    }

    /// In a namespace below the platform's own, or in that itself.
    pub(crate) const fn within(self, name: Option<&'a str>) -> Self {
        match name {
            Some(name) => self.namespace(name),
            None => self,
        }
    }

    /// In the root namespace.
    pub(crate) const fn root(mut self) -> Self {
        self.namespace = Namespace::Root;
        self
    }

    /// Without the token.
    pub(crate) const fn anonymous(mut self) -> Self {
        self.authenticated = false;
        self
    }

    /// With an answer that is wrapped: a token that gives it out once, until `ttl` is over.
    pub(crate) const fn wrapped(mut self, ttl: Duration) -> Self {
        self.wrap_ttl = Some(ttl);
        self
    }

    /// With a body that is no secret.
    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body(Zeroizing::new(body.to_string().into_bytes()))
    }

    /// With a body, which may be a secret.
    pub(crate) fn body(mut self, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(body);
        self
    }
}
