//! What happens between the provider, the real `terraform`, and a server that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use integraci_api::ProblemCode;
use integraci_api::operations::OperationState;

use crate::fake::{problem_of, retry_after};
use crate::terraform::Terraform;
use crate::world::World;

const TENANT: &str = r#"
resource "integraci_tenant" "acme" {
  slug        = "acme"
  name        = "Acme Ltd"
  plan        = "team"
  owner_email = "it@acme.example"
}
"#;

fn hook(secret: &str, more: &str) -> String {
    format!(
        r#"{TENANT}
resource "integraci_connector" "hook" {{
  tenant_id = integraci_tenant.acme.id
  name      = "hook"
  webhook = {{
    url         = "https://hooks.example"
    events      = ["quota.set"]
    hmac_key_wo = "{secret}"
  }}
  {more}
}}
"#
    )
}

const FIRST: &str = "0123456789-first";
const SECOND: &str = "0123456789-second";

#[tokio::test]
async fn a_new_secret_is_planned_by_asking_and_nothing_of_it_is_kept() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&hook(FIRST, "")).apply().await.ok();
    assert_eq!(world.changes(), ["POST tenants", "PATCH tenants/ten", "POST tenants/ten/connectors"]);
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(world.changes(), ["POST tenants/ten/connectors/con/secret-comparisons"]);

    terraform.configure(&hook(SECOND, ""));
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert!(plan.text.contains("secret_version      = 1 -> (known after apply)"), "{}", plan.text);
    world.changes();
    terraform.apply().await.ok();
    assert_eq!(world.changes().last().unwrap(), "PATCH tenants/ten/connectors/con");
    assert_eq!(terraform.plan().await.code, 0);
    let state = terraform.state();
    assert!(!state.contains(FIRST) && !state.contains(SECOND));
}

#[tokio::test]
async fn with_a_version_nothing_is_asked_and_a_new_version_sends_the_secret() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&hook(FIRST, r#"secret_wo_version = "a""#)).apply().await.ok();
    world.changes();
    terraform.configure(&hook(SECOND, r#"secret_wo_version = "a""#));
    assert_eq!(terraform.plan().await.code, 0);
    assert!(world.changes().is_empty());
    terraform.configure(&hook(SECOND, r#"secret_wo_version = "b""#)).apply().await.ok();
    assert_eq!(world.changes(), ["PATCH tenants/ten/connectors/con"]);
    assert_eq!(world.state.lock().unwrap().secrets.values().next().unwrap()["hmac_key"], SECOND);
}

#[tokio::test]
async fn what_is_only_terraforms_business_is_not_sent() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&hook(FIRST, "")).apply().await.ok();
    world.changes();
    let applied = terraform.configure(&hook(FIRST, r#"timeouts = { update = "5m" }"#)).apply().await.ok();
    assert!(applied.contains("1 changed"), "{applied}");
    assert!(world.changes().iter().all(|change| change.ends_with("secret-comparisons")));
}

#[tokio::test]
async fn a_create_that_is_not_seen_to_end_keeps_its_id_and_the_next_apply_mends_it() {
    let world = World::start().await;
    world.state.lock().unwrap().operations = Some(OperationState::Running);
    let terraform = Terraform::new(&world.fake.url);
    let short = TENANT.replace("slug ", "timeouts = { create = \"1s\" }\n  slug ");
    let error = terraform.configure(&short).apply().await.failed();
    assert!(error.contains("it was accepted, and did not finish in time"), "{error}");
    assert!(terraform.state().contains("ten_00000000000000000000000000000001"), "{}", terraform.state());

    world.state.lock().unwrap().operations = None;
    let applied = terraform.apply().await.ok();
    assert!(applied.contains("is tainted, so must be replaced"), "{applied}");
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(world.state.lock().unwrap().tenants.len(), 1);
}

#[tokio::test]
async fn an_interrupt_ends_the_wait_and_keeps_the_id() {
    let world = World::start().await;
    world.state.lock().unwrap().operations = Some(OperationState::Running);
    let terraform = Terraform::new(&world.fake.url);
    let running = terraform.configure(TENANT).start(&["apply", "-auto-approve"]);
    world.fake.saw(|seen| seen.path.starts_with("/v1/operations/")).await;
    running.interrupt().await;
    let error = running.end().await.failed();
    assert!(error.contains("interrupted"), "{error}");
    assert!(terraform.state().contains("ten_00000000000000000000000000000001"), "{}", terraform.state());
}

#[tokio::test]
async fn a_create_that_the_server_took_back_is_made_anew() {
    let world = World::misbehaving(|seen, state| {
        if seen.line() == "POST /v1/tenants" && state.operations == Some(OperationState::Failed) {
            let answer = state.answer(seen);
            state.tenants.clear();
            return Some(answer);
        }
        None
    })
    .await;
    world.state.lock().unwrap().operations = Some(OperationState::Failed);
    let terraform = Terraform::new(&world.fake.url);
    let error = terraform.configure(TENANT).apply().await.failed();
    assert!(error.contains("Cannot create the tenant"), "{error}");
    world.state.lock().unwrap().operations = None;
    terraform.apply().await.ok();
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn a_busy_server_is_obeyed_without_a_word() {
    let refusals = AtomicUsize::new(0);
    let world = World::misbehaving(move |seen, _| {
        let first = seen.line() == "POST /v1/tenants" && refusals.fetch_add(1, Ordering::SeqCst) < 2;
        first.then(|| retry_after(problem_of(ProblemCode::RateLimited), "0"))
    })
    .await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(TENANT).apply().await.ok();
    assert_eq!(world.changes().len(), 4);
}

#[tokio::test]
async fn what_another_operation_holds_is_waited_for() {
    let refusals = AtomicUsize::new(0);
    let world = World::misbehaving(move |seen, _| {
        let held = seen.method == "DELETE" && refusals.fetch_add(1, Ordering::SeqCst) < 1;
        held.then(|| problem_of(ProblemCode::Busy))
    })
    .await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&hook(FIRST, "")).apply().await.ok();
    world.changes();
    terraform.configure(TENANT).apply().await.ok();
    assert_eq!(world.changes(), ["DELETE tenants/ten/connectors/con", "DELETE tenants/ten/connectors/con"]);
}

#[tokio::test]
async fn a_slug_that_is_taken_shows_how_to_import_it() {
    let world = World::start().await;
    Terraform::new(&world.fake.url).configure(TENANT).apply().await.ok();
    let other = Terraform::new(&world.fake.url);
    let error = other.configure(TENANT).apply().await.failed();
    let id = "ten_00000000000000000000000000000001";
    assert!(error.contains("the slug is taken"), "{error}");
    assert!(error.contains(&format!("import {{ to = integraci_tenant.acme id = \"{id}\" }}")), "{error}");

    let block = format!("import {{\n  to = integraci_tenant.acme\n  id = \"{id}\"\n}}\n");
    other.configure(&format!("{TENANT}{block}")).apply().await.ok();
    assert_eq!(other.configure(TENANT).plan().await.code, 0);
}

#[tokio::test]
async fn what_somebody_changed_since_the_plan_is_not_overwritten() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(TENANT).apply().await.ok();
    terraform.configure(&TENANT.replace("Acme Ltd", "Acme")).run(&["plan", "-out=saved"]).await.ok();
    world.state.lock().unwrap().tenants.values_mut().for_each(|tenant| tenant.revision += 1);
    let error = terraform.run(&["apply", "saved"]).await.failed();
    assert!(error.contains("Someone changed it after this plan was made"), "{error}");
}

#[tokio::test]
async fn what_vanished_is_made_again() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&hook(FIRST, "")).apply().await.ok();
    world.state.lock().unwrap().connectors.clear();
    let applied = terraform.apply().await.ok();
    assert!(applied.contains("1 added, 0 changed, 0 destroyed"), "{applied}");
}

#[tokio::test]
async fn protection_is_kept_when_planning_and_says_how_to_end_it() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(TENANT).apply().await.ok();
    world.changes();
    let error = terraform.destroy().await.failed();
    assert!(error.contains("delete_protection = false"), "{error}");
    let error = terraform.configure(&TENANT.replace("\"acme\"\n", "\"other\"\n")).plan().await.failed();
    assert!(error.contains("Changing the slug replaces the tenant, which is protected"), "{error}");
    assert!(world.changes().is_empty());
    let open = TENANT.replace("slug ", "delete_protection = false\n  slug ");
    terraform.configure(&open).apply().await.ok();
    terraform.destroy().await.ok();
    assert_eq!(world.changes(), ["PATCH tenants/ten", "DELETE tenants/ten"]);
}

#[tokio::test]
async fn a_misspelt_dimension_is_told_and_a_quota_ends_with_the_plans_limits() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    let quota = |limits: &str| {
        format!(
            "{TENANT}\nresource \"integraci_quota\" \"acme\" {{\n  tenant_id = integraci_tenant.acme.id\n  limits = {limits}\n}}\n"
        )
    };
    let error = terraform.configure(&quota("{ conectors = 5 }")).plan().await.failed();
    assert!(error.contains("`conectors`: unknown dimension; there are: connectors, secrets,"), "{error}");
    terraform.configure(&quota("{ connectors = 5 }")).apply().await.ok();
    assert_eq!(terraform.plan().await.code, 0);
    let applied = terraform.configure(TENANT).apply().await.ok();
    assert!(applied.contains("1 destroyed"), "{applied}");
    assert!(world.state.lock().unwrap().limits.values().all(std::collections::BTreeMap::is_empty));
}

#[tokio::test]
async fn an_endpoint_that_is_not_known_yet_does_not_stop_the_plan() {
    let world = World::start().await;
    let terraform = Terraform::new("");
    let provider = format!(
        "resource \"terraform_data\" \"platform\" {{\n  input = \"{}\"\n}}\nprovider \"integraci\" {{\n  endpoint = terraform_data.platform.output\n}}\n",
        world.fake.url
    );
    terraform.configure(&format!("{provider}{}", hook(FIRST, "")));
    assert_eq!(terraform.plan().await.code, 2);
    terraform.apply().await.ok();
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_used_and_plain_http_is_warned_of() {
    let world = World::start().await;
    let terraform = Terraform::new("http://platform.invalid").through(&world.fake.url);
    let applied = terraform.configure(TENANT).apply().await.ok();
    assert!(applied.contains("The connection to IntegraCI is not encrypted"), "{applied}");
    assert_eq!(world.changes(), ["POST tenants", "PATCH tenants/ten"]);
}
