//! What a cluster that is away, or answers badly, is taken for.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use integraci_api::SecretText;
use integraci_server::isolation::kubernetes::{Client, Kubernetes, KubernetesConfig};
use integraci_server::isolation::{ErrorClass, Isolation as _};
use integraci_server::source::Source;
use tokio::net::TcpListener;

use super::attest::red;
use super::{Cluster, wanted};
use crate::verify::Scripted;

impl Cluster {
    /// The product's way to something else than the cluster.
    fn system_at(&self, address: &str, timeout: Duration) -> Kubernetes {
        let config = KubernetesConfig { server: address.parse().unwrap(), timeout, ..self.config() };
        Kubernetes::new(Client::new(&config).unwrap(), Source::real())
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_cluster_that_is_away_is_broken_and_attests_nothing() {
    let (cluster, own, canary) = (Cluster::new(), wanted("away"), wanted("gone"));
    // Nothing listens on the discard port of the loopback address.
    let system = cluster.system_at("https://127.0.0.1:9", LONG);
    assert_eq!(system.ensure(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.ensure_none(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.remains(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(system.drift(&own).await.unwrap_err().class, ErrorClass::Broken);
    assert_eq!(red(&system, &own, &canary).await.len(), 29, "what could not be tried did not pass");
}

#[tokio::test]
async fn a_token_that_is_nobodys_is_refused_and_not_told() {
    let (cluster, tenant) = (Cluster::new(), wanted("nobody"));
    let stranger = cluster.system_as(SecretText::new("nobodys".to_owned()));
    let refused = stranger.ensure(&tenant).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Refused, Some(401)));
    assert!(!format!("{refused} {refused:?}").contains("nobodys"));
    assert_eq!(stranger.remains(&tenant).await.unwrap_err().class, ErrorClass::Refused);
}

#[tokio::test]
async fn every_bad_answer_has_its_class_and_none_of_its_text() {
    const FORBIDDEN: &str = r#"{"reason":"Forbidden","message":"hush"}"#;
    let (cluster, tenant) = (Cluster::new(), wanted("faults"));
    let busy = |seconds: Option<u64>| ErrorClass::Busy { retry_after: seconds.map(Duration::from_secs) };
    for (status, body, retry_after, expected) in [
        (403, FORBIDDEN, None, ErrorClass::Refused),
        (429, "hush", Some(7), busy(Some(7))),
        (503, "hush", None, busy(None)),
        (500, "hush", None, ErrorClass::Broken),
        (404, "hush", None, ErrorClass::Broken),
        (200, "hush", None, ErrorClass::Broken),
        (302, "hush", None, ErrorClass::Broken),
    ] {
        let far_side = Scripted::start("127.0.0.1", move |_, _| {
            let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            answer
        })
        .await;
        let system = cluster.system_at(&far_side.url, LONG);
        for failed in [
            system.ensure(&tenant).await.unwrap_err(),
            system.ensure_none(&tenant).await.unwrap_err(),
            system.remains(&tenant).await.unwrap_err(),
        ] {
            assert_eq!(failed.class, expected, "{status}: {failed}");
            assert!(!format!("{failed} {failed:?}").contains("hush"));
        }
    }
}

#[tokio::test]
async fn a_cut_connection_and_a_silent_one_leave_it_unknown() {
    let (cluster, tenant) = (Cluster::new(), wanted("cut"));
    let cut = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let system = cluster.system_at(&format!("http://{}", cut.local_addr().unwrap()), LONG);
    let hang_up = async {
        loop {
            drop(cut.accept().await.unwrap());
        }
    };
    tokio::select! {
        outcome = system.remains(&tenant) => assert_eq!(outcome.unwrap_err().class, ErrorClass::Broken),
        () = hang_up => {}
    }

    // Connections are taken by the kernel, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let late = cluster.system_at(&address, Duration::from_millis(50)).remains(&tenant).await;
    let late = late.unwrap_err();
    assert_eq!((late.class, late.reason), (ErrorClass::Broken, "no answer in time"));
}
