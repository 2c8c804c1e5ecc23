//! How the client behaves when things go wrong.

use std::sync::Mutex;
use std::time::Duration;

use axum::response::Response;
use integraci_api::connectors::ConnectorCreate;
use integraci_api::isolation::TenantIsolation;
use integraci_api::operations::{Operation, OperationError, OperationKind, OperationState};
use integraci_api::tenants::{Tenant, TenantCreate, TenantFilter, TenantNames, TenantStatus, TenantUpdate};
use integraci_api::{OperationId, Page, Problem, ProblemCode, SecretText, Slug, TenantId};
use terraform_provider_integraci::api::{Error, IdempotencyKey};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use crate::fake::{self, Fake, json, patience, patience_of, problem_of, respond, retry_after};

pub(crate) fn tenant_id(n: u128) -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(n))
}

pub(crate) fn tenant(n: u128, slug: &str) -> Tenant {
    let slug: Slug = slug.parse().unwrap();
    Tenant {
        id: tenant_id(n),
        names: TenantNames::of(&slug),
        slug,
        name: "Acme Ltd".into(),
        plan: "team".into(),
        owner_email: "it@acme.example".into(),
        labels: [("cost_centre".to_owned(), "42".to_owned())].into(),
        delete_protection: true,
        suspended: false,
        payment_overdue: false,
        status: TenantStatus::Active,
        isolation: TenantIsolation::default(),
        operation_id: None,
        revision: 3,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

pub(crate) fn operation(state: OperationState, revision: i64) -> Operation {
    Operation {
        id: OperationId::from_uuid(uuid::Uuid::from_u128(9)),
        kind: OperationKind::TenantCreate,
        tenant_id: tenant_id(1),
        target_id: tenant_id(1).to_string(),
        state,
        steps: Vec::new(),
        error: None,
        revision,
        created_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: None,
    }
}

fn wanted() -> TenantCreate {
    TenantCreate {
        slug: "acme".into(),
        name: "Acme Ltd".into(),
        plan: "team".into(),
        owner_email: "it@acme.example".into(),
        labels: [].into(),
        delete_protection: true,
    }
}

fn found() -> Response {
    json(200, &tenant(1, "acme"))
}

#[tokio::test]
async fn a_request_carries_the_token_and_asks_for_json() {
    let fake = Fake::script(vec![found]).await;
    let read = fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap();
    assert_eq!(read, Some(tenant(1, "acme")));
    let seen = &fake.seen()[0];
    assert_eq!(seen.line(), "GET /v1/tenants/ten_00000000000000000000000000000001");
    assert_eq!(seen.header("authorization"), Some("Bearer ici_test"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert!(seen.header("user-agent").unwrap().starts_with("terraform-provider-integraci/"));
}

#[tokio::test]
async fn an_endpoint_below_a_path_keeps_it() {
    let fake = Fake::script(vec![found]).await;
    let api = fake::api(&format!("{}/integraci", fake.url));
    api.tenant_read(tenant_id(1), &patience()).await.unwrap();
    assert!(fake.seen()[0].path.starts_with("/integraci/v1/tenants/"));
}

#[tokio::test]
async fn what_is_not_there_is_no_error() {
    let fake = Fake::script(vec![|| problem_of(ProblemCode::NotFound)]).await;
    assert_eq!(fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap(), None);
    assert!(fake.api().tenant_delete(tenant_id(1), &patience()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_is_told_once_and_not_repeated() {
    for code in [ProblemCode::Unauthenticated, ProblemCode::Forbidden, ProblemCode::SlugTaken] {
        let fake = Fake::start(move |_| problem_of(code)).await;
        let error =
            fake.api().tenant_create(&wanted(), &IdempotencyKey::fresh(), &patience()).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn something_that_is_not_integraci_is_named_as_such() {
    type Answer = fn() -> Response;
    let answers: [(Answer, u16, &str); 5] = [
        (|| respond(200, "text/html; charset=utf-8", "<html>"), 200, "text/html"),
        (|| respond(404, "text/plain", "404 page not found"), 404, "text/plain"),
        (|| respond(404, "application/json", "{}"), 404, "application/json"),
        (|| respond(301, "text/html", ""), 301, "text/html"),
        (|| respond(401, "application/json", r#"{"error":"x"}"#), 401, "application/json"),
    ];
    for (answer, wanted_status, wanted_content) in answers {
        let fake = Fake::script(vec![answer]).await;
        match fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap_err() {
            Error::Foreign { status, content, .. } => {
                assert_eq!((status, content.as_str()), (wanted_status, wanted_content));
            }
            error => panic!("{error:?}"),
        }
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_not_quoted() {
    let fake = Fake::script(vec![|| json(200, &serde_json::json!({"id": "ten_secret"}))]).await;
    let error = fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::NotUnderstood { what: "tenant" }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("ten_secret"));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let fake = Fake::script(vec![|| respond(200, "application/json", vec![b' '; 5 << 20])]).await;
    let error = fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    for code in [ProblemCode::RateLimited, ProblemCode::Unavailable] {
        let first = Mutex::new(true);
        let fake = Fake::start(move |_| {
            if std::mem::take(&mut *first.lock().unwrap()) {
                retry_after(problem_of(code), "1")
            } else {
                found()
            }
        })
        .await;
        let api = fake.api();
        let started = tokio::time::Instant::now();
        assert!(api.tenant_read(tenant_id(1), &patience()).await.unwrap().is_some());
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!(fake.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_pause_holds_back_every_other_call_of_the_client() {
    let fake = Fake::script(vec![|| retry_after(problem_of(ProblemCode::RateLimited), "1"), found]).await;
    let api = fake.api();
    let patience = patience();
    let started = tokio::time::Instant::now();
    let first = api.tenant_read(tenant_id(1), &patience);
    let second = async {
        fake.saw(|_| true).await;
        // The answer is on its way to the first call; the second may slip past it, the third not.
        let _ = api.tenant_read(tenant_id(2), &patience).await;
        api.tenant_read(tenant_id(3), &patience).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.unwrap().is_some() && second.unwrap().is_some());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_pause_longer_than_the_time_left_is_not_begun() {
    let fake = Fake::script(vec![|| retry_after(problem_of(ProblemCode::RateLimited), "3600")]).await;
    let error = fake.api().tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::NoTimeLeft { pause } if pause >= Duration::from_secs(3600)), "{error:?}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_create_is_sent_again_under_the_same_key_and_nothing_else_is() {
    let gateway = || respond(502, "text/html", "bad gateway");
    let fake = Fake::script(vec![gateway, || json(202, &operation(OperationState::Running, 1))]).await;
    let key = IdempotencyKey::fresh();
    fake.api().tenant_create(&wanted(), &key, &patience()).await.unwrap();
    let keys: Vec<_> =
        fake.seen().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);

    let fake = Fake::start(move |_| gateway()).await;
    let change = TenantUpdate { name: Some("New".into()), ..TenantUpdate::default() };
    let error = fake.api().tenant_update(tenant_id(1), &change, Some(3), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { status: 502, .. }), "{error:?}");
    assert_eq!(fake.seen().len(), 1);
    assert_eq!(fake.seen()[0].header("if-match"), Some("\"3\""));
}

#[tokio::test]
async fn a_server_that_is_down_is_said_to_be_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = fake::api(&url).tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { reason } if reason.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = fake::settings(&url).with_request_timeout(Duration::from_millis(50));
    let api = terraform_provider_integraci::api::Api::new(settings);
    let error = api.tenant_read(tenant_id(1), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let fake = Fake::start(|seen| {
        let last = seen.query.contains("cursor=two");
        json(
            200,
            &Page {
                items: vec![if last { tenant(2, "globex") } else { tenant(1, "acme") }],
                next_cursor: (!last).then(|| "two".to_owned()),
            },
        )
    })
    .await;
    let filter = TenantFilter { label: Some("a/b=c d".into()), ..TenantFilter::default() };
    let tenants = fake.api().tenant_list(&filter, &patience()).await.unwrap();
    let slugs: Vec<_> = tenants.iter().map(|tenant| tenant.slug.as_str()).collect();
    assert_eq!(slugs, ["acme", "globex"]);
    assert_eq!(fake.seen()[0].query, "limit=200&label=a%2Fb%3Dc+d");
}

#[tokio::test]
async fn a_list_that_never_ends_is_given_up() {
    let fake = Fake::script(vec![|| {
        json(200, &Page { items: vec![tenant(1, "acme")], next_cursor: Some("same".to_owned()) })
    }])
    .await;
    let error = fake.api().tenant_list(&TenantFilter::default(), &patience()).await.unwrap_err();
    assert!(matches!(error, Error::NotUnderstood { .. }), "{error:?}");
}

#[tokio::test]
async fn waiting_says_what_it_has_seen_and_ends_with_the_operation() {
    let fake = Fake::script(vec![|| json(200, &operation(OperationState::Running, 2)), || {
        json(200, &operation(OperationState::Succeeded, 3))
    }])
    .await;
    let done = fake.api().operation_wait(operation(OperationState::Running, 1), &patience()).await.unwrap();
    assert_eq!(done.revision, 3);
    let queries: Vec<_> = fake.seen().iter().map(|seen| seen.query.clone()).collect();
    assert_eq!(queries, ["wait_s=20&seen=1", "wait_s=20&seen=2"]);
}

#[tokio::test]
async fn a_server_away_for_a_moment_does_not_end_the_wait() {
    let fake = Fake::script(vec![|| respond(502, "text/html", ""), || respond(502, "text/html", ""), || {
        json(200, &operation(OperationState::Succeeded, 2))
    }])
    .await;
    fake.api().operation_wait(operation(OperationState::Running, 1), &patience()).await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_with_patience_and_with_an_interrupt() {
    let fake = Fake::script(vec![|| json(200, &operation(OperationState::Running, 1))]).await;
    let api = fake.api();
    let running = || operation(OperationState::Running, 1);
    let error = api.operation_wait(running(), &patience_of(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, Error::Unfinished(_)), "{error:?}");
    let patience = patience();
    let (error, ()) = tokio::join!(api.operation_wait(running(), &patience), async {
        fake.saw(|_| true).await;
        patience.stopped.cancel();
    });
    assert!(matches!(error, Err(Error::Stopped)), "{error:?}");
}

#[tokio::test]
async fn a_failed_operation_gives_its_reason() {
    let mut failed = operation(OperationState::Failed, 2);
    failed.error = Some(OperationError {
        code: ProblemCode::VerificationFailed,
        detail: "the registry refused the password".into(),
        step: "verify".into(),
        errors: Vec::new(),
    });
    let fake = Fake::start(move |_| json(200, &failed)).await;
    let error =
        fake.api().operation_wait(operation(OperationState::Running, 1), &patience()).await.unwrap_err();
    assert_eq!(error.code(), Some(ProblemCode::VerificationFailed));
}

#[tokio::test]
async fn a_lost_secret_is_sent_once_more_under_another_key() {
    let lost = || {
        let mut lost = operation(OperationState::Failed, 1);
        lost.error = Some(OperationError {
            code: ProblemCode::SecretLost,
            detail: "the server was restarted".into(),
            step: "secret".into(),
            errors: Vec::new(),
        });
        json(202, &lost)
    };
    let fake = Fake::start(move |_| lost()).await;
    let wanted = ConnectorCreate {
        name: "hook".into(),
        kind: "webhook".into(),
        config: serde_json::Map::new(),
        secrets: [("hmac_key".to_owned(), SecretText::new("k".repeat(16)))].into(),
        verify: integraci_api::connectors::VerifyMode::Required,
        rotate_every_days: None,
    };
    let mut accepted = 0;
    let error = fake
        .api()
        .connector_install(tenant_id(1), &wanted, &patience(), |_| accepted += 1)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ProblemCode::SecretLost));
    let seen = fake.seen();
    assert_eq!((accepted, seen.len()), (2, 2));
    assert_ne!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
    assert_eq!(seen[1].json()["secrets"]["hmac_key"], "k".repeat(16));
}

#[tokio::test]
async fn a_problem_keeps_what_is_in_the_way() {
    let fake = Fake::start(|_| {
        fake::problem(&Problem::new(ProblemCode::SlugTaken, "taken").with_existing(&tenant_id(5)))
    })
    .await;
    match fake.api().tenant_create(&wanted(), &IdempotencyKey::fresh(), &patience()).await {
        Err(Error::Problem(problem)) => assert_eq!(problem.existing_id, Some(tenant_id(5).to_string())),
        other => panic!("{other:?}"),
    }
}
