//! A way into NATS that is not the product's: the operator's own, who can do anything to an account.

use std::sync::Arc;

use async_nats::jetstream::{self, Context};
use async_nats::{AuthError, Client, ConnectOptions};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::config;

pub(crate) struct Operator {
    client: Client,
    key: KeyPair,
}

impl Operator {
    pub(crate) async fn new() -> Self {
        let config = config();
        let options = ConnectOptions::with_credentials_file(&config.system_credentials_file).await.unwrap();
        let client = options.connect(config.servers[0].as_str()).await.unwrap();
        Self { client, key: KeyPair::from_seed(config.operator_signing_seed.expose()).unwrap() }
    }

    async fn ask(&self, subject: String, body: String) -> Value {
        let answer = self.client.request(subject, body.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["error"], Value::Null, "{answer}");
        answer
    }

    /// The account's claims.
    pub(crate) async fn claims(&self, account: &str) -> Value {
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        let jwt = self.client.request(subject, "".into()).await.unwrap().payload;
        let claims = std::str::from_utf8(&jwt).unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    /// Writes a value into the account's claims at a pointer below `nats`.
    pub(crate) async fn change(&self, account: &str, pointer: &str, value: Value) {
        let mut claims = self.claims(account).await;
        match claims["nats"].pointer_mut(pointer) {
            Some(place) => *place = value,
            None => claims["nats"][pointer.trim_start_matches('/')] = value,
        }
        self.ask("$SYS.REQ.CLAIMS.UPDATE".to_owned(), sign(&self.key, claims)).await;
    }

    /// Lets every other account see the account's messages.
    pub(crate) async fn export(&self, account: &str) {
        let mut claims = self.claims(account).await;
        claims["nats"]["limits"]["exports"] = 1.into();
        claims["nats"]["limits"]["wildcards"] = true.into();
        claims["nats"]["exports"] = json!([{ "name": "all", "subject": "tenant.>", "type": "stream" }]);
        self.ask("$SYS.REQ.CLAIMS.UPDATE".to_owned(), sign(&self.key, claims)).await;
    }

    /// Deletes the account and nothing else of it.
    pub(crate) async fn delete(&self, account: &str) {
        let own = self.key.public_key();
        let nats = json!({ "type": "generic", "version": 2, "accounts": [account] });
        let jwt = sign(&self.key, json!({ "sub": own, "nats": nats }));
        self.ask("$SYS.REQ.CLAIMS.DELETE".to_owned(), jwt).await;
    }

    /// The account's streams, as a user that may do all there: its key is added to the account's.
    pub(crate) async fn inside(&self, account: &str) -> Context {
        let (issuer, user) = (KeyPair::new_account(), Arc::new(KeyPair::new_user()));
        let mut keys = self.claims(account).await["nats"]["signing_keys"].clone();
        keys.as_array_mut().unwrap().push(issuer.public_key().into());
        self.change(account, "/signing_keys", keys).await;
        let nats = json!({ "type": "user", "version": 2, "issuer_account": account, "pub": { "allow": [">"] },
            "sub": { "allow": [">"] }, "subs": -1, "data": -1, "payload": -1 });
        let jwt = sign(&issuer, json!({ "sub": user.public_key(), "nats": nats }));
        let options = ConnectOptions::with_jwt(jwt, move |nonce| {
            let user = user.clone();
            async move { user.sign(&nonce).map_err(AuthError::new) }
        });
        jetstream::new(options.connect(config().servers[0].as_str()).await.unwrap())
    }
}

fn sign(issuer: &KeyPair, mut claims: Value) -> String {
    claims["iss"] = issuer.public_key().into();
    claims["iat"] = OffsetDateTime::now_utc().unix_timestamp().into();
    claims["jti"] = uuid::Uuid::new_v4().to_string().into();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap()))
}
