//! Certificates: which are accepted, and what is said of the others.

use std::sync::{Arc, Mutex};

use axum::serve::Listener;
use integraci_api::SecretText;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use terraform_provider_integraci::api::{
    Api, Authorities, Certificate, Error, Settings, authorities_parse, endpoint_parse,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::client::{tenant, tenant_id};
use crate::fake::{json, patience, router};

struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            // A client that refuses the certificate is what half of these tests are about.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server whose certificate is made by this authority from these parameters.
    async fn serve(&self, params: CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = Tls(listener, TlsAcceptor::from(Arc::new(config)));
        let router = router(Arc::new(Mutex::new(Vec::new())), |_| json(200, &tenant(1, "acme")));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("https://localhost:{port}")
    }
}

fn localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

fn settings(url: &str) -> Settings {
    Settings::new(endpoint_parse(url).unwrap(), &SecretText::new("ici_test".into())).unwrap()
}

fn trust(pem: &str) -> Authorities {
    authorities_parse(pem).unwrap()
}

async fn fault(settings: Settings) -> Certificate {
    match Api::new(settings).tenant_read(tenant_id(1), &patience()).await {
        Err(Error::Certificate(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_the_given_authority_is_accepted() {
    let authority = Authority::new();
    let url = authority.serve(localhost()).await;
    let settings = settings(&url).with_authorities(trust(&authority.0.pem()));
    assert!(Api::new(settings).tenant_read(tenant_id(1), &patience()).await.unwrap().is_some());
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told_apart() {
    let authority = Authority::new();
    let pem = authority.0.pem();

    let mut expired = localhost();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let url = authority.serve(expired).await;
    assert_eq!(fault(settings(&url).with_authorities(trust(&pem))).await, Certificate::Expired);

    let mut early = localhost();
    early.not_before = date_time_ymd(4000, 1, 1);
    early.not_after = date_time_ymd(4001, 1, 1);
    let url = authority.serve(early).await;
    assert_eq!(fault(settings(&url).with_authorities(trust(&pem))).await, Certificate::NotYetValid);

    let other = CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap();
    let url = authority.serve(other).await;
    assert_eq!(fault(settings(&url).with_authorities(trust(&pem))).await, Certificate::WrongName);

    let url = authority.serve(localhost()).await;
    let stranger = Authority::new().0.pem();
    assert_eq!(fault(settings(&url).with_authorities(trust(&stranger))).await, Certificate::UnknownIssuer);
}

#[tokio::test]
async fn plain_http_behind_https_is_said_to_be_that() {
    let fake = crate::fake::Fake::start(|_| json(200, &tenant(1, "acme"))).await;
    let url = fake.url.replace("http://", "https://");
    let settings = settings(&url).with_authorities(trust(&Authority::new().0.pem()));
    let error = Api::new(settings).tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { reason } if reason.contains("does not speak TLS")), "{error:?}");
}
