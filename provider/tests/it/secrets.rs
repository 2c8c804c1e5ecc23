//! Which changes of a connector take its secret along, and what an apply does that finds the connector, or
//! the secret, other than its plan did.

use std::sync::atomic::{AtomicBool, Ordering};

use integraci_api::connectors::ConnectorUpdate;
use integraci_api::operations::{Operation, OperationError, OperationKind, OperationState};
use integraci_api::{OperationId, ProblemCode};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::connectors::{FIRST, SECOND, applied, connector, gitlab, hook, sent, vault};
use crate::fake::{self, patience};
use crate::terraform::Terraform;
use crate::world::World;

const VERSION: &str = r#"secret_wo_version = "a""#;
const NEW_SECRET: &str = "secret_version      = 1 -> (known after apply)";

fn registry(url: &str, username: &str, more: &str) -> String {
    let object = format!("url = {url}\n username = \"{username}\"\n {more}\n password_wo = \"{FIRST}\"");
    connector("container_registry", &object, VERSION)
}

#[tokio::test]
async fn a_change_of_where_it_leads_takes_the_secret_along() {
    let ca = "ca_certificate = \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n\"";
    let (here, there) = ("\"https://r.example\"", "\"https://elsewhere.example\"");
    for (url, username, more, goes_along) in [
        (there, "me", "", true),
        (here, "me", ca, true),
        ("terraform_data.it.output", "me", "", true),
        (here, "another", "", false),
        // To the platform, written in another way is another; by itself it is no change.
        ("\"https://r.example/\"", "another", "", true),
    ] {
        let world = World::start().await;
        let terraform = applied(&world, &registry(here, "me", "")).await;
        let source = format!("resource \"terraform_data\" \"it\" {{ input = {there} }}\n");
        terraform.configure(&format!("{source}{}", registry(url, username, more)));
        let plan = terraform.plan().await;
        assert_eq!(plan.code, 2, "{}", plan.text);
        assert_eq!(plan.text.contains(NEW_SECRET), goes_along, "{}", plan.text);
        terraform.apply().await.ok();
        let change = sent(&world);
        assert!(change["config"].is_object(), "{change}");
        assert_eq!(change.get("secrets"), goes_along.then(|| json!(["password"])).as_ref(), "{url} {more}");
        assert_eq!(terraform.plan().await.code, 0);
    }
}

#[tokio::test]
async fn the_platform_refuses_to_be_led_elsewhere_without_the_secret() {
    let world = World::start().await;
    applied(&world, &registry("\"https://r.example\"", "me", "")).await;
    let connector = world.state.lock().unwrap().connector().clone();
    let config = json!({"url": "https://elsewhere.example", "username": "me"});
    let change = ConnectorUpdate {
        name: None,
        config: config.as_object().cloned(),
        secrets: None,
        verify: None,
        rotate_every_days: None,
    };
    let api = world.fake.api();
    let refused = api
        .connector_update(connector.tenant_id, connector.id, &change, None, &patience())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(ProblemCode::InvalidRequest));
    assert_eq!(world.state.lock().unwrap().connector().config, connector.config);
}

/// What `operation` says of a secret that the server had in memory only.
fn lost() -> Operation {
    Operation {
        id: OperationId::from_uuid(Uuid::from_u128(1)),
        kind: OperationKind::ConnectorUpdate,
        tenant_id: integraci_api::TenantId::from_uuid(Uuid::from_u128(1)),
        target_id: "con_00000000000000000000000000000002".into(),
        state: OperationState::Failed,
        steps: Vec::new(),
        error: Some(OperationError {
            code: ProblemCode::SecretLost,
            detail: "the server was restarted".into(),
            step: "secret".into(),
            errors: Vec::new(),
        }),
        revision: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: None,
    }
}

#[tokio::test]
async fn a_lost_secret_is_sent_once_more_at_the_revision_there_is_then() {
    let loses = AtomicBool::new(true);
    let world = World::misbehaving(move |seen, state| {
        let is_lost = seen.path.contains("/connectors/")
            && seen.method == "PATCH"
            && loses.swap(false, Ordering::Relaxed);
        is_lost.then(|| {
            // Held, and let go.
            state.connector().revision += 2;
            fake::json(202, &lost())
        })
    })
    .await;
    let terraform = applied(&world, &hook(FIRST, "")).await;
    terraform.configure(&hook(SECOND, "")).apply().await.ok();
    let seen = world.fake.take_seen();
    let of_connectors = |seen: &&fake::Seen| seen.method == "PATCH" && seen.path.contains("/connectors/");
    let revisions: Vec<_> = seen.iter().filter(of_connectors).map(|seen| seen.header("if-match")).collect();
    assert_eq!(revisions, [Some("\"1\""), Some("\"3\"")]);
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn what_moved_between_plan_and_apply_is_told_and_not_overrun() {
    let with = |more: &str| vault(&format!("token_role = \"ci\"\n token_wo = \"{FIRST}\""), more);
    let rotated = "its secret was rotated meanwhile, and version 2 is in force";
    let worked_on = "the platform has worked on it meanwhile";
    let changed = "Someone changed it after this plan was made";
    for (change, told) in [("rotation", rotated), ("retirement", worked_on), ("name", changed)] {
        let world = World::start().await;
        let terraform = applied(&world, &with("rotate_every_days = 30")).await;
        terraform.configure(&with("rotate_every_days = 7")).run(&["plan", "-out=it"]).await.ok();
        {
            let mut state = world.state.lock().unwrap();
            match change {
                "rotation" => state.mint(),
                "retirement" => state.connector().revision += 2,
                _ => {
                    state.mint();
                    state.connector().name = "another".into();
                }
            }
        }
        world.changes();
        let refused = terraform.run(&["apply", "it"]).await.failed();
        assert!(refused.contains(told), "{change}: {refused}");
        let tries = world.changes().into_iter().filter(|change| change.starts_with("PATCH")).count();
        assert_eq!(tries, 1, "{change}");
        terraform.apply().await.ok();
        assert_eq!(world.state.lock().unwrap().connector().rotate_every_days, Some(7));
    }
}

#[tokio::test]
async fn an_ephemeral_secret_may_be_another_at_the_apply() {
    let with = |more: &str| {
        let object = "url = \"https://hooks.example\"\n events = [\"quota.set\"]\n hmac_key_wo = var.key";
        let source = "variable \"key\" {\n  ephemeral = true\n}\n";
        format!("{source}{}", connector("webhook", object, more))
    };
    let (first, second) = (format!("-var=key={FIRST}"), format!("-var=key={SECOND}"));
    for (key, change) in [
        (&second, json!({"verify": "optional", "secrets": ["hmac_key"]})),
        (&first, json!({"verify": "optional"})),
    ] {
        let world = World::start().await;
        let terraform = Terraform::new(&world.fake.url);
        terraform.configure(&with("")).run(&["apply", "-auto-approve", &first]).await.ok();
        terraform.configure(&with(r#"verify = "optional""#));
        let plan = terraform.run(&["plan", "-out=it", &first]).await.ok();
        assert!(plan.contains(NEW_SECRET), "{plan}");
        world.changes();
        terraform.run(&["apply", key, "it"]).await.ok();
        assert_eq!(sent(&world), change);
        let settled = terraform.run(&["plan", "-detailed-exitcode", key]).await;
        assert_eq!(settled.code, 0, "{}", settled.text);
    }
}

#[tokio::test]
async fn an_import_forgets_until_revoke_is_put_down() {
    let world = World::start().await;
    let revoking = gitlab(r#"on_destroy = "revoke""#);
    applied(&world, &revoking).await;
    let importing = Terraform::new(&world.fake.url);
    let blocks = "import {\n to = integraci_tenant.acme\n id = \"acme\"\n}\n\
                  import {\n to = integraci_connector.it\n id = \"acme/it\"\n}\n";
    let imported = importing.configure(&format!("{revoking}{blocks}")).apply().await.ok();
    assert!(imported.contains("2 imported, 0 added, 1 changed, 0 destroyed"), "{imported}");
    assert!(!world.changes().iter().any(|change| change.starts_with("PATCH tenants/ten/connectors")));
    assert_eq!(importing.configure(&revoking).plan().await.code, 0);
    assert!(importing.state().contains("\"on_destroy\": \"revoke\""));
}
