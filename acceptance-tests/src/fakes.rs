//! Servers that are not what the provider hopes for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::runtime::{block_on, spawn};

/// The most that passes through a [`Fake`]: more than any body of these tests.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A server that runs until it is dropped, and counts what reaches it.
#[derive(Debug)]
pub struct Fake {
    endpoint: String,
    requests: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Fake {
    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many requests, or for TLS connections, have reached it.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Somebody else's web site: a page for every address.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn web_site() -> Result<Self> {
        Self::http(|_, _| async {
            ([(header::CONTENT_TYPE, "text/html")], "<html><h1>It works!</h1></html>").into_response()
        })
    }

    /// A control plane behind a limit: the first `refused` requests of the kind that `limited` picks get
    /// 429 with `Retry-After: 1`, the others pass.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn rate_limited(
        behind: &str,
        refused: usize,
        limited: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let behind = behind.to_owned();
        let limited = Arc::new(limited);
        let picked = Arc::new(AtomicUsize::new(0));
        Self::http(move |request, _| {
            let (http, behind, limited, picked) =
                (http.clone(), behind.clone(), limited.clone(), picked.clone());
            async move {
                if limited(&request) && picked.fetch_add(1, Ordering::SeqCst) < refused {
                    return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
                }
                pass(&http, &behind, request)
                    .await
                    .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
            }
        })
    }

    fn http<F>(answer: impl Fn(Request, usize) -> F + Clone + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = block_on(TcpListener::bind("127.0.0.1:0"))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let app = Router::new()
            .fallback(move |State(requests): State<Arc<AtomicUsize>>, request: Request| {
                answer(request, requests.fetch_add(1, Ordering::SeqCst))
            })
            .with_state(requests.clone());
        let server = spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { endpoint, requests, server })
    }

    /// A server whose certificate ran out in 2020. The certificate of the authority that signed it,
    /// which the client is to trust, comes with it, in PEM.
    ///
    /// # Errors
    /// When it cannot listen, or a certificate cannot be made.
    pub fn expired_tls() -> Result<(Self, String)> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| anyhow::anyhow!("the key is none: {error}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = block_on(TcpListener::bind("127.0.0.1:0"))?;
        let endpoint = format!("https://localhost:{}", listener.local_addr()?.port());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let server = spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                // The client hangs up when it has seen the certificate; if it does not, it learns nothing.
                if let Ok(mut stream) = acceptor.accept(connection).await {
                    let _ = stream.shutdown().await;
                }
            }
        });
        Ok((Self { endpoint, requests, server }, authority_pem))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Hands a request on, and its answer back.
async fn pass(http: &reqwest::Client, behind: &str, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().context("a request has a path")?.as_str();
    let body = axum::body::to_bytes(body, BODY_MAX_BYTES).await?;
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let answer =
        http.request(parts.method, format!("{behind}{path}")).headers(headers).body(body).send().await?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != header::TRANSFER_ENCODING {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Body::from(answer.bytes().await?))?)
}
