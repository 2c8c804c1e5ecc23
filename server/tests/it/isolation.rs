//! Row-level security as the catalogue has it, and as a tenant's own token finds it.

use integraci_api::TenantId;
use integraci_server::store::TenantTx;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::database::Database;

/// The rows of one column.
async fn names(database: &Database, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(&database.superuser).await.unwrap()
}

#[tokio::test]
async fn every_table_is_under_forced_row_level_security_and_every_policy_checks_writes() {
    let database = Database::new().await;
    let nothing: Vec<String> = Vec::new();
    let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
    assert!(names(&database, tables).await.len() >= 9);
    let unprotected = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)";
    assert_eq!(names(&database, unprotected).await, nothing);
    let unchecked = "SELECT polname || ' on ' || polrelid::regclass FROM pg_policy
        WHERE polqual IS NULL OR (polcmd <> 'r' AND polwithcheck IS NULL)";
    assert_eq!(names(&database, unchecked).await, nothing);
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'integraci_%'
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)";
    assert_eq!(names(&database, roles).await, nothing);
    let owners = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND relowner <> 'integraci_owner'::regrole";
    assert_eq!(names(&database, owners).await, nothing);
    // Ways round policies: views as their owner, functions as theirs, materialised copies, truncation.
    let round = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
        UNION SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
        UNION SELECT table_name::text FROM information_schema.table_privileges
              WHERE grantee IN ('integraci_tenant', 'integraci_platform') AND privilege_type = 'TRUNCATE'";
    assert_eq!(names(&database, round).await, nothing);
}

async fn count(tx: &mut TenantTx, sql: &'static str, other: TenantId) -> i64 {
    sqlx::query_scalar(sql).bind(other.uuid()).fetch_one(tx.conn()).await.unwrap()
}

#[tokio::test]
async fn a_tenants_transaction_reaches_no_other_tenants_row_whatever_its_sql_says() {
    let app = App::new().await;
    let (own, other) = (app.tenant().await, app.tenant().await);
    let made =
        app.send(Method::POST, &format!("/v1/tenants/{other}/connectors"), Some(app.hook("hook"))).await;
    app.settled(&made).await;
    let store = &app.database.store;
    for sql in [
        "SELECT count(*) FROM tenant WHERE id = $1",
        "SELECT count(*) FROM quota WHERE tenant_id = $1",
        "SELECT count(*) FROM connector WHERE tenant_id = $1",
        "SELECT count(*) FROM operation WHERE tenant_id = $1",
        "SELECT count(*) FROM operation_step WHERE tenant_id = $1",
    ] {
        let seen = count(&mut store.tenant_tx(other).await.unwrap(), sql, other).await;
        assert!(seen > 0, "the probe must be able to succeed: {sql}");
        assert_eq!(count(&mut store.tenant_tx(own).await.unwrap(), sql, other).await, 0, "{sql}");
    }
    for sql in [
        "UPDATE tenant SET name = 'taken' WHERE id = $1",
        "UPDATE connector SET name = 'taken' WHERE tenant_id = $1",
        "UPDATE quota SET own_max = 1000 WHERE tenant_id = $1",
    ] {
        let mut tx = store.tenant_tx(own).await.unwrap();
        let done = sqlx::query(sql).bind(other.uuid()).execute(tx.conn()).await.unwrap();
        assert_eq!(done.rows_affected(), 0, "{sql}");
    }
    for sql in [
        "UPDATE connector SET tenant_id = $1",
        "INSERT INTO idempotency_key (token_id, key, tenant_id, fingerprint, body, created_at)
         VALUES (gen_random_uuid(), 'k', $1, '', '{}', now())",
        "SELECT * FROM api_token WHERE tenant_id = $1",
        "SELECT * FROM slug_retired WHERE tenant_id = $1",
        "DELETE FROM tenant WHERE id = $1",
    ] {
        app.settled(
            &app.send(
                Method::POST,
                &format!("/v1/tenants/{own}/connectors"),
                Some(app.hook(&format!("h{}", sql.len()))),
            )
            .await,
        )
        .await;
        let mut tx = store.tenant_tx(own).await.unwrap();
        let refused = sqlx::query(sql).bind(other.uuid()).execute(tx.conn()).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}: {refused}");
        drop(tx);
        // The free plan has room for three.
        for item in app.get(&format!("/v1/tenants/{own}/connectors")).await["items"].as_array().unwrap() {
            let path = format!("/v1/tenants/{own}/connectors/{}", item["id"].as_str().unwrap());
            app.settled(&app.send(Method::DELETE, &path, None).await).await;
        }
    }
}

#[tokio::test]
async fn a_tenants_token_cannot_tell_whether_another_tenant_exists() {
    let app = App::new().await;
    let (own, other) = (app.tenant().await, app.tenant().await);
    let token = app.token_of(own).await;
    let made =
        app.send(Method::POST, &format!("/v1/tenants/{other}/connectors"), Some(app.hook("hook"))).await;
    let connector = made.body["target_id"].as_str().unwrap().to_owned();
    let operation = app.settled(&made).await.id;
    let missing_tenant = "ten_00000000000000000000000000000000";
    let missing_connector = "con_00000000000000000000000000000000";
    for (method, there, missing, body) in [
        (Method::GET, format!("/v1/tenants/{other}"), format!("/v1/tenants/{missing_tenant}"), None),
        (
            Method::PATCH,
            format!("/v1/tenants/{other}"),
            format!("/v1/tenants/{missing_tenant}"),
            Some(json!({"name": "x"})),
        ),
        (Method::DELETE, format!("/v1/tenants/{other}"), format!("/v1/tenants/{missing_tenant}"), None),
        (
            Method::GET,
            format!("/v1/tenants/{other}/quota"),
            format!("/v1/tenants/{missing_tenant}/quota"),
            None,
        ),
        (
            Method::GET,
            format!("/v1/tenants/{other}/connectors"),
            format!("/v1/tenants/{missing_tenant}/connectors"),
            None,
        ),
        (
            Method::GET,
            format!("/v1/tenants/{own}/connectors/{connector}"),
            format!("/v1/tenants/{own}/connectors/{missing_connector}"),
            None,
        ),
        (
            Method::DELETE,
            format!("/v1/tenants/{own}/connectors/{connector}"),
            format!("/v1/tenants/{own}/connectors/{missing_connector}"),
            None,
        ),
        (
            Method::GET,
            format!("/v1/operations/{operation}"),
            "/v1/operations/op_00000000000000000000000000000000".into(),
            None,
        ),
    ] {
        let mut one = app.send_as(&token, method.clone(), &there, body.clone()).await;
        let mut two = app.send_as(&token, method.clone(), &missing, body).await;
        for reply in [&mut one, &mut two] {
            let id = reply.body.as_object_mut().unwrap().remove("request_id");
            assert!(id.is_some_and(|id| id.is_string()));
        }
        assert_eq!(one.status, StatusCode::NOT_FOUND, "{method} {there}: {one:?}");
        assert_eq!((one.status, one.body), (two.status, two.body), "{method} {there}");
    }
    let own_only = app.send_as(&token, Method::GET, "/v1/tenants", None).await;
    assert_eq!(own_only.body["items"].as_array().unwrap().len(), 1);
}
