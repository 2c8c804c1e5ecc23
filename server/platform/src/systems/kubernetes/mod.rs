//! A Kubernetes API: etcd, the API server and the controller manager. No nodes, so pods are admitted
//! and counted but run nowhere, and a network policy is stored but not enforced.
//!
//! Facts (Kubernetes 1.37): without the namespace controller a deletion never ends; without the
//! quota controller creations fail with "status unknown for quota"; the controller manager is at
//! work once the namespace `default` has its service account.

mod keys;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Start, local_client};
use crate::data_dir::{file_write, random_secret};
use crate::endpoints::Kubernetes;
use crate::process::{Launch, Service};
use crate::{Endpoints, Error, System};

use keys::Keys;

const READY_DEADLINE: Duration = Duration::from_secs(120);
/// Where services would get their addresses; the API server takes the first for itself.
const SERVICE_RANGE: &str = "10.0.0.0/24";
/// Those that a namespace with quotas and service accounts needs. The rest are for nodes.
const CONTROLLERS: &str = "namespace-controller,serviceaccount-controller,serviceaccount-token-controller,\
                           resourcequota-controller,garbage-collector-controller,\
                           root-ca-certificate-publisher-controller";

/// No issuer of tokens but the API server itself.
const AUTHENTICATION: &str =
    r#"{ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [] }"#;

pub(super) async fn start(start: &Start) -> Result<(Service, Endpoints), Error> {
    let [api_port, etcd_port, peer_port] = start.dir.ports()?;
    let keys = Keys::of(&start.dir)?;
    let admin_token = start.dir.secret("admin-token", random_secret)?;
    let server = format!("https://127.0.0.1:{api_port}");
    let kubeconfig = kubeconfig_write(start, &keys, &server, &admin_token)?;
    let api = Api::new(&keys, &server, &admin_token)?;

    let mut service = Service::new();
    let launch = |name, args: Vec<OsString>| Launch {
        system: System::Kubernetes,
        name,
        dir: start.dir.path(),
        program: Path::new(name),
        args,
        env: Vec::new(),
        run_as: None,
        stop: Signal::SIGTERM,
        orphaned: Signal::SIGKILL,
    };
    let program = |name: &str| start.programs.join(name);

    let etcd = program("etcd");
    service
        .start(Launch { program: &etcd, ..launch("etcd", etcd_args(start, &keys, etcd_port, peer_port)) })?;
    // It waits for etcd by itself.
    let apiserver = program("kube-apiserver");
    let args = apiserver_args(start, &keys, api_port, etcd_port, &admin_token)?;
    let process = service.start(Launch { program: &apiserver, ..launch("kube-apiserver", args) })?;
    process.wait_ready(READY_DEADLINE, || api.answers("/readyz")).await?;

    let manager = program("kube-controller-manager");
    let args = manager_args(&keys, &kubeconfig);
    let process = service.start(Launch { program: &manager, ..launch("kube-controller-manager", args) })?;
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    process.wait_ready(READY_DEADLINE, || api.answers(account)).await?;

    let ca_pem = keys.ca_pem()?;
    let kubernetes = Some(Kubernetes { server, ca_pem, admin_token, kubeconfig });
    Ok((service, Endpoints { kubernetes, ..Endpoints::default() }))
}

/// `--name=value`.
fn flag(name: &str, value: impl AsRef<std::ffi::OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

fn etcd_args(start: &Start, keys: &Keys, port: u16, peer_port: u16) -> Vec<OsString> {
    let clients = format!("https://127.0.0.1:{port}");
    let peers = format!("https://127.0.0.1:{peer_port}");
    let mut args = vec![
        flag("name", "local-platform"),
        flag("data-dir", start.dir.join("etcd")),
        flag("listen-client-urls", &clients),
        flag("advertise-client-urls", &clients),
        flag("listen-peer-urls", &peers),
        flag("initial-advertise-peer-urls", &peers),
        flag("initial-cluster", format!("local-platform={peers}")),
        // It holds every secret of the cluster: only who has a certificate of ours gets in.
        flag("client-cert-auth", "true"),
        flag("trusted-ca-file", &keys.ca),
        flag("cert-file", &keys.certificate),
        flag("key-file", &keys.private_key),
        flag("peer-client-cert-auth", "true"),
        flag("peer-trusted-ca-file", &keys.ca),
        flag("peer-cert-file", &keys.certificate),
        flag("peer-key-file", &keys.private_key),
    ];
    if start.throwaway {
        args.push("--unsafe-no-fsync".into());
    }
    args
}

fn apiserver_args(
    start: &Start,
    keys: &Keys,
    port: u16,
    etcd_port: u16,
    admin_token: &SecretString,
) -> Result<Vec<OsString>, Error> {
    let tokens = start.dir.join("tokens.csv");
    let admin = format!("{},admin,admin,\"system:masters\"\n", admin_token.expose_secret());
    file_write(&tokens, admin.as_bytes())?;
    // Read again when it changes: a test can name an issuer whose tokens are to be taken.
    let authentication = start.dir.join("authentication.json");
    file_write(&authentication, AUTHENTICATION.as_bytes())?;
    Ok(vec![
        flag("etcd-servers", format!("https://127.0.0.1:{etcd_port}")),
        flag("etcd-cafile", &keys.ca),
        flag("etcd-certfile", &keys.certificate),
        flag("etcd-keyfile", &keys.private_key),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", port.to_string()),
        flag("advertise-address", "127.0.0.1"),
        // Pods that would look for the API server by its endpoints do not run here.
        flag("endpoint-reconciler-type", "none"),
        flag("cert-dir", start.dir.path()),
        flag("tls-cert-file", &keys.certificate),
        flag("tls-private-key-file", &keys.private_key),
        flag("token-auth-file", tokens),
        // A client certificate of ours is a login too: what is in it is the user's name.
        flag("client-ca-file", &keys.ca),
        flag("authentication-config", authentication),
        flag("authorization-mode", "RBAC"),
        flag("allow-privileged", "true"),
        flag("service-cluster-ip-range", SERVICE_RANGE),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag("service-account-key-file", &keys.service_account_public_key),
        flag("service-account-signing-key-file", &keys.service_account_key),
        flag("profiling", "false"),
    ])
}

fn manager_args(keys: &Keys, kubeconfig: &Path) -> Vec<OsString> {
    vec![
        flag("kubeconfig", kubeconfig),
        flag("controllers", CONTROLLERS),
        flag("service-account-private-key-file", &keys.service_account_key),
        flag("root-ca-file", &keys.ca),
        flag("leader-elect", "false"), // there is one
        flag("secure-port", "0"),      // and nobody asks it anything
    ]
}

/// A kubeconfig in JSON, which is YAML as well.
fn kubeconfig_write(
    start: &Start,
    keys: &Keys,
    server: &str,
    token: &SecretString,
) -> Result<PathBuf, Error> {
    const NAME: &str = "local-platform";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": NAME, "cluster": { "server": server, "certificate-authority": keys.ca } }],
        "users": [{ "name": NAME, "user": { "token": token.expose_secret() } }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
        "current-context": NAME,
    });
    let path = start.dir.join("kubeconfig");
    file_write(&path, config.to_string().as_bytes())?;
    Ok(path)
}

/// Asks the API server whether something is there.
struct Api {
    http: Client,
    server: String,
    token: SecretString,
}

impl Api {
    fn new(keys: &Keys, server: &str, token: &SecretString) -> Result<Self, Error> {
        let failed = |_| Error::Setup {
            system: System::Kubernetes,
            operation: "making an HTTPS client",
            why: "its certificate authority is not one".to_owned(),
        };
        let ca = Certificate::from_pem(keys.ca_pem()?.as_bytes()).map_err(failed)?;
        let http = local_client().tls_certs_only([ca]).build().map_err(failed)?;
        Ok(Self { http, server: server.to_owned(), token: token.clone() })
    }

    async fn answers(&self, path: &str) -> bool {
        let request = self.http.get(format!("{}{path}", self.server)).bearer_auth(self.token.expose_secret());
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}
