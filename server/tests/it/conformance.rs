//! What every system has to do, asked of the four that places are made in and of the model that the
//! simulation takes them for (`saga/simulation/place.rs`): so what is found out in the simulation is
//! found out about the real ones.
//!
//! What a saga relies on: each verb may be repeated, cut off anywhere and taken up again, and be at work
//! twice at once; what is removed is gone; what is not ours is left alone.

#[path = "../../src/saga/simulation/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use integraci_api::attestations::Check;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use integraci_server::isolation::{
    Drift, ErrorClass, Facts, Finding, Isolation, Issued, Remnant, System, SystemError, Wanted,
};
use integraci_server::saga::RunnerConfig;
use reqwest::Method;
use serde_json::{Value, json};

use crate::keycloak::Realms;
use crate::kubernetes::Cluster;
use crate::nats;
use crate::openbao_world::{Bao, wanted};
use place::{PARTS, Place};

/// Longer than any removal takes on a busy machine.
const OVER_BY: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

fn fresh() -> Wanted {
    let slug = format!("c{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    wanted(&TenantNames::of(&slug.parse().unwrap()))
}

/// Calls again what is busy, as a saga does.
async fn ensured(system: &dyn Isolation, wanted: &Wanted) -> Facts {
    let began = Instant::now();
    loop {
        match system.ensure(wanted).await {
            Ok(facts) => return facts,
            Err(busy) => assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}"),
        }
        assert!(began.elapsed() < OVER_BY, "{:?} stays busy", system.system());
        tokio::time::sleep(POLL).await;
    }
}

async fn removed(system: &dyn Isolation, wanted: &Wanted) {
    let began = Instant::now();
    while let Err(busy) = system.ensure_none(wanted).await {
        assert!(matches!(busy.class, ErrorClass::Busy { .. }), "{busy}");
        assert!(began.elapsed() < OVER_BY, "{:?} stays busy", system.system());
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(system.remains(wanted).await.unwrap(), [], "{:?}", system.system());
}

async fn is_whole(system: &dyn Isolation, wanted: &Wanted) {
    assert_eq!(system.drift(wanted).await.unwrap(), [], "{:?}", system.system());
    assert_ne!(system.remains(wanted).await.unwrap(), [], "{:?}", system.system());
}

/// All that is asked. `late`: how long after it was cut off a call may still do something.
async fn conforms(system: &dyn Isolation, late: Duration) {
    let tenant = fresh();
    assert_eq!(system.remains(&tenant).await.unwrap(), [], "before anything");
    removed(system, &tenant).await;

    // Made, and made again.
    let began = Instant::now();
    let facts = ensured(system, &tenant).await;
    let takes = began.elapsed();
    is_whole(system, &tenant).await;
    assert_eq!(ensured(system, &tenant).await, facts);
    is_whole(system, &tenant).await;

    // Removed by two at once, of whom one may find the other at work in any way: a removal is always
    // tried again. And removed again.
    let _either = tokio::join!(system.ensure_none(&tenant), system.ensure_none(&tenant));
    removed(system, &tenant).await;
    removed(system, &tenant).await;

    // Made again after it was removed, by two at once; a refusal would be the end of it.
    let two = tokio::join!(system.ensure(&tenant), system.ensure(&tenant));
    for failed in [two.0, two.1].into_iter().filter_map(Result::err) {
        assert!(!matches!(failed.class, ErrorClass::Refused), "{failed}");
    }
    ensured(system, &tenant).await;
    is_whole(system, &tenant).await;

    // Its removal cut off, and taken up.
    for part in 1..=3 {
        let _cut_off = tokio::time::timeout(takes * part / 8, system.ensure_none(&tenant)).await;
    }
    removed(system, &tenant).await;
    // Nothing else is begun, as in a saga, before it is certain that nothing of it is still to come.
    tokio::time::sleep(late).await;
    removed(system, &tenant).await;

    // Its making cut off ever later, and taken up at once.
    for part in 1..=3 {
        let _cut_off = tokio::time::timeout(takes * part / 4, system.ensure(&tenant)).await;
    }
    ensured(system, &tenant).await;
    is_whole(system, &tenant).await;
    tokio::time::sleep(late).await;
    is_whole(system, &tenant).await;
    removed(system, &tenant).await;

    // Its making cut off, and given up.
    let _cut_off = tokio::time::timeout(takes / 2, system.ensure(&tenant)).await;
    tokio::time::sleep(late).await;
    removed(system, &tenant).await;
}

/// Something that is not ours has the tenant's name: it is refused in words, and left as it is.
async fn never_adopts(system: &dyn Isolation, tenant: &Wanted) {
    let refused = system.ensure(tenant).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused, "{refused}");
    assert!(refused.to_string().starts_with(system.system().title()), "{refused}");
    assert!(refused.reason.contains(' '), "{refused}");
    // Something of ours may be left beside it, such as a key; what is not ours does not stand in the way.
    system.ensure_none(tenant).await.unwrap();
    assert_eq!(system.remains(tenant).await.unwrap(), [], "{:?}", system.system());
}

/// What a saga reckons with in production.
fn late() -> Duration {
    RunnerConfig::new("conformance").late
}

#[tokio::test]
async fn the_simulations_model_conforms() {
    let model = Model::default();
    conforms(&model, Duration::ZERO).await;
    let tenant = fresh();
    model.places.lock().unwrap().insert(tenant.names.openbao_namespace.clone(), Place::theirs());
    never_adopts(&model, &tenant).await;
    assert!(model.at(&tenant.names).is_theirs());
}

#[tokio::test]
async fn openbao_conforms() {
    let bao = Bao::new().await;
    let system = bao.system();
    conforms(&system, late()).await;

    let tenant = fresh();
    let path = format!("sys/namespaces/{}", tenant.names.openbao_namespace);
    let theirs = json!({ "custom_metadata": { "managed-by": "somebody" } });
    assert_eq!(bao.root(Method::POST, "", &path, theirs).await.0, 200);
    let before = bao.root(Method::GET, "", &path, Value::Null).await;
    never_adopts(&system, &tenant).await;
    let after = bao.root(Method::GET, "", &path, Value::Null).await;
    assert_eq!((before.0, &before.1["data"]), (after.0, &after.1["data"]));
}

#[tokio::test]
async fn keycloak_conforms() {
    let realms = Realms::new().await;
    let system = realms.system().await;
    conforms(&system, late()).await;

    let tenant = fresh();
    let name = &tenant.names.keycloak_realm;
    let theirs = json!({ "realm": name, "enabled": true, "displayName": "Somebody's" });
    assert_eq!(realms.admin(Method::POST, "", theirs).await.0, 201);
    never_adopts(&system, &tenant).await;
    let (status, realm) = realms.admin(Method::GET, &format!("/{name}"), Value::Null).await;
    assert_eq!((status, realm["displayName"].as_str()), (200, Some("Somebody's")));
    assert_eq!(realms.admin(Method::DELETE, &format!("/{name}"), Value::Null).await.0, 204);
}

#[tokio::test]
async fn kubernetes_conforms() {
    let cluster = Cluster::new();
    let system = cluster.system();
    conforms(&system, late()).await;

    let tenant = fresh();
    let path = format!("/api/v1/namespaces/{}", tenant.names.kubernetes_namespace);
    let theirs = json!({ "metadata": { "name": tenant.names.kubernetes_namespace } });
    let (status, before) = cluster.admin(Method::POST, "/api/v1/namespaces", theirs).await;
    assert_eq!(status, 201, "{before}");
    never_adopts(&system, &tenant).await;
    let (status, after) = cluster.admin(Method::GET, &path, Value::Null).await;
    assert_eq!((status, &after["metadata"]["uid"]), (200, &before["metadata"]["uid"]));
    assert_eq!(after["metadata"]["deletionTimestamp"], Value::Null);
    cluster.admin(Method::DELETE, &path, Value::Null).await;
}

/// An account is known by its key, so none can have the name of another's.
#[tokio::test]
async fn nats_conforms() {
    let world = nats::World::new().await;
    conforms(&world.nats, late()).await;
}

/// The model as a system: each part takes a moment, and a call may be cut off between two.
#[derive(Default)]
struct Model {
    places: Mutex<BTreeMap<String, Place>>,
}

const MOMENT: Duration = Duration::from_millis(20);

impl Model {
    fn at(&self, names: &TenantNames) -> Place {
        self.places.lock().unwrap().get(&names.openbao_namespace).copied().unwrap_or_default()
    }

    fn change<T>(&self, names: &TenantNames, change: impl FnOnce(&mut Place) -> T) -> T {
        change(self.places.lock().unwrap().entry(names.openbao_namespace.clone()).or_default())
    }
}

#[async_trait]
impl Isolation for Model {
    fn system(&self) -> System {
        System::OpenBao
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        for _ in 0..PARTS {
            tokio::time::sleep(MOMENT).await;
            self.change(&wanted.names, |place| place.ensure(1)).map_err(|place::Taken| SystemError {
                system: System::OpenBao,
                operation: "ensure",
                class: ErrorClass::Refused,
                reason: "the name is taken",
                status: None,
            })?;
        }
        Ok(Facts::new())
    }

    async fn ensure_none(&self, wanted: &Wanted) -> Result<(), SystemError> {
        for _ in 0..PARTS {
            tokio::time::sleep(MOMENT).await;
            self.change(&wanted.names, |place| place.ensure_none(1));
        }
        Ok(())
    }

    async fn remains(&self, wanted: &Wanted) -> Result<Vec<Remnant>, SystemError> {
        let part = |n: u8| Remnant { class: "part", name: n.to_string() };
        Ok((0..self.at(&wanted.names).remains()).map(part).collect())
    }

    async fn drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        let missing = Drift("a part is missing");
        Ok(if self.at(&wanted.names).is_whole() { Vec::new() } else { vec![missing] })
    }

    async fn attest(&self, _: &Wanted, _: &Wanted) -> Vec<Check> {
        Vec::new()
    }

    async fn credentials_issue(
        &self,
        _: &Wanted,
        _: CredentialId,
        _: Duration,
    ) -> Result<Issued, SystemError> {
        let (fields, secrets) = (BTreeMap::new(), BTreeMap::<_, SecretText>::new());
        Ok(Issued { handle: None, fields, secrets })
    }

    async fn credentials_renew(
        &self,
        _: &TenantNames,
        _: CredentialId,
        _: Option<&str>,
        _: Duration,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    async fn credentials_revoke(
        &self,
        _: &TenantNames,
        _: CredentialId,
        _: Option<&str>,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}
