//! The shapes of the product's own sagas: every set of systems side by side, as they are defined.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use integraci_api::SecretText;

use super::plan::Rng;
use crate::billing::{self, Billing};
use crate::connectors::outbound::{Outbound, OutboundConfig};
use crate::connectors::secrets::ConnectorSecrets;
use crate::connectors::verify::Verifier;
use crate::isolation::Cells;
use crate::isolation::openbao::{Client, OpenBaoConfig, Signer};
use crate::oidc::Issuer;
use crate::plans::Plans;
use crate::saga::words::Shape;
use crate::source::Source;
use crate::store::{Store, StoreConfig};
use crate::{connectors, tenants};

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(shapes);

/// One of them.
pub(super) fn of_the_product(rng: &mut Rng) -> Shape {
    let n = usize::try_from(rng.below(SHAPES.len() as u64)).unwrap_or(0);
    SHAPES[n].clone()
}

/// Nothing that the steps work with is ever called: only what they need of each other is read.
fn shapes() -> Vec<Shape> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let nowhere = "postgres://nobody@nowhere.invalid/nothing";
    let store = Store::new(&StoreConfig {
        tenant_url: nowhere.into(),
        platform_url: nowhere.into(),
        max_connections: 1,
    })
    .unwrap();
    let bao = Client::new(&OpenBaoConfig {
        address: "http://nowhere.invalid".parse().unwrap(),
        token: SecretText::new(String::new()),
        namespace: None,
        ca_certificate: None,
        timeout: Duration::from_secs(1),
    })
    .unwrap();
    let outbound = Outbound::new(&OutboundConfig {
        allow: Vec::new(),
        allow_http: false,
        timeout: Duration::from_secs(1),
        max_body_bytes: 0,
        ca_certificate: None,
    })
    .unwrap();
    let source = Source::real();
    let billing = Billing::new(store.clone(), source, Plans::shipped(), None);
    let tenants = tenants::definitions(&store, &Arc::new(Cells::default()), source, &billing);
    let verifier = Verifier::new(outbound, Issuer::new(None, Signer::new(bao.clone())));
    let connectors = connectors::definitions(&store, &ConnectorSecrets::new(bao), &verifier, source);
    let bills = billing::definitions(&billing);
    tenants.iter().chain(&connectors).chain(&bills).map(Shape::of).collect()
}
