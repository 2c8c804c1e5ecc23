//! The Unix socket, and the connections made to it.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::ServeError;

/// A socket in a directory of its own that only its owner can enter. Removed when dropped.
pub(super) struct Socket {
    dir: PathBuf,
    path: PathBuf,
}

impl Socket {
    pub(super) fn bind(parent: Option<&Path>) -> Result<(Self, UnixListener), ServeError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let dir = make_dir(&parent)
            .map_err(|source| ServeError::Io { what: "make a directory for the socket", source })?;
        // From here on it is removed whatever happens.
        let socket = Self { path: dir.join("plugin.sock"), dir };
        let listener = UnixListener::bind(&socket.path)
            .map_err(|source| ServeError::Io { what: "listen on a Unix socket", source })?;
        Ok((socket, listener))
    }

    /// The path, as core is told. Not Unicode: no path that core could be told in JSON.
    pub(super) fn path(&self) -> Result<&str, ServeError> {
        let unusable =
            || io::Error::new(io::ErrorKind::InvalidInput, "the directory's name is not valid Unicode");
        self.path.to_str().ok_or_else(|| ServeError::Io { what: "name the socket", source: unusable() })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The process is about to end, and there is nobody to tell if something is in the way.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Makes a directory that was not there before, so nobody else can have prepared it.
fn make_dir(parent: &Path) -> io::Result<PathBuf> {
    let mut attempt: u32 = 0;
    loop {
        let dir = parent.join(format!("tfplugin-{}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            made => return made.map(|()| dir),
        }
    }
}

/// A connection, with TLS or in debug mode without.
pub(super) enum Connection {
    Tls(Box<TlsStream<UnixStream>>),
    Plain(UnixStream),
}

/// Who has connected and says nothing is let go after this time.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections, as they are made and have shown who they are. Each shakes hands by itself, so
/// that nobody can hold up another.
pub(super) fn connections(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
) -> ReceiverStream<io::Result<Connection>> {
    let (made, connections) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(target: "tfplugin", %error, "a connection could not be accepted");
                    // Out of file descriptors, most likely: without a pause this would spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (made, tls) = (made.clone(), tls.clone());
            tokio::spawn(async move {
                let connection = match tls {
                    None => Connection::Plain(stream),
                    Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => Connection::Tls(Box::new(stream)),
                        Ok(Err(error)) => {
                            tracing::error!(target: "tfplugin", %error, "a connection was refused");
                            return;
                        }
                        Err(_) => return,
                    },
                };
                // If the server has ended, so does the connection.
                let _ = made.send(Ok(connection)).await;
            });
        }
    });
    ReceiverStream::new(connections)
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
