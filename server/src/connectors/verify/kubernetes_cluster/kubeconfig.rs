//! What a kubeconfig says of the one login that is used: that of its current context.
//!
//! What would have the server run a command, read a file, go through a proxy or leave out a check is
//! refused, and so is what the login could not be told apart from another by. Facts: the kubeconfig
//! (v1) reference of Kubernetes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integraci_api::SecretText;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::ExposeSecret as _;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::super::VerifyError;
use super::{KUBECONFIG, Login};

/// Reads a kubeconfig for the cluster at `url`.
pub(super) fn read(text: &SecretText, url: &Url) -> Result<Login, VerifyError> {
    // The parser's own words may quote the text.
    let config = Kubeconfig::from_yaml(text.expose()).map_err(|_| refused("it is not a kubeconfig"))?;
    let (cluster, user) = current(&config)?;
    let server = cluster.server.as_deref().and_then(|server| Url::parse(server).ok());
    if server.is_none_or(|server| server.origin() != url.origin()) {
        return Err(refused("its cluster's `server` is not at the address that `url` says"));
    }
    if let Some(why) = unusable(cluster, user) {
        return Err(refused(why));
    }
    let authorities = cluster.certificate_authority_data.as_deref().map(pem).transpose()?;
    let token = user.token.as_ref().map(|token| SecretText::new(token.expose_secret().to_owned()));
    let identity = match (&user.client_certificate_data, &user.client_key_data) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (pem(certificate)?, pem(key.expose_secret())?);
            Some(SecretText::new(format!("{}\n{}", certificate.as_str(), key.as_str())))
        }
        _ => return Err(refused("a client certificate goes with its key, and a key with its certificate")),
    };
    if token.is_none() && identity.is_none() {
        return Err(refused("the user of its current context has neither a token nor a client certificate"));
    }
    Ok(Login { token, identity, authorities: authorities.map(|pem| pem.to_string()), pointer: KUBECONFIG })
}

/// A kubeconfig for the cluster at `url` with another token.
pub(super) fn with_token(url: &Url, authorities: Option<&str>, token: &SecretText) -> SecretText {
    const NAME: &str = "integraci";
    let mut cluster = json!({ "server": url });
    if let Some(pem) = authorities {
        cluster["certificate-authority-data"] = STANDARD.encode(pem).into();
    }
    // JSON is YAML as well.
    SecretText::new(
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": NAME, "cluster": cluster }],
            "users": [{ "name": NAME, "user": { "token": token.expose() } }],
            "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
            "current-context": NAME,
        })
        .to_string(),
    )
}

/// The cluster and the user of the current context.
fn current(config: &Kubeconfig) -> Result<(&Cluster, &AuthInfo), VerifyError> {
    let named = config.current_context.as_deref();
    let context =
        named.and_then(|name| config.contexts.iter().find(|known| known.name == name)?.context.as_ref());
    let context = context.ok_or_else(|| refused("it has no current context"))?;
    let cluster = config.clusters.iter().find(|known| known.name == context.cluster);
    let cluster = cluster.and_then(|known| known.cluster.as_ref());
    let user = config.auth_infos.iter().find(|known| Some(&known.name) == context.user.as_ref());
    match (cluster, user.and_then(|known| known.auth_info.as_ref())) {
        (Some(cluster), Some(user)) => Ok((cluster, user)),
        _ => Err(refused("its current context names a cluster or a user that is not in it")),
    }
}

/// Why it is not used although it may be good elsewhere.
fn unusable(cluster: &Cluster, user: &AuthInfo) -> Option<&'static str> {
    let reasons = [
        (
            user.exec.is_some() || user.auth_provider.is_some(),
            "it gets its credentials from a command (`exec`, `auth-provider`), and this server runs none; put a \
             token or a client certificate into it",
        ),
        (
            user.token_file.is_some()
                || user.client_certificate.is_some()
                || user.client_key.is_some()
                || cluster.certificate_authority.is_some(),
            "it names files, and this server reads none; `kubectl config view --flatten --raw` puts their content \
             into it",
        ),
        (cluster.proxy_url.is_some(), "it names a proxy, and this server goes through none of a tenant's"),
        (
            cluster.insecure_skip_tls_verify == Some(true),
            "it leaves the server's certificate unchecked; put the cluster's `certificate-authority-data` into it",
        ),
        (
            cluster.tls_server_name.is_some(),
            "it has the server's certificate checked for another name than the address says",
        ),
        (
            user.impersonate.is_some() || user.impersonate_groups.is_some() || user.impersonate_uid.is_some(),
            "it acts as somebody else (`as`); use that user's own login",
        ),
    ];
    reasons.into_iter().find_map(|(applies, why)| applies.then_some(why))
}

/// The PEM text that a kubeconfig has in base64.
fn pem(encoded: &str) -> Result<Zeroizing<String>, VerifyError> {
    let unreadable = || refused("its certificate or key is not PEM in base64");
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| unreadable())
}

fn refused(why: &str) -> VerifyError {
    VerifyError::refused(KUBECONFIG, why)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn url() -> Url {
        Url::parse("https://k8s.example:6443/").unwrap()
    }

    fn reads(config: &Value) -> Result<Login, VerifyError> {
        read(&SecretText::new(config.to_string()), &url())
    }

    fn config() -> Value {
        serde_json::from_str(with_token(&url(), Some("PEM"), &SecretText::new("hush".into())).expose())
            .unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let login = reads(&config()).unwrap();
        assert_eq!(login.token.unwrap().expose(), "hush");
        assert_eq!(login.authorities.as_deref(), Some("PEM"));
        assert!(login.identity.is_none());
    }

    #[test]
    fn a_client_certificate_is_joined_with_its_key() {
        let mut both = config();
        both["users"][0]["user"] =
            json!({ "client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ" });
        let login = reads(&both).unwrap();
        assert_eq!(login.identity.unwrap().expose(), "CERT\nKEY");
        assert!(login.token.is_none());
        for half in ["client-certificate-data", "client-key-data"] {
            let mut one = both.clone();
            one["users"][0]["user"].as_object_mut().unwrap().remove(half);
            assert!(reads(&one).is_err());
        }
    }

    #[test]
    fn what_runs_reads_or_skips_something_is_refused_and_not_quoted() {
        let cluster = |more: Value| {
            let mut cluster = json!({ "server": url() });
            cluster.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            cluster
        };
        let exec = json!({ "command": "/run/it", "apiVersion": "client.authentication.k8s.io/v1" });
        for (part, put, word) in [
            ("user", json!({ "token": "hush", "exec": exec }), "command"),
            ("user", json!({ "auth-provider": { "name": "gcp", "config": {} } }), "command"),
            ("user", json!({ "token": "hush", "tokenFile": "/run/token" }), "files"),
            ("user", json!({ "client-certificate": "/run/cert", "client-key": "/run/key" }), "files"),
            ("user", json!({ "token": "hush", "as": "root" }), "`as`"),
            ("user", json!({ "username": "a", "password": "hush" }), "neither"),
            ("cluster", cluster(json!({ "certificate-authority": "/run/ca" })), "files"),
            ("cluster", cluster(json!({ "proxy-url": "http://proxy.example" })), "proxy"),
            ("cluster", cluster(json!({ "insecure-skip-tls-verify": true })), "unchecked"),
            ("cluster", cluster(json!({ "tls-server-name": "other.example" })), "another name"),
            ("cluster", cluster(json!({ "certificate-authority-data": "*" })), "base64"),
            ("cluster", json!({ "server": "https://k8s.example/" }), "`url`"),
            ("cluster", json!({ "server": "http://k8s.example:6443/" }), "`url`"),
            ("cluster", json!({}), "`url`"),
        ] {
            let mut config = config();
            config[format!("{part}s")][0][part] = put;
            let fault = reads(&config).map(drop).unwrap_err().faults().remove(0);
            assert_eq!(fault.pointer, KUBECONFIG);
            assert!(fault.detail.contains(word), "{word}: {}", fault.detail);
            assert!(!fault.detail.contains("/run") && !fault.detail.contains("hush"), "{}", fault.detail);
        }
    }

    #[test]
    fn what_is_no_kubeconfig_or_has_no_current_context_is_refused() {
        let mut other = config();
        other["current-context"] = "other".into();
        let mut dangling = config();
        dangling["users"] = json!([]);
        for config in [json!(7), json!("text"), json!({}), other, dangling] {
            assert_eq!(reads(&config).map(drop).unwrap_err().faults()[0].pointer, KUBECONFIG);
        }
        assert!(read(&SecretText::new("a: [".into()), &url()).is_err());
    }
}
