//! Attestations through a whole replica, checked as an auditor does, and the isolation of rows broken on
//! purpose.

use std::collections::BTreeSet;

use integraci_api::attestations::{Attestation, Check};
use integraci_api::isolation::System;
use integraci_api::tenants::{Tenant, TenantNames};
use integraci_api::tokens::Scope;
use integraci_api::{Page, TenantId};
use integraci_server::isolation::postgres::Postgres;
use integraci_server::isolation::{Isolation as _, Limits, Remnant, Wanted};
use integraci_verify::attestation::verify;
use integraci_verify::keys::Keys;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::app::{App, Reply};

async fn attest(app: &App, tenant: TenantId) -> Attestation {
    let reply = app.send(Method::POST, &format!("/v1/tenants/{tenant}/attestations"), None).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    serde_json::from_value(reply.body).unwrap()
}

fn failed(attestation: &Attestation, system: System) -> Vec<&Check> {
    attestation.statement.checks.iter().filter(|check| check.system == system && !check.passed).collect()
}

async fn as_superuser(app: &App, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&app.database.superuser).await.unwrap();
}

#[tokio::test]
async fn an_attestation_is_kept_and_checked_without_the_platform() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let made = attest(&app, tenant).await;
    assert!(made.statement.passed, "{made:?}");
    assert_eq!(made.statement.off, [System::Keycloak, System::Nats, System::Kubernetes]);
    let tried: BTreeSet<_> = made.statement.checks.iter().map(|check| check.system).collect();
    assert_eq!(tried, BTreeSet::from([System::Postgres, System::OpenBao]));

    // What the API gives is what was signed, for whoever has the keys; nobody needs a token for those.
    let keys = reqwest::get(app.url("/.well-known/integraci-keys.json")).await.unwrap();
    assert_eq!(keys.headers()["cache-control"], "public, max-age=300");
    let keys = Keys::parse(&keys.bytes().await.unwrap()).unwrap();
    let path = format!("/v1/tenants/{tenant}/attestations/{}", made.statement.id);
    let read = app.get(&path).await;
    let attested = verify(read.to_string().as_bytes(), &keys).unwrap();
    assert_eq!(attested.statement, made.statement);
    assert_eq!(attested.kids, ["attestation-v1"]);

    let newer = attest(&app, tenant).await;
    let list = app.get(&format!("/v1/tenants/{tenant}/attestations?limit=1")).await;
    let page: Page<Attestation> = serde_json::from_value(list).unwrap();
    assert_eq!(page.items, [newer]);
    let next = format!("/v1/tenants/{tenant}/attestations?limit=1&cursor={}", page.next_cursor.unwrap());
    let page: Page<Attestation> = serde_json::from_value(app.get(&next).await).unwrap();
    assert_eq!((page.items, page.next_cursor), (vec![made], None));
}

#[tokio::test]
async fn rows_that_are_not_kept_apart_are_told() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let own = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)";
    let shipped = format!(
        "DROP POLICY IF EXISTS tenant ON connector; DROP POLICY IF EXISTS more ON connector;
         ALTER TABLE connector ENABLE ROW LEVEL SECURITY; ALTER TABLE connector FORCE ROW LEVEL SECURITY;
         CREATE POLICY tenant ON connector TO integraci_tenant USING ({own}) WITH CHECK ({own})"
    );
    for (broken, told) in [
        ("DROP POLICY tenant ON connector".to_owned(), "canary_reads_its_rows"),
        ("ALTER TABLE connector DISABLE ROW LEVEL SECURITY".to_owned(), "read_rows_of_another_tenant"),
        ("ALTER TABLE connector NO FORCE ROW LEVEL SECURITY".to_owned(), "find_a_way_round_the_policies"),
        ("ALTER POLICY tenant ON connector USING (true)".to_owned(), "update_rows_of_another_tenant"),
        ("ALTER POLICY tenant ON connector WITH CHECK (true)".to_owned(), "insert_rows_as_another_tenant"),
        (
            format!("CREATE POLICY more ON connector USING ({own} OR name = 'canary')"),
            "read_rows_of_another_tenant",
        ),
        ("CREATE VIEW all_of_them AS SELECT * FROM connector".to_owned(), "find_a_way_round_the_policies"),
    ] {
        as_superuser(&app, &broken).await;
        let red = attest(&app, tenant).await;
        assert!(!red.statement.passed, "{broken}");
        let names: Vec<_> = failed(&red, System::Postgres).iter().map(|check| check.check.as_str()).collect();
        assert!(names.contains(&told), "{broken}: {names:?}");
        as_superuser(&app, "DROP VIEW IF EXISTS all_of_them").await;
        as_superuser(&app, &shipped).await;
    }
    assert_eq!(failed(&attest(&app, tenant).await, System::Postgres), Vec::<&Check>::new());
}

#[tokio::test]
async fn a_system_in_which_nothing_can_be_tried_is_red_and_not_left_out() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let uuid = tenant.uuid();
    let away = format!(
        "INSERT INTO tenant_system (tenant_id, system, cell, state) VALUES ('{uuid}', 'nats', 'gone', 'pending')"
    );
    as_superuser(&app, &away).await;
    let red = attest(&app, tenant).await;
    assert!(!red.statement.passed);
    assert_eq!(red.statement.off, [System::Keycloak, System::Kubernetes]);
    let names: Vec<_> = failed(&red, System::Nats).iter().map(|check| check.check.as_str()).collect();
    assert_eq!(names, ["system_answers"]);
}

#[tokio::test]
async fn one_at_a_time_and_once_for_a_key() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let path = format!("/v1/tenants/{tenant}/attestations");
    let uuid = tenant.uuid();
    let until = |when: &str| {
        format!("UPDATE tenant SET attesting_until = now() + interval '{when}' WHERE id = '{uuid}'")
    };
    as_superuser(&app, &until("1 minute")).await;
    let busy = app.send(Method::POST, &path, None).await;
    assert_eq!((busy.status, busy.problem().0), (StatusCode::CONFLICT, "busy"));
    // One whose replica died is in nobody's way for long.
    as_superuser(&app, &until("-1 second")).await;
    let once = |key: &'static str| {
        let (app, path) = (&app, &path);
        async move { app.send_with(Method::POST, path, None, &[("idempotency-key", key)]).await }
    };
    let first = once("a").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let again = once("a").await;
    assert!(again.replayed);
    assert_eq!(again.body, first.body);
    assert_ne!(once("b").await.body["id"], first.body["id"]);
}

#[tokio::test]
async fn who_may_ask_for_one() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let token = app.token_of(tenant).await;
    let post = |token: String, tenant: String| {
        let app = &app;
        async move { app.send_as(&token, Method::POST, &format!("/v1/tenants/{tenant}/attestations"), None).await }
    };
    assert_eq!(post(token.clone(), tenant.to_string()).await.status, StatusCode::CREATED);
    let without_id = |mut reply: Reply| {
        reply.body.as_object_mut().unwrap().remove("request_id");
        (reply.status, reply.body)
    };
    let others = without_id(post(token.clone(), other.to_string()).await);
    let nobodys = without_id(post(token, "ten_00000000000000000000000000000000".into()).await);
    assert_eq!(others.0, StatusCode::NOT_FOUND);
    assert_eq!(others, nobodys);

    let scopes: Vec<_> = Scope::ALL.iter().filter(|scope| **scope != Scope::AttestationsWrite).collect();
    let wanted = json!({"name": "reader", "scopes": scopes});
    let made = app.send(Method::POST, "/v1/tokens", Some(wanted)).await;
    let reader = made.body["value"].as_str().unwrap().to_owned();
    assert_eq!(post(reader, tenant.to_string()).await.status, StatusCode::FORBIDDEN);

    let suspend = json!({"suspended": true});
    let changed = app.send(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(suspend)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let reply = app.send(Method::POST, &format!("/v1/tenants/{tenant}/attestations"), None).await;
    assert_eq!(reply.problem().0, "suspended");
}

#[tokio::test]
async fn the_canary_is_nobodys() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    attest(&app, tenant).await;
    let canary: uuid::Uuid = sqlx::query_scalar("SELECT id FROM tenant WHERE canary")
        .fetch_one(&app.database.superuser)
        .await
        .unwrap();
    let canary = TenantId::from_uuid(canary);
    let tenants: Page<Tenant> = serde_json::from_value(app.get("/v1/tenants").await).unwrap();
    assert_eq!(tenants.items.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [tenant]);
    for (method, path) in [
        (Method::GET, format!("/v1/tenants/{canary}")),
        (Method::DELETE, format!("/v1/tenants/{canary}")),
        (Method::GET, format!("/v1/tenants/{canary}/attestations")),
        (Method::POST, format!("/v1/tenants/{canary}/attestations")),
    ] {
        let reply = app.send(method.clone(), &path, None).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}: {reply:?}");
    }
    let wanted = json!({"slug": "integraci-canary-2", "name": "Mine", "plan": "free",
        "owner_email": "it@test.example"});
    let refused = app.send(Method::POST, "/v1/tenants", Some(wanted)).await;
    assert_eq!(refused.problem(), ("invalid_request", vec!["/slug"]));
}

#[tokio::test]
async fn rows_that_are_left_are_counted_also_without_the_tenants_record() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let slug = app.get(&format!("/v1/tenants/{tenant}")).await["slug"].as_str().unwrap().to_owned();
    let names = TenantNames::of(&slug.parse().unwrap());
    let wanted = Wanted { tenant, names: names.clone(), suspended: false, limits: Limits::SHIPPED };
    let rows = Postgres::new(app.database.store.clone());
    assert!(rows.ensure(&wanted).await.unwrap().is_empty());
    assert!(rows.drift(&wanted).await.unwrap().is_empty());
    let there = rows.remains(&wanted).await.unwrap();
    assert!(there.contains(&Remnant { class: "rows", name: "tenant: 1".into() }), "{there:?}");
    rows.ensure_none(&wanted).await.unwrap();
    assert_eq!(rows.remains(&wanted).await.unwrap(), []);
    // A row that somebody put back: whose it was is known from the operation that made the tenant.
    let put_back = format!(
        "INSERT INTO idempotency_key (token_id, key, tenant_id, fingerprint, body, created_at)
         VALUES ('{0}', 'left', '{0}', '', '{{}}', now())",
        tenant.uuid()
    );
    as_superuser(&app, &put_back).await;
    let left = Remnant { class: "rows", name: "idempotency_key: 1".into() };
    assert_eq!(rows.remains(&wanted).await.unwrap(), [left]);
}
