//! What holds for every request: who is let in, once-only POSTs, conditional changes, pages, slugs.

use futures_util::future::join_all;
use integraci_api::operations::OperationState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;

fn wanted(slug: &str) -> Value {
    json!({"slug": slug, "name": "Test", "plan": "free", "owner_email": "it@test.example", "delete_protection": false})
}

fn slug() -> String {
    format!("r{}", &Uuid::new_v4().simple().to_string()[..20])
}

#[tokio::test]
async fn every_route_of_the_description_refuses_a_caller_without_a_token() {
    let app = App::new().await;
    let description = app.get("/openapi.json").await;
    let mut routes = 0;
    for (path, verbs) in description["paths"].as_object().unwrap() {
        let path = path
            .replace("{tenant_id}", "ten_00000000000000000000000000000000")
            .replace("{connector_id}", "con_00000000000000000000000000000000")
            .replace("{operation_id}", "op_00000000000000000000000000000000")
            .replace("{token_id}", "tok_00000000000000000000000000000000");
        for verb in verbs.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let method: Method = verb.to_uppercase().parse().unwrap();
            for token in ["", "rubbish", "ici_0000000000000000000000000000000000000000000000000"] {
                let reply = app.send_as(token, method.clone(), &path, Some(json!({}))).await;
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}: {reply:?}");
                assert_eq!(reply.problem().0, "unauthenticated");
            }
            routes += 1;
        }
    }
    assert!(routes >= 19, "{routes}");
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_gives_away_no_more_than_it_has() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let token = app.token_of(tenant).await;
    let own = format!("/v1/tenants/{tenant}");
    assert_eq!(app.send_as(&token, Method::GET, &own, None).await.status, StatusCode::OK);
    let more = json!({"name": "more", "scopes": ["tenants:write"]});
    assert_eq!(app.send_as(&token, Method::POST, "/v1/tokens", Some(more)).await.problem().0, "forbidden");
    let plan = json!({"plan": "enterprise"});
    assert_eq!(
        app.send_as(&token, Method::PATCH, &own, Some(plan)).await.problem(),
        ("forbidden", vec!["/plan"])
    );
    let limits = json!({"limits": {"connectors": 1000}});
    assert_eq!(
        app.send_as(&token, Method::PUT, &format!("{own}/quota"), Some(limits)).await.problem().0,
        "forbidden"
    );
    assert_eq!(
        app.send_as(&token, Method::POST, "/v1/tenants", Some(wanted(&slug()))).await.problem().0,
        "forbidden"
    );

    let listed = app.send_as(&token, Method::GET, "/v1/tokens", None).await;
    let id = listed.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        app.send(Method::DELETE, &format!("/v1/tokens/{id}"), None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(app.send_as(&token, Method::GET, &own, None).await.status, StatusCode::UNAUTHORIZED);

    let narrow = json!({"name": "narrow", "scopes": ["quotas:read"]});
    let narrow =
        app.send(Method::POST, "/v1/tokens", Some(narrow)).await.body["value"].as_str().unwrap().to_owned();
    assert_eq!(app.send_as(&narrow, Method::GET, &own, None).await.problem().0, "forbidden");
    assert_eq!(app.send_as(&narrow, Method::GET, &format!("{own}/quota"), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_post_sent_many_times_at_once_has_its_effect_once() {
    let app = App::new().await;
    let body = wanted(&slug());
    let key = [("idempotency-key", "the-same")];
    let sent = (0..8).map(|_| app.send_with(Method::POST, "/v1/tenants", Some(body.clone()), &key));
    let replies = join_all(sent).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::ACCEPTED), "{replies:?}");
    assert!(replies.iter().all(|reply| reply.body == replies[0].body), "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| !reply.replayed).count(), 1);
    let other = app.send_with(Method::POST, "/v1/tenants", Some(wanted(&slug())), &key).await;
    assert_eq!(other.problem().0, "idempotency_key_reused");
    app.settled(&replies[0]).await;

    // The same key in two tenants: neither's transaction sees the other's row.
    let (one, two) = (app.tenant().await, app.tenant().await);
    let install = async |tenant| {
        let path = format!("/v1/tenants/{tenant}/connectors");
        app.send_with(Method::POST, &path, Some(app.hook("hook")), &[("idempotency-key", "elsewhere")]).await
    };
    app.settled(&install(one).await).await;
    assert_eq!(install(two).await.problem().0, "idempotency_key_reused");
}

#[tokio::test]
async fn a_slug_is_one_tenants_for_ever_once_it_was_used() {
    let app = App::new().await;
    let slug = slug();
    let made = app.settled(&app.send(Method::POST, "/v1/tenants", Some(wanted(&slug))).await).await;
    let taken = app.send(Method::POST, "/v1/tenants", Some(wanted(&slug))).await;
    assert_eq!(taken.problem(), ("slug_taken", vec!["/slug"]));
    assert_eq!(taken.body["existing_id"], made.target_id);
    // Made and taken back, nothing ever done with it: free again.
    let tenant = format!("/v1/tenants/{}", made.target_id);
    let gone = app.settled(&app.send(Method::DELETE, &tenant, None).await).await;
    assert_eq!(gone.state, OperationState::Succeeded, "{gone:?}");
    let again = app.settled(&app.send(Method::POST, "/v1/tenants", Some(wanted(&slug))).await).await;
    assert_eq!(again.state, OperationState::Succeeded, "{again:?}");
    // Used: never again.
    let tenant = format!("/v1/tenants/{}", again.target_id);
    app.send(Method::PATCH, &tenant, Some(json!({"name": "Used"}))).await;
    app.settled(&app.send(Method::DELETE, &tenant, None).await).await;
    let retired = app.send(Method::POST, "/v1/tenants", Some(wanted(&slug))).await;
    assert_eq!(
        (retired.problem(), &retired.body["existing_id"]),
        (("slug_taken", vec!["/slug"]), &Value::Null)
    );
}

#[tokio::test]
async fn changes_are_refused_when_the_object_moved_on_or_is_protected() {
    let app = App::new().await;
    let tenant = format!("/v1/tenants/{}", app.tenant().await);
    let read = app.send(Method::GET, &tenant, None).await;
    let etag = read.etag.unwrap();
    let name = |name: &str| Some(json!({"name": name}));
    let first = app.send_with(Method::PATCH, &tenant, name("One"), &[("if-match", &etag)]).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    for stale in [etag.as_str(), "\"x\"", "1"] {
        let second = app.send_with(Method::PATCH, &tenant, name("Two"), &[("if-match", stale)]).await;
        assert_eq!(second.problem().0, "precondition_failed");
    }
    app.send(Method::PATCH, &tenant, Some(json!({"delete_protection": true}))).await;
    let protected = app.send(Method::DELETE, &tenant, None).await;
    assert_eq!(protected.problem(), ("delete_protected", vec!["/delete_protection"]));
}

#[tokio::test]
async fn a_list_comes_whole_in_pages_and_by_filter() {
    let app = App::new().await;
    let made = join_all((0..5).map(|_| app.tenant())).await;
    app.send(Method::PATCH, &format!("/v1/tenants/{}", made[3]), Some(json!({"labels": {"team": "a"}})))
        .await;
    let mut seen = Vec::new();
    let mut path = "/v1/tenants?limit=2".to_owned();
    loop {
        let page = app.get(&path).await;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/tenants?limit=2&cursor={cursor}");
    }
    let mut wanted: Vec<_> = made.iter().map(ToString::to_string).collect();
    wanted.sort();
    assert_eq!(seen, wanted);
    let labelled = app.get("/v1/tenants?label=team%3Da").await;
    assert_eq!(labelled["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/v1/tenants?suspended=true").await["items"], json!([]));
}

#[test]
fn the_committed_description_is_this_builds() {
    let committed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json")).unwrap();
    assert!(
        committed == integraci_server::http::openapi_json(),
        "docs/openapi.json is stale: run `make docs`"
    );
}
