//! The quota preflight, with the real `terraform` and a server whose tenants have room for three connectors.

use integraci_api::ProblemCode;

use crate::fake::problem_of;
use crate::listed::tenant;
use crate::terraform::Terraform;
use crate::world::World;

struct Scene {
    world: World,
    terraform: Terraform,
    tenant: String,
}

impl Scene {
    async fn of(world: World) -> Self {
        let tenant = tenant(&world.fake.api(), "acme").await.to_string();
        let terraform = Terraform::new(&world.fake.url);
        Self { world, terraform, tenant }
    }

    async fn start() -> Self {
        Self::of(World::start().await).await
    }

    /// Connectors of these names, in a mode, with more.
    fn configure(&self, mode: &str, names: &[&str], more: &str) -> &Terraform {
        let tenant = &self.tenant;
        self.terraform.configure(&format!(
            r#"
provider "integraci" {{
  quota_preflight = "{mode}"
}}

resource "integraci_connector" "each" {{
  for_each  = toset({names:?})
  tenant_id = "{tenant}"
  name      = each.key
  verify    = "off"
  aws       = {{ role_arn = "arn:aws:iam::123456789012:role/it" }}
}}

{more}
"#
        ))
    }

    fn quota(&self, connectors: u32) -> String {
        format!(
            "resource \"integraci_quota\" \"acme\" {{\n  tenant_id = \"{}\"\n  limits = {{ connectors = {connectors} }}\n}}\n",
            self.tenant
        )
    }

    fn asked(&self) -> usize {
        self.world.fake.take_seen().iter().filter(|seen| seen.path.ends_with("/quota")).count()
    }
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];
const NO_ROOM: &str = "has no room for these connectors";

/// The text with its lines joined as they were written, and how often it says that there is no room.
fn told(text: &str) -> (String, usize) {
    let words = text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    let count = words.matches(NO_ROOM).count();
    (words, count)
}

#[tokio::test]
async fn a_plan_that_does_not_fit_is_warned_of_once_with_all_that_it_creates() {
    let scene = Scene::start().await;
    scene.world.fake.take_seen();
    let plan = scene.configure("warn", &FIVE, "").plan().await;
    assert_eq!(plan.code, 2, "{}", plan.text);
    let (text, count) = told(&plan.text);
    assert_eq!(count, 1, "{text}");
    assert!(text.contains("creates 5 connectors in tenant"), "{text}");
    assert!(text.contains("and 3 fit (limit 3, 0 in use)"), "{text}");
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn a_plan_that_fits_is_not() {
    let scene = Scene::start().await;
    let plan = scene.configure("error", &FIVE[..3], "").plan().await.ok();
    assert_eq!(told(&plan).1, 0, "{plan}");
}

#[tokio::test]
async fn an_apply_does_not_tell_again() {
    let scene = Scene::start().await;
    let text = scene.configure("warn", &FIVE, "").apply().await.ok();
    assert_eq!(told(&text).1, 1, "{text}");
}

#[tokio::test]
async fn in_error_the_plan_is_refused_and_off_nobody_is_asked() {
    let scene = Scene::start().await;
    let (text, count) = told(&scene.configure("error", &FIVE, "").plan().await.failed());
    assert_eq!(count, 1, "{text}");
    scene.world.fake.take_seen();
    let text = scene.configure("off", &FIVE, "").plan().await.ok();
    assert_eq!((told(&text).1, scene.asked()), (0, 0));
}

#[tokio::test]
async fn what_is_destroyed_makes_room() {
    let scene = Scene::start().await;
    scene.configure("error", &FIVE[..3], "").apply().await.ok();
    // Two go, two come.
    let text = scene.configure("error", &FIVE[2..], "").plan().await.ok();
    assert_eq!(told(&text).1, 0, "{text}");
    let (text, _) = told(&scene.configure("error", &FIVE[1..], "").plan().await.failed());
    assert!(
        text.contains("creates 2 connectors in tenant") && text.contains("destroys 1, and 1 fit"),
        "{text}"
    );
}

#[tokio::test]
async fn a_quota_in_the_same_plan_is_the_one_that_counts() {
    let scene = Scene::start().await;
    let text = scene.configure("error", &FIVE, &scene.quota(5)).plan().await.ok();
    assert_eq!(told(&text).1, 0, "{text}");
    let (text, _) = told(&scene.configure("error", &FIVE, &scene.quota(4)).plan().await.failed());
    assert!(text.contains("and 4 fit (limit 4, 0 in use)"), "{text}");
}

#[tokio::test]
async fn what_replaces_another_takes_its_place() {
    let scene = Scene::start().await;
    scene.configure("error", &FIVE[..3], "").apply().await.ok();
    let replace = ["plan", "-detailed-exitcode", "-replace=integraci_connector.each[\"a\"]"];
    let plan = scene.terraform.run(&replace).await.ok();
    assert!(plan.contains("1 to add, 0 to change, 1 to destroy"), "{plan}");
    scene.terraform.run(&["taint", "integraci_connector.each[\"b\"]"]).await.ok();
    let plan = scene.terraform.plan().await.ok();
    assert!(plan.contains("1 to add, 0 to change, 1 to destroy"), "{plan}");
}

#[tokio::test]
async fn a_refresh_and_a_destroy_are_not_stopped() {
    let scene = Scene::start().await;
    scene.configure("error", &FIVE[..3], "").apply().await.ok();
    scene.configure("error", &FIVE, "").run(&["plan", "-refresh-only"]).await.ok();
    scene.configure("error", &FIVE[..3], "").destroy().await.ok();
}

#[tokio::test]
async fn a_tenant_that_is_still_to_be_created_is_not_looked_at() {
    let scene = Scene::start().await;
    let text = r#"
resource "integraci_tenant" "new" {
  slug        = "new"
  name        = "New Ltd"
  plan        = "team"
  owner_email = "it@acme.example"
}

resource "integraci_connector" "new" {
  count     = 5
  tenant_id = integraci_tenant.new.id
  name      = "new-${count.index}"
  aws       = { role_arn = "arn:aws:iam::123456789012:role/it" }
}
"#;
    let text = scene.configure("error", &[], text).plan().await.ok();
    assert_eq!(told(&text).1, 0, "{text}");
}

#[tokio::test]
async fn one_call_at_a_time_is_told_as_far_as_it_is_known() {
    let scene = Scene::start().await;
    let plan = scene.configure("warn", &FIVE, "").run(&["plan", "-parallelism=1"]).await.ok();
    let (text, count) = told(&plan);
    assert_eq!(count, 1, "{text}");
    assert!(text.contains("creates 4 connectors in tenant"), "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_tell_stops_no_plan() {
    let world = World::misbehaving(|seen, _| {
        (seen.method == "GET" && seen.path.ends_with("/quota")).then(|| problem_of(ProblemCode::Forbidden))
    })
    .await;
    let scene = Scene::of(world).await;
    let text = scene.configure("warn", &FIVE, "").plan().await.ok();
    assert!(!text.contains("quota"), "{text}");
    let text = scene.configure("error", &FIVE, "").plan().await.ok();
    assert_eq!(text.matches("The quotas could not be looked at").count(), 1, "{text}");
}
