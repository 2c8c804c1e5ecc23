//! Tenants that cost, a Stripe that can fail, and runners that can die: all but the database in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integraci_api::billing::Billing as Shown;
use integraci_api::tenants::{Tenant, TenantCreate, TenantUpdate};
use integraci_api::tokens::{Scope, TokenCreate};
use integraci_api::{SecretText, TenantId};
use integraci_server::accounts::{Caller, TenantAuthority, Tokens};
use integraci_server::billing::stripe::{Stripe as Client, StripeConfig};
use integraci_server::billing::{self, Biller, Billing};
use integraci_server::idempotency::Once;
use integraci_server::isolation::Cells;
use integraci_server::plans::{Plan, Plans, StripeMeter, StripePrices};
use integraci_server::saga::{Definitions, Runner, RunnerConfig};
use integraci_server::source::Source;
use integraci_server::store::Changes;
use integraci_server::tenants::{self, Tenants};
use local_platform::far_side::Stripe;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Database;

pub(crate) const SECRET_KEY: &str = "sk_test_of-tests-only";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_of-tests-only";
/// What is metered, and its meters.
pub(crate) const RUNS: &str = "pipeline_runs_per_month";
pub(crate) const RUNS_EVENT: &str = "pipeline_runs";
/// Far longer than anything here takes; reached only when something hangs.
const LONGEST: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) stripe: Stripe,
    pub(crate) billing: Billing,
    pub(crate) biller: Biller,
    pub(crate) tenants: Tenants,
    caller: Caller,
    runner: Option<JoinHandle<()>>,
}

/// The shipped plans, of which team and enterprise cost, by the same meters.
pub(crate) fn plans() -> Plans {
    let shipped = Plans::shipped();
    let priced = shipped.iter().map(|plan| {
        let meter = |dimension: &str, event: &str| {
            let (event_name, meter_id, price) =
                (event.to_owned(), format!("mtr_{event}"), format!("price_{event}"));
            (dimension.to_owned(), StripeMeter { event_name, meter_id, price })
        };
        let prices = |meters| StripePrices { price: format!("price_{}", plan.name), meters };
        let stripe = match plan.name.as_str() {
            "team" | "enterprise" => {
                Some(prices(BTreeMap::from([meter(RUNS, RUNS_EVENT), meter("deploys_per_month", "deploys")])))
            }
            _ => None,
        };
        Plan { stripe, ..plan.clone() }
    });
    Plans::new(priced.collect()).unwrap()
}

/// A Stripe that knows what the plans name.
pub(crate) async fn stripe() -> Stripe {
    let stripe = Stripe::start(SECRET_KEY).await.unwrap();
    for plan in plans().iter().filter_map(|plan| plan.stripe.as_ref()) {
        stripe.price(&plan.price);
        for meter in plan.meters.values() {
            stripe.price(&meter.price);
            stripe.meter(&meter.meter_id, &meter.event_name);
        }
    }
    stripe
}

pub(crate) fn config(stripe: &Stripe) -> StripeConfig {
    StripeConfig {
        secret_key: SecretText::new(SECRET_KEY.to_owned()),
        webhook_secret: SecretText::new(WEBHOOK_SECRET.to_owned()),
        api_base: stripe.url().parse().unwrap(),
        api_version: "2025-09-30.clover".to_owned(),
        timeout: Duration::from_secs(5),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let (database, stripe) = (Database::new().await, stripe().await);
        let source = Source::real();
        let client = Client::new(config(&stripe)).unwrap();
        let billing = Billing::new(database.store.clone(), source, plans(), Some(client));
        let tokens = Tokens::new(database.store.clone(), source);
        let wanted = TokenCreate {
            name: "test".into(),
            tenant_id: None,
            scopes: Scope::ALL.to_vec(),
            expires_at: None,
        };
        let token = tokens.bootstrap(wanted).await.unwrap().secret;
        let caller = tokens.caller(&token).await.unwrap();
        let cells = Arc::new(Cells::default());
        let tenants = Tenants::new(database.store.clone(), source, plans(), cells, billing.clone());
        let biller = Biller::new(billing.clone(), Duration::from_secs(60 * 60));
        let mut world = Self { database, stripe, billing, biller, tenants, caller, runner: None };
        world.run();
        world
    }

    /// Starts a runner, which takes over what one that died has left.
    pub(crate) fn run(&mut self) {
        let (store, source, cells) =
            (self.database.store.clone(), Source::real(), Arc::new(Cells::default()));
        let sagas = tenants::definitions(&store, &cells, source, &self.billing)
            .into_iter()
            .chain(billing::definitions(&self.billing));
        let config = RunnerConfig {
            lease: Duration::from_secs(2),
            poll: Duration::from_millis(100),
            late: Duration::from_millis(50),
            pause: Duration::from_millis(5),
            pause_max: Duration::from_millis(50),
            ..RunnerConfig::new("of-tests")
        };
        let definitions = Arc::new(Definitions::new(sagas.collect()).unwrap());
        let runner = Runner::new(store, Changes::default(), definitions, config);
        self.runner = Some(tokio::spawn(runner.run(CancellationToken::new())));
    }

    /// The runner dies where it is, without a word.
    pub(crate) fn kill(&mut self) {
        self.runner.take().unwrap().abort();
    }

    /// A tenant that is in use.
    pub(crate) async fn tenant(&self, plan: &str) -> TenantId {
        let platform = self.caller.platform(Scope::TenantsWrite).unwrap();
        let wanted = TenantCreate {
            slug: format!("t{}", &Uuid::new_v4().simple().to_string()[..20]),
            name: "Test".into(),
            plan: plan.into(),
            owner_email: "it@test.example".into(),
            labels: BTreeMap::new(),
            delete_protection: false,
        };
        let once = Once::new(platform.token(), None, "POST /v1/tenants", &wanted);
        let id = self.tenants.create(&platform, &once, wanted).await.unwrap().value.tenant_id;
        self.until("the tenant is in use", async || {
            let tenant = self.tenants.get(&self.by(id)).await.unwrap();
            tenant.status == integraci_api::tenants::TenantStatus::Active
        })
        .await;
        id
    }

    pub(crate) fn by(&self, tenant: TenantId) -> TenantAuthority {
        self.caller.tenant(tenant, Scope::TenantsWrite).unwrap()
    }

    pub(crate) async fn update(&self, tenant: TenantId, update: TenantUpdate) -> Tenant {
        self.tenants.update(&self.by(tenant), None, &update).await.unwrap()
    }

    pub(crate) async fn change_plan(&self, tenant: TenantId, plan: &str) {
        self.update(tenant, TenantUpdate { plan: Some(plan.into()), ..TenantUpdate::default() }).await;
        self.settled(tenant).await;
    }

    pub(crate) async fn billing(&self, tenant: TenantId) -> Shown {
        self.billing.get(&self.by(tenant)).await.unwrap()
    }

    /// How the tenant stands once Stripe has been brought to what it is to have.
    pub(crate) async fn settled(&self, tenant: TenantId) -> Shown {
        self.until("billing has settled", async || self.billing(tenant).await.operation_id.is_none()).await;
        self.billing(tenant).await
    }

    /// Removes a tenant, and waits until it is gone.
    pub(crate) async fn remove(&self, tenant: TenantId) {
        self.tenants.delete(&self.by(tenant), None).await.unwrap();
        self.gone(tenant).await;
    }

    pub(crate) async fn gone(&self, tenant: TenantId) {
        self.until("the tenant is gone", async || self.tenants.get(&self.by(tenant)).await.is_err()).await;
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + LONGEST;
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "{what}: not in time; Stripe was asked {:?}",
                self.stripe.calls()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// So much of something was counted in an hour.
    pub(crate) async fn used(&self, tenant: TenantId, hour: OffsetDateTime, quantity: i64) {
        sqlx::query(
            "INSERT INTO usage_hour (tenant_id, dimension, hour, quantity) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, dimension, hour) DO UPDATE SET quantity = usage_hour.quantity + $4",
        )
        .bind(tenant.uuid())
        .bind(RUNS)
        .bind(hour)
        .bind(quantity)
        .execute(&self.database.superuser)
        .await
        .unwrap();
    }

    /// Bills a tenant from a time before its subscription began.
    pub(crate) async fn bills_from(&self, tenant: TenantId, hour: OffsetDateTime) {
        self.sql("UPDATE billing_account SET bills_from = $2 WHERE tenant_id = $1", tenant, hour).await;
    }

    pub(crate) async fn sql(&self, statement: &'static str, tenant: TenantId, time: OffsetDateTime) {
        sqlx::query(statement)
            .bind(tenant.uuid())
            .bind(time)
            .execute(&self.database.superuser)
            .await
            .unwrap();
    }

    /// How much of the outbox is in a state.
    pub(crate) async fn outbox(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT coalesce(sum(quantity), 0)::bigint FROM meter_outbox WHERE state = $1")
            .bind(state)
            .fetch_one(&self.database.superuser)
            .await
            .unwrap()
    }

    /// The subscriptions that have not ended.
    pub(crate) fn live(&self) -> Vec<Value> {
        self.stripe.subscriptions().into_iter().filter(|it| it["status"] != "canceled").collect()
    }
}

/// The prices of a subscription.
pub(crate) fn prices(subscription: &Value) -> Vec<&str> {
    let items = subscription["items"]["data"].as_array().unwrap();
    let mut prices: Vec<_> = items.iter().map(|item| item["price"]["id"].as_str().unwrap()).collect();
    prices.sort_unstable();
    prices
}
