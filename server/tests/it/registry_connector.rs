//! Connectors to a container registry, against the real CNCF distribution with basic authentication. The
//! token protocol, which it leaves to a service beside it, is tested against a double.

use local_platform::{Endpoints, Registry};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::connector_world::{Connector, detail, pointer};

/// A user and a repository that no other test has.
struct World {
    registry: Registry,
    user: String,
    repository: String,
}

impl World {
    fn new() -> Self {
        let registry = Endpoints::from_env().unwrap().registry().unwrap().clone();
        let id = uuid::Uuid::new_v4().simple().to_string();
        registry.user_set(&id, &"hush".into()).unwrap();
        Self { registry, user: id.clone(), repository: format!("it/{id}") }
    }

    fn connector(&self, mut settings: Value) -> Connector {
        let mut config = json!({ "url": self.registry.url, "username": self.user });
        config.as_object_mut().unwrap().append(settings.as_object_mut().unwrap());
        Connector::new("container_registry", config)
    }

    async fn put(&self, url: &str, kind: &str, body: String) -> Response {
        let admin = (&self.registry.username, self.registry.password.expose_secret());
        let request = Client::new().put(url).basic_auth(admin.0, Some(admin.1));
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{url}");
        answer
    }

    /// Puts an image without content into the repository.
    async fn push(&self) {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest("{}")));
        let base = format!("{}/v2/{}", self.registry.url, self.repository);
        let admin = (&self.registry.username, self.registry.password.expose_secret());
        let upload = Client::new().post(format!("{base}/blobs/uploads/")).basic_auth(admin.0, Some(admin.1));
        let upload = upload.send().await.unwrap();
        let place = upload.headers()["location"].to_str().unwrap();
        self.put(&format!("{place}&digest={digest}"), "application/octet-stream", "{}".to_owned()).await;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 },
            "layers": [],
        });
        self.put(&format!("{base}/manifests/1.0"), kind, manifest.to_string()).await;
    }
}

#[tokio::test]
async fn a_password_is_taken_and_a_wrong_or_changed_one_is_not() {
    let world = World::new();
    let connector = world.connector(json!({}));
    let old = connector.with("password", "hush");
    assert_eq!(old.verify().await.unwrap().expires_at, None);
    assert_eq!(pointer(connector.with("password", "wrong").verify().await), "/secrets/password");
    let stranger = world.connector(json!({ "username": "nobody" })).with("password", "hush");
    assert_eq!(pointer(stranger.verify().await), "/secrets/password");

    world.registry.user_set(&world.user, &SecretString::from("new")).unwrap();
    assert_eq!(pointer(old.verify().await), "/secrets/password");
    connector.with("password", "new").verify().await.unwrap();
}

#[tokio::test]
async fn a_repository_must_be_there() {
    let world = World::new();
    let connector = world.connector(json!({ "repository": world.repository })).with("password", "hush");
    assert_eq!(pointer(connector.verify().await), "/config/repository");
    world.push().await;
    connector.verify().await.unwrap();
    for name in ["../v2", "Upper", "it//x"] {
        let no_name = world.connector(json!({ "repository": name })).with("password", "hush");
        assert_eq!(pointer(no_name.verify().await), "/config/repository", "{name}");
    }
}

#[tokio::test]
async fn what_does_not_fit_this_registry_points_at_it() {
    let world = World::new();
    let below = world.connector(json!({ "url": format!("{}/below", world.registry.url) }));
    assert_eq!(pointer(below.with("password", "hush").verify().await), "/config/url");
    let slashed = world.connector(json!({ "url": format!("{}/", world.registry.url) }));
    slashed.with("password", "hush").verify().await.unwrap();
    let token = world.connector(json!({})).with("token", "anything").verify().await;
    assert_eq!(pointer(token), "/secrets/token");
    // It speaks plain HTTP: a certificate authority cannot mend that, but an address that says so can.
    let tls = world.connector(json!({ "url": world.registry.url.replace("http://", "https://") }));
    let refused = tls.with("password", "hush");
    assert_eq!(pointer(refused.verify().await), "/config/url");
    assert!(detail(refused.verify().await).contains("does not speak TLS"));
}
