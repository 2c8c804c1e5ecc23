//! Quotas: what the client makes of a lost answer, and what it waits for.

use axum::response::Response;
use integraci_api::OperationId;
use integraci_api::operations::OperationState;
use integraci_api::quotas::{OnExceed, Quota, QuotaSet};
use terraform_provider_integraci::api::Error;
use uuid::Uuid;

use crate::client::{operation, tenant_id};
use crate::fake::{Fake, json, patience, respond};

fn quota(connectors: i64, revision: i64, operation: Option<u128>) -> Response {
    let limits = [("connectors".to_owned(), connectors)];
    json(
        200,
        &Quota {
            tenant_id: tenant_id(1),
            limits: limits.clone().into(),
            effective: limits.into(),
            used: [].into(),
            reserved: [].into(),
            on_exceed: None,
            effective_on_exceed: OnExceed::Allow,
            revision,
            operation_id: operation.map(|n| OperationId::from_uuid(Uuid::from_u128(n))),
            updated_at: None,
        },
    )
}

fn wanted() -> QuotaSet {
    QuotaSet { limits: [("connectors".to_owned(), 7)].into(), on_exceed: None }
}

fn lost() -> Response {
    respond(502, "text/html", "bad gateway")
}

fn lines(fake: &Fake) -> Vec<String> {
    let short = |seen: &crate::fake::Seen| {
        let end = seen.path.rsplit('/').next().unwrap();
        let end = if end.starts_with("op_") { "operation" } else { end };
        format!("{} {end}", seen.method)
    };
    fake.take_seen().iter().map(short).collect()
}

#[tokio::test]
async fn limits_whose_answer_is_lost_are_looked_up_and_not_set_again() {
    let set = async |fake: &Fake| fake.api().quota_set(tenant_id(1), &wanted(), Some(3), &patience()).await;
    let fake = Fake::script(vec![lost, || quota(7, 4, None)]).await;
    assert_eq!(set(&fake).await.unwrap().revision, 4);
    assert_eq!(fake.seen()[0].header("if-match"), Some("\"3\""));
    assert_eq!(lines(&fake), ["PUT quota", "GET quota"]);

    // Not done, done by another, and done before somebody changed it.
    for found in [|| quota(7, 3, None), || quota(8, 4, None), || quota(7, 5, None)] {
        let fake = Fake::script(vec![lost, found]).await;
        let error = set(&fake).await.unwrap_err();
        assert!(matches!(error, Error::Foreign { status: 502, .. }), "{error:?}");
        assert_eq!(lines(&fake), ["PUT quota", "GET quota"]);
    }
}

#[tokio::test]
async fn what_brings_the_systems_to_new_limits_is_waited_for() {
    let succeeded = || json(200, &operation(OperationState::Succeeded, 2));
    let first = Fake::script(vec![|| quota(7, 4, Some(9))]).await;
    let set = first.api().quota_set(tenant_id(1), &wanted(), None, &patience()).await.unwrap();

    // The next one has begun meanwhile.
    let fake = Fake::script(vec![succeeded, || quota(7, 4, Some(10)), succeeded, || quota(7, 4, None)]).await;
    let settled = fake.api().quota_settled(set.clone(), &patience()).await.unwrap();
    assert_eq!(settled.operation_id, None);
    assert_eq!(lines(&fake), ["GET operation", "GET quota", "GET operation", "GET quota"]);

    let fake = Fake::script(vec![|| json(200, &operation(OperationState::Failed, 2))]).await;
    let error = fake.api().quota_settled(set, &patience()).await.unwrap_err();
    assert!(matches!(error, Error::Operation(_)), "{error:?}");
}

#[tokio::test]
async fn the_way_back_to_the_plan_is_waited_for_too() {
    let fake = Fake::script(vec![
        || respond(204, "", ""),
        || quota(7, 5, Some(9)),
        || json(200, &operation(OperationState::Succeeded, 2)),
        || quota(7, 5, None),
    ])
    .await;
    fake.api().quota_reset(tenant_id(1), &patience()).await.unwrap();
    assert_eq!(lines(&fake), ["DELETE quota", "GET quota", "GET operation", "GET quota"]);
}
