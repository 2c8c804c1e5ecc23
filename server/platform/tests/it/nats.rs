//! NATS, through a client of a few lines: the protocol is text, see docs.nats.io, "Client Protocol".

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_platform::{Nats, System};
use nkeys::KeyPair;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{started, stopped};

const DEADLINE: Duration = Duration::from_secs(30);

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(nats: &Nats, jwt: &str, seed: &str) -> Self {
        let address = nats.url.strip_prefix("nats://").unwrap();
        let mut client = Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
        let info = client.line().await;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        let key = KeyPair::from_seed(seed).unwrap();
        let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
        let sig = URL_SAFE_NO_PAD.encode(signature);
        let connect = json!({ "verbose": false, "pedantic": false, "jwt": jwt, "sig": sig });
        client.send(&format!("CONNECT {connect}\r\nPING\r\n")).await;
        assert_eq!(client.line().await, "PONG");
        client
    }

    async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line that is not the server asking whether we are there, or telling of itself.
    async fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            timeout(DEADLINE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
            let line = line.trim_end().to_owned();
            match line.as_str() {
                "PING" => self.send("PONG\r\n").await,
                told if told.starts_with("INFO") && told.contains("connect_urls") => {}
                _ => return line,
            }
        }
    }

    /// The body of the next message.
    async fn message(&mut self) -> Vec<u8> {
        let head = self.line().await;
        assert!(head.starts_with("MSG "), "{head}");
        let length: usize = head.rsplit_once(' ').unwrap().1.parse().unwrap();
        let mut body = vec![0; length + 2];
        timeout(DEADLINE, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
        body.truncate(length);
        body
    }

    async fn request(&mut self, subject: &str, body: &str) -> Value {
        self.send(&format!("SUB reply 1\r\nUNSUB 1 1\r\nPUB {subject} reply {}\r\n{body}\r\n", body.len()))
            .await;
        serde_json::from_slice(&self.message().await).unwrap()
    }
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let issued_at_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (iss, sub) = (issuer.public_key(), subject.public_key());
    let claims = json!({ "iss": iss, "sub": sub, "name": "t", "jti": sub, "iat": issued_at_s, "nats": nats });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap()))
}

/// Adds an account with `JetStream`, and gives a user of it.
async fn account_added(nats: &Nats) -> (String, String) {
    let creds = fs::read_to_string(&nats.system_creds).unwrap();
    let lines: Vec<&str> = creds.lines().filter(|line| !line.is_empty() && !line.starts_with('-')).collect();
    let mut system = Client::connect(nats, lines[0], lines[1]).await;

    let operator = KeyPair::from_seed(nats.operator_signing_seed.expose_secret()).unwrap();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": 1, "leaf": -1, "mem_storage": 0, "disk_storage": 1_000_000, "streams": 1, "consumer": 1,
    });
    let claims = json!({ "type": "account", "version": 2, "limits": limits });
    let pushed = system.request("$SYS.REQ.CLAIMS.UPDATE", &jwt(&operator, &account, &claims)).await;
    assert_eq!(pushed["data"]["code"], 200, "{pushed}");
    let claims = json!({
        "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    (jwt(&account, &user, &claims), user.seed().unwrap())
}

#[tokio::test]
async fn accounts_and_streams_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();

    let platform = started(dir.path(), System::Nats).await;
    let nats = platform.endpoints().nats().unwrap();
    let (jwt, seed) = account_added(nats).await;
    let mut user = Client::connect(nats, &jwt, &seed).await;
    user.send("SUB hello 7\r\nPUB hello 2\r\nhi\r\n").await;
    assert_eq!(user.message().await, b"hi");
    let stream = json!({ "name": "KEPT", "subjects": ["kept"], "storage": "file", "max_bytes": 1000 });
    let made = user.request("$JS.API.STREAM.CREATE.KEPT", &stream.to_string()).await;
    assert_eq!(made["error"], Value::Null, "{made}");
    let stored = user.request("kept", "word").await;
    assert_eq!(stored["seq"], 1, "{stored}");
    stopped(platform).await;

    let platform = started(dir.path(), System::Nats).await;
    let nats = platform.endpoints().nats().unwrap();
    let mut user = Client::connect(nats, &jwt, &seed).await;
    let kept = user.request("$JS.API.STREAM.MSG.GET.KEPT", r#"{"seq":1}"#).await;
    assert_eq!(kept["message"]["data"], "d29yZA==", "{kept}"); // "word"
    stopped(platform).await;
}

/// The kernel would end the processes with the *thread* that started them; see `process.rs`.
#[test]
fn it_outlives_the_thread_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(started(&root, System::Nats))
    };
    let mut platform = std::thread::spawn(start).join().unwrap();
    platform.check().unwrap();
    let address = platform.endpoints().nats().unwrap().url.trim_start_matches("nats://").to_owned();
    let mut greeting = [0; 4];
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Read::read_exact(&mut stream, &mut greeting).unwrap();
    assert_eq!(&greeting, b"INFO");
}
