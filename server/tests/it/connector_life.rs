//! What becomes of a connector after it was installed: it is looked at, changed by hand, rotated, and
//! removed; and connectors that hold no secret or are not verified.

use std::time::{Duration, Instant};

use integraci_api::operations::{Operation, OperationState};
use integraci_api::{ProblemCode, TenantId};
use local_platform::far_side::Behaviour;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::app::{App, HMAC_KEY};
use crate::openbao_world::Bao;

const NEXT_KEY: &str = "of-tests-next-fedcba9876543210";
const WRONG_KEY: &str = "not-the-key-0123456789";

struct Installed {
    app: App,
    bao: Bao,
    tenant: TenantId,
    path: String,
}

impl Installed {
    /// A webhook that is in force, in a tenant of its own.
    async fn new() -> Self {
        let bao = Bao::new().await;
        let app = App::with(&bao, Vec::new()).await;
        let tenant = app.tenant().await;
        let made = install(&app, tenant, app.hook("hook")).await;
        let path = format!("/v1/tenants/{tenant}/connectors/{}", made.target_id);
        Self { app, bao, tenant, path }
    }

    async fn connector(&self) -> Value {
        self.app.get(&self.path).await
    }

    async fn rotate(&self, body: Value) -> Operation {
        let path = format!("{}/rotations", self.path);
        self.app.settled(&self.app.send(Method::POST, &path, Some(body)).await).await
    }

    async fn change(&self, body: Value) -> Operation {
        self.app.settled(&self.app.send(Method::PATCH, &self.path, Some(body)).await).await
    }

    async fn verified_now(&self) -> Value {
        let path = format!("{}/verifications", self.path);
        let reply = self.app.send(Method::POST, &path, None).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        reply.body
    }

    async fn differs(&self, secrets: Value) -> Value {
        let path = format!("{}/secret-comparisons", self.path);
        let reply = self.app.send(Method::POST, &path, Some(json!({"secrets": secrets}))).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        reply.body["differs"].clone()
    }

    /// The versions in OpenBao whose values are there.
    async fn live_versions(&self) -> Vec<i64> {
        let slug = self.app.get(&format!("/v1/tenants/{}", self.tenant)).await["slug"].clone();
        let id = self.path.rsplit('/').next().unwrap();
        let namespace = format!("tenant-{}", slug.as_str().unwrap());
        let path = format!("secret/metadata/connectors/{id}");
        let (_, body) = self.bao.root(Method::GET, &namespace, &path, Value::Null).await;
        let versions = body["data"]["versions"].as_object().unwrap();
        let live = versions.iter().filter(|(_, known)| known["destroyed"] == false);
        live.map(|(version, _)| version.parse().unwrap()).collect()
    }

    /// Somebody changes the secret by hand.
    async fn write_by_hand(&self, key: &str) {
        let slug = self.app.get(&format!("/v1/tenants/{}", self.tenant)).await["slug"].clone();
        let id = self.path.rsplit('/').next().unwrap();
        let namespace = format!("tenant-{}", slug.as_str().unwrap());
        let newest = *self.live_versions().await.iter().max().unwrap();
        let body = json!({"options": {"cas": newest}, "data": {"hmac_key": key}});
        let path = format!("secret/data/connectors/{id}");
        let (status, body) = self.bao.root(Method::POST, &namespace, &path, body).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn overlap_is_over(&self) {
        let mut tx = self.app.database.store.platform_tx().await.unwrap();
        let over = "UPDATE connector SET retire_at = now() WHERE retire_at IS NOT NULL";
        assert_eq!(sqlx::query(over).execute(tx.conn()).await.unwrap().rows_affected(), 1);
        tx.commit().await.unwrap();
    }

    /// Waits until the connector is as it should be.
    async fn until(&self, is_right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let connector = self.connector().await;
            if is_right(&connector) {
                return connector;
            }
            assert!(Instant::now() < deadline, "never came to be: {connector}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn install(app: &App, tenant: TenantId, wanted: Value) -> Operation {
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let made = app.settled(&app.send(Method::POST, &connectors, Some(wanted)).await).await;
    assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    made
}

#[tokio::test]
async fn a_rotation_puts_the_new_secret_in_force_and_keeps_the_old_for_a_while() {
    let it = Installed::new().await;
    it.app.far_side.webhook_key("hook", SecretString::from(NEXT_KEY));
    let rotated = it.rotate(json!({"secrets": {"hmac_key": NEXT_KEY}, "overlap_s": 3600})).await;
    assert_eq!(rotated.state, OperationState::Succeeded, "{rotated:?}");
    let connector = it.connector().await;
    assert_eq!((&connector["secret_version"], &connector["status"]), (&json!(2), &json!("active")));
    assert_eq!(connector["retiring"]["secret_version"], 1);
    assert_eq!(it.live_versions().await, [1, 2], "both are good for an hour");
    assert_eq!(it.differs(json!({"hmac_key": NEXT_KEY})).await, false);

    let path = format!("{}/rotations", it.path);
    let again = json!({"secrets": {"hmac_key": HMAC_KEY}});
    let early = it.app.send(Method::POST, &path, Some(again)).await;
    assert_eq!(early.problem().0, "busy", "one old secret is kept, not two");
    assert!(early.body["detail"].as_str().unwrap().contains("is kept from the last rotation until"));

    it.overlap_is_over().await;
    it.until(|connector| connector["retiring"].is_null() && connector["status"] == "active").await;
    assert_eq!(it.live_versions().await, [2], "and then the old one is destroyed");
}

#[tokio::test]
async fn a_rotation_that_is_not_verified_leaves_the_old_secret_in_force_and_says_so() {
    let it = Installed::new().await;
    let failed = it.rotate(json!({"secrets": {"hmac_key": WRONG_KEY}})).await;
    let error = failed.error.unwrap();
    assert_eq!((failed.state, error.code), (OperationState::Failed, ProblemCode::VerificationFailed));
    assert_eq!(error.errors[0].pointer, "/secrets/hmac_key");
    let connector = it.connector().await;
    assert_eq!((&connector["secret_version"], &connector["retiring"]), (&json!(1), &Value::Null));
    assert_eq!(it.live_versions().await, [1]);
    assert_eq!(it.differs(json!({"hmac_key": HMAC_KEY})).await, false);
    assert_eq!(it.verified_now().await["secret_drifted"], false, "what was taken back is no drift");
}

#[tokio::test]
async fn a_rotation_sent_twice_happens_once() {
    let it = Installed::new().await;
    it.app.far_side.webhook_key("hook", SecretString::from(NEXT_KEY));
    let path = format!("{}/rotations", it.path);
    let body = json!({"secrets": {"hmac_key": NEXT_KEY}});
    let key = [("idempotency-key", "rotate-1")];
    let first = it.app.send_with(Method::POST, &path, Some(body.clone()), &key).await;
    it.app.settled(&first).await;
    let second = it.app.send_with(Method::POST, &path, Some(body), &key).await;
    assert!(second.replayed);
    assert_eq!(first.body["id"], second.body["id"]);
    assert_eq!(it.connector().await["secret_version"], 2);
    let other = json!({"secrets": {"hmac_key": NEXT_KEY}, "overlap_s": 1});
    let reused = it.app.send_with(Method::POST, &path, Some(other), &key).await;
    assert_eq!(reused.problem().0, "idempotency_key_reused");
}

#[tokio::test]
async fn a_far_side_that_changes_its_mind_is_seen_and_the_revision_stays() {
    let it = Installed::new().await;
    let before = it.connector().await;
    assert_eq!(before["verification_status"], "verified");
    it.app.far_side.behave(Behaviour::Down);
    let down = it.verified_now().await;
    assert_eq!(down["verification_status"], "unreachable");
    it.app.far_side.behave(Behaviour::Normal);
    it.app.far_side.webhook_key("hook", SecretString::from(NEXT_KEY));
    let refused = it.verified_now().await;
    assert_eq!(refused["verification_status"], "refused");
    let reason = refused["verification_reason"].as_str().unwrap();
    assert!(reason.starts_with("/secrets/hmac_key: "), "{reason}");
    assert_eq!(refused["last_verified_at"], before["last_verified_at"]);
    assert_ne!(refused["last_checked_at"], before["last_checked_at"]);
    assert_eq!(refused["revision"], before["revision"], "what a far side says is no change of ours");
    it.app.far_side.webhook_key("hook", SecretString::from(HMAC_KEY));
    let well = it.verified_now().await;
    assert_eq!(
        (&well["verification_status"], &well["verification_reason"]),
        (&json!("verified"), &Value::Null)
    );
}

#[tokio::test]
async fn a_secret_that_was_changed_by_hand_is_drift_until_it_is_sent_anew() {
    let it = Installed::new().await;
    it.write_by_hand("by-hand-0123456789abcdef").await;
    assert_eq!(it.verified_now().await["secret_drifted"], true);
    assert_eq!(it.differs(json!({"hmac_key": HMAC_KEY})).await, true, "a plan sends it anew");
    let mended = it.change(json!({"secrets": {"hmac_key": HMAC_KEY}})).await;
    assert_eq!(mended.state, OperationState::Succeeded, "{mended:?}");
    let connector = it.connector().await;
    assert_eq!((&connector["secret_drifted"], &connector["secret_version"]), (&json!(false), &json!(3)));
    assert_eq!(it.live_versions().await, [3], "what was left by hand is gone");
    assert_eq!(it.differs(json!({"hmac_key": HMAC_KEY})).await, false);
    assert_eq!(it.verified_now().await["secret_drifted"], false);
}

#[tokio::test]
async fn where_verification_is_not_required_what_the_far_side_says_is_told() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let mut wanted = app.hook("hook");
    wanted["secrets"]["hmac_key"] = json!(WRONG_KEY);
    wanted["verify"] = json!("optional");
    let made = install(&app, tenant, wanted.clone()).await;
    let path = format!("/v1/tenants/{tenant}/connectors/{}", made.target_id);
    let connector = app.get(&path).await;
    assert_eq!(
        (&connector["status"], &connector["verification_status"], &connector["last_verified_at"]),
        (&json!("active"), &json!("refused"), &Value::Null)
    );

    wanted["verify"] = json!("off");
    wanted["name"] = json!("silent");
    let seen = app.far_side.seen().len();
    let made = install(&app, tenant, wanted).await;
    let silent = app.get(&format!("/v1/tenants/{tenant}/connectors/{}", made.target_id)).await;
    assert_eq!((&silent["verify"], &silent["verification_status"]), (&json!("off"), &json!("unverified")));
    assert_eq!(app.far_side.seen().len(), seen, "nobody was asked");

    let required = json!({"verify": "required"});
    let failed = app.settled(&app.send(Method::PATCH, &path, Some(required)).await).await;
    assert_eq!(failed.error.unwrap().code, ProblemCode::VerificationFailed);
    assert_eq!(app.get(&path).await["verify"], "optional");
    let mend = json!({"verify": "required", "secrets": {"hmac_key": HMAC_KEY}});
    let mended = app.settled(&app.send(Method::PATCH, &path, Some(mend)).await).await;
    assert_eq!(mended.state, OperationState::Succeeded);
    let connector = app.get(&path).await;
    assert_eq!(
        (&connector["verify"], &connector["verification_status"]),
        (&json!("required"), &json!("verified"))
    );
}

#[tokio::test]
async fn a_kind_without_secrets_holds_none() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let connectors = format!("/v1/tenants/{tenant}/connectors");
    let wanted = json!({"name": "cloud", "kind": "aws", "verify": "off",
        "config": {"role_arn": "arn:aws:iam::123456789012:role/integraci"}});
    let made = install(&app, tenant, wanted).await;
    let path = format!("{connectors}/{}", made.target_id);
    let connector = app.get(&path).await;
    assert_eq!((&connector["secret_version"], &connector["secret_set_at"]), (&json!(0), &Value::Null));
    let same =
        app.send(Method::POST, &format!("{path}/secret-comparisons"), Some(json!({"secrets": {}}))).await;
    assert_eq!(same.body["differs"], false, "{same:?}");
    let rotation = app.send(Method::POST, &format!("{path}/rotations"), Some(json!({}))).await;
    assert_eq!(rotation.problem(), ("invalid_request", vec!["/secrets"]));
    let renamed = app.settled(&app.send(Method::PATCH, &path, Some(json!({"name": "sky"}))).await).await;
    assert_eq!(renamed.state, OperationState::Succeeded, "{renamed:?}");
    let removed = app.settled(&app.send(Method::DELETE, &path, None).await).await;
    assert_eq!(removed.state, OperationState::Succeeded, "{removed:?}");
}

#[tokio::test]
async fn what_a_kind_cannot_do_is_refused_at_its_field() {
    let it = Installed::new().await;
    let connectors = format!("/v1/tenants/{}/connectors", it.tenant);
    let mut often = it.app.hook("often");
    often["rotate_every_days"] = json!(30);
    let refused = it.app.send(Method::POST, &connectors, Some(often)).await;
    assert_eq!(refused.problem(), ("invalid_request", vec!["/rotate_every_days"]));
    let change = it.app.send(Method::PATCH, &it.path, Some(json!({"rotate_every_days": 5}))).await;
    assert_eq!(change.problem(), ("invalid_request", vec!["/rotate_every_days"]));
    let delete = it.app.send(Method::DELETE, &format!("{}?old_secret=revoke", it.path), None).await;
    assert_eq!(delete.problem(), ("invalid_request", vec!["/old_secret"]));
    let rotations = format!("{}/rotations", it.path);
    for (body, pointer) in [
        (json!({}), "/secrets"),
        (json!({"secrets": {}}), "/secrets"),
        (json!({"secrets": {"hmac_key": "short"}}), "/secrets/hmac_key"),
        (json!({"secrets": {"hmac_key": NEXT_KEY}, "overlap_s": 99_999_999}), "/overlap_s"),
        (json!({"secrets": {"hmac_key": NEXT_KEY}, "old_secret": "revoke"}), "/old_secret"),
    ] {
        let reply = it.app.send(Method::POST, &rotations, Some(body)).await;
        assert_eq!(reply.problem(), ("invalid_request", vec![pointer]));
    }
    assert_eq!(it.connector().await["status"], "active");
    let drop = it.app.send(Method::PATCH, &it.path, Some(json!({"secrets": {}}))).await;
    assert_eq!(drop.problem(), ("invalid_request", vec!["/secrets/hmac_key"]), "this kind needs its secret");
}

#[tokio::test]
async fn a_webhook_is_told_of_what_it_asked_for_and_told_again_until_it_answers() {
    let it = Installed::new().await;
    let quota = format!("/v1/tenants/{}/quota", it.tenant);
    let told = || -> Vec<(String, Value)> {
        let all = it.app.far_side.deliveries("hook").into_iter();
        let read =
            all.map(|delivery| (delivery.id, serde_json::from_slice::<Value>(&delivery.body).unwrap()));
        read.filter(|(_, body)| body["type"] != "integraci.ping").collect()
    };
    let until = async |n: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while told().len() < n {
            assert!(Instant::now() < deadline, "told only of {:?}", told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    it.app.far_side.behave(Behaviour::Down);
    let set = it.app.send(Method::PUT, &quota, Some(json!({"limits": {"connectors": 2}}))).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let is_tried = || it.app.far_side.seen().iter().any(|seen| seen.status == 503);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_tried() {
        assert!(Instant::now() < deadline, "nobody was told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    it.app.far_side.behave(Behaviour::Normal);
    until(1).await;
    let (id, body) = told().remove(0);
    assert!(id.starts_with("msg_"));
    assert_eq!((&body["type"], &body["data"]["tenant_id"]), (&json!("quota.set"), &json!(it.tenant)));

    // Of what it did not ask for it is told nothing: this comes in between, and is not there.
    it.app.send(Method::PATCH, &format!("/v1/tenants/{}", it.tenant), Some(json!({"name": "New"}))).await;
    it.app.send(Method::PUT, &quota, Some(json!({"limits": {"connectors": 3}}))).await;
    until(2).await;
    let kinds: Vec<_> = told().iter().map(|(_, body)| body["type"].clone()).collect();
    assert_eq!(kinds, [json!("quota.set"), json!("quota.set")]);
    assert_ne!(told()[1].0, id, "another event is another message");
}

/// A GitLab connector in force, with a token and a secret for its webhooks.
async fn forge() -> (Installed, SecretString) {
    let bao = Bao::new().await;
    let app = App::with(&bao, Vec::new()).await;
    let tenant = app.tenant().await;
    let token = SecretString::from("glpat-of-tests-1");
    app.far_side.allow("gitlab", &token);
    let wanted = json!({"name": "forge", "kind": "gitlab", "config": {"base_url": app.far_side.address("gitlab")},
        "secrets": {"token": "glpat-of-tests-1", "webhook_secret": "of-tests-hooks"}});
    let made = install(&app, tenant, wanted).await;
    let path = format!("/v1/tenants/{tenant}/connectors/{}", made.target_id);
    (Installed { app, bao, tenant, path }, token)
}

#[tokio::test]
async fn a_stored_secret_is_not_shown_to_a_new_address() {
    let it = Installed::new().await;
    let elsewhere = format!("{}x", it.app.far_side.webhook_url("hook"));
    let config = json!({"url": elsewhere, "events": ["quota.set"]});
    let seen = it.app.far_side.seen().len();
    let refused = it.app.send(Method::PATCH, &it.path, Some(json!({"config": config}))).await;
    assert_eq!(refused.problem(), ("invalid_request", vec!["/secrets"]), "{refused:?}");
    assert_eq!(it.app.far_side.seen().len(), seen, "nobody was called");
    let events = json!({"url": it.app.far_side.webhook_url("hook"), "events": ["quota.reset"]});
    let same_address = it.change(json!({"config": events})).await;
    assert_eq!(same_address.state, OperationState::Succeeded, "{same_address:?}");
}

#[tokio::test]
async fn a_retirement_does_not_revoke_what_is_still_in_force() {
    let (it, token) = forge().await;
    let secrets = json!({"token": "glpat-of-tests-1", "webhook_secret": "of-tests-hooks-2"});
    let rotated = it.rotate(json!({"secrets": secrets, "overlap_s": 0, "old_secret": "revoke"})).await;
    assert_eq!(rotated.state, OperationState::Succeeded, "{rotated:?}");
    it.until(|connector| connector["retiring"].is_null() && connector["status"] == "active").await;
    assert!(it.app.far_side.allows("gitlab", &token), "the token is that of the secret in force, too");
    assert_eq!(it.live_versions().await, [2]);
}

#[tokio::test]
async fn a_removal_revokes_the_secret_that_is_kept_from_a_rotation_too() {
    let (it, first) = forge().await;
    let second = SecretString::from("glpat-of-tests-2");
    it.app.far_side.allow("gitlab", &second);
    let secrets = json!({"token": "glpat-of-tests-2"});
    let rotated = it.rotate(json!({"secrets": secrets, "overlap_s": 3600, "old_secret": "revoke"})).await;
    assert_eq!(rotated.state, OperationState::Succeeded, "{rotated:?}");
    let removed = it.app.send(Method::DELETE, &format!("{}?old_secret=revoke", it.path), None).await;
    assert_eq!(it.app.settled(&removed).await.state, OperationState::Succeeded);
    let good = [&first, &second].map(|token| it.app.far_side.allows("gitlab", token));
    assert_eq!(good, [false, false]);
}

#[tokio::test]
async fn a_removal_whose_far_side_does_not_revoke_leaves_the_connector() {
    let (it, token) = forge().await;
    it.app.far_side.behave(Behaviour::EchoesCredential);
    let asked = it.app.send(Method::DELETE, &format!("{}?old_secret=revoke", it.path), None).await;
    let failed = it.app.settled(&asked).await;
    assert_eq!(failed.state, OperationState::Failed, "{failed:?}");
    assert!(!serde_json::to_string(&failed).unwrap().contains("glpat-"), "{failed:?}");
    it.app.far_side.behave(Behaviour::Normal);
    assert_eq!(it.connector().await["status"], "active");
    assert!(it.app.far_side.allows("gitlab", &token));
    let forgotten = it.app.send(Method::DELETE, &it.path, None).await;
    assert_eq!(it.app.settled(&forgotten).await.state, OperationState::Succeeded);
    assert!(it.app.far_side.allows("gitlab", &token), "forgotten is not revoked");
}

#[tokio::test]
async fn ten_changes_that_fail_do_not_push_the_secret_in_force_out() {
    let it = Installed::new().await;
    for _ in 0..12 {
        let failed = it.change(json!({"secrets": {"hmac_key": WRONG_KEY}})).await;
        assert_eq!(failed.state, OperationState::Failed, "{failed:?}");
    }
    assert_eq!(it.live_versions().await, [1]);
    assert_eq!(it.verified_now().await["verification_status"], "verified");
}

#[tokio::test]
async fn a_secret_that_a_connector_does_without_since_is_revoked_all_the_same() {
    let bao = Bao::new().await;
    let app = App::with(&bao, Vec::new()).await;
    let tenant = app.tenant().await;
    let token = async || {
        let wanted = json!({"policies": ["default"], "ttl": "1h"});
        let (status, made) = bao.root(Method::POST, "", "auth/token/create-orphan", wanted).await;
        assert_eq!(status, 200, "{made}");
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let (first, second) = (token().await, token().await);
    let config = json!({"url": bao.config.address, "namespace": bao.path("")});
    let wanted = json!({"name": "vault", "kind": "vault", "config": config, "secrets": {"token": first}});
    let made = install(&app, tenant, wanted).await;
    let path = format!("/v1/tenants/{tenant}/connectors/{}", made.target_id);
    let it = Installed { app, bao, tenant, path };
    let rotation = json!({"secrets": {"token": second}, "overlap_s": 3600, "old_secret": "revoke"});
    assert_eq!(it.rotate(rotation).await.state, OperationState::Succeeded);
    let without = it.change(json!({"secrets": {}, "verify": "off"})).await;
    assert_eq!(without.state, OperationState::Succeeded, "{without:?}");
    assert_eq!(it.live_versions().await, [1], "the one that is kept, and not the one that was in force");

    let is_good = async |token: &str| {
        it.bao.call(token, Method::GET, "", "auth/token/lookup-self", Value::Null).await.0 == 200
    };
    assert!(is_good(&first).await);
    it.overlap_is_over().await;
    it.until(|connector| connector["retiring"].is_null() && connector["status"] == "active").await;
    assert!(!is_good(&first).await, "it was to be revoked");
    assert!(it.live_versions().await.is_empty());
}
