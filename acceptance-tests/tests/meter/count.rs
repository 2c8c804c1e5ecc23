//! The events, and what they come to: counted here, told by the API, and kept in the database.

use std::collections::{BTreeMap, BTreeSet};

use acceptance_tests::runtime::block_on;
use acceptance_tests::{Api, World};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the API tells.
pub(crate) const TOLD: &[&str] = &["hour", "month"];
/// What the database has.
pub(crate) const KEPT: &[&str] = &["hour", "month", "event"];
const HOUR_S: i64 = 3600;
/// The events are spread over so much, which is within the late window.
const SPREAD_S: i64 = 6 * 24 * HOUR_S;
const TYPES: [(&str, &str); 2] =
    [("pipeline_run", "pipeline_runs_per_month"), ("deploy", "deploys_per_month")];

/// One event, and whose it is.
pub(crate) struct Event {
    pub(crate) tenant: usize,
    id: usize,
    kind: usize,
    /// Seconds since 1970.
    at_s: i64,
}

/// How many there are: by what is counted, tenant, dimension and when it begins in seconds since 1970.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Counts(BTreeMap<(&'static str, String, String, i64), i64>);

/// So many events of some tenants, none of which is another. Some happened as an hour began or ended, and
/// some as the month did, if it is not longer ago than events are counted; what then falls into which month
/// on any other day is tested in the server, with a clock of its own.
pub(crate) fn events(count: usize, tenants: usize) -> Vec<Event> {
    let latest_s = OffsetDateTime::now_utc().unix_timestamp();
    let month_s = month_of(latest_s);
    let event = |id| {
        let at_s = latest_s - rand::random_range(0..SPREAD_S);
        let into_s = at_s.rem_euclid(HOUR_S);
        let at_s = match id % 10 {
            0 => at_s - into_s,
            1 => at_s - into_s - 1,
            2 if latest_s - month_s < SPREAD_S => month_s,
            3 if latest_s - month_s < SPREAD_S => month_s - 1,
            _ => at_s,
        };
        Event { tenant: id % tenants, id, kind: rand::random_range(0..TYPES.len()), at_s }
    };
    (0..count).map(event).collect()
}

/// When its month began.
fn month_of(at_s: i64) -> i64 {
    // The day of the month says how many days ago that was.
    let day = OffsetDateTime::from_unix_timestamp(at_s).map_or(1, OffsetDateTime::day);
    at_s - at_s.rem_euclid(24 * HOUR_S) - (i64::from(day) - 1) * 24 * HOUR_S
}

fn text(at_s: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at_s).ok().map(|at| at.format(&Rfc3339));
    at.and_then(Result::ok).unwrap_or_default()
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        json!({ "source": format!("ci-{}", self.id % 7), "id": format!("run-{}", self.id), "type": TYPES[self.kind].0,
                "at": text(self.at_s) })
    }
}

impl Counts {
    /// Of the list.
    pub(crate) fn of(events: &[Event], tenants: &[String]) -> Self {
        let mut counts = Self::default();
        for event in events {
            let hour_s = event.at_s - event.at_s.rem_euclid(HOUR_S);
            let month_s = month_of(event.at_s);
            for (what, start_s) in [("hour", hour_s), ("event", hour_s), ("month", month_s)] {
                counts.add(what, &tenants[event.tenant], TYPES[event.kind].1, start_s, 1);
            }
        }
        counts
    }

    fn add(&mut self, what: &'static str, tenant: &str, dimension: &str, start_s: i64, quantity: i64) {
        *self.0.entry((what, tenant.to_owned(), dimension.to_owned(), start_s)).or_default() += quantity;
    }

    /// As the API tells.
    pub(crate) fn told(api: &Api, tenants: &[String]) -> Result<Self> {
        let mut counts = Self::default();
        let now_s = OffsetDateTime::now_utc().unix_timestamp();
        let (from, to) = (text(now_s - SPREAD_S - 24 * HOUR_S), text(now_s + HOUR_S));
        for tenant in tenants {
            for (_, dimension) in TYPES {
                for what in ["hour", "month"] {
                    let query = format!("dimension={dimension}&granularity={what}&from={from}&to={to}");
                    let usage = api.get(&format!("/v1/tenants/{tenant}/usage?{query}"))?.expect(200)?.body;
                    for item in usage["items"].as_array().context("usage has items")? {
                        let start = item["start"].as_str().context("an item has a start")?;
                        let start_s = OffsetDateTime::parse(start, &Rfc3339)?.unix_timestamp();
                        let quantity = item["quantity"].as_i64().context("an item has a quantity")?;
                        counts.add(what, tenant, dimension, start_s, quantity);
                    }
                }
            }
        }
        Ok(counts)
    }

    /// By how many events another count differs, in what that one is to have.
    pub(crate) fn differences(&self, other: &Self, words: &[&str]) -> u64 {
        let keys: BTreeSet<_> =
            self.0.keys().chain(other.0.keys()).filter(|key| words.contains(&key.0)).collect();
        let quantity = |counts: &Self, key| counts.0.get(key).copied().unwrap_or_default();
        keys.into_iter().map(|key| quantity(self, key).abs_diff(quantity(other, key))).sum()
    }

    /// How many there are in all hours.
    pub(crate) fn total(&self) -> i64 {
        self.0.iter().filter(|(key, _)| key.0 == "hour").map(|(_, quantity)| quantity).sum()
    }

    /// As the database has it: the counts, and as `event` the events that are known, by their hours.
    pub(crate) fn kept(world: &World) -> Result<Self> {
        let mut counts = Self::default();
        let mut connection = world.database()?;
        let statement = "SELECT 'hour', 'ten_' || replace(tenant_id::text, '-', ''), dimension, extract(epoch FROM hour)::bigint, quantity
             FROM usage_hour
             UNION ALL SELECT 'month', 'ten_' || replace(tenant_id::text, '-', ''), dimension, extract(epoch FROM month)::bigint, quantity
             FROM usage_month
             UNION ALL SELECT 'event', 'ten_' || replace(tenant_id::text, '-', ''), dimension,
                              extract(epoch FROM date_trunc('hour', at, 'UTC'))::bigint, count(*)
             FROM usage_event GROUP BY 2, 3, 4";
        let rows: Vec<(String, String, String, i64, i64)> =
            block_on(sqlx::query_as(statement).fetch_all(&mut connection))?;
        for (what, tenant, dimension, start_s, quantity) in rows {
            let what = ["hour", "month", "event"].into_iter().find(|it| *it == what).context("a word")?;
            counts.add(what, &tenant, &dimension, start_s, quantity);
        }
        Ok(counts)
    }
}

/// Adds one to an hour behind the server's back, and looks whether that is seen.
pub(crate) fn control(world: &World, expected: &Counts) -> Result<()> {
    let before = expected.differences(&Counts::kept(world)?, KEPT);
    let statement =
        "UPDATE usage_hour SET quantity = quantity + 1 WHERE ctid = (SELECT min(ctid) FROM usage_hour)";
    block_on(sqlx::query(statement).execute(&mut world.database()?))?;
    let after = expected.differences(&Counts::kept(world)?, KEPT);
    ensure!(after.abs_diff(before) == 1, "one event too many makes no difference");
    Ok(())
}
