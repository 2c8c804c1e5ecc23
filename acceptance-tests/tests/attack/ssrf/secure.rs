//! A server that may call nothing without TLS, and far sides with TLS that lead to ones without.

use std::net::SocketAddr;
use std::sync::Arc;

use acceptance_tests::far::new_secret;
use acceptance_tests::new_slug;
use acceptance_tests::runtime::{block_on, spawn};
use anyhow::{Result, ensure};
use axum::Router;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::addresses::{ALLOWED, SOME_HOSTS};
use super::directly::{request, webhook};
use super::machine::{Machine, Path};
use super::tenant::{ADDRESS, Ends, SCHEME, Tenant, Way};
use crate::score::Score;

/// The redirects of HTTP that keep or drop the method, for a while or for good.
const STATUSES: &[u16] = &[301, 302, 303, 307, 308];

/// A far side with TLS, until it is dropped.
pub(super) struct Secure {
    port: u16,
    authority: String,
    server: JoinHandle<()>,
}

impl Secure {
    /// Serves an application at the allowed address.
    pub(super) fn listen(app: Router) -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![ALLOWED.to_string()])?
            .signed_by(&key, &Issuer::new(authority, authority_key))?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| anyhow::anyhow!("the key is none: {error}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let listener = block_on(TcpListener::bind((ALLOWED, 0)))?;
        let port = listener.local_addr()?.port();
        let tls = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let server = spawn(async move { drop(axum::serve(tls, app).await) });
        Ok(Self { port, authority: authority_pem, server })
    }

    /// A registry there that is read, with redirects followed.
    fn registry(&self, path: &str) -> Value {
        let config = json!({ "url": self.address(path), "ca_certificate": self.authority });
        request("container_registry", &config, &json!({ "token": new_secret() }), "optional")
    }

    /// A registry there that names a token service.
    fn challenging(&self, realm: &str) -> Value {
        let url = self.address(&Path::realm(realm));
        let config = json!({ "url": url, "ca_certificate": self.authority, "username": "ci" });
        request("container_registry", &config, &json!({ "password": new_secret() }), "optional")
    }

    fn address(&self, path: &str) -> String {
        format!("https://{ALLOWED}:{}{path}", self.port)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            // Who hangs up on the certificate is not a guest.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Ways without TLS, at once or by way of a far side that has it; the server may call none of them, at
/// any address.
pub(super) fn downgrades(machine: &Machine, secure: &Secure) -> Vec<Way> {
    let plain = |port: u16| format!("http://{ALLOWED}:{port}{}", Path::yes("plain"));
    let way = |what: String, at: &dyn Fn(u16) -> Value, words: &str| Way {
        what,
        there: at(machine.port()),
        nowhere: at(machine.silent_port()),
        ends: Ends::With(words.to_owned()),
    };
    let mut ways = vec![
        way("a webhook without TLS".to_owned(), &|port| webhook(&plain(port), "required"), SCHEME),
        way("a token service without TLS".to_owned(), &|port| secure.challenging(&plain(port)), SCHEME),
    ];
    for &status in STATUSES {
        for hops in [0, 1] {
            let at = |port| secure.registry(&Path::redirect(status, hops, &plain(port)));
            ways.push(way(format!("{status} to one without TLS, after {hops} others"), &at, SCHEME));
        }
    }
    for host in SOME_HOSTS {
        let at = |port: u16| secure.registry(&Path::redirect(307, 0, &format!("https://{host}:{port}/")));
        ways.push(way(format!("a redirect with TLS to {host}"), &at, ADDRESS));
    }
    ways
}

/// Redirects with TLS lead to where they may; and nobody has come without.
pub(super) fn downgrades_lead(machine: &Machine, secure: &Secure, tenant: &Tenant) -> Result<Score> {
    let mut score = Score::default();
    for &status in STATUSES {
        let path = Path::yes(&new_slug("tls"));
        let seen = tenant.install(&secure.registry(&Path::redirect(status, 0, &secure.address(&path))))?;
        ensure!(machine.was_asked(&path), "{status} with TLS leads nowhere: {}", seen.answer);
        score.control();
    }
    if machine.was_asked(&Path::yes("plain")) {
        score.trespass("somebody came without TLS");
    }
    Ok(score)
}
