//! A tenant's places, attestations of them and credentials for them, between the provider, the real
//! `terraform`, and a server that does as it is told.

use integraci_api::ProblemCode;
use integraci_api::credentials::{CredentialCreate, Lender};
use integraci_api::isolation::PlaceState;

use crate::fake::{patience, problem};
use crate::terraform::Terraform;
use crate::world::World;

fn tenant(more: &str) -> String {
    format!(
        r#"
resource "integraci_tenant" "acme" {{
  slug              = "acme"
  name              = "Acme Ltd"
  plan              = "team"
  owner_email       = "it@acme.example"
  delete_protection = false
  {more}
}}

output "openbao" {{
  value = integraci_tenant.acme.isolation.openbao.state
}}
"#
    )
}

#[tokio::test]
async fn a_suspension_is_waited_for_and_the_plan_says_what_it_changes() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&tenant("")).apply().await.ok();
    assert_eq!(terraform.plan().await.code, 0);

    terraform.configure(&tenant("suspended = true"));
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert!(plan.text.contains("isolation") && plan.text.contains("(known after apply)"), "{}", plan.text);
    terraform.apply().await.ok();
    let state = |text: &str| text.contains(&format!("openbao = \"{}\"", PlaceState::Suspended.as_str()));
    let shown = terraform.run(&["output"]).await.ok();
    assert!(state(&shown), "the apply has waited until the places were closed: {shown}");
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn a_tenant_is_suspended_as_it_is_made() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&tenant("suspended = true")).apply().await.ok();
    assert!(world.state.lock().unwrap().tenants.values().all(|tenant| tenant.operation_id.is_none()));
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn what_differs_is_shown_and_changes_nothing_else() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    let without_output = tenant("").split("output").next().unwrap().to_owned();
    terraform.configure(&without_output).apply().await.ok();
    for tenant in world.state.lock().unwrap().tenants.values_mut() {
        tenant.isolation.nats.place.state = PlaceState::Drifted;
    }
    assert_eq!(terraform.plan().await.code, 0, "nothing that the configuration could change");
    // A change of something else plans the place as it was known, and keeps to that.
    terraform.configure(&without_output.replace("Acme Ltd", "Acme"));
    let plan = terraform.plan().await;
    assert!(!plan.text.contains("isolation"), "{}", plan.text);
    terraform.apply().await.ok();
    terraform.run(&["apply", "-refresh-only", "-auto-approve"]).await.ok();
    assert!(terraform.state().contains("drifted"));
}

fn attested(max_age: &str) -> String {
    format!(
        r#"
{}
data "integraci_isolation_attestation" "acme" {{
  tenant_id = integraci_tenant.acme.id
  {max_age}
}}

check "acme_is_isolated" {{
  assert {{
    condition     = data.integraci_isolation_attestation.acme.passed
    error_message = "Reached: ${{join(", ", data.integraci_isolation_attestation.acme.failed_checks)}}"
  }}
}}
"#,
        tenant("")
    )
}

#[tokio::test]
async fn an_attestation_is_made_unless_there_is_a_good_one() {
    let world = World::start().await;
    let made = || world.state.lock().unwrap().attestations.len();
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&attested(r#"max_age = "24h""#)).apply().await.ok();
    assert_eq!(made(), 1);
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(made(), 1, "it is still good");

    world.state.lock().unwrap().attestations[0].statement.issued_at -= time::Duration::hours(25);
    terraform.plan().await.ok();
    assert_eq!(made(), 2, "it was too old");

    // One that is red is never good enough: the next plan looks again.
    world.state.lock().unwrap().is_open = true;
    world.state.lock().unwrap().attestations.clear();
    let told = terraform.plan().await;
    assert!(told.text.contains("Reached: nats.subscribe_to_another_tenant"), "{}", told.text);
    world.state.lock().unwrap().is_open = false;
    let told = terraform.plan().await;
    assert!(!told.text.contains("Reached"), "{}", told.text);
    assert_eq!(made(), 2);

    terraform.configure(&attested("")).plan().await.ok();
    assert_eq!(made(), 3, "without an age it is made every time");
    let wrong = terraform.configure(&attested(r#"max_age = "a day""#)).plan().await.failed();
    assert!(wrong.contains("Expected a duration, such as 24h or 1h30m"), "{wrong}");
}

#[tokio::test]
async fn a_suspended_tenant_is_told_and_spoils_no_plan() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    let suspended = attested("").replace("name ", "suspended = true\n  name ");
    terraform.configure(&suspended).apply().await.ok();
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 0, "{}", plan.text);
    assert!(plan.text.contains("Reached: suspended"), "{}", plan.text);
}

#[tokio::test]
async fn credentials_are_taken_for_a_run_and_given_back() {
    let world = World::start().await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&tenant("")).apply().await.ok();
    for (kind, secret) in [
        ("kubernetes", "token"),
        ("nats", "credentials"),
        ("openbao", "wrapped_secret_id"),
        ("oidc_client", "client_secret"),
    ] {
        world.changes();
        let used = format!(
            r#"
{}
ephemeral "integraci_{kind}_credentials" "acme" {{
  tenant_id = integraci_tenant.acme.id
}}

resource "integraci_connector" "hook" {{
  tenant_id = integraci_tenant.acme.id
  name      = "{kind}"
  webhook = {{
    url         = "https://hooks.example"
    events      = ["quota.set"]
    hmac_key_wo = ephemeral.integraci_{kind}_credentials.acme.{secret}
  }}
}}
"#,
            tenant("")
        );
        terraform.configure(&used).apply().await.ok();
        let state = world.state.lock().unwrap();
        assert!(state.lent.is_empty(), "{kind}: all are given back");
        let of = format!("of-{secret}-0123456789");
        assert!(state.secrets.values().any(|secrets| secrets["hmac_key"] == of), "{kind}: it was used");
        drop(state);
        let changes = world.changes();
        let count = |word: &str| changes.iter().filter(|line| line.starts_with(word)).count();
        assert!(count("POST tenants/ten/credentials") >= 1, "{changes:?}");
        assert_eq!(
            count("POST tenants/ten/credentials"),
            count("DELETE tenants/ten/credentials"),
            "{changes:?}"
        );
        assert!(!terraform.state().contains(&of), "{kind}: the state holds no secret");
    }
}

#[tokio::test]
async fn credentials_whose_answer_was_lost_are_given_back_and_others_taken() {
    let world = World::misbehaving(|seen, state| {
        // As if an attempt before this one had been answered, and the answer lost.
        let first =
            seen.line().starts_with("POST") && seen.line().ends_with("/nats") && state.lent.is_empty();
        (first && state.limits.insert("lost".into(), Default::default()).is_none()).then(|| {
            state.answer(seen);
            let lost = state.lent.keys().next().unwrap().clone();
            let code = ProblemCode::IdempotencyKeyReused;
            problem(&integraci_api::Problem::new(code, "answered before").with_existing(&lost))
        })
    })
    .await;
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(&tenant("")).apply().await.ok();
    let tenant = world.state.lock().unwrap().tenants.values().next().unwrap().id;
    let (api, patience, asked) = (world.fake.api(), patience(), CredentialCreate::default());
    let issued = api.credential_issue(tenant, Lender::Nats, &asked, &patience).await.unwrap();
    let id = issued.credential.id;
    assert_eq!(world.state.lock().unwrap().lent.keys().collect::<Vec<_>>(), [&id.to_string()]);
    let renewed = api.credential_renew(tenant, Lender::Nats, id, &asked, &patience).await.unwrap();
    assert_eq!(renewed, issued.credential);
    for _ in 0..2 {
        api.credential_revoke(tenant, Lender::Nats, id, &patience).await.unwrap();
    }
    assert!(world.state.lock().unwrap().lent.is_empty());
}
