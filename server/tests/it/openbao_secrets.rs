//! Connectors' secrets in a real OpenBao.

use std::collections::BTreeMap;

use integraci_api::tenants::TenantNames;
use integraci_api::{ConnectorId, SecretText};
use integraci_server::connectors::secrets::{ConnectorSecrets, SecretError};
use integraci_server::isolation::{ErrorClass, Isolation as _};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao_world::{Bao, tenant, wanted};

type Secrets = BTreeMap<String, SecretText>;

/// A tenant with a place, and one connector of it.
struct World {
    bao: Bao,
    secrets: ConnectorSecrets,
    tenant: TenantNames,
    connector: ConnectorId,
}

impl World {
    async fn new(slug: &str) -> Self {
        let bao = Bao::new().await;
        let tenant = tenant(slug);
        bao.system().ensure(&wanted(&tenant)).await.unwrap();
        let connector = "con_0190a0a0000070008000000000000001".parse().unwrap();
        Self { secrets: ConnectorSecrets::new(bao.client()), bao, tenant, connector }
    }

    async fn put(&self, cas: i64, value: &str) -> Result<i64, SecretError> {
        self.secrets.put(&self.tenant, self.connector, cas, &key(value)).await
    }

    async fn get(&self, version: i64) -> Result<String, SecretError> {
        let all = self.secrets.get(&self.tenant, self.connector, version).await?;
        Ok(all["hmac_key"].expose().to_owned())
    }

    async fn current(&self) -> i64 {
        self.secrets.current_version(&self.tenant, self.connector).await.unwrap()
    }
}

fn key(value: &str) -> Secrets {
    BTreeMap::from([("hmac_key".to_owned(), SecretText::new(value.to_owned()))])
}

#[tokio::test]
async fn versions_count_up_and_each_reads_back() {
    let world = World::new("versions").await;
    assert_eq!(world.current().await, 0);
    assert_eq!(world.put(0, "first \"quoted\"\n é").await.unwrap(), 1);
    assert_eq!(world.put(1, "second").await.unwrap(), 2);
    assert_eq!(world.current().await, 2);
    assert_eq!(world.get(1).await.unwrap(), "first \"quoted\"\n é");
    assert_eq!(world.get(2).await.unwrap(), "second");
    assert_eq!(world.get(3).await, Err(SecretError::Missing { version: 3 }));
    assert_eq!(world.get(0).await, Err(SecretError::Missing { version: 0 }));
}

#[tokio::test]
async fn of_two_writers_one_wins_and_the_other_is_told() {
    let world = World::new("writers").await;
    world.put(0, "first").await.unwrap();
    let (one, other) = tokio::join!(world.put(1, "one"), world.put(1, "other"));
    let conflict = Err(SecretError::Conflict { expected: 1, current: 2 });
    assert!((one == Ok(2) && other == conflict) || (one == conflict && other == Ok(2)), "{one:?} {other:?}");
    assert_eq!(world.put(0, "late").await, Err(SecretError::Conflict { expected: 0, current: 2 }));
    assert_eq!(world.put(5, "early").await, Err(SecretError::Conflict { expected: 5, current: 2 }));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_can_be_repeated() {
    let world = World::new("repeated").await;
    assert_eq!(world.put(0, "same").await.unwrap(), 1);
    assert_eq!(world.put(0, "same").await.unwrap(), 1);
    assert_eq!(world.current().await, 1);
}

#[tokio::test]
async fn what_is_destroyed_is_gone_and_its_version_is_remembered() {
    let world = World::new("destroyed").await;
    world.put(0, "first").await.unwrap();
    world.put(1, "second").await.unwrap();
    let destroy = async |version| {
        world.secrets.destroy_version(&world.tenant, world.connector, version).await.unwrap();
    };
    destroy(2).await;
    destroy(2).await;
    assert_eq!(world.get(2).await, Err(SecretError::Missing { version: 2 }));
    assert_eq!(world.current().await, 2);
    assert_eq!(world.get(1).await.unwrap(), "first");
    assert_eq!(world.put(1, "second").await, Err(SecretError::Conflict { expected: 1, current: 2 }));
    assert_eq!(world.put(2, "third").await.unwrap(), 3);

    for _ in 0..2 {
        world.secrets.destroy_all(&world.tenant, world.connector).await.unwrap();
        assert_eq!(world.current().await, 0);
        assert_eq!(world.get(3).await, Err(SecretError::Missing { version: 3 }));
    }
    destroy(3).await;
}

#[tokio::test]
async fn a_comparison_tells_same_from_different_and_from_missing() {
    let world = World::new("compared").await;
    world.put(0, "first").await.unwrap();
    let compare = async |version, given: &Secrets| {
        world.secrets.compare(&world.tenant, world.connector, version, given).await
    };
    assert_eq!(compare(1, &key("first")).await, Ok(true));
    assert_eq!(compare(1, &key("other")).await, Ok(false));
    assert_eq!(compare(1, &Secrets::new()).await, Ok(false));
    assert_eq!(compare(2, &key("first")).await, Err(SecretError::Missing { version: 2 }));
}

#[tokio::test]
async fn a_change_made_by_hand_shows_in_the_version() {
    let world = World::new("by-hand").await;
    world.put(0, "first").await.unwrap();
    let path = format!("secret/data/connectors/{}", world.connector);
    let body = json!({ "options": { "cas": 1 }, "data": { "hmac_key": "by hand" } });
    world.bao.root(Method::POST, &world.tenant.openbao_namespace, &path, body).await;
    assert_eq!(world.current().await, 2);
    assert_eq!(world.get(1).await.unwrap(), "first");
}

#[tokio::test]
async fn without_a_place_a_write_is_refused_as_gone_and_a_removal_succeeds() {
    let bao = Bao::new().await;
    let (secrets, tenant) = (ConnectorSecrets::new(bao.client()), tenant("nowhere"));
    let connector = "con_0190a0a0000070008000000000000002".parse().unwrap();
    let gone = secrets.put(&tenant, connector, 0, &key("first")).await.unwrap_err();
    assert!(matches!(gone, SecretError::System(error) if error.class == ErrorClass::Gone), "{gone}");
    secrets.destroy_version(&tenant, connector, 1).await.unwrap();
    secrets.destroy_all(&tenant, connector).await.unwrap();
    assert_eq!(secrets.current_version(&tenant, connector).await, Ok(0));
    let (status, _) = bao.root(Method::GET, "", "sys/namespaces/tenant-nowhere", Value::Null).await;
    assert_eq!(status, 404);
}
