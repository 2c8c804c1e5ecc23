//! This machine, listening on every address that it has: what comes in at the allowed one is served as a
//! tenant's far side would, what comes in at any other is noted and hung up on.
//!
//! So the address is all that differs between a call that must get through and one that must not: the
//! listener that hears the former would hear the latter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as Blocking};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acceptance_tests::runtime::{block_on, spawn};
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LINK, LOCATION, REFRESH, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use percent_encoding::{CONTROLS, utf8_percent_encode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::addresses::ALLOWED;
use super::secure::Secure;

/// A connection on the machine itself takes a millisecond.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
/// What was connected is accepted by then.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);

/// The listener, until it is dropped.
pub(super) struct Machine {
    port: u16,
    silent_port: u16,
    heard: Arc<Heard>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    /// The addresses at which somebody came who must not.
    trespasses: Mutex<Vec<IpAddr>>,
    /// The paths that were asked for at the allowed one.
    paths: Mutex<Vec<String>>,
}

impl Machine {
    /// Listens on a free port of every address.
    pub(super) fn listen() -> Result<Self> {
        let listener = block_on(async {
            match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
                Ok(listener) => Ok(listener),
                // A machine without IPv6 has no such addresses to be reached at.
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await,
            }
        })
        .context("listening on every address")?;
        let port = listener.local_addr()?.port();
        // Free a moment ago, and nobody listens there unless by chance.
        let silent_port = std::net::TcpListener::bind((ALLOWED, 0))?.local_addr()?.port();
        let heard = Arc::new(Heard::default());
        let watched = Watched { listener, heard: heard.clone() };
        let app = app(&heard);
        let server = spawn(async move { drop(axum::serve(watched, app).await) });
        Ok(Self { port, silent_port, heard, server })
    }

    /// The port that is listened at.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// A port at which nobody listens.
    pub(super) const fn silent_port(&self) -> u16 {
        self.silent_port
    }

    /// An address at which it is a tenant's far side; [`Path`] says what is answered there.
    pub(super) fn allowed(&self, path: &str) -> String {
        format!("http://{ALLOWED}:{}{path}", self.port)
    }

    /// The same far side with TLS, at a port of the allowed address alone.
    pub(super) fn secure(&self) -> Result<Secure> {
        Secure::listen(app(&self.heard))
    }

    /// Whether anything at or below a path was asked for.
    pub(super) fn was_asked(&self, path: &str) -> bool {
        let paths = self.heard.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().any(|asked| asked.starts_with(path))
    }

    /// Where somebody came who must not, since this was last asked.
    pub(super) fn trespasses(&self) -> Vec<IpAddr> {
        std::mem::take(&mut *self.heard.trespasses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connects as anybody on this machine can, and says whether the listener noted it: if not, the host
    /// does not stand for this machine, and it would not be the listener that shows who calls it.
    pub(super) fn hears_at(&self, host: &str) -> Result<bool> {
        let url = reqwest::Url::parse(&format!("http://{host}:{}/", self.port))?;
        let Ok(mut addresses) = url.socket_addrs(|| None) else { return Ok(false) };
        let Some(address) = addresses.pop() else { return Ok(false) };
        // The allowed one in another form: the machine hears it, and takes it for what is meant.
        if address.ip().to_canonical() == ALLOWED {
            return Ok(false);
        }
        if Blocking::connect_timeout(&address, CONNECT_DEADLINE).is_err() {
            return Ok(false);
        }
        let began = Instant::now();
        while self.trespasses().is_empty() {
            ensure!(began.elapsed() < ACCEPT_DEADLINE, "the listener does not note who comes to {host}");
            std::thread::yield_now();
        }
        Ok(true)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Lets those in who came to the allowed address, and notes the others.
struct Watched {
    listener: TcpListener,
    heard: Arc<Heard>,
}

impl Listener for Watched {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            let at = stream.local_addr().map_or(Ipv6Addr::UNSPECIFIED.into(), |at| at.ip());
            if at.to_canonical() == ALLOWED {
                return (stream, from);
            }
            self.heard.trespasses.lock().unwrap_or_else(PoisonError::into_inner).push(at);
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What is answered where: whatever comes behind such a path is answered the same.
pub(super) struct Path;

impl Path {
    /// What most services would be glad of.
    pub(super) fn yes(mark: &str) -> String {
        format!("/yes/{mark}")
    }

    /// A redirect of this status, after so many to the machine itself.
    pub(super) fn redirect(status: u16, hops: usize, to: &str) -> String {
        format!("/to/{status}/{hops}/{}", hex::encode(ascii(to)))
    }

    /// A registry's challenge.
    pub(super) fn realm(realm: &str) -> String {
        format!("/realm/{}", hex::encode(ascii(realm)))
    }

    /// An answer that says by its headers and its text that one should go on elsewhere, but is no redirect.
    pub(super) fn hint(to: &str) -> String {
        format!("/hint/{}", hex::encode(to))
    }
}

/// What is answered at the allowed address.
fn app(heard: &Arc<Heard>) -> Router {
    Router::new().fallback(answer).with_state(heard.clone())
}

/// The same address without what cannot be in a header.
fn ascii(address: &str) -> String {
    utf8_percent_encode(address, CONTROLS).to_string()
}

async fn answer(State(heard): State<Arc<Heard>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    heard.paths.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    answered(&path).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn answered(path: &str) -> Option<Response> {
    let mut words = path.trim_start_matches('/').split('/');
    Some(match words.next()? {
        "yes" => {
            let said = r#"{"access_token":"given","token":"given","auth":{"client_token":"given"}}"#;
            ([(CONTENT_TYPE, "application/json")], said).into_response()
        }
        "to" => {
            let status = StatusCode::from_bytes(words.next()?.as_bytes()).ok()?;
            let hops: usize = words.next()?.parse().ok()?;
            let to = hex::decode(words.next()?).ok()?;
            let next = match hops.checked_sub(1) {
                Some(hops) => format!("/to/{}/{hops}/{}/on", status.as_u16(), hex::encode(to)).into_bytes(),
                None => to,
            };
            (status, [(LOCATION, HeaderValue::from_bytes(&next).ok()?)]).into_response()
        }
        "realm" => {
            let realm = String::from_utf8(hex::decode(words.next()?).ok()?).ok()?;
            let challenge = HeaderValue::from_str(&format!(r#"Bearer realm="{realm}",service="x""#)).ok()?;
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
        }
        "hint" => {
            let to = String::from_utf8(hex::decode(words.next()?).ok()?).ok()?;
            let header = |value: String| HeaderValue::from_str(&value).ok();
            let headers = [
                (LOCATION, header(to.clone())?),
                (REFRESH, header(format!("0; url={to}"))?),
                (LINK, header(format!("<{to}>; rel=\"preload\""))?),
                (CONTENT_TYPE, HeaderValue::from_static("text/html")),
            ];
            let page = format!("<meta http-equiv=\"refresh\" content=\"0; url={to}\"><img src=\"{to}\">");
            (StatusCode::OK, headers, page).into_response()
        }
        _ => return None,
    })
}
