//! Leases of credentials: with a lender of the tests' own, whose answers they decide, and over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::credentials::{CredentialCreate, CredentialIssued};
use integraci_api::isolation::System;
use integraci_api::tenants::TenantNames;
use integraci_api::tokens::{Scope, TokenCreate};
use integraci_api::{CredentialId, ProblemCode, SecretText, TenantId, TokenId};
use integraci_server::accounts::{TenantAuthority, Tokens};
use integraci_server::credentials::Credentials;
use integraci_server::error::Error;
use integraci_server::idempotency::Once;
use integraci_server::isolation::{
    Cell, Cells, Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, SystemError, Wanted,
};
use integraci_server::source::Source;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::app::App;
use crate::database::Database;

/// What the lender's secrets are: never in an answer but the first, nor in the database.
const SECRET: &str = "of-the-lender-6f1c";

/// A NATS that lends, as far as credentials go.
#[derive(Default)]
struct FakeLender(Mutex<Lent>);

#[derive(Default)]
struct Lent {
    alive: BTreeSet<CredentialId>,
    renewed_for: Vec<Duration>,
    /// It makes what it is asked for, and its answer is lost.
    answers_are_lost: bool,
    revokes_nothing: bool,
}

const AWAY: SystemError = SystemError {
    system: System::Nats,
    operation: "credentials",
    class: ErrorClass::Broken,
    reason: "no answer in time",
    status: None,
};

#[async_trait]
impl Isolation for FakeLender {
    fn system(&self) -> System {
        System::Nats
    }

    async fn ensure(&self, _: &Wanted) -> Result<Facts, SystemError> {
        Err(AWAY)
    }

    async fn ensure_none(&self, _: &Wanted) -> Result<(), SystemError> {
        Err(AWAY)
    }

    async fn remains(&self, _: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        Err(AWAY)
    }

    async fn drift(&self, _: &Wanted) -> Result<Vec<Drift>, SystemError> {
        Err(AWAY)
    }

    async fn attest(&self, _: &Wanted, _: &Wanted) -> Vec<Check> {
        Vec::new()
    }

    async fn credentials_issue(
        &self,
        _: &Wanted,
        credential: CredentialId,
        _: Duration,
    ) -> Result<Issued, SystemError> {
        let mut lent = self.0.lock().unwrap();
        lent.alive.insert(credential);
        if lent.answers_are_lost {
            return Err(AWAY);
        }
        Ok(Issued {
            handle: Some("handle".to_owned()),
            fields: BTreeMap::from([("url", "nats://nats.example".to_owned())]),
            secrets: BTreeMap::from([("seed", SecretText::new(SECRET.to_owned()))]),
        })
    }

    async fn credentials_renew(
        &self,
        _: &TenantNames,
        _: CredentialId,
        handle: Option<&str>,
        ttl: Duration,
    ) -> Result<(), SystemError> {
        assert_eq!(handle, Some("handle"));
        self.0.lock().unwrap().renewed_for.push(ttl);
        Ok(())
    }

    async fn credentials_revoke(
        &self,
        _: &TenantNames,
        credential: CredentialId,
        _: Option<&str>,
    ) -> Result<(), SystemError> {
        let mut lent = self.0.lock().unwrap();
        if lent.revokes_nothing {
            return Err(AWAY);
        }
        lent.alive.remove(&credential);
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// A tenant with a place in the lender.
struct World {
    database: Database,
    lender: Arc<FakeLender>,
    credentials: Credentials,
    by: TenantAuthority,
}

impl World {
    async fn new() -> Self {
        let database = Database::new().await;
        let tenant = TenantId::from_uuid(Uuid::now_v7());
        let lender = Arc::new(FakeLender::default());
        let mut cells = Cells::default();
        cells.add(Cell { name: "main".into(), capacity: None, system: lender.clone() });
        let credentials = Credentials::new(database.store.clone(), Source::real(), Arc::new(cells));
        let world = Self { by: authority(&database, tenant).await, database, lender, credentials };
        let uuid = tenant.uuid();
        world
            .sql(&format!(
                "INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, created_at, updated_at)
                 VALUES ('{uuid}', 'acme', 'Acme', 'free', 'it@acme.example', false, 'active', now(), now());
                 INSERT INTO tenant_system (tenant_id, system, cell, state)
                 VALUES ('{uuid}', 'nats', 'main', 'ready'), ('{uuid}', 'keycloak', 'elsewhere', 'ready')"
            ))
            .await;
        world
    }

    async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.database.superuser).await.unwrap();
    }

    async fn issue(&self) -> Result<CredentialIssued, Error> {
        self.issue_once(System::Nats, None).await
    }

    async fn issue_once(&self, system: System, key: Option<&str>) -> Result<CredentialIssued, Error> {
        let asked = CredentialCreate { ttl_s: Some(60) };
        let once = Once::new(TokenId::from_uuid(Uuid::nil()), key.map(str::to_owned), "POST", &asked);
        self.credentials.issue(&self.by, once, system, &asked).await
    }

    fn alive(&self) -> usize {
        self.lender.0.lock().unwrap().alive.len()
    }

    fn lender(&self, change: impl FnOnce(&mut Lent)) {
        change(&mut self.lender.0.lock().unwrap());
    }

    /// All that the database holds of credentials.
    async fn kept(&self) -> String {
        sqlx::query_scalar("SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]')::text FROM credential c")
            .fetch_one(&self.database.superuser)
            .await
            .unwrap()
    }
}

async fn authority(database: &Database, tenant: TenantId) -> TenantAuthority {
    let tokens = Tokens::new(database.store.clone(), Source::real());
    let wanted = TokenCreate {
        name: "test".into(),
        tenant_id: None,
        scopes: vec![Scope::CredentialsWrite],
        expires_at: None,
    };
    let made = tokens.bootstrap(wanted).await.unwrap();
    tokens.caller(&made.secret).await.unwrap().tenant(tenant, Scope::CredentialsWrite).unwrap()
}

fn code<T>(result: Result<T, Error>) -> ProblemCode {
    match result.err().unwrap() {
        Error::Refused(problem) | Error::Later { problem, .. } => problem.code,
        other => panic!("expected a problem: {other}"),
    }
}

#[tokio::test]
async fn a_lease_is_made_renewed_and_given_back() {
    let world = World::new().await;
    let issued = world.issue().await.unwrap();
    assert_eq!(issued.secrets["seed"].expose(), SECRET);
    assert_eq!(issued.credential.fields["url"], "nats://nats.example");
    assert!(!format!("{issued:?}").contains(SECRET));
    assert!(!world.kept().await.contains(SECRET));

    let (id, first_end) = (issued.credential.id, issued.credential.expires_at);
    let longer = CredentialCreate { ttl_s: Some(3600) };
    let renewed = world.credentials.renew(&world.by, System::Nats, id, &longer).await.unwrap();
    assert!(renewed.expires_at > first_end);
    assert_eq!(renewed.expires_at, renewed.renewable_until, "never longer than they can live");
    assert!(world.lender.0.lock().unwrap().renewed_for[0] <= Duration::from_secs(3600));

    for _ in 0..2 {
        world.credentials.revoke(&world.by, System::Nats, id).await.unwrap();
        assert_eq!(world.alive(), 0);
    }
    let again = world.credentials.renew(&world.by, System::Nats, id, &longer).await;
    assert_eq!(code(again), ProblemCode::NotFound);
    let elsewhere = world.credentials.revoke(&world.by, System::Keycloak, id).await;
    assert_eq!(code(elsewhere), ProblemCode::NotFound);
}

#[tokio::test]
async fn what_has_run_out_is_revoked_and_cannot_be_renewed() {
    let world = World::new().await;
    let id = world.issue().await.unwrap().credential.id;
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 1, "not before its time");
    world.sql("UPDATE credential SET expires_at = now() - interval '1 second'").await;
    let late = world.credentials.renew(&world.by, System::Nats, id, &CredentialCreate::default()).await;
    assert_eq!(code(late), ProblemCode::NotFound);

    // A system that is away does not get out of it.
    world.lender(|lent| lent.revokes_nothing = true);
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 1);
    world.lender(|lent| lent.revokes_nothing = false);
    world.sql("UPDATE credential SET sweep_after = now() - interval '1 second'").await;
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 0);
}

#[tokio::test]
async fn a_suspended_tenant_has_none_and_gets_none() {
    for closed in ["suspended = true", "status = 'deleting'"] {
        let world = World::new().await;
        world.issue().await.unwrap();
        world.sql(&format!("UPDATE tenant SET {closed}")).await;
        let refused = code(world.issue().await);
        assert!(matches!(refused, ProblemCode::Suspended | ProblemCode::Busy), "{refused:?}");
        world.credentials.sweep_once().await.unwrap();
        assert_eq!(world.alive(), 0, "{closed}");
    }
}

#[tokio::test]
async fn what_was_half_made_is_taken_back() {
    let world = World::new().await;
    // The answer is lost, the system there: taken back at once.
    world.lender(|lent| lent.answers_are_lost = true);
    assert_eq!(code(world.issue().await), ProblemCode::Unavailable);
    assert_eq!(world.alive(), 0);
    // The system is away altogether: taken back when it is there again.
    world.lender(|lent| lent.revokes_nothing = true);
    assert_eq!(code(world.issue().await), ProblemCode::Unavailable);
    world.lender(|lent| lent.revokes_nothing = false);
    world.sql("UPDATE credential SET sweep_after = now() - interval '1 second'").await;
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 0);
    // The replica died: nobody knows more than that it was asked for.
    world.lender(|lent| lent.answers_are_lost = false);
    world.issue().await.unwrap();
    world.sql("UPDATE credential SET state = 'issuing', handle = NULL WHERE state = 'active'").await;
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 1, "its maker may still be at it");
    world.sql("UPDATE credential SET created_at = now() - interval '3 minutes'").await;
    world.credentials.sweep_once().await.unwrap();
    assert_eq!(world.alive(), 0);
}

#[tokio::test]
async fn a_request_sent_twice_lends_once() {
    let world = World::new().await;
    let id = world.issue_once(System::Nats, Some("key")).await.unwrap().credential.id;
    match world.issue_once(System::Nats, Some("key")).await {
        Err(Error::Refused(problem)) => {
            assert_eq!(problem.code, ProblemCode::IdempotencyKeyReused);
            assert_eq!(problem.existing_id, Some(id.to_string()));
        }
        other => panic!("expected a refusal: {other:?}"),
    }
    assert_eq!(world.alive(), 1);
    // One that failed may be sent again.
    world.lender(|lent| lent.answers_are_lost = true);
    assert_eq!(code(world.issue_once(System::Nats, Some("other")).await), ProblemCode::Unavailable);
    world.lender(|lent| lent.answers_are_lost = false);
    world.issue_once(System::Nats, Some("other")).await.unwrap();
}

#[tokio::test]
async fn a_cell_that_is_not_configured_is_said_to_be() {
    let world = World::new().await;
    assert_eq!(code(world.issue_once(System::Keycloak, None).await), ProblemCode::Unavailable);
    assert_eq!(code(world.issue_once(System::Kubernetes, None).await), ProblemCode::InvalidRequest);
}

#[tokio::test]
async fn over_http() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let token = app.token_of(tenant).await;
    let post = |tenant: String, system: &'static str, body: serde_json::Value| {
        let (app, token) = (&app, &token);
        async move {
            let path = format!("/v1/tenants/{tenant}/credentials/{system}");
            app.send_as(token, Method::POST, &path, Some(body)).await
        }
    };
    let own = tenant.to_string();
    for (tenant, system, body, status, code, pointers) in [
        (own.clone(), "nats", json!({}), 422, "invalid_request", vec![]),
        (own.clone(), "openbao", json!({"ttl_s": 5}), 422, "invalid_request", vec!["/ttl_s"]),
        (own.clone(), "postgres", json!({}), 404, "not_found", vec![]),
        (own.clone(), "elsewhere", json!({}), 404, "not_found", vec![]),
        (other.to_string(), "openbao", json!({}), 404, "not_found", vec![]),
    ] {
        let reply = post(tenant, system, body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (status, (code, pointers)),
            "{system}: {reply:?}"
        );
    }
    let nobodys = "crd_00000000000000000000000000000000";
    let path = format!("/v1/tenants/{tenant}/credentials/openbao/{nobodys}");
    assert_eq!(app.send(Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
    let renewals = format!("{path}/renewals");
    assert_eq!(app.send(Method::POST, &renewals, Some(json!({}))).await.status, StatusCode::NOT_FOUND);
    let wanted = json!({"name": "reader", "scopes": ["tenants:read"]});
    let made = app.send(Method::POST, "/v1/tokens", Some(wanted)).await;
    let reader = made.body["value"].as_str().unwrap().to_owned();
    assert_eq!(app.send_as(&reader, Method::DELETE, &path, None).await.status, StatusCode::FORBIDDEN);
}
