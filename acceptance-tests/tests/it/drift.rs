//! A tenant's place is changed by hand, past the platform: within the reconciler's interval it is
//! reported on the tenant, and mended, as the system's own administrator sees it. What cannot be mended
//! stays reported, in the API, the metrics and `doctor`, until somebody looks.

use std::time::Duration;

use acceptance_tests::admin::until;
use acceptance_tests::{Admin, Api, Server, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::systems::{account_claims, account_pushed, command, record_watched, recorded};

/// Looks at every place about once a second, and tells what it counts.
const WATCHFUL: [(&str, &str); 2] =
    [("INTEGRACI_SERVER__RECONCILE__EVERY_S", "1"), ("INTEGRACI_SERVER__METRICS_LISTEN", "127.0.0.1:0")];
/// Some intervals, and what mending takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// One world for all: its tenants do not know of each other.
struct Scene {
    world: World,
    server: Server,
    api: Api,
    admin: Admin,
    tenant: String,
    slug: String,
}

impl Scene {
    fn set(name: &str) -> Result<Self> {
        let world = World::whole(name)?;
        record_watched(&world)?;
        let server = world.serve_with(&WATCHFUL)?;
        let (api, admin) = (server.api()?, Admin::new(world.platform())?);
        let slug = new_slug(name);
        let tenant = api.tenant(&slug)?;
        Ok(Self { world, server, api, admin, tenant, slug })
    }

    fn place(&self) -> String {
        format!("tenant-{}", self.slug)
    }

    fn isolation(&self) -> Result<Value> {
        let tenant = self.api.get(&format!("/v1/tenants/{}", self.tenant))?.expect(200)?;
        Ok(tenant.body["isolation"].clone())
    }

    /// Waits until a place was reported as different, in words, and is as it should be again.
    fn mended(&self, system: &str) -> Result<()> {
        until(&format!("{system} was reported"), SOON, || {
            Ok(recorded(&self.world, &self.tenant, system, "drifted")?.then_some(()))
        })?;
        until(&format!("{system} is ready again"), SOON, || {
            let place = &self.isolation()?[system];
            Ok((place["state"] == "ready" && place["drift"].is_null()).then_some(()))
        })
    }
}

#[test]
fn what_was_changed_by_hand_is_reported_and_mended() -> Result<()> {
    let mut scene = Scene::set("drift")?;
    let place = scene.place();

    // A policy in OpenBao is widened.
    let namespace = scene.isolation()?["openbao"]["namespace"].as_str().context("a namespace")?.to_owned();
    let policy = "sys/policies/acl/tenant";
    let before = scene.admin.openbao(&namespace, "GET", policy, &Value::Null)?.expect("the policy")?;
    let wide = json!({ "policy": "path \"*\" { capabilities = [\"read\", \"list\", \"sudo\"] }" });
    scene.admin.openbao(&namespace, "POST", policy, &wide)?.expect("widening the policy")?;
    scene.mended("openbao")?;
    let after = scene.admin.openbao(&namespace, "GET", policy, &Value::Null)?.expect("the policy")?;
    assert_eq!(after.body["data"]["policy"], before.body["data"]["policy"]);

    // A network policy is opened.
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{place}/networkpolicies/default-deny");
    let before = scene.admin.kubernetes("GET", &path, &Value::Null)?.expect("the network policy")?;
    let open = json!({ "spec": { "ingress": [{}], "egress": [{}] } });
    scene.admin.kubernetes("PATCH", &path, &open)?.expect("opening it")?;
    scene.mended("kubernetes")?;
    let after = scene.admin.kubernetes("GET", &path, &Value::Null)?.expect("the network policy")?;
    assert_eq!(after.body["spec"], before.body["spec"]);

    // An account's limits are changed by whoever has the operator's key.
    let mut claims = account_claims(&scene.world, &place)?;
    let before = claims["nats"]["limits"].clone();
    claims["nats"]["limits"]["conn"] = json!(7_777);
    account_pushed(&scene.world, &claims)?;
    scene.mended("nats")?;
    assert_eq!(account_claims(&scene.world, &place)?["nats"]["limits"], before);

    // A realm is removed.
    scene.admin.keycloak("DELETE", &format!("/{place}"), &Value::Null)?.expect("removing the realm")?;
    scene.mended("keycloak")?;
    scene.admin.keycloak("GET", &format!("/{place}"), &Value::Null)?.expect("the realm is there again")?;

    // All of it was counted.
    let metrics = metrics(&mut scene)?;
    for system in ["openbao", "kubernetes", "nats", "keycloak"] {
        ensure!(metrics.contains(&format!("integraci_drift_total{{system=\"{system}\"}}")), "{metrics}");
    }
    let done = scene.api.delete(&format!("/v1/tenants/{}", scene.tenant))?;
    scene.api.succeeded(&done)?;
    Ok(())
}

/// Somebody takes the name of a tenant's realm for a realm of his own. It is left alone, so the tenant's
/// cannot be made there again.
#[test]
fn what_cannot_be_mended_is_told_until_it_is_resumed() -> Result<()> {
    let mut scene = Scene::set("stuck")?;
    let realm = scene.place();
    let path = format!("/v1/tenants/{}", scene.tenant);
    scene.admin.keycloak("DELETE", &format!("/{realm}"), &Value::Null)?.expect("removing the realm")?;
    let theirs = json!({ "realm": realm, "displayName": "Somebody else's", "enabled": true });
    scene.admin.keycloak("POST", "", &theirs)?.expect("making another in its place")?;

    let operation = until("the operation that mends it is stuck", SOON, || {
        let tenant = scene.api.get(&path)?.expect(200)?.body;
        let Some(operation) = tenant["operation_id"].as_str() else { return Ok(None) };
        let operation = scene.api.get(&format!("/v1/operations/{operation}"))?.expect(200)?.body;
        Ok((operation["state"] == "stuck").then_some(operation))
    })?;
    assert_eq!(operation["kind"], "tenant_update");
    assert_eq!(operation["error"]["step"], "keycloak_place", "{operation}");
    assert!(operation["error"]["detail"].as_str().is_some_and(|it| it.contains("left alone")), "{operation}");
    let id = operation["id"].as_str().context("an operation has an id")?;
    assert_eq!(scene.isolation()?["keycloak"]["state"], "drifted");

    let metrics = metrics(&mut scene)?;
    ensure!(metrics.contains("integraci_operations{state=\"stuck\"} 1"), "{metrics}");
    ensure!(metrics.contains("integraci_places{system=\"keycloak\",state=\"drifted\"} 1"), "{metrics}");
    let doctor = command(&scene.world, &["doctor"])?;
    assert!(!doctor.status.success());
    for told in [id, &format!("{}: keycloak: drifted", scene.slug), "operation resume"] {
        ensure!(doctor.stdout.contains(told), "doctor does not tell {told}:\n{}", doctor.stdout);
    }
    // Not ours, so it is still there.
    let left = scene.admin.keycloak("GET", &format!("/{realm}"), &Value::Null)?.expect("their realm")?;
    assert_eq!(left.body["displayName"], "Somebody else's");

    scene.admin.keycloak("DELETE", &format!("/{realm}"), &Value::Null)?.expect("making room")?;
    let resumed = command(&scene.world, &["operation", "resume", id])?;
    ensure!(resumed.status.success(), "{}", resumed.stderr);
    assert_eq!(scene.api.operation_settled(id)?["state"], "succeeded");
    until("all is ready", SOON, || Ok((scene.isolation()?["keycloak"]["state"] == "ready").then_some(())))?;
    let doctor = command(&scene.world, &["doctor"])?;
    ensure!(doctor.status.success(), "{}", doctor.stdout);
    // What is not stuck is not resumed.
    assert!(!command(&scene.world, &["operation", "resume", id])?.status.success());
    scene.api.succeeded(&scene.api.delete(&path)?)?;
    Ok(())
}

fn metrics(scene: &mut Scene) -> Result<String> {
    let address = scene.server.process().line_with("metrics at ", Duration::from_secs(1))?;
    scene.admin.text(&address)
}
