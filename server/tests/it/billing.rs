//! A tenant's customer and subscription, from a change of the tenant to a Stripe that fails.

use integraci_api::tenants::TenantUpdate;
use local_platform::far_side::StripeFault;
use time::{Duration, OffsetDateTime};

use crate::billing_world::{SECRET_KEY, World, prices};

#[tokio::test]
async fn a_tenant_has_what_its_plan_says_and_when_it_is_gone_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("team").await;
    let shown = world.settled(tenant).await;
    let customers = world.stripe.customers();
    assert_eq!(customers.len(), 1);
    assert_eq!(customers[0]["id"], shown.customer.unwrap());
    assert_eq!(customers[0]["email"], "it@test.example");
    assert_eq!(customers[0]["metadata"]["integraci_tenant"], tenant.to_string());
    assert_eq!(prices(&world.live()[0]), ["price_deploys", "price_pipeline_runs", "price_team"]);
    assert_eq!((shown.status.as_deref(), shown.price.as_deref()), (Some("active"), Some("price_team")));

    world.change_plan(tenant, "enterprise").await;
    assert_eq!(world.live().len(), 1);
    assert_eq!(prices(&world.live()[0]), ["price_deploys", "price_enterprise", "price_pipeline_runs"]);
    assert_eq!(world.billing(tenant).await.subscription, shown.subscription, "it is changed, not made anew");

    let renamed = TenantUpdate { name: Some("Renamed".into()), ..TenantUpdate::default() };
    world.update(tenant, renamed).await;
    world.settled(tenant).await;
    assert_eq!(world.stripe.customers()[0]["name"], "Renamed");

    world.change_plan(tenant, "free").await;
    assert_eq!(world.live().len(), 0);
    assert_eq!(world.billing(tenant).await.subscription, None);
    world.change_plan(tenant, "team").await;
    assert_eq!(world.live().len(), 1);

    world.remove(tenant).await;
    assert_eq!((world.stripe.customers().len(), world.live().len()), (0, 0));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM billing_account")
        .fetch_one(&world.database.superuser)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn stripe_hears_nothing_of_a_tenant_that_costs_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("free").await;
    world.update(tenant, TenantUpdate { name: Some("Renamed".into()), ..TenantUpdate::default() }).await;
    world.biller.often(OffsetDateTime::now_utc()).await.unwrap();
    world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
    world.remove(tenant).await;
    assert_eq!(world.stripe.calls(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_made_twice_wherever_the_runner_dies_or_an_answer_is_lost() {
    for fault in [StripeFault::HangAfter, StripeFault::CutAfter, StripeFault::TooManyRequests] {
        for call in
            ["POST /v1/customers", "POST /v1/customers/", "GET /v1/subscriptions", "POST /v1/subscriptions"]
        {
            let mut world = World::new().await;
            world.stripe.fail_next(call, fault);
            let tenant = world.tenant("team").await;
            if fault == StripeFault::HangAfter {
                let asked = async || world.stripe.calls().iter().any(|asked| asked.starts_with(call));
                world.until("Stripe was asked", asked).await;
                world.kill();
                world.run();
            }
            world.settled(tenant).await;
            assert_eq!((world.stripe.customers().len(), world.live().len()), (1, 1), "{call} {fault:?}");
            assert!(world.live()[0]["customer"] == world.stripe.customers()[0]["id"]);
        }
    }
}

#[tokio::test]
async fn a_removal_leaves_nothing_wherever_the_runner_dies_or_an_answer_is_lost() {
    for fault in [StripeFault::HangAfter, StripeFault::CutAfter] {
        for call in ["GET /v1/subscriptions", "DELETE /v1/subscriptions", "DELETE /v1/customers"] {
            let mut world = World::new().await;
            let tenant = world.tenant("team").await;
            world.settled(tenant).await;
            world.stripe.fail_next(call, fault);
            let before = world.stripe.calls().len();
            world.tenants.delete(&world.by(tenant), None).await.unwrap();
            if fault == StripeFault::HangAfter {
                let asked =
                    async || world.stripe.calls()[before..].iter().any(|asked| asked.starts_with(call));
                world.until("Stripe was asked", asked).await;
                world.kill();
                world.run();
            }
            world.gone(tenant).await;
            assert_eq!((world.stripe.customers().len(), world.live().len()), (0, 0), "{call} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_tenant_that_is_removed_while_its_customer_is_asked_for_leaves_none() {
    let mut world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", StripeFault::HangAfter);
    let tenant = world.tenant("team").await;
    world.until("a customer was made", async || !world.stripe.customers().is_empty()).await;
    world.tenants.delete(&world.by(tenant), None).await.unwrap();
    world.kill();
    world.run();
    world.gone(tenant).await;
    assert_eq!(world.stripe.customers(), [serde_json::Value::Null; 0]);
}

#[tokio::test]
async fn a_customer_of_which_no_answer_was_heard_is_found_when_stripe_has_forgotten_the_key() {
    let mut world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", StripeFault::HangAfter);
    let tenant = world.tenant("team").await;
    world.until("a customer was made", async || !world.stripe.customers().is_empty()).await;
    world.kill();
    let now = OffsetDateTime::now_utc();
    world.stripe.now_is(now + Duration::hours(25));
    world
        .sql(
            "UPDATE billing_account SET asked_at = $2 WHERE tenant_id = $1",
            tenant,
            now - Duration::hours(25),
        )
        .await;
    world.run();
    world.settled(tenant).await;
    assert_eq!((world.stripe.customers().len(), world.live().len()), (1, 1));
}

#[tokio::test]
async fn a_500_that_stripe_repeats_for_its_key_does_not_last() {
    let world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", StripeFault::Broken);
    let tenant = world.tenant("team").await;
    let repeated =
        async || world.stripe.calls().iter().filter(|call| *call == "POST /v1/customers").count() > 2;
    world.until("Stripe was asked again", repeated).await;
    assert_eq!(world.stripe.customers().len(), 0);
    let long_ago = OffsetDateTime::now_utc() - Duration::hours(3);
    world.sql("UPDATE billing_account SET asked_at = $2 WHERE tenant_id = $1", tenant, long_ago).await;
    world
        .until("billing has settled", async || {
            world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
            world.billing(tenant).await.operation_id.is_none()
        })
        .await;
    assert_eq!((world.stripe.customers().len(), world.live().len()), (1, 1));
}

#[tokio::test]
async fn a_plan_that_changes_while_stripe_is_brought_to_it_is_seen() {
    let world = World::new().await;
    world.stripe.fail_always(Some(StripeFault::Down));
    let tenant = world.tenant("team").await;
    let enterprise = TenantUpdate { plan: Some("enterprise".into()), ..TenantUpdate::default() };
    world.update(tenant, enterprise).await;
    world.stripe.fail_always(None);
    world.settled(tenant).await;
    assert_eq!(world.live().len(), 1);
    assert!(prices(&world.live()[0]).contains(&"price_enterprise"));
}

#[tokio::test]
async fn stripe_may_be_away_for_longer_than_a_saga_waits() {
    let world = World::new().await;
    world.stripe.fail_always(Some(StripeFault::Down));
    let (tenant, going) = (world.tenant("team").await, world.tenant("team").await);
    let stuck = async |n: i64| {
        let stuck = sqlx::query_scalar("SELECT count(*) FROM operation WHERE state = 'stuck'");
        stuck.fetch_one(&world.database.superuser).await.is_ok_and(|stuck: i64| stuck == n)
    };
    world.until("both have given up", async || stuck(2).await).await;
    world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
    assert!(stuck(2).await, "nothing is tried while Stripe is away");
    // A tenant to which no customer was made goes without Stripe; it may have been.
    world.tenants.delete(&world.by(going), None).await.unwrap();
    world.stripe.fail_always(None);
    world
        .until("all goes on", async || {
            world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
            world.billing(tenant).await.operation_id.is_none()
                && world.tenants.get(&world.by(going)).await.is_err()
        })
        .await;
    assert_eq!((world.stripe.customers().len(), world.live().len()), (1, 1));
}

#[tokio::test]
async fn a_tenant_from_before_stripe_was_used_is_adopted() {
    let world = World::new().await;
    let tenant = world.tenant("free").await;
    sqlx::query("UPDATE tenant SET plan = 'team'").execute(&world.database.superuser).await.unwrap();
    world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
    world.settled(tenant).await;
    assert_eq!(world.live().len(), 1);
    let asked = world.stripe.calls().len();
    world.biller.seldom(OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!(world.billing(tenant).await.operation_id, None, "once is enough");
    assert_eq!(world.stripe.calls().len(), asked);
}

#[tokio::test]
async fn a_changed_price_makes_nothing_anew_for_who_does_not_pay() {
    let world = World::new().await;
    let tenant = world.tenant("team").await;
    world.settled(tenant).await;
    let now = OffsetDateTime::now_utc();
    let changed = "UPDATE billing_account SET prices = '{price_old}', look_after = $2 WHERE tenant_id = $1";
    world.sql(changed, tenant, now).await;
    let overdue = "UPDATE tenant SET payment_overdue = $2 > now() WHERE id = $1";
    world.sql(overdue, tenant, now + Duration::DAY).await;
    world.biller.seldom(now).await.unwrap();
    let shown = world.billing(tenant).await;
    assert_eq!((shown.operation_id, shown.price.as_deref()), (None, Some("price_old")));
    world.sql(overdue, tenant, now - Duration::DAY).await;
    world.biller.seldom(now).await.unwrap();
    assert_eq!(world.settled(tenant).await.price.as_deref(), Some("price_team"));
}

#[tokio::test]
async fn what_an_operation_ends_itself_closes_nobody() {
    let world = World::new().await;
    let tenant = world.tenant("team").await;
    let subscription = world.settled(tenant).await.subscription.unwrap();
    world.stripe.subscription_status(&subscription, "canceled");
    let now = OffsetDateTime::now_utc() + Duration::DAY;
    let begun = "UPDATE billing_account SET operation_id = tenant_id, look_after = $2 WHERE tenant_id = $1";
    world.sql(begun, tenant, now).await;
    world.biller.often(now).await.unwrap();
    assert!(!world.billing(tenant).await.payment_overdue);
    let ended = "UPDATE billing_account SET operation_id = NULL, look_after = $2 WHERE tenant_id = $1";
    world.sql(ended, tenant, now).await;
    world.biller.often(now).await.unwrap();
    assert!(world.billing(tenant).await.payment_overdue);
}

#[tokio::test]
async fn a_customer_that_was_removed_by_hand_is_made_again() {
    let world = World::new().await;
    let tenant = world.tenant("team").await;
    let before = world.settled(tenant).await.customer.unwrap();
    let gone = reqwest::Client::new().delete(format!("{}/v1/customers/{before}", world.stripe.url()));
    let gone = gone.bearer_auth(SECRET_KEY).header("Stripe-Version", "2025-09-30.clover").send().await;
    assert!(gone.unwrap().status().is_success());
    world.update(tenant, TenantUpdate { name: Some("Renamed".into()), ..TenantUpdate::default() }).await;
    let after = world.settled(tenant).await.customer.unwrap();
    assert_ne!(after, before);
    assert_eq!((world.stripe.customers().len(), world.live().len()), (1, 1));
    assert_eq!(world.live()[0]["customer"], after);
}

#[tokio::test]
async fn a_removal_takes_customers_that_nobody_heard_of_too() {
    let world = World::new().await;
    let tenant = world.tenant("team").await;
    world.settled(tenant).await;
    let made = reqwest::Client::new().post(format!("{}/v1/customers", world.stripe.url()));
    let made = made
        .bearer_auth(SECRET_KEY)
        .header("Stripe-Version", "2025-09-30.clover")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("metadata[integraci_tenant]={tenant}"))
        .send()
        .await;
    assert!(made.unwrap().status().is_success());
    assert_eq!(world.stripe.customers().len(), 2);
    world.stripe.now_is(OffsetDateTime::now_utc() + Duration::hours(2));
    world.remove(tenant).await;
    assert_eq!(world.stripe.customers(), [serde_json::Value::Null; 0]);
}

#[tokio::test]
async fn no_secret_of_stripes_is_shown_anywhere() {
    let world = World::new().await;
    // As a key that was withdrawn, or is of another account.
    let other = local_platform::far_side::Stripe::start("sk_test_another").await.unwrap();
    let config = crate::billing_world::config(&other);
    let said = format!("{config:?}");
    assert!(!said.contains(crate::billing_world::SECRET_KEY), "{said}");
    assert!(!said.contains(crate::billing_world::WEBHOOK_SECRET), "{said}");
    let error = integraci_server::billing::stripe::Stripe::new(config).unwrap().check().await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("stripe.secret_key") && !said.contains("sk_test"), "{said}");
    drop(world);
}
