//! A client of go-plugin: starts a provider, reads its handshake, and calls it.

use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hyper_util::rt::TokioIo;
use nix::unistd::Pid;
use prost::Message;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::subject::Subject;
use crate::tls::Identity;
use crate::workload::Workload;
use crate::{codec, median, wire};

/// What a plugin must be shown to believe that it is started by core.
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// As many calls at a time as core makes.
const PARALLELISM: usize = 10;

/// What core accepts.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A provider that is running. Dropping it kills it.
pub(crate) struct Plugin {
    /// From spawn to the handshake's line.
    pub(crate) handshake: Duration,
    child: Child,
    identity: Identity,
    socket: PathBuf,
    certificate: CertificateDer<'static>,
}

/// A provider that has been connected to.
pub(crate) struct Connected {
    plugin: Plugin,
    channel: Channel,
}

impl Plugin {
    pub(crate) fn spawn(subject: &Subject, scratch: &Path) -> Result<Self> {
        let identity = Identity::new()?;
        let mut command = Command::new(&subject.binary);
        command
            .env_clear()
            .env("TMPDIR", scratch)
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .env("PLUGIN_CLIENT_CERT", identity.pem())
            .envs(subject.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {}", subject.binary.display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the plugin's output is piped")?;
        BufReader::new(stdout).read_line(&mut line).context("reading the handshake")?;
        let handshake = started.elapsed();
        let (socket, certificate) = parse(line.trim_end())?;
        Ok(Self { handshake, child, identity, socket, certificate })
    }

    pub(crate) async fn connect(self) -> Result<Connected> {
        let tls = tokio_rustls::TlsConnector::from(Arc::new(self.identity.config(self.certificate.clone())?));
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_| {
            let (tls, socket) = (tls.clone(), socket.clone());
            async move {
                let stream = UnixStream::connect(socket).await?;
                let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(connector).await.context("connecting to the plugin")?;
        Ok(Connected { plugin: self, channel })
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `1|6|unix|PATH|grpc|CERTIFICATE`.
fn parse(line: &str) -> Result<(PathBuf, CertificateDer<'static>)> {
    let fields: Vec<_> = line.split('|').collect();
    let ["1", "6", "unix", path, "grpc", certificate, ..] = *fields else {
        bail!("this is no handshake of protocol 6 over a Unix socket with mutual TLS");
    };
    let certificate = STANDARD_NO_PAD.decode(certificate).context("decoding the server's certificate")?;
    Ok((path.into(), certificate.into()))
}

impl Connected {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.plugin.child.id().cast_signed())
    }

    /// The schema, its size on the wire in bytes, and how long the call took.
    pub(crate) async fn schema(&self) -> Result<(wire::ProviderSchema, u64, Duration)> {
        let started = Instant::now();
        let answer = self.call_raw("/tfplugin6.Provider/GetProviderSchema", wire::Empty {}).await?;
        let took = started.elapsed();
        let schema = wire::ProviderSchema::decode(&*answer)?;
        no_errors(&schema.diagnostics)?;
        Ok((schema, u64::try_from(answer.len())?, took))
    }

    pub(crate) async fn configure(&self, workload: &Workload) -> Result<()> {
        let answer: wire::Diagnostics = self.call("ConfigureProvider", workload.configure()).await?;
        no_errors(&answer.diagnostics)
    }

    /// Asks about each of these resources what core would, and says how long that took.
    pub(crate) async fn plan(&self, workload: &Workload, indexes: Range<u32>) -> Result<Duration> {
        let questions = indexes.map(|index| Ok((index, workload.questions(index)?)));
        let questions = questions.collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        stream::iter(questions.into_iter().map(Ok))
            .try_for_each_concurrent(PARALLELISM, |(index, (validate, plan))| async move {
                let valid: wire::Diagnostics = self.call("ValidateResourceConfig", validate).await?;
                no_errors(&valid.diagnostics)?;
                let planned: wire::Planned = self.call("PlanResourceChange", plan).await?;
                no_errors(&planned.diagnostics)?;
                workload.check(index, &planned)
            })
            .await?;
        Ok(started.elapsed())
    }

    /// The median time of a planning call, one at a time.
    pub(crate) async fn plan_latency(&self, workload: &Workload) -> Result<Duration> {
        let calls = stream::iter(0..500).then(|index| async move {
            let (_, plan) = workload.questions(index)?;
            let started = Instant::now();
            let _: wire::Planned = self.call("PlanResourceChange", plan).await?;
            anyhow::Ok(started.elapsed())
        });
        Ok(median(calls.try_collect().await?))
    }

    /// Asks it to end, as core does, and kills it if it does not answer.
    pub(crate) async fn shutdown(self) {
        let _ = self.call_raw("/plugin.GRPCController/Shutdown", wire::Empty {}).await;
    }

    async fn call<A: Message + Default>(&self, method: &str, request: impl Message) -> Result<A> {
        Ok(A::decode(&*self.call_raw(&format!("/tfplugin6.Provider/{method}"), request).await?)?)
    }

    async fn call_raw(&self, path: &str, request: impl Message) -> Result<Vec<u8>> {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        client.ready().await.context("waiting for the plugin")?;
        let request = tonic::Request::new(request.encode_to_vec());
        let answer = client.unary(request, PathAndQuery::try_from(path)?, codec::Bytes).await;
        Ok(answer.with_context(|| format!("calling {path}"))?.into_inner())
    }
}

fn no_errors(diagnostics: &[wire::Diagnostic]) -> Result<()> {
    let error = diagnostics.iter().find(|diagnostic| diagnostic.severity == 1);
    error.map_or(Ok(()), |error| bail!("{}: {}", error.summary, error.detail))
}
