//! The certificates and keys of a cluster: made once, valid for as long as the data directory.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::data_dir::{SystemDir, file_write};
use crate::error::At as _;
use crate::{Error, System};

/// Where they are. The authority's own key is not kept: it signs once.
#[derive(Debug)]
pub(super) struct Keys {
    /// The certificate of the authority.
    pub(super) ca: PathBuf,
    /// One certificate for both servers, and for the one as a client of the other. To the API server it is
    /// the login of a user `local-platform` who has no rights.
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    /// Signs the tokens of service accounts,
    pub(super) service_account_key: PathBuf,
    /// and checks them.
    pub(super) service_account_public_key: PathBuf,
}

impl Keys {
    /// Those of the directory, made if they are not there yet.
    pub(super) fn of(dir: &SystemDir) -> Result<Self, Error> {
        let keys = Self {
            ca: dir.join("ca.pem"),
            certificate: dir.join("server.pem"),
            private_key: dir.join("server.key"),
            service_account_key: dir.join("service-account.key"),
            service_account_public_key: dir.join("service-account.pub"),
        };
        if !keys.ca.exists() {
            keys.make()?;
        }
        Ok(keys)
    }

    pub(super) fn ca_pem(&self) -> Result<String, Error> {
        std::fs::read_to_string(&self.ca).at("reading", &self.ca)
    }

    fn make(&self) -> Result<(), Error> {
        let service_account_key = KeyPair::generate().map_err(failed)?;
        file_write(&self.service_account_key, service_account_key.serialize_pem().as_bytes())?;
        file_write(&self.service_account_public_key, service_account_key.public_key_pem().as_bytes())?;

        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca =
            CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(failed)?).map_err(failed)?;

        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "local-platform");
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let private_key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&private_key, &ca).map_err(failed)?;
        file_write(&self.private_key, private_key.serialize_pem().as_bytes())?;
        file_write(&self.certificate, certificate.pem().as_bytes())?;
        // Last: its presence says that all are there.
        file_write(&self.ca, ca.pem().as_bytes())
    }
}

/// rcgen's errors say which step failed, and hold no key.
fn failed(why: impl std::fmt::Display) -> Error {
    Error::Setup { system: System::Kubernetes, operation: "making its certificates", why: why.to_string() }
}
