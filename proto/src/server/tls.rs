//! Mutual TLS as go-plugin does it: each side shows a certificate made for this one run, and takes
//! exactly the one that it was told to expect.

use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use super::ServeError;

/// What the server accepts connections with, and the certificate that it shows.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    pub(super) certificate: CertificateDer<'static>,
}

impl Identity {
    /// A new key and certificate, for a peer that shows exactly `client`.
    pub(super) fn new(client: CertificateDer<'static>) -> Result<Self, ServeError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(ServeError::Certificate)?;
        // go-plugin checks the name `localhost`.
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned()]).map_err(ServeError::Certificate)?;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = params.self_signed(&key).map_err(ServeError::Certificate)?.der().clone();

        let crypto = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(PinnedClient { client, crypto: crypto.clone() });
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .map_err(ServeError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .map_err(ServeError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // One connection a process: nothing to resume.
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }
}

/// Takes one client certificate and no other.
///
/// The usual verifier does not do: core's certificate is a CA's, signed by itself, which for an
/// end of a connection is refused. And it would ask for less: whoever holds this very certificate's
/// key is the process that started us.
#[derive(Debug)]
struct PinnedClient {
    client: CertificateDer<'static>,
    crypto: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PinnedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.client {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
