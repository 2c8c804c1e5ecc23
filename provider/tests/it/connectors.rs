//! Connectors, between the provider, the real `terraform`, and a server that does as it is told: what is
//! planned, what is sent, and what makes no noise.

use integraci_api::connectors::{VerificationStatus, VerifyMode};
use time::OffsetDateTime;

use crate::terraform::Terraform;
use crate::world::World;

const TENANT: &str = r#"
resource "integraci_tenant" "acme" {
  slug              = "acme"
  name              = "Acme Ltd"
  plan              = "team"
  owner_email       = "it@acme.example"
  delete_protection = false
}
"#;

pub(crate) const FIRST: &str = "0123456789-first";
pub(crate) const SECOND: &str = "0123456789-second";

pub(crate) fn connector(kind: &str, object: &str, more: &str) -> String {
    format!(
        r#"{TENANT}
resource "integraci_connector" "it" {{
  tenant_id = integraci_tenant.acme.id
  name      = "it"
  {kind} = {{
    {object}
  }}
  {more}
}}
"#
    )
}

pub(crate) fn hook(secret: &str, more: &str) -> String {
    let object =
        format!("url = \"https://hooks.example\"\n events = [\"quota.set\"]\n hmac_key_wo = \"{secret}\"");
    connector("webhook", &object, more)
}

pub(crate) fn gitlab(more: &str) -> String {
    connector("gitlab", &format!("token_wo = \"{FIRST}\""), more)
}

pub(crate) fn vault(object: &str, more: &str) -> String {
    connector("vault", &format!("url = \"https://vault.example:8200\"\n {object}"), more)
}

pub(crate) async fn applied(world: &World, configuration: &str) -> Terraform {
    let terraform = Terraform::new(&world.fake.url);
    terraform.configure(configuration).apply().await.ok();
    assert_eq!(terraform.plan().await.code, 0);
    world.changes();
    terraform
}

/// What the last change sent, secrets by their names.
pub(crate) fn sent(world: &World) -> serde_json::Value {
    let seen = world.fake.take_seen();
    let mut body = seen.iter().rfind(|seen| seen.method == "PATCH").expect("a change").json();
    if let Some(secrets) = body.get_mut("secrets") {
        *secrets = secrets.as_object().unwrap().keys().cloned().collect();
    }
    body
}

#[tokio::test]
async fn what_the_far_side_says_later_makes_no_plan() {
    let world = World::start().await;
    let terraform = applied(&world, &hook(FIRST, "")).await;
    {
        let mut state = world.state.lock().unwrap();
        let connector = state.connector();
        connector.verification_status = VerificationStatus::Refused;
        connector.verification_reason = Some("/secrets/hmac_key: it is not taken".into());
        connector.last_verified_at = Some(OffsetDateTime::UNIX_EPOCH + time::Duration::days(1));
        connector.revision += 1;
    }
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 0, "{}", plan.text);
    // Nor does it show in a change that the platform hears nothing of, which it also outlives.
    terraform.configure(&hook(FIRST, r#"timeouts = { update = "5m" }"#));
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert!(!plan.text.contains("verif") && !plan.text.contains("known after apply"), "{}", plan.text);
    terraform.apply().await.ok();
    assert!(terraform.state().contains("it is not taken"));
    // What the platform hears of has the far side asked.
    terraform.configure(&hook(FIRST, "").replace("\"it\"\n", "\"other\"\n"));
    let plan = terraform.plan().await;
    assert!(plan.text.contains("verification_status = \"refused\" -> (known after apply)"), "{}", plan.text);
    terraform.apply().await.ok();
    assert_eq!(sent(&world), serde_json::json!({"name": "other"}));
    assert!(!terraform.state().contains("it is not taken"));
    assert_eq!(terraform.plan().await.code, 0);
}

#[tokio::test]
async fn a_secret_changed_by_hand_is_sent_anew_also_with_a_version() {
    for more in ["", r#"secret_wo_version = "a""#] {
        let world = World::start().await;
        let terraform = applied(&world, &hook(FIRST, more)).await;
        world.state.lock().unwrap().connector().secret_drifted = true;
        let plan = terraform.plan().await;
        assert_eq!(plan.code, 2, "{}", plan.text);
        assert!(plan.text.contains("secret_version      = 1 -> (known after apply)"), "{}", plan.text);
        assert!(plan.text.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
        terraform.apply().await.ok();
        assert_eq!(sent(&world), serde_json::json!({"secrets": ["hmac_key"]}));
        assert_eq!(terraform.plan().await.code, 0, "{more}");
    }
}

#[tokio::test]
async fn what_the_far_side_makes_by_itself_is_no_change() {
    let world = World::start().await;
    let with = |more: &str| vault(&format!("token_role = \"ci\"\n token_wo = \"{FIRST}\""), more);
    let terraform = applied(&world, &with("rotate_every_days = 30")).await;
    assert_eq!(world.state.lock().unwrap().connector().rotate_every_days, Some(30));
    world.state.lock().unwrap().mint();
    let plan = terraform.plan().await;
    assert_eq!(plan.code, 0, "{}", plan.text);

    terraform.configure(&with("rotate_every_days = 7")).apply().await.ok();
    assert_eq!(sent(&world), serde_json::json!({"rotate_every_days": 7}));
    terraform.configure(&with("")).apply().await.ok();
    assert_eq!(sent(&world), serde_json::json!({"rotate_every_days": 0}));
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(world.state.lock().unwrap().connector().secret_version, 2);
}

#[tokio::test]
async fn without_a_secret_nothing_is_compared_and_there_is_a_way_there_and_back() {
    let world = World::start().await;
    let (keyless, token) = (vault("role = \"ci\"", ""), vault(&format!("token_wo = \"{FIRST}\""), ""));
    let terraform = applied(&world, &keyless).await;
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(world.changes(), Vec::<String>::new(), "nothing is compared");
    assert_eq!(world.state.lock().unwrap().connector().secret_version, 0);

    terraform.configure(&token).apply().await.ok();
    let change = sent(&world);
    assert_eq!(change["secrets"], serde_json::json!(["token"]));
    assert_eq!(terraform.plan().await.code, 0);

    let plan = terraform.configure(&keyless).plan().await;
    assert!(plan.text.contains("secret_version      = 1 -> (known after apply)"), "{}", plan.text);
    terraform.apply().await.ok();
    let change = sent(&world);
    assert_eq!(change["secrets"], serde_json::json!([]));
    assert_eq!(terraform.plan().await.code, 0);
    assert_eq!(world.state.lock().unwrap().connector().secret_version, 0);
}

#[tokio::test]
async fn a_secret_that_is_not_known_before_the_apply_is_sent_then_if_it_is_new() {
    for gitlab in ["{ token_wo = terraform_data.it.output.token_wo }", "terraform_data.it.output"] {
        let world = World::start().await;
        let with = |token: &str, more: &str| {
            let source = format!(
                "resource \"terraform_data\" \"it\" {{\n  input = {{ token_wo = \"{token}\" }}\n  {more}\n}}\n"
            );
            let object = gitlab_of(gitlab);
            format!("{TENANT}{source}{object}")
        };
        let terraform = applied(&world, &with(FIRST, "")).await;
        terraform.configure(&with(SECOND, "")).apply().await.ok();
        assert_eq!(sent(&world), serde_json::json!({"secrets": ["token"]}), "{gitlab}");
        assert_eq!(terraform.plan().await.code, 0);
        // Made anew with the same in it: when that is known, there is nothing to send.
        terraform.configure(&with(SECOND, "triggers_replace = 1")).apply().await.ok();
        assert!(!world.changes().iter().any(|change| change.starts_with("PATCH")), "{gitlab}");
        assert_eq!(terraform.plan().await.code, 0);
    }
}

fn gitlab_of(object: &str) -> String {
    format!(
        "resource \"integraci_connector\" \"it\" {{\n  tenant_id = integraci_tenant.acme.id\n  name = \"it\"\n  \
         gitlab = {object}\n}}\n"
    )
}

#[tokio::test]
async fn how_firmly_it_is_verified_is_sent_and_read() {
    let world = World::start().await;
    let terraform = applied(&world, &hook(FIRST, r#"verify = "off""#)).await;
    assert!(terraform.state().contains("unverified"));
    let plan = terraform.configure(&hook(FIRST, "")).plan().await;
    assert!(plan.text.contains("verify              = \"off\" -> \"required\""), "{}", plan.text);
    terraform.apply().await.ok();
    assert_eq!(sent(&world), serde_json::json!({"verify": "required"}));
    assert_eq!(terraform.plan().await.code, 0);
    world.state.lock().unwrap().connector().verify = VerifyMode::Optional;
    let plan = terraform.plan().await;
    assert!(plan.text.contains("\"optional\" -> \"required\""), "{}", plan.text);
}

#[tokio::test]
async fn what_becomes_of_the_secret_is_kept_here_until_the_destroy() {
    let world = World::start().await;
    let terraform = applied(&world, &gitlab("")).await;
    let changed = terraform.configure(&gitlab(r#"on_destroy = "revoke""#)).apply().await.ok();
    assert!(changed.contains("0 added, 1 changed, 0 destroyed"), "{changed}");
    assert!(world.changes().iter().all(|change| change.ends_with("secret-comparisons")));
    let id = world.state.lock().unwrap().connector().id.to_string();
    terraform.destroy().await.ok();
    assert_eq!(world.state.lock().unwrap().revoked, [id]);

    let terraform = applied(&world, &gitlab("")).await;
    terraform.destroy().await.ok();
    assert_eq!(world.state.lock().unwrap().revoked.len(), 1, "it is forgotten unless that is said");
}

#[tokio::test]
async fn what_a_kind_cannot_do_is_told_at_the_attribute() {
    let terraform = Terraform::new("");
    for (more, summary, attribute) in [
        (r#"on_destroy = "revoke""#, "The secret cannot be revoked from here", "on_destroy"),
        ("rotate_every_days = 30", "The secret cannot be rotated without a new one", "rotate_every_days"),
        ("rotate_every_days = 366", "Expected 1 to 365 days", "rotate_every_days"),
        (r#"verify = "perhaps""#, "Expected one of: required, optional, off", "verify"),
        (r#"on_destroy = "keep""#, "Expected one of: forget, revoke", "on_destroy"),
    ] {
        let told = terraform.configure(&hook(FIRST, more)).run(&["validate"]).await.failed();
        assert!(told.contains(summary), "{more}: {told}");
        assert!(told.contains(&format!("{attribute} = ")), "{more}: {told}");
    }
    let fits =
        terraform.configure(&vault("role = \"ci\"", "rotate_every_days = 1\n on_destroy = \"revoke\""));
    fits.run(&["validate"]).await.ok();
}

#[tokio::test]
async fn an_import_leaves_nothing_to_change_whatever_is_configured_beside_the_secret() {
    for more in [
        "",
        r#"secret_wo_version = "a""#,
        r#"timeouts = { update = "5m" }"#,
        "secret_wo_version = \"a\"\n timeouts = { create = \"5m\", delete = \"1h\" }\n verify = \"required\"",
    ] {
        let world = World::start().await;
        applied(&world, &hook(FIRST, more)).await;
        let importing = Terraform::new(&world.fake.url);
        let blocks = "import {\n to = integraci_tenant.acme\n id = \"acme\"\n}\n\
                      import {\n to = integraci_connector.it\n id = \"acme/it\"\n}\n";
        let imported = importing.configure(&format!("{}{blocks}", hook(FIRST, more))).apply().await.ok();
        assert!(imported.contains("2 imported, 0 added, 0 changed, 0 destroyed"), "{more}: {imported}");
        let plan = importing.configure(&hook(FIRST, more)).plan().await;
        assert_eq!(plan.code, 0, "{more}: {}", plan.text);

        // A secret that is not the one in force is found by asking, and the version is put down then.
        world.changes();
        let plan = importing.configure(&hook(SECOND, more)).plan().await;
        assert_eq!(plan.code, 2, "{more}: {}", plan.text);
        importing.apply().await.ok();
        assert_eq!(sent(&world), serde_json::json!({"secrets": ["hmac_key"]}), "{more}");
        assert_eq!(importing.plan().await.code, 0, "{more}");
        assert_eq!(importing.state().contains("\"secret_wo_version\": \"a\""), more.contains("wo_version"));
        assert_eq!(importing.state().contains("\"5m\""), more.contains("5m"));
    }
}

#[tokio::test]
async fn another_kind_replaces_and_another_way_of_writing_changes_nothing() {
    let world = World::start().await;
    let pem =
        |line: &str| format!("-----BEGIN CERTIFICATE-----{line}AAAA{line}-----END CERTIFICATE-----{line}");
    let with = |url: &str, pem: &str| {
        let object = format!("url = \"{url}\"\n ca_certificate = \"{pem}\"\n token_wo = \"{FIRST}\"");
        connector("container_registry", &object, "")
    };
    let terraform = applied(&world, &with("https://r.example", &pem("\\n"))).await;
    let plan = terraform.configure(&with("https://r.example/", &pem("\\r\\n"))).plan().await;
    assert_eq!(plan.code, 0, "{}", plan.text);
    let plan =
        terraform.configure(&with("https://r.example/", &pem("\\n\\n").replace("AAAA", "BBBB"))).plan().await;
    assert_eq!(plan.code, 2, "{}", plan.text);
    let plan = terraform.configure(&gitlab("")).plan().await;
    assert!(plan.text.contains("# forces replacement"), "{}", plan.text);
    assert!(plan.text.contains("1 to add, 0 to change, 1 to destroy"), "{}", plan.text);
}

#[tokio::test]
async fn an_address_for_webhooks_is_known_once_and_stays() {
    let world = World::start().await;
    let terraform = applied(&world, &gitlab("")).await;
    assert!(terraform.state().contains("https://platform.example/inbound/con_"));
    let plan = terraform.configure(&gitlab(r#"verify = "optional""#)).plan().await;
    assert!(!plan.text.contains("inbound_url"), "{}", plan.text);
    let other = Terraform::new(&world.fake.url);
    let plan = other.configure(&hook(FIRST, "")).plan().await;
    assert!(!plan.text.contains("inbound_url"), "a webhook has none: {}", plan.text);
}

/// What a run's outputs are, as JSON.
async fn outputs(terraform: &Terraform) -> serde_json::Value {
    serde_json::from_str(&terraform.run(&["output", "-json"]).await.ok()).unwrap()
}

#[tokio::test]
async fn what_there_is_can_be_looked_up() {
    let world = World::start().await;
    let looked_up = r#"
data "integraci_connector" "by_name" {
  tenant_id = integraci_connector.it.tenant_id
  name      = integraci_connector.it.name
}
data "integraci_connector" "by_id" {
  tenant_id = integraci_connector.it.tenant_id
  id        = integraci_connector.it.id
}
data "integraci_connectors" "all" {
  tenant_id = integraci_connector.it.tenant_id
}
data "integraci_connectors" "none" {
  tenant_id = integraci_connector.it.tenant_id
  kind      = "slack"
}
data "integraci_connector_kinds" "known" {}
output "same" { value = data.integraci_connector.by_name == data.integraci_connector.by_id }
output "one" { value = data.integraci_connector.by_name }
output "all" { value = data.integraci_connectors.all.connectors }
output "none" { value = data.integraci_connectors.none.connectors }
output "kinds" { value = data.integraci_connector_kinds.known.kinds }
"#;
    let terraform = applied(&world, &format!("{}{looked_up}", hook(FIRST, ""))).await;
    let found = outputs(&terraform).await;
    assert_eq!(found["same"]["value"], true);
    let one = &found["one"]["value"];
    assert_eq!(one["kind"], "webhook");
    assert_eq!(
        one["config"],
        serde_json::json!({"url": "https://hooks.example", "events": "[\"quota.set\"]"})
    );
    assert_eq!(one["verification_status"], "verified");
    assert_eq!(one["secret_version"], 1);
    assert!(!found.to_string().contains(FIRST));
    assert_eq!(found["all"]["value"][0]["id"], one["id"]);
    assert_eq!(found["none"]["value"], serde_json::json!([]));
    let kinds = found["kinds"]["value"].as_array().unwrap();
    assert_eq!(kinds.len(), integraci_api::catalogue::KINDS.len());
    let vault = kinds.iter().find(|kind| kind["name"] == "vault").unwrap();
    assert_eq!(vault["keyless"], "possible");
    assert_eq!(vault["secrets"][0]["attribute"], "token_wo");
    assert_eq!(
        (&vault["mints"], &vault["revocable"], &vault["inbound"]),
        (&true.into(), &true.into(), &false.into())
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_at_its_attribute() {
    let world = World::start().await;
    let terraform = applied(&world, TENANT).await;
    let look = |by: &str| {
        format!(
            "{TENANT}data \"integraci_connector\" \"it\" {{\n  tenant_id = integraci_tenant.acme.id\n  {by}\n}}\n"
        )
    };
    let told = terraform.configure(&look("name = \"other\"")).plan().await.failed();
    assert!(told.contains("There is no such connector") && told.contains("name = \"other\""), "{told}");
    let told = terraform.configure(&look("")).plan().await.failed();
    assert!(told.contains("Which connector is not said"), "{told}");
    let both = "name = \"other\"\n id = \"con_00000000000000000000000000000001\"";
    let told = terraform.configure(&look(both)).plan().await.failed();
    assert!(told.contains("The connector is named twice"), "{told}");
    let of_no_kind = format!(
        "{TENANT}data \"integraci_connectors\" \"it\" {{\n  tenant_id = integraci_tenant.acme.id\n  kind = \"gopher\"\n}}\n"
    );
    let told = terraform.configure(&of_no_kind).plan().await.failed();
    assert!(told.contains("Expected one of: artifactory, aws,"), "{told}");
}

#[tokio::test]
async fn what_a_cloud_must_trust_is_known_before_the_connector() {
    let world = World::start().await;
    let trust = |kind: &str| {
        format!(
            r#"{TENANT}
data "integraci_oidc_trust" "it" {{
  tenant_id = integraci_tenant.acme.id
  connector = "it"
  kind      = "{kind}"
}}
resource "integraci_connector" "it" {{
  tenant_id = integraci_tenant.acme.id
  name      = data.integraci_oidc_trust.it.connector
  aws       = {{ role_arn = "arn:aws:iam::123456789012:role/${{data.integraci_oidc_trust.it.subject}}" }}
}}
output "trust" {{ value = data.integraci_oidc_trust.it }}
"#
        )
    };
    let terraform = applied(&world, &trust("aws")).await;
    let found = &outputs(&terraform).await["trust"]["value"];
    assert!(found["subject"].as_str().unwrap().ends_with(":it"));
    assert_eq!(found["audience"], "sts.amazonaws.com");
    assert!(found["issuer"].as_str().unwrap().starts_with("https://"));
    terraform.configure(&trust("gcp")).apply().await.ok();
    assert!(outputs(&terraform).await["trust"]["value"]["audience"].is_null());
    let told = terraform.configure(&trust("slack")).plan().await.failed();
    assert!(told.contains("Expected one of: aws, azure, gcp, kubernetes_cluster, vault"), "{told}");
}

fn many(count: usize) -> String {
    format!(
        r#"{TENANT}
resource "integraci_connector" "it" {{
  count     = {count}
  tenant_id = integraci_tenant.acme.id
  name      = "it-${{count.index}}"
  aws       = {{ role_arn = "arn:aws:iam::123456789012:role/it" }}
}}
"#
    )
}

/// The requests about connectors since the last call.
fn of_connectors(world: &World) -> Vec<String> {
    let seen = world.fake.take_seen();
    seen.iter().filter(|seen| seen.path.contains("/connectors")).map(|seen| seen.line()).collect()
}

#[tokio::test]
async fn one_list_serves_many_reads() {
    let world = World::start().await;
    let terraform = applied(&world, &many(50)).await;
    of_connectors(&world);
    assert_eq!(terraform.plan().await.code, 0);
    let seen = of_connectors(&world);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].ends_with("/connectors"), "{seen:?}");

    // One that the list does not have is asked for by itself, and is gone then.
    let gone = world.state.lock().unwrap().connectors.pop_first().unwrap().0;
    let plan = terraform.plan().await;
    assert!(plan.text.contains("1 to add, 0 to change, 0 to destroy"), "{}", plan.text);
    let seen = of_connectors(&world);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().any(|line| line.ends_with(&gone)), "{seen:?}");
}
