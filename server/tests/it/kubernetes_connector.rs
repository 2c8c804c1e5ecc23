//! Connectors to a cluster, against a real API server: each test in a namespace of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use integraci_server::oidc::Issuer;
use local_platform::{Endpoints, Kubernetes};
use reqwest::Method;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connector_world::{Connector, detail, pointer};
use crate::kubernetes::Cluster;
use crate::oidc::issuer;
use crate::openbao_world::Bao;

const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";
/// Whom the API server takes the local platform's own certificate for.
const CERTIFIED: &str = "local-platform";

struct World {
    cluster: Cluster,
    kubernetes: Kubernetes,
    namespace: String,
}

impl World {
    /// A namespace with a service account `robot` that may list pods and ask for its own tokens, and an
    /// account `nobody` that may do nothing.
    async fn new() -> Self {
        let world = Self {
            cluster: Cluster::new(),
            kubernetes: Endpoints::from_env().unwrap().kubernetes().unwrap().clone(),
            namespace: format!("connector-{}", uuid::Uuid::new_v4().simple()),
        };
        world.create("/api/v1/namespaces", json!({ "metadata": { "name": world.namespace } })).await;
        for account in ["robot", "nobody"] {
            world
                .create(&world.path("api/v1", "serviceaccounts"), json!({ "metadata": { "name": account } }))
                .await;
        }
        let rules = json!([
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] },
            { "apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"] },
        ]);
        let role = json!({ "metadata": { "name": "robot" }, "rules": rules });
        world.create(&world.path(RBAC, "roles"), role).await;
        let binding = json!({
            "metadata": { "name": "robot" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot" },
            "subjects": [
                { "kind": "ServiceAccount", "name": "robot", "namespace": world.namespace },
                { "kind": "User", "name": CERTIFIED, "apiGroup": "rbac.authorization.k8s.io" },
            ],
        });
        world.create(&world.path(RBAC, "rolebindings"), binding).await;
        world
    }

    fn path(&self, group: &str, kind: &str) -> String {
        format!("/{group}/namespaces/{}/{kind}", self.namespace)
    }

    async fn create(&self, path: &str, object: Value) -> Value {
        let (status, answer) = self.cluster.admin(Method::POST, path, object).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    /// A token of a service account, as an administrator makes one.
    async fn token(&self, account: &str) -> String {
        let path = self.path("api/v1", &format!("serviceaccounts/{account}/token"));
        let made = self.create(&path, json!({ "spec": { "expirationSeconds": 3600 } })).await;
        made["status"]["token"].as_str().unwrap().to_owned()
    }

    fn config(&self) -> Value {
        json!({
            "url": self.kubernetes.server,
            "ca_certificate": self.kubernetes.ca_pem,
            "namespace": self.namespace,
        })
    }

    /// A connector of this cluster, with this setting besides or instead.
    fn connector(&self, field: &str, value: &str) -> Connector {
        let mut config = self.config();
        config[field] = value.into();
        Connector::new("kubernetes_cluster", config)
    }

    /// A kubeconfig with this user, and the cluster's own authority in it.
    fn kubeconfig(&self, user: &Value) -> String {
        let ca = STANDARD.encode(&self.kubernetes.ca_pem);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "c",
                "cluster": { "server": self.kubernetes.server, "certificate-authority-data": ca },
            }],
            "users": [{ "name": "u", "user": user }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        })
        .to_string()
    }

    /// The connector that a kubeconfig alone is enough for.
    fn by_kubeconfig(&self, kubeconfig: &str, account: &str) -> Connector {
        let config = json!({
            "url": self.kubernetes.server,
            "namespace": self.namespace,
            "service_account": account,
        });
        Connector::new("kubernetes_cluster", config).with("kubeconfig", kubeconfig)
    }

    /// A file that the local platform keeps beside the cluster's kubeconfig.
    fn kept(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.kubernetes.kubeconfig.with_file_name(name)).unwrap()
    }

    /// A token of `robot` as the API server signs them, that expires at a time of ours.
    async fn token_until(&self, expires_at: OffsetDateTime) -> String {
        let path = self.path("api/v1", "serviceaccounts/robot");
        let (_, account) = self.cluster.admin(Method::GET, &path, Value::Null).await;
        let began = OffsetDateTime::now_utc() - time::Duration::hours(2);
        let claims = json!({
            "iss": "https://kubernetes.default.svc",
            "aud": ["https://kubernetes.default.svc"],
            "sub": format!("system:serviceaccount:{}:robot", self.namespace),
            "iat": began.unix_timestamp(),
            "nbf": began.unix_timestamp(),
            "exp": expires_at.unix_timestamp(),
            "kubernetes.io": {
                "namespace": self.namespace,
                "serviceaccount": { "name": "robot", "uid": account["metadata"]["uid"] },
            },
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256" })), encode(&claims));
        let key = PrivatePkcs8KeyDer::from_pem_slice(&self.kept("service-account.key")).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn a_good_token_tells_when_it_expires_and_others_point_at_what_is_wrong() {
    let world = World::new().await;
    let robot = world.token("robot").await;
    let connector = Connector::new("kubernetes_cluster", world.config());
    let expires_at = connector.with("token", &robot).verify().await.unwrap().expires_at.unwrap();
    let left = expires_at - OffsetDateTime::now_utc();
    assert!((time::Duration::minutes(58)..=time::Duration::minutes(60)).contains(&left), "{left}");

    for token in ["wrong", "line\nbreak", &format!("{robot}x")] {
        assert_eq!(pointer(connector.with("token", token).verify().await), "/secrets/token");
    }
    let nobody = connector.with("token", &world.token("nobody").await).verify().await;
    assert_eq!(pointer(nobody), "/config/namespace");
    for namespace in ["kube-system", "../default"] {
        let elsewhere = world.connector("namespace", namespace).with("token", &robot);
        assert_eq!(pointer(elsewhere.verify().await), "/config/namespace", "{namespace}");
    }
    let below = world.connector("url", &format!("{}/below", world.kubernetes.server)).with("token", &robot);
    assert_eq!(pointer(below.verify().await), "/config/url");
}

#[tokio::test]
async fn the_clusters_own_authority_is_needed_and_no_other_will_do() {
    let world = World::new().await;
    let robot = world.token("robot").await;
    let mut config = world.config();
    config.as_object_mut().unwrap().remove("ca_certificate");
    let untold = Connector::new("kubernetes_cluster", config).with("token", &robot);
    let key = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    let wrong = world.connector("ca_certificate", &other).with("token", &robot);
    for connector in [untold, wrong] {
        assert_eq!(pointer(connector.verify().await), "/config/url");
        assert!(detail(connector.verify().await).contains("`ca_certificate`"));
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let world = World::new().await;
    let connector = Connector::new("kubernetes_cluster", world.config());
    let hour = time::Duration::hours(1);
    let good = world.token_until(OffsetDateTime::now_utc() + hour).await;
    connector.with("token", &good).verify().await.unwrap();
    let expired = world.token_until(OffsetDateTime::now_utc() - hour).await;
    assert_eq!(pointer(connector.with("token", &expired).verify().await), "/secrets/token");
}

#[tokio::test]
async fn a_token_ends_with_its_service_account() {
    let world = World::new().await;
    let robot =
        Connector::new("kubernetes_cluster", world.config()).with("token", &world.token("robot").await);
    robot.verify().await.unwrap();
    let path = world.path("api/v1", "serviceaccounts/robot");
    assert_eq!(world.cluster.admin(Method::DELETE, &path, Value::Null).await.0, 200);
    // The API server remembers for some seconds whom it let in.
    let deadline = Instant::now() + Duration::from_secs(60);
    while robot.verify().await.is_ok() {
        assert!(Instant::now() < deadline, "still good");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(pointer(robot.verify().await), "/secrets/token");
}

#[tokio::test]
async fn a_minted_token_is_good_beside_the_old_one() {
    let world = World::new().await;
    let old = world.connector("service_account", "robot").with("token", &world.token("robot").await);
    let minted = old.mint().await.unwrap();
    let told = minted.expires_at.unwrap();
    assert!(told > OffsetDateTime::now_utc() + time::Duration::hours(1), "{told}");
    let new = old.with_minted(minted);
    let read = new.verify().await.unwrap().expires_at.unwrap();
    assert!((read - told).abs() <= time::Duration::seconds(1), "{read} {told}");
    old.verify().await.unwrap();
    new.with_minted(new.mint().await.unwrap()).verify().await.unwrap();
}

#[tokio::test]
async fn what_stands_in_the_way_of_minting_is_pointed_at() {
    let world = World::new().await;
    let (robot, nobody) = (world.token("robot").await, world.token("nobody").await);
    let unset = Connector::new("kubernetes_cluster", world.config()).with("token", &robot);
    assert_eq!(pointer(unset.mint().await), "/config/service_account");
    for account in ["nonesuch", "../robot", ".."] {
        let wrong = world.connector("service_account", account).with("token", &robot);
        assert_eq!(pointer(wrong.mint().await), "/config/service_account", "{account}");
    }
    let unable = world.connector("service_account", "robot").with("token", &nobody);
    assert_eq!(pointer(unable.mint().await), "/secrets/token");
    assert!(detail(unable.mint().await).contains("`serviceaccounts/token`"));
    let good_for_nothing = world.connector("service_account", "robot").with("token", "wrong");
    assert_eq!(pointer(good_for_nothing.mint().await), "/secrets/token");
    assert_eq!(pointer(world.connector("service_account", "robot").mint().await), "/secrets");
}

#[tokio::test]
async fn a_kubeconfig_brings_its_own_authority_and_is_minted_anew() {
    let world = World::new().await;
    let by_token = world.kubeconfig(&json!({ "token": world.token("robot").await }));
    let old = world.by_kubeconfig(&by_token, "robot");
    assert!(old.verify().await.unwrap().expires_at.is_some());
    let new = old.with_minted(old.mint().await.unwrap());
    assert!(new.verify().await.unwrap().expires_at.is_some());

    let wrong = world.kubeconfig(&json!({ "token": "wrong" }));
    assert_eq!(pointer(world.by_kubeconfig(&wrong, "robot").verify().await), "/secrets/kubeconfig");
    assert_eq!(pointer(world.by_kubeconfig("a: [", "robot").verify().await), "/secrets/kubeconfig");
}

#[tokio::test]
async fn a_client_certificate_is_a_login_if_the_clusters_authority_signed_it() {
    let world = World::new().await;
    let user = |certificate: &[u8], key: &[u8]| {
        let (certificate, key) = (STANDARD.encode(certificate), STANDARD.encode(key));
        world.kubeconfig(&json!({ "client-certificate-data": certificate, "client-key-data": key }))
    };
    let (certificate, key) = (world.kept("server.pem"), world.kept("server.key"));
    let certified = world.by_kubeconfig(&user(&certificate, &key), "robot");
    certified.verify().await.unwrap();
    certified.with_minted(certified.mint().await.unwrap()).verify().await.unwrap();

    let other_key = rcgen::KeyPair::generate().unwrap();
    let mut other = rcgen::CertificateParams::default();
    other.distinguished_name.push(rcgen::DnType::CommonName, CERTIFIED);
    let other = other.self_signed(&other_key).unwrap().pem();
    for (certificate, key) in [
        (other.as_bytes(), other_key.serialize_pem().as_bytes()),
        (&certificate, other_key.serialize_pem().as_bytes()),
        (b"no PEM", &key),
    ] {
        let refused = world.by_kubeconfig(&user(certificate, key), "robot").verify().await;
        assert_eq!(pointer(refused), "/secrets/kubeconfig");
    }
}

#[tokio::test]
async fn without_a_secret_the_platform_must_sign() {
    let world = World::new().await;
    assert_eq!(pointer(Connector::new("kubernetes_cluster", world.config()).verify().await), "/kind");
}

/// Connections over TLS, as an API server insists on of an issuer.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            if let Ok((connection, from)) = self.tcp.accept().await
                && let Ok(connection) = self.acceptor.accept(connection).await
            {
                return (connection, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// An issuer whose documents are read over TLS, and the certificate to trust for that.
async fn issuer_over_tls(bao: &Bao) -> (Issuer, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = issuer(bao, &format!("https://{}", tcp.local_addr().unwrap()));
    let discovery = json!(issuer.discovery(Connector::tenant()).unwrap());
    let keys = json!(issuer.key_set().await.unwrap().unwrap());
    let app = axum::Router::new().fallback(move |uri: axum::http::Uri| async move {
        axum::Json(if uri.path().ends_with("/jwks.json") { keys } else { discovery })
    });
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    tokio::spawn(async move { axum::serve(Tls { tcp, acceptor }, app).await });
    (issuer, certificate.pem())
}

#[tokio::test]
async fn a_token_of_the_platform_is_a_login_where_the_cluster_trusts_its_issuer() {
    let (bao, world) = (Bao::new().await, World::new().await);
    let (issuer, certificate) = issuer_over_tls(&bao).await;
    let identity = issuer.identity(Connector::tenant(), Connector::NAME, "integraci").unwrap();
    let connector =
        |issuer: &Issuer| Connector::new("kubernetes_cluster", world.config()).signed_by(issuer.clone());
    let refused = connector(&issuer).verify().await;
    assert_eq!(pointer(refused.clone()), "/config/audience");
    assert!(detail(refused).contains(identity.subject()));

    let trust = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": identity.issuer(),
                "audiences": ["integraci"],
                "certificateAuthority": certificate,
            },
            "claimMappings": { "username": { "claim": "sub", "prefix": "integraci:" } },
        }],
    });
    let file = world.kubernetes.kubeconfig.with_file_name("authentication.json");
    std::fs::write(file, trust.to_string()).unwrap();
    // The API server sees the change by itself, and then reads the issuer's documents.
    let deadline = Instant::now() + Duration::from_secs(120);
    while pointer(connector(&issuer).verify().await) == "/config/audience" {
        assert!(Instant::now() < deadline, "still not trusted");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // It is known now, and may do nothing yet.
    assert_eq!(pointer(connector(&issuer).verify().await), "/config/namespace");
    let binding = json!({
        "metadata": { "name": "platform" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot" },
        "subjects": [{
            "kind": "User",
            "name": format!("integraci:{}", identity.subject()),
            "apiGroup": "rbac.authorization.k8s.io",
        }],
    });
    world.create(&world.path(RBAC, "rolebindings"), binding).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while connector(&issuer).verify().await.is_err() {
        assert!(Instant::now() < deadline, "still without rights");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(connector(&issuer).verify().await.unwrap().expires_at, None);

    let other = world.connector("audience", "other").signed_by(issuer);
    assert_eq!(pointer(other.verify().await), "/config/audience");
}
