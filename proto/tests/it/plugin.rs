//! A client as core is one: starts a provider, shakes hands with it, and calls it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tfplugin::{Dynamic, Type};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::generated::plugin::Empty;
use crate::generated::plugin::grpc_controller_client::GrpcControllerClient;
use pb::provider_client::ProviderClient;

pub(crate) use crate::generated::tfplugin6 as pb;

pub(crate) const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// How long anything here may take before something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The path of an example's binary. A run of all tests has built it; for a test that was chosen by name
/// it may be missing or stale, and is built here.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        // target/debug/deps/it-… → target/debug
        let own = std::env::current_exe().expect("the path of this test");
        let profile = own.ancestors().nth(2).expect("the directory of a profile");
        let examples = profile.join("examples");
        let names = ["notebook", "faulty"];
        if names.iter().all(|name| is_fresh(&examples.join(name))) {
            return examples;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "tfplugin"]);
        cargo.args(names.iter().flat_map(|name| ["--example", name]));
        cargo.arg("--target-dir").arg(profile.parent().expect("a target directory"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo can be started").success(), "the examples can be built");
        examples
    });
    BUILT.join(name)
}

/// Whether a binary is newer than all that it was made from, which cargo wrote down beside it.
fn is_fresh(binary: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let made_from = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let Some((Some(made), sources)) =
        made_from.split_once(": ").map(|(_, sources)| (changed(binary), sources))
    else {
        return false;
    };
    sources.split_whitespace().all(|source| changed(Path::new(source)).is_some_and(|changed| changed <= made))
}

/// A key and a certificate as core makes them: P-521, signed by itself, a CA's.
pub(crate) struct CoreIdentity {
    pub(crate) pem: String,
    der: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl CoreIdentity {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        }
    }
}

/// A provider's process; killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// The line that it answered with, without its end.
    pub(crate) line: String,
    /// Where its socket is: what is killed leaves it behind.
    _temporary: tempfile::TempDir,
}

impl Process {
    /// Starts a provider and reads its line.
    pub(crate) fn start(name: &str, client_pem: Option<&str>, env: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(example(name));
        command
            .env("TMPDIR", temporary.path())
            .env_remove("TF_LOG")
            .env_remove("TF_LOG_PROVIDER")
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "6,5")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(pem) = client_pem {
            command.env("PLUGIN_CLIENT_CERT", pem);
        }
        let mut child = command.spawn().expect("the example can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        Self { child, line: line.trim_end().to_owned(), _temporary: temporary }
    }

    /// The fields of the line.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.line.split('|').collect()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.fields()[3])
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(std::time::Instant::now() < deadline, "the provider does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has written to stderr, once it has ended.
    pub(crate) fn stderr(&mut self) -> String {
        let mut written = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut written).expect("text");
        written
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A provider that has been started and shaken hands with.
pub(crate) struct Plugin {
    pub(crate) process: Process,
    pub(crate) channel: Channel,
    pub(crate) provider: ProviderClient<Channel>,
}

impl Plugin {
    pub(crate) async fn start(name: &str, env: &[(&str, &str)]) -> Self {
        let core = CoreIdentity::new();
        let process = Process::start(name, Some(&core.pem), env);
        let channel = connect(&process, &core).await.expect("a connection");
        let provider = ProviderClient::new(channel.clone()).max_decoding_message_size(256 << 20);
        Self { process, channel, provider }
    }

    /// The notebook example, configured to keep its notes in that directory.
    pub(crate) async fn notebook(directory: &Path) -> Self {
        let mut plugin = Self::start("notebook", &[]).await;
        let config = format!(r#"{{"directory":{:?}}}"#, directory.to_str().expect("a plain path"));
        let configured = plugin.configure(&config).await;
        assert!(configured.is_empty(), "{}", told(&configured));
        plugin
    }

    pub(crate) async fn configure(&mut self, config: &str) -> Vec<pb::Diagnostic> {
        let request = pb::configure_provider::Request {
            terraform_version: "1.14.0".to_owned(),
            config: Some(json(config)),
            client_capabilities: None,
        };
        self.provider.configure_provider(request).await.expect("an answer").into_inner().diagnostics
    }

    pub(crate) async fn schemas(&mut self) -> pb::get_provider_schema::Response {
        self.provider
            .get_provider_schema(pb::get_provider_schema::Request {})
            .await
            .expect("an answer")
            .into_inner()
    }

    /// The type of a resource's values.
    pub(crate) async fn type_of(&mut self, resource: &str) -> Type {
        let schema = self.schemas().await.resource_schemas.remove(resource).expect("such a resource");
        block_type(&schema)
    }

    /// What goes over the wire is stopped where it belongs.
    pub(crate) async fn shutdown(&mut self) {
        let mut controller = GrpcControllerClient::new(self.channel.clone());
        controller.shutdown(Empty {}).await.expect("an answer");
    }
}

/// Connects as core does: TLS, with its own certificate, to exactly the one in the line.
pub(crate) async fn connect(
    process: &Process,
    core: &CoreIdentity,
) -> Result<Channel, tonic::transport::Error> {
    let server = STANDARD_NO_PAD.decode(process.fields()[5]).expect("base64");
    let verifier = Arc::new(PinnedServer(server.into()));
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![core.der.clone()], core.key.clone_key().into())
        .expect("a client certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = process.socket();
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, socket) = (tls.clone(), socket.clone());
        async move {
            let stream = UnixStream::connect(socket).await?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

/// Connects without TLS: in debug mode, or to be refused.
pub(crate) async fn connect_plain(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

#[derive(Debug)]
struct PinnedServer(CertificateDer<'static>);

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(*end_entity, self.0, "the certificate in the line");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signature,
            &provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signature,
            &provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A value as JSON, which core may send instead of msgpack.
pub(crate) fn json(text: &str) -> pb::DynamicValue {
    pb::DynamicValue { json: text.to_owned().into(), ..pb::DynamicValue::default() }
}

/// An absent value, as core sends it for a resource that is to be created or destroyed.
pub(crate) fn null() -> pb::DynamicValue {
    pb::DynamicValue { msgpack: vec![0xc0].into(), ..pb::DynamicValue::default() }
}

/// A value as core sends it. `"<unknown>"` in the JSON stands for an unknown value.
pub(crate) fn value(text: &str, ty: &Type) -> pb::DynamicValue {
    let mut value = Dynamic::from_json(text.as_bytes(), ty).expect("a value of that type");
    replace_unknowns(&mut value);
    pb::DynamicValue { msgpack: value.to_msgpack(ty).expect("msgpack").into(), ..pb::DynamicValue::default() }
}

fn replace_unknowns(value: &mut Dynamic) {
    match value {
        Dynamic::String(text) if text == "<unknown>" => *value = Dynamic::UNKNOWN,
        Dynamic::List(elements) => elements.iter_mut().for_each(replace_unknowns),
        Dynamic::Set(elements) => {
            let mut own: Vec<_> = std::mem::take(elements).into_iter().collect();
            own.iter_mut().for_each(replace_unknowns);
            *elements = own.into();
        }
        Dynamic::Map(fields) | Dynamic::Object(fields) => {
            fields.iter_mut().for_each(|(_, value)| replace_unknowns(value));
        }
        _ => {}
    }
}

/// A value as people read it: JSON, with `"<unknown>"` for what is unknown, and nulls left out.
pub(crate) fn shown(value: Option<&pb::DynamicValue>, ty: &Type) -> String {
    let value = value.expect("a value");
    assert!(value.json.is_empty(), "answers are msgpack");
    let value = Dynamic::from_msgpack(&value.msgpack, ty).expect("a value of that type");
    to_json(&value).to_string()
}

fn to_json(value: &Dynamic) -> serde_json::Value {
    match value {
        Dynamic::Null => serde_json::Value::Null,
        Dynamic::Unknown(_) => "<unknown>".into(),
        Dynamic::Bool(value) => (*value).into(),
        Dynamic::Number(value) => serde_json::from_str(&value.to_string()).expect("a number"),
        Dynamic::String(value) => value.clone().into(),
        Dynamic::List(elements) | Dynamic::Tuple(elements) => elements.iter().map(to_json).collect(),
        Dynamic::Set(elements) => elements.iter().map(to_json).collect(),
        Dynamic::Map(fields) | Dynamic::Object(fields) => {
            let present = fields.iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| (name.to_string(), to_json(value))).collect()
        }
        Dynamic::Typed(typed) => to_json(typed.value()),
    }
}

/// The type that a schema describes.
pub(crate) fn block_type(schema: &pb::Schema) -> Type {
    attributes_type(&schema.block.as_ref().expect("a block").attributes)
}

fn attributes_type(attributes: &[pb::schema::Attribute]) -> Type {
    use pb::schema::object::NestingMode;
    Type::object(attributes.iter().map(|own| {
        let ty = match &own.nested_type {
            None => Type::from_json(&own.r#type).expect("a type"),
            Some(object) => {
                assert!(own.r#type.is_empty(), "either a type or a nested type");
                let inner = attributes_type(&object.attributes);
                match object.nesting() {
                    NestingMode::Single => inner,
                    NestingMode::List => Type::list(inner),
                    NestingMode::Set => Type::set(inner),
                    NestingMode::Map => Type::map(inner),
                    NestingMode::Invalid => unreachable!("{}: no nesting", own.name),
                }
            }
        };
        (own.name.clone(), ty)
    }))
}

/// Diagnostics as people read them, a line each: `error at path: summary: detail`.
pub(crate) fn told(diagnostics: &[pb::Diagnostic]) -> String {
    let line = |own: &pb::Diagnostic| {
        let severity = if own.severity() == pb::diagnostic::Severity::Error { "error" } else { "warning" };
        let at = own.attribute.as_ref().map(|path| format!(" at {}", path_shown(path))).unwrap_or_default();
        let detail = if own.detail.is_empty() { String::new() } else { format!(": {}", own.detail) };
        format!("{severity}{at}: {}{detail}", own.summary)
    };
    diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A path as it would be written in a configuration.
pub(crate) fn path_shown(path: &pb::AttributePath) -> String {
    use pb::attribute_path::step::Selector;
    let mut shown = String::new();
    for step in &path.steps {
        match step.selector.as_ref().expect("a step") {
            Selector::AttributeName(name) if shown.is_empty() => shown.push_str(name),
            Selector::AttributeName(name) => shown.push_str(&format!(".{name}")),
            Selector::ElementKeyString(key) => shown.push_str(&format!("[{key:?}]")),
            Selector::ElementKeyInt(index) => shown.push_str(&format!("[{index}]")),
        }
    }
    shown
}
