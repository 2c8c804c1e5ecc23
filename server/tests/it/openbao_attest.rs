//! Attestations of a tenant's isolation in a real OpenBao: green as it is made, red when it is broken.

use integraci_api::attestations::Check;
use integraci_server::isolation::openbao::{Client, OpenBao, OpenBaoConfig};
use integraci_server::isolation::{Isolation as _, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, removed, tenant, wanted};

struct World {
    bao: Bao,
    system: OpenBao,
    own: Wanted,
    canary: Wanted,
}

impl World {
    async fn new() -> Self {
        let bao = Bao::new().await;
        let (system, own, canary) = (bao.system(), wanted(&tenant("own")), wanted(&tenant("other")));
        tokio::try_join!(system.ensure(&own), system.ensure(&canary)).unwrap();
        Self { bao, system, own, canary }
    }

    async fn attest(&self) -> Vec<Check> {
        self.system.attest(&self.own, &self.canary).await
    }

    async fn failed(&self) -> Vec<String> {
        names_of_failed(&self.attest().await)
    }

    /// The names below a path in a namespace.
    async fn listed(&self, namespace: &str, path: &str) -> Value {
        let (_, answer) =
            self.bao.root(Method::GET, namespace, &format!("{path}?list=true"), Value::Null).await;
        answer["data"]["keys"].clone()
    }

    async fn removed(self) {
        removed(&self.system, &self.own.names).await;
        removed(&self.system, &self.canary.names).await;
    }
}

fn names_of_failed(checks: &[Check]) -> Vec<String> {
    checks.iter().filter(|check| !check.passed).map(|check| check.check.clone()).collect()
}

#[tokio::test]
async fn a_place_as_it_is_made_is_attested_and_nothing_is_left() {
    let world = World::new().await;
    let checks = world.attest().await;
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(checks.len() >= 30);

    for namespace in [&world.own.names.openbao_namespace, &world.canary.names.openbao_namespace] {
        assert_eq!(world.listed(namespace, "secret/metadata/").await, Value::Null);
        assert_eq!(world.listed(namespace, "secret/metadata/connectors/").await, Value::Null);
        // The one that the question is asked with is not of this namespace.
        assert_eq!(world.listed(namespace, "auth/token/accessors").await, Value::Null);
    }
    world.removed().await;
}

#[tokio::test]
async fn a_widened_policy_turns_it_red_until_it_is_mended() {
    let world = World::new().await;
    let wide = json!({ "policy": "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"] }" });
    world.bao.root(Method::PUT, "tenant-own", "sys/policies/acl/tenant", wide).await;
    let failed = world.failed().await;
    for check in
        ["read_secret_of_own_connector", "write_own_policies", "make_tokens", "place_is_as_it_was_made"]
    {
        assert!(failed.iter().any(|name| name == check), "{check} passed: {failed:?}");
    }
    // Another tenant's namespace is not reached even so.
    assert!(!failed.iter().any(|name| name.contains("another_tenant")), "{failed:?}");

    world.system.ensure(&world.own).await.unwrap();
    assert_eq!(world.failed().await, [""; 0]);
    world.removed().await;
}

#[tokio::test]
async fn a_policy_given_by_the_side_turns_it_red() {
    let world = World::new().await;
    let reader = json!({ "policy": "path \"secret/data/connectors/*\" { capabilities = [\"read\"] }" });
    world.bao.root(Method::PUT, "tenant-own", "sys/policies/acl/reader", reader).await;
    let role = json!({ "token_policies": ["tenant", "reader"] });
    world.bao.root(Method::POST, "tenant-own", "auth/approle/role/tenant", role).await;
    let failed = world.failed().await;
    assert_eq!(failed, ["token_holds_its_own_policy_only", "place_is_as_it_was_made"]);
    world.system.ensure(&world.own).await.unwrap();
    assert_eq!(world.failed().await, [""; 0]);
    world.removed().await;
}

#[tokio::test]
async fn a_system_that_is_away_passes_nothing_and_leaves_out_nothing() {
    let world = World::new().await;
    let all = world.attest().await.len();
    // Nothing listens on the discard port of the loopback address.
    let nowhere =
        OpenBaoConfig { address: "http://127.0.0.1:9".parse().unwrap(), ..world.bao.config.clone() };
    let checks = OpenBao::new(Client::new(&nowhere).unwrap()).attest(&world.own, &world.canary).await;
    assert_eq!((checks.len(), names_of_failed(&checks).len()), (all, all));

    // Without the other tenant there is nothing to reach for, so no refusal counts.
    removed(&world.system, &world.canary.names).await;
    let checks = world.attest().await;
    assert_eq!(checks.len(), all);
    let failed = names_of_failed(&checks);
    for check in ["canary_writes_its_secret", "canary_reads_its_secret", "read_secret_of_another_tenant"] {
        assert!(failed.iter().any(|name| name == check), "{check} passed: {failed:?}");
    }
    removed(&world.system, &world.own.names).await;
}
