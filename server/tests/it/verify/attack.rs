//! Ways to a forbidden address, over real sockets: whatever a tenant's far side says, a service that
//! listens on this machine's own address hears nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use integraci_server::connectors::outbound::{
    Answer, Lookup, Outbound, OutboundConfig, OutboundError, Request,
};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{Scripted, local_config, pointer, verify_with};

/// The address that a tenant's far side has: allowed.
const FRONT: &str = "127.0.0.2";

fn front_only() -> OutboundConfig {
    OutboundConfig { allow: vec!["127.0.0.2/32".parse().unwrap()], ..local_config() }
}

/// A service that nobody outside is meant to reach.
async fn inside() -> Scripted {
    Scripted::start("127.0.0.1", |_, _| "inside".into_response()).await
}

/// The far side of a tenant, which redirects everything.
async fn redirects(status: u16, to: &str) -> Scripted {
    let to = HeaderValue::from_bytes(to.as_bytes()).unwrap();
    Scripted::start(FRONT, move |_, _| redirect(status, to.clone())).await
}

fn redirect(status: u16, to: HeaderValue) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, to)]).into_response()
}

fn port(far_side: &Scripted) -> u16 {
    Url::parse(&far_side.url).unwrap().port().unwrap()
}

async fn get(outbound: &Outbound, url: &str) -> Result<Answer, OutboundError> {
    outbound.send(Request::get(Url::parse(url).unwrap())).await
}

/// Every way to name this machine's own address that a URL can hold.
const OWN: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "2130706433",
    "１２７.０.０.１",
    "%31%32%37.0.0.1",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0.0.0.0]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
];

#[tokio::test]
async fn no_way_of_writing_it_reaches_this_machine() {
    let inside = inside().await;
    let outbound = Outbound::new(&front_only()).unwrap();
    for host in OWN {
        let url = format!("http://{host}:{}/", port(&inside));
        let refused = get(&outbound, &url).await.map(drop);
        // A name that this machine's resolver does not know is no way in either.
        let expected = match host.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "localhost" => {
                refused == Err(OutboundError::AddressNotAllowed) || refused == Err(OutboundError::Unresolved)
            }
            _ => refused == Err(OutboundError::AddressNotAllowed),
        };
        assert!(expected, "{host}: {refused:?}");
        let ping = Request::post(Url::parse(&url).unwrap(), "{}".into());
        assert!(outbound.send(ping).await.is_err(), "{host}");
    }
    assert_eq!(inside.seen(), []);

    // The service is there for one who may call it.
    let allowed = Outbound::new(&local_config()).unwrap();
    assert_eq!(get(&allowed, &inside.url).await.unwrap().body.as_slice(), b"inside");
}

#[tokio::test]
async fn no_redirect_reaches_this_machine() {
    let inside = inside().await;
    let outbound = Outbound::new(&front_only()).unwrap();
    for host in OWN {
        for status in [301, 302, 303, 307, 308] {
            let front = redirects(status, &format!("http://{host}:{}/", port(&inside))).await;
            assert!(get(&outbound, &front.url).await.is_err(), "{status} to {host}");
            assert_eq!(front.seen().len(), 1);
        }
    }
    let far = format!("//127.0.0.1:{}/", port(&inside));
    for (to, expected) in [
        (far.as_str(), OutboundError::AddressNotAllowed),
        ("file:///etc/passwd", OutboundError::SchemeNotAllowed),
        ("ftp://127.0.0.2/", OutboundError::SchemeNotAllowed),
        ("gopher://127.0.0.1:70/_x", OutboundError::SchemeNotAllowed),
        ("data:text/plain,x", OutboundError::SchemeNotAllowed),
        ("http://user:password@127.0.0.2/", OutboundError::CredentialsInUrl),
        ("http://", OutboundError::Broken),
        ("http://[", OutboundError::Broken),
        ("\u{ff}", OutboundError::Broken),
        ("http://169.254.169.254/latest/meta-data/", OutboundError::AddressNotAllowed),
        ("/again", OutboundError::TooManyRedirects),
    ] {
        let front = redirects(302, to).await;
        assert_eq!(get(&outbound, &front.url).await.map(drop), Err(expected), "{to}");
    }
    assert_eq!(inside.seen(), []);
}

#[tokio::test]
async fn redirects_are_counted_and_a_post_is_not_sent_on() {
    let front = redirects(307, "/again").await;
    let outbound = Outbound::new(&front_only()).unwrap();
    get(&outbound, &front.url).await.map(drop).unwrap_err();
    assert_eq!(front.seen().len(), 4, "the call and three redirects");
    let ping = Request::post(Url::parse(&front.url).unwrap(), "{}".into());
    assert_eq!(outbound.send(ping).await.unwrap().status.as_u16(), 307);
    assert_eq!(front.seen().len(), 5);
}

#[tokio::test]
async fn plain_http_is_not_called_even_by_a_redirect_unless_allowed() {
    let front = redirects(302, "/").await;
    let outbound = Outbound::new(&OutboundConfig { allow_http: false, ..front_only() }).unwrap();
    assert_eq!(get(&outbound, &front.url).await.map(drop), Err(OutboundError::SchemeNotAllowed));
    assert_eq!(front.seen(), []);
}

#[tokio::test]
async fn credentials_go_to_their_own_origin_and_to_no_other() {
    let other = Scripted::start(FRONT, |_, _| "other".into_response()).await;
    let to_other = HeaderValue::from_str(&other.url).unwrap();
    let front = Scripted::start(FRONT, move |path, _| match path {
        "/stay" => redirect(302, HeaderValue::from_static("/here")),
        "/leave" => redirect(302, to_other.clone()),
        _ => "front".into_response(),
    })
    .await;
    let outbound = Outbound::new(&front_only()).unwrap();
    let send = async |path: &str| {
        let url = Url::parse(&format!("{}{path}", front.url)).unwrap();
        let request = Request::get(url).authorization(HeaderValue::from_static("Bearer hush"));
        outbound.send(request).await.unwrap()
    };
    send("/stay").await;
    let hush = || Some("Bearer hush".to_owned());
    assert_eq!(front.seen(), [("/stay".to_owned(), hush()), ("/here".to_owned(), hush())]);
    assert_eq!(send("/leave").await.body.as_slice(), b"other");
    assert_eq!(other.seen(), [("/".to_owned(), None)], "another port is another origin");
}

/// A resolver that answers each name with what the test says, one answer after the other.
struct Names(Mutex<BTreeMap<&'static str, Vec<Vec<&'static str>>>>);

impl Names {
    fn of(names: &[(&'static str, &[&[&'static str]])]) -> Arc<Self> {
        let answers = |all: &[&[&'static str]]| all.iter().rev().map(|answer| answer.to_vec()).collect();
        Arc::new(Self(Mutex::new(names.iter().map(|(name, all)| (*name, answers(all))).collect())))
    }
}

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let answer = self.0.lock().unwrap().get_mut(name).and_then(Vec::pop);
        let answer = answer.ok_or(std::io::ErrorKind::NotFound)?;
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

#[tokio::test]
async fn a_name_is_judged_by_the_addresses_that_are_connected_to() {
    let inside = inside().await;
    let names = Names::of(&[
        ("inside.example", &[&["127.0.0.1"]]),
        ("inside6.example", &[&["::1", "fe80::1", "::ffff:127.0.0.1"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("empty.example", &[&[]]),
    ]);
    let outbound = Outbound::with_lookup(&front_only(), names).unwrap();
    for (name, expected) in [
        ("inside.example", OutboundError::Unresolved),
        ("inside6.example", OutboundError::Unresolved),
        ("metadata.example", OutboundError::Unresolved),
        ("empty.example", OutboundError::Unresolved),
        ("unknown.example", OutboundError::Unresolved),
    ] {
        let refused = get(&outbound, &format!("http://{name}:{}/", port(&inside))).await;
        assert_eq!(refused.map(drop), Err(expected), "{name}");
    }
    assert_eq!(inside.seen(), []);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let front = Scripted::start(FRONT, |_, _| "front".into_response()).await;
    // On the same port of an address that is not allowed.
    let inside = std::net::TcpListener::bind(("127.0.0.1", port(&front))).unwrap();
    inside.set_nonblocking(true).unwrap();
    let names = Names::of(&[
        ("rebinds.example", &[&[FRONT], &["127.0.0.1"]]),
        ("mixed.example", &[&["127.0.0.1", "::1", FRONT]]),
    ]);
    let outbound = Outbound::with_lookup(&front_only(), names).unwrap();
    let call = async |name: &str| get(&outbound, &format!("http://{name}:{}/", port(&front))).await;
    // One answer serves check and connection: were it asked twice, this would go astray.
    assert_eq!(call("rebinds.example").await.unwrap().body.as_slice(), b"front");
    assert_eq!(call("rebinds.example").await.map(drop), Err(OutboundError::Unresolved));
    assert_eq!(call("mixed.example").await.unwrap().body.as_slice(), b"front");
    assert_eq!(inside.accept().map(drop).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = |pause: Duration| {
        move |_: &str, _: Option<&str>| {
            let chunks = stream::unfold((), move |()| async move {
                tokio::time::sleep(pause).await;
                Some((Ok::<_, std::io::Error>(vec![b'x'; 16 * 1024]), ()))
            });
            Body::from_stream(chunks).into_response()
        }
    };
    let outbound = Outbound::new(&front_only()).unwrap();
    let flood = Scripted::start(FRONT, endless(Duration::ZERO)).await;
    assert_eq!(get(&outbound, &flood.url).await.map(drop), Err(OutboundError::TooLarge));

    let hurried = OutboundConfig { timeout: Duration::from_millis(200), ..front_only() };
    let drip = Scripted::start(FRONT, endless(Duration::from_secs(3600))).await;
    let dripped = get(&Outbound::new(&hurried).unwrap(), &drip.url).await;
    assert_eq!(dripped.map(drop), Err(OutboundError::Timeout));
}

#[tokio::test]
async fn what_does_not_speak_http_is_no_answer() {
    for said in ["", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"] {
        let listener = tokio::net::TcpListener::bind((FRONT, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.write_all(said.as_bytes()).await.unwrap();
        });
        let answer = get(&Outbound::new(&front_only()).unwrap(), &url).await;
        assert_eq!(answer.map(drop), Err(OutboundError::Broken), "{said:?}");
    }
    let closed = std::net::TcpListener::bind((FRONT, 0)).unwrap().local_addr().unwrap();
    let nobody = get(&Outbound::new(&front_only()).unwrap(), &format!("http://{closed}/")).await;
    assert_eq!(nobody.map(drop), Err(OutboundError::Unreachable));
}

#[tokio::test]
async fn a_registry_cannot_send_the_password_inside() {
    let inside = inside().await;
    let challenge = format!("Bearer realm=\"{}/token\"", inside.url);
    let names_inside = Scripted::start(FRONT, move |_, _| {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge.clone())]).into_response()
    })
    .await;
    let leads_inside = redirects(307, &format!("{}/v2/", inside.url)).await;
    for front in [names_inside, leads_inside] {
        let settings = json!({ "url": front.url, "username": "robot", "repository": "acme/app" });
        let refused = verify_with(&front_only(), "container_registry", settings, ("password", "hush")).await;
        assert_eq!(pointer(refused), "/config/url");
        assert!(front.seen().iter().all(|(_, credentials)| credentials.is_none()));
    }
    assert_eq!(inside.seen(), []);
}

#[tokio::test]
async fn a_challenge_of_another_host_is_not_answered() {
    let other = Scripted::start(FRONT, |_, _| {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"x\"")]).into_response()
    })
    .await;
    let front = redirects(302, &format!("{}/v2/", other.url)).await;
    let settings = json!({ "url": front.url, "username": "robot" });
    let refused = verify_with(&front_only(), "container_registry", settings, ("password", "hush")).await;
    assert_eq!(pointer(refused), "/config/url");
    assert_eq!(other.seen(), [("/v2/".to_owned(), None)]);
}
