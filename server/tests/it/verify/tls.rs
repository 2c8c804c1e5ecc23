//! Certificates of far sides: only a trusted one, for the name that was called, will do.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use integraci_server::connectors::outbound::{Lookup, Outbound, OutboundConfig, OutboundError, Request};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::local_config;

/// Every name is this machine.
struct Here;

#[async_trait]
impl Lookup for Here {
    async fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate of the authority; answers 204 to whoever accepts it. Gives its port.
async fn server(authority: &CertifiedIssuer<'static, KeyPair>, params: CertificateParams) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            if let Ok(mut connection) = acceptor.accept(connection).await {
                let mut request = [0; 1024];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = connection.shutdown().await;
            }
        }
    });
    port
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

#[tokio::test]
async fn only_a_trusted_certificate_for_the_name_that_was_called_will_do() {
    let (ours, other) = (authority(), authority());
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, ours.pem()).unwrap();
    let config = OutboundConfig { allow_http: false, ..local_config() };
    let plain = Outbound::with_lookup(&config, Arc::new(Here)).unwrap();
    let trusting = OutboundConfig { ca_certificate: Some(ca_file), ..config };
    let trusting = Outbound::with_lookup(&trusting, Arc::new(Here)).unwrap();
    let call = async |outbound: &Outbound, port: u16| {
        let url = Url::parse(&format!("https://far.example:{port}/")).unwrap();
        outbound.send(Request::get(url)).await.map(|answer| answer.status.as_u16())
    };

    let good = server(&ours, named("far.example")).await;
    assert_eq!(call(&trusting, good).await, Ok(204));
    assert_eq!(call(&plain, good).await, Err(OutboundError::Tls), "an authority nobody trusts");

    let mut expired = named("far.example");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    for (why, port) in [
        ("another authority", server(&other, named("far.example")).await),
        ("another name", server(&ours, named("other.example")).await),
        ("expired", server(&ours, expired).await),
    ] {
        assert_eq!(call(&trusting, port).await, Err(OutboundError::Tls), "{why}");
    }
}

#[tokio::test]
async fn plain_http_where_tls_was_called_is_no_answer() {
    let far_side =
        super::Scripted::start("127.0.0.1", |_, _| axum::response::IntoResponse::into_response(())).await;
    let url = Url::parse(&far_side.url.replace("http://", "https://")).unwrap();
    let refused = Outbound::new(&local_config()).unwrap().send(Request::get(url)).await;
    assert_eq!(refused.map(drop), Err(OutboundError::Tls));
}
