//! Use on its way to Stripe, and the statements of it: time is passed in, and a day is a moment.

use integraci_api::page::PageQuery;
use integraci_server::billing::Biller;
use integraci_server::page::Slice;
use local_platform::far_side::StripeFault;
use time::{Duration, OffsetDateTime, Time};

use crate::billing_world::{RUNS_EVENT, World};

/// The hour that a day after tomorrow ends with: far enough from now for nothing of now to be in the way.
struct Clock(OffsetDateTime);

impl Clock {
    /// Midnight, some days ago.
    fn days_ago(days: i64) -> Self {
        Self(OffsetDateTime::now_utc().replace_time(Time::MIDNIGHT) - Duration::days(days))
    }

    fn hour(&self, hours: i64) -> OffsetDateTime {
        self.0 + Duration::hours(hours)
    }
}

/// A tenant that is billed from a day on, and its customer.
async fn billed(world: &World, from: OffsetDateTime) -> (integraci_api::TenantId, String) {
    let tenant = world.tenant("team").await;
    let customer = world.settled(tenant).await.customer.unwrap();
    world.bills_from(tenant, from).await;
    world.sql("UPDATE tenant SET created_at = $2 WHERE id = $1", tenant, from).await;
    (tenant, customer)
}

/// It is this time for the biller and for Stripe.
async fn often(world: &World, now: OffsetDateTime) {
    world.stripe.now_is(now);
    world.biller.often(now).await.unwrap();
}

#[tokio::test]
async fn an_hour_is_told_once_when_it_is_over_and_what_comes_late_as_well() {
    let (world, clock) = (World::new().await, Clock::days_ago(2));
    let (tenant, customer) = billed(&world, clock.hour(0)).await;
    let counted = || world.stripe.counted(RUNS_EVENT, &customer);
    world.used(tenant, clock.hour(-1), 1000).await;
    world.used(tenant, clock.hour(0), 7).await;
    often(&world, clock.hour(1)).await;
    assert_eq!(counted(), 0, "it is just over");
    often(&world, clock.hour(1) + Duration::minutes(5)).await;
    assert_eq!(counted(), 7, "and nothing of before the subscription");
    often(&world, clock.hour(2)).await;
    assert_eq!(counted(), 7);
    world.used(tenant, clock.hour(0), 5).await;
    often(&world, clock.hour(3)).await;
    assert_eq!(counted(), 12);
    assert_eq!(world.outbox("delivered").await, 12);
}

#[tokio::test]
async fn two_billers_tell_nothing_twice() {
    let (world, clock) = (World::new().await, Clock::days_ago(3));
    let (tenant, customer) = billed(&world, clock.hour(0)).await;
    for hour in 0..24 {
        world.used(tenant, clock.hour(hour), hour + 1).await;
    }
    let other = Biller::new(world.billing.clone(), std::time::Duration::from_secs(3600));
    world.stripe.now_is(clock.hour(26));
    let (one, another) = tokio::join!(world.biller.often(clock.hour(26)), other.often(clock.hour(26)));
    one.and(another).unwrap();
    often(&world, clock.hour(27)).await;
    assert_eq!(world.stripe.counted(RUNS_EVENT, &customer), 24 * 25 / 2);
    assert_eq!((world.outbox("waiting").await, world.outbox("delivered").await), (0, 300));
}

#[tokio::test]
async fn a_day_without_stripe_loses_nothing_and_doubles_nothing() {
    let (world, clock) = (World::new().await, Clock::days_ago(4));
    let (tenant, customer) = billed(&world, clock.hour(0)).await;
    for hour in 0..24 {
        world.used(tenant, clock.hour(hour), 10).await;
        // Some are taken, and the answer is lost; the rest of the day it is away.
        let fault = if hour < 4 { StripeFault::CutAfter } else { StripeFault::Down };
        world.stripe.fail_always(Some(fault));
        often(&world, clock.hour(hour + 1) + Duration::minutes(6)).await;
    }
    assert!(world.outbox("waiting").await > 0);
    world.stripe.fail_always(None);
    // By now Stripe has forgotten the names of the first.
    for hour in 49..60 {
        often(&world, clock.hour(hour)).await;
    }
    assert_eq!((world.outbox("waiting").await, world.outbox("delivered").await), (0, 240));
    assert_eq!(world.stripe.counted(RUNS_EVENT, &customer), 240);
}

#[tokio::test]
async fn what_stripe_takes_no_more_is_marked_and_stands_in_the_statement() {
    let (world, clock) = (World::new().await, Clock::days_ago(40));
    let (tenant, customer) = billed(&world, clock.hour(0)).await;
    world.used(tenant, clock.hour(5), 9).await;
    world.stripe.fail_always(Some(StripeFault::Down));
    often(&world, clock.hour(24)).await;
    world.stripe.fail_always(None);
    let late = clock.hour(24 * 36);
    often(&world, late).await;
    assert_eq!(world.outbox("expired").await, 9);
    assert_eq!(world.stripe.counted(RUNS_EVENT, &customer), 0);
    world.biller.seldom(late).await.unwrap();
    let statement = world.billing.statement(&world.by(tenant), clock.0.date()).await.unwrap();
    let line = &statement.lines[0];
    assert_eq!((line.ours, line.stripe, line.difference, line.expired), (9, Some(0), Some(-9), 9));
    assert!(statement.is_final);
}

#[tokio::test]
async fn a_statement_says_what_differs_and_is_made_again_until_it_is_final() {
    let (world, clock) = (World::new().await, Clock::days_ago(20));
    let (tenant, _) = billed(&world, clock.hour(0)).await;
    let statement = async || world.billing.statement(&world.by(tenant), clock.0.date()).await.unwrap();
    world.used(tenant, clock.hour(3), 20).await;
    world.used(tenant, clock.hour(4), 22).await;
    often(&world, clock.hour(23)).await;
    world.biller.seldom(clock.hour(24)).await.unwrap();
    assert!(
        world.billing.statement(&world.by(tenant), clock.0.date()).await.is_err(),
        "the day is just over"
    );
    world.biller.seldom(clock.hour(25)).await.unwrap();
    let first = statement().await;
    let line = &first.lines[0];
    assert_eq!((line.ours, line.billable, line.stripe, line.difference), (42, Some(42), Some(42), Some(0)));
    assert!(!first.is_final);

    // Stripe takes it and cannot count it.
    world.stripe.lose_meter_events(1);
    world.used(tenant, clock.hour(5), 8).await;
    often(&world, clock.hour(26)).await;
    world.biller.seldom(clock.hour(27)).await.unwrap();
    let second = statement().await;
    assert_eq!((second.lines[0].ours, second.lines[0].difference), (50, Some(-8)));
    assert_eq!(second.revision, first.revision + 1);
    world.biller.seldom(clock.hour(29)).await.unwrap();
    assert_eq!(statement().await.revision, second.revision, "nothing has changed");

    // Made without Stripe, it says so, and is not final.
    world.stripe.fail_always(Some(StripeFault::Down));
    world.biller.seldom(clock.hour(24 * 17)).await.unwrap();
    let without = statement().await;
    assert_eq!((without.lines[0].stripe, without.lines[0].difference, without.is_final), (None, None, false));
    world.stripe.fail_always(None);
    world.biller.seldom(clock.hour(24 * 17 + 2)).await.unwrap();
    let last = statement().await;
    assert_eq!((last.lines[0].difference, last.is_final), (Some(-8), true));
    world.used(tenant, clock.hour(6), 1).await;
    world.biller.seldom(clock.hour(24 * 18)).await.unwrap();
    assert_eq!(statement().await, last, "what is final stays");
}

#[tokio::test]
async fn statements_do_not_ask_on_while_stripe_is_away() {
    let (world, clock) = (World::new().await, Clock::days_ago(20));
    billed(&world, clock.hour(0)).await;
    let asked = || world.stripe.calls().len();
    let before = asked();
    world.stripe.fail_always(Some(StripeFault::Down));
    world.biller.seldom(clock.hour(24 * 20)).await.unwrap();
    assert!((1..=4).contains(&(asked() - before)), "{:?}", world.stripe.calls());
    world.stripe.fail_always(None);
    let before = asked();
    world.biller.seldom(clock.hour(24 * 20 + 2)).await.unwrap();
    let meters = 2;
    assert_eq!(asked() - before, 20 * meters, "and then makes all of them");
}

#[tokio::test]
async fn statements_are_there_without_stripe_and_listed_newest_first() {
    let (world, clock) = (World::new().await, Clock::days_ago(5));
    let tenant = world.tenant("free").await;
    world.sql("UPDATE tenant SET created_at = $2 WHERE id = $1", tenant, clock.hour(0)).await;
    world.used(tenant, clock.hour(30), 3).await;
    world.biller.seldom(clock.hour(24 * 4 + 1)).await.unwrap();
    let page = async |cursor| {
        let slice = Slice::of(&PageQuery { limit: Some(3), cursor }).unwrap();
        world.billing.statements(&world.by(tenant), slice).await.unwrap()
    };
    let first = page(None).await;
    let days: Vec<_> = first.items.iter().map(|it| (it.day - clock.0.date()).whole_days()).collect();
    assert_eq!(days, [3, 2, 1]);
    let second = page(first.next_cursor).await;
    assert_eq!((second.items.len(), second.next_cursor), (1, None));
    let line = &first.items[2].lines[0];
    assert_eq!((line.ours, line.billable, line.stripe, line.difference), (3, None, None, None));
    assert_eq!(world.stripe.calls(), [""; 0]);
}
