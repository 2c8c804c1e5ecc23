//! What core asks for in the environment, and the one line that answers it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::ServeError;

/// Shows that it is core that starts the process, and not a person. No secret.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// The version of the plugin protocol served here.
const PROTOCOL: &str = "6";

/// What core asks for.
pub(super) struct Asked {
    /// The certificate that core will show; without one there is no TLS.
    pub(super) client: Option<CertificateDer<'static>>,
    /// Where to make the socket, instead of in the directory for temporary files.
    pub(super) socket_dir: Option<PathBuf>,
    /// Whether core asks for its broker's connections to be multiplexed over the socket. That is
    /// yamux under the TLS, for connections that no provider makes; the answer is no. Neither
    /// Terraform nor OpenTofu asks.
    multiplex: bool,
}

impl Asked {
    pub(super) fn from_env() -> Result<Self, ServeError> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ServeError> {
        if var(COOKIE.0).as_deref() != Some(COOKIE.1) {
            return Err(ServeError::NotByCore);
        }
        if !var("PLUGIN_PROTOCOL_VERSIONS")
            .is_some_and(|offered| offered.split(',').any(|one| one.trim() == PROTOCOL))
        {
            return Err(ServeError::NoCommonProtocol);
        }
        let certificate = |pem: String| {
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| ServeError::ClientCertificate)
        };
        Ok(Self {
            client: var("PLUGIN_CLIENT_CERT").map(certificate).transpose()?,
            socket_dir: var("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            multiplex: var("PLUGIN_MULTIPLEX_GRPC").is_some_and(|value| matches!(&*value, "true" | "1")),
        })
    }

    /// The line on stdout by which core finds the socket, and the certificate to expect there.
    pub(super) fn answer(&self, socket: &str, server: Option<&CertificateDer<'_>>) -> String {
        let certificate = server.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        let multiplex = if self.multiplex { "|false" } else { "" };
        format!("1|{PROTOCOL}|unix|{socket}|grpc|{certificate}{multiplex}\n")
    }
}

/// What a developer sets in the environment of Terraform to have it use a provider that runs
/// already.
pub(super) fn reattach(address: &str, socket: &str) -> String {
    let pid = std::process::id();
    let config = serde_json::json!({ address: {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": pid,
        "Test": true,
        "Addr": { "Network": "unix", "String": socket },
    }});
    format!("TF_REATTACH_PROVIDERS='{config}'\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(vars: &[(&str, &str)]) -> Result<Asked, ServeError> {
        Asked::read(|name| vars.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_line_has_six_fields_and_a_seventh_only_if_asked_for() {
        let plain = asked(&[COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", "5,6")]).expect("what core sends");
        assert_eq!(plain.answer("/s", None), "1|6|unix|/s|grpc|\n");
        let der = CertificateDer::from(vec![1, 2, 3, 4]);
        assert_eq!(plain.answer("/s", Some(&der)), "1|6|unix|/s|grpc|AQIDBA\n");
        let multiplex =
            asked(&[COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", "6"), ("PLUGIN_MULTIPLEX_GRPC", "true")]);
        assert_eq!(multiplex.expect("what core sends").answer("/s", None), "1|6|unix|/s|grpc||false\n");
    }

    #[test]
    fn who_is_not_core_is_told_so() {
        assert!(matches!(asked(&[]), Err(ServeError::NotByCore)));
        assert!(matches!(asked(&[(COOKIE.0, "other")]), Err(ServeError::NotByCore)));
        assert!(matches!(asked(&[COOKIE]), Err(ServeError::NoCommonProtocol)));
        assert!(matches!(
            asked(&[COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", "5,16")]),
            Err(ServeError::NoCommonProtocol)
        ));
        let garbage = [COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", "6"), ("PLUGIN_CLIENT_CERT", "garbage")];
        assert!(matches!(asked(&garbage), Err(ServeError::ClientCertificate)));
    }
}
