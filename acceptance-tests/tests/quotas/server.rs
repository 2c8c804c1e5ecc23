//! What the server itself refuses: connectors and their secrets, tokens, requests, and a month's events.

use std::cell::Cell;

use acceptance_tests::Answer;
use acceptance_tests::far::webhook;
use anyhow::{Context as _, Result, ensure};
use local_platform::far_side::AWS_ROLE_ARN;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::tenant::{Tenant, base_units};
use crate::{Case, Refused};

/// Connectors with a secret each, that have room as connectors.
pub(crate) fn secrets<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    for n in 1..=limit {
        made(tenant, &hook(n)?)?;
    }
    let one_more = hook(limit + 1)?;
    refused(&tenant.api.post(&tenant.below("connectors"), &one_more)?, "secrets")?;
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || made(tenant, &one_more)))
}

/// Connectors of a kind without a secret, up to the limit.
pub(crate) fn connectors<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let there = i64::try_from(tenant.api.list(&tenant.below("connectors"))?.len())?;
    for n in there + 1..=limit {
        made(tenant, &role(n))?;
    }
    let one_more = role(limit + 1);
    refused(&tenant.api.post(&tenant.below("connectors"), &one_more)?, "connectors")?;
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || made(tenant, &one_more)))
}

/// A webhook, whose secret is its key.
fn hook(n: i64) -> Result<Value> {
    let hook = webhook()?;
    Ok(json!({
        "name": format!("hook-{n}"),
        "kind": "webhook",
        "config": { "url": hook.url, "events": ["tenant.updated"] },
        "secrets": { "hmac_key": hook.key },
    }))
}

/// A role of AWS, which is not asked whether it is there.
fn role(n: i64) -> Value {
    let config = json!({ "role_arn": AWS_ROLE_ARN });
    json!({ "name": format!("role-{n}"), "kind": "aws", "config": config, "verify": "off" })
}

fn made(tenant: &Tenant<'_>, connector: &Value) -> Result<()> {
    let accepted = tenant.api.post(&tenant.below("connectors"), connector)?;
    tenant.api.succeeded(&accepted).map(drop).with_context(|| format!("{} has room", connector["name"]))
}

fn refused(answer: &Answer, dimension: &str) -> Result<()> {
    ensure!(answer.status == 409 && answer.code() == "quota_exceeded", "one too many: {answer:?}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains(dimension), "the refusal does not name {dimension}: {detail}");
    Ok(())
}

/// Tokens, the one that the tenant works with among them.
pub(crate) fn api_tokens<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let make = move || {
        let body = json!({ "name": "more", "tenant_id": tenant.id(), "scopes": ["quotas:read"] });
        tenant.api.post("/v1/tokens", &body)
    };
    for _ in 1..limit {
        make()?.expect(201)?;
    }
    refused(&make()?, "api_tokens")?;
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || make()?.expect(201).map(drop)))
}

/// Requests of the tenant's own token, until there were too many in one minute.
pub(crate) fn requests<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let ask = move || tenant.own.get(&tenant.below("quota"));
    let in_this_minute = Cell::new(0);
    let refused = loop {
        let answer = ask()?;
        ensure!(
            answer.header("ratelimit-policy").contains(&format!("\"tenant\";q={limit};w=60")),
            "{answer:?}"
        );
        if answer.status == 429 {
            break answer.problem(429, "rate_limited")?;
        }
        // What is left of the minute's only rises where another begins.
        let left = left(&answer)?;
        in_this_minute.set(if left == limit - 1 { 1 } else { in_this_minute.get() + 1 });
        ensure!(
            answer.status == 200 && left == limit - in_this_minute.get(),
            "{in_this_minute:?}: {answer:?}"
        );
    };
    ensure!(in_this_minute.get() == limit, "{in_this_minute:?} of {limit} were answered");
    let (wait_s, detail) = (refused.header("retry-after"), refused.body["detail"].to_string());
    ensure!((1..=60).contains(&wait_s.parse::<i64>()?), "Retry-After: {wait_s}");
    ensure!(left(&refused)? == 0 && detail.contains(case.dimension), "{refused:?}");
    tenant.limit_is(case.dimension, case.small)?;
    let large = base_units(case.dimension, case.large)?;
    Ok(Box::new(move || {
        let mut most_in_a_minute = 0;
        // So many at once are in two minutes at most, and in one of them are more than the small limit.
        for _ in 0..=2 * limit {
            let answer = ask()?.expect(200)?;
            let policy = answer.header("ratelimit-policy");
            ensure!(policy.contains(&format!("\"tenant\";q={large};")), "{answer:?}");
            most_in_a_minute = most_in_a_minute.max(large - left(&answer)?);
        }
        ensure!(most_in_a_minute > limit, "{most_in_a_minute} in a minute show nothing");
        Ok(())
    }))
}

/// What the tenant has left, of a field such as `"token";r=5;t=30, "tenant";r=2;t=30`.
fn left(answer: &Answer) -> Result<i64> {
    let (_, tenant) = answer.header("ratelimit").split_once("\"tenant\";r=").context("its limit is told")?;
    Ok(tenant.split(';').next().unwrap_or_default().parse()?)
}

/// Pipeline runs in this month.
pub(crate) fn pipeline_runs<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    events(tenant, case, "pipeline_run")
}

/// Deployments in this month.
pub(crate) fn deploys<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    events(tenant, case, "deploy")
}

/// Sends one event more than the month has room for, of which the last is not taken.
fn events<'a>(tenant: &'a Tenant<'a>, case: &Case, kind: &'static str) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let at = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let event =
        move |n: i64| json!({ "source": "quotas", "id": format!("{kind}-{n}"), "type": kind, "at": at });
    let send = move |events: Vec<Value>| -> Result<Value> {
        let path = tenant.below("events");
        Ok(tenant.api.post(&path, &json!({ "events": events }))?.expect(200)?.body)
    };
    let one_more = event(limit + 1);
    let taken = send((1..=limit + 1).map(event).collect())?;
    let rejected = &taken["rejected"];
    ensure!(taken["accepted"] == limit && rejected.as_array().is_some_and(|it| it.len() == 1), "{taken}");
    ensure!(rejected[0]["index"] == limit && rejected[0]["code"] == "quota_exceeded", "{taken}");
    tenant.is_used(case.dimension, case.small, limit)?;
    Ok(Box::new(move || {
        let taken = send(vec![one_more])?;
        ensure!(taken["accepted"] == 1, "{taken}");
        Ok(())
    }))
}
