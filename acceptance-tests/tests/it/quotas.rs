//! `integraci_quota`: set, changed, under what is in use, used up; and the plans that it goes back to.

use acceptance_tests::far::webhook;
use acceptance_tests::{Api, Cli, Workdir, for_each_cli, new_slug};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::{begin, tenant_hcl, webhook_body, webhook_hcl};

for_each_cli!(
    set_changed_and_given_back,
    under_what_is_in_use,
    used_up,
    written_in_other_units,
    imported_and_taken_away,
    what_no_limit_can_be,
    past_a_months_limit,
    two_for_one_tenant,
    a_plan_too_small,
    a_larger_plan,
    plans_and_use,
);

fn quota_hcl(tenant: &str, connectors: u32) -> String {
    limits_hcl("acme", tenant, &format!("{{ connectors = {connectors} }}"), "")
}

/// `integraci_quota.NAME` with these limits and more lines.
fn limits_hcl(name: &str, tenant: &str, limits: &str, lines: &str) -> String {
    format!(
        "resource \"integraci_quota\" \"{name}\" {{\n  tenant_id = \"{tenant}\"\n  limits = {limits}\n  {lines}\n}}\n"
    )
}

fn quota_of(api: &Api, tenant: &str) -> Result<Value> {
    Ok(api.get(&format!("/v1/tenants/{tenant}/quota"))?.expect(200)?.body)
}

/// Nothing is brought to new limits any more.
fn is_settled(api: &Api, tenant: &str) -> Result<()> {
    let quota = quota_of(api, tenant)?;
    ensure!(quota["operation_id"].is_null(), "the apply did not wait: {quota}");
    Ok(())
}

fn limits_in_state(work: &Workdir) -> Result<Value> {
    Ok(work.attributes("integraci_quota.acme")?["limits"].clone())
}

fn set_changed_and_given_back(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("quota"))?;
    let effective = || -> Result<_> {
        Ok(api.get(&format!("/v1/tenants/{tenant}/quota"))?.expect(200)?.body["effective"]["connectors"]
            .clone())
    };
    let of_plan = effective()?;

    work.write("main.tf", &quota_hcl(&tenant, 7))?;
    assert_eq!(work.apply()?.planned(), ["create integraci_quota.acme"]);
    assert_eq!(effective()?, 7);
    work.plan_is_empty()?;

    work.write("main.tf", &quota_hcl(&tenant, 8))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    // Changed outside: planned back.
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 9 } }))?
        .expect(200)?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    // Given back to the plan outside: planned back as well.
    api.delete(&format!("/v1/tenants/{tenant}/quota"))?.expect(204)?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(effective()?, 8);

    work.destroy()?;
    assert_eq!(effective()?, of_plan);
    Ok(())
}

fn under_what_is_in_use(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("below"))?;
    let hook = webhook()?;
    let path = format!("/v1/tenants/{tenant}/connectors");
    for name in ["one", "two"] {
        api.succeeded(&api.post(&path, &webhook_body(name, &hook))?)?;
    }

    work.write("main.tf", &quota_hcl(&tenant, 1))?;
    let error = work.try_apply()?.failed_once()?;
    assert!(error.line.starts_with("limits"), "{error:#?}");
    assert!(error.says("2"), "the error says how much is in use: {error:#?}");

    work.write("main.tf", &quota_hcl(&tenant, 2))?;
    work.apply()?;
    work.plan_is_empty()
}

fn used_up(cli: Cli) -> Result<()> {
    let (mut work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("full"))?;
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 1 } }))?
        .expect(200)?;
    let hook = webhook()?;
    api.succeeded(&api.post(&format!("/v1/tenants/{tenant}/connectors"), &webhook_body("first", &hook))?)?;

    work.set_var("key", &hook.key);
    work.write("main.tf", &webhook_hcl(&tenant, &hook, ""))?;
    let error = work.try_apply()?.failed_once()?;
    assert_eq!(error.address, "integraci_connector.hook");
    for words in ["quota is used up", "may have 1", "1 are in use", "raise the tenant's quota"] {
        assert!(error.says(words), "the error does not say `{words}`: {error:#?}");
    }

    // What the error says to do is what helps.
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": { "connectors": 2 } }))?
        .expect(200)?;
    work.apply()?;
    work.plan_is_empty()
}

fn written_in_other_units(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("units"))?;
    let write = |limits: &str| {
        work.write("main.tf", &limits_hcl("acme", &tenant, limits, "timeouts = { update = \"5m\" }"))
    };

    write("{ memory = \"2Gi\", cpu = \"0.5\", pods = 8, openbao_requests_per_second = 30 }")?;
    work.apply()?;
    is_settled(&api, &tenant)?;
    assert_eq!(quota_of(&api, &tenant)?["limits"]["memory"], 2_i64 << 30);
    let written = json!({ "memory": "2Gi", "cpu": "0.5", "pods": "8", "openbao_requests_per_second": "30" });
    assert_eq!(limits_in_state(&work)?, written);
    let effective = work.attributes("integraci_quota.acme")?["effective"].clone();
    assert_eq!((&effective["memory"], &effective["cpu"]), (&json!("2Gi"), &json!("500m")));
    assert!(effective["connectors"].is_string(), "the plan's limits are there as well: {effective}");
    work.plan_is_empty()?;

    // The same in other words is no change.
    write("{ memory = \"2048Mi\", cpu = \"500m\", pods = \"8\", openbao_requests_per_second = 30 }")?;
    work.plan_is_empty()?;
    work.apply()?;
    assert_eq!(limits_in_state(&work)?, written);

    // Another amount is, and what is written now is what is kept.
    write("{ memory = \"2048Mi\", cpu = \"500m\", pods = 9, openbao_requests_per_second = 31 }")?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    is_settled(&api, &tenant)?;
    assert_eq!(limits_in_state(&work)?["memory"], "2048Mi");
    work.plan_is_empty()?;

    // Changed outside, only that one is written anew.
    let outside = json!({ "limits": {
        "memory": 3_i64 << 30, "cpu": 500, "pods": 9, "openbao_requests_per_second": 31,
    } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &outside)?.expect(200)?;
    work.run(&["apply", "-refresh-only", "-auto-approve", "-json"])?.succeeded()?;
    let seen = json!({ "memory": "3Gi", "cpu": "500m", "pods": "9", "openbao_requests_per_second": "31" });
    assert_eq!(limits_in_state(&work)?, seen);
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(quota_of(&api, &tenant)?["limits"]["memory"], 2_i64 << 30);

    // One that is null, or left out, is the plan's.
    write("{ memory = null, cpu = \"500m\" }")?;
    work.apply()?;
    assert_eq!(quota_of(&api, &tenant)?["limits"], json!({ "cpu": 500 }));
    work.plan_is_empty()
}

fn imported_and_taken_away(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("import"))?;
    let of_plan = quota_of(&api, &tenant)?["effective"].clone();
    let limits = json!({ "memory": 2_i64 << 30, "openbao_requests_per_second": 30 });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &json!({ "limits": limits, "on_exceed": "refuse" }))?
        .expect(200)?;

    let limits = "{ memory = \"2048Mi\", openbao_requests_per_second = 30 }";
    work.write("main.tf", &limits_hcl("acme", &tenant, limits, "on_exceed = \"refuse\""))?;
    work.run(&["import", "integraci_quota.acme", &tenant])?.succeeded()?;
    work.plan_is_empty()?;

    // Taken out of the configuration, the plan's limits are back, in the systems as well.
    work.write("main.tf", "")?;
    assert_eq!(work.apply()?.planned(), ["delete integraci_quota.acme"]);
    is_settled(&api, &tenant)?;
    let quota = quota_of(&api, &tenant)?;
    assert_eq!((&quota["effective"], &quota["limits"]), (&of_plan, &json!({})));
    assert!(quota["on_exceed"].is_null(), "{quota}");

    // What was destroyed can be made again.
    work.write("main.tf", &quota_hcl(&tenant, 7))?;
    assert_eq!(work.apply()?.planned(), ["create integraci_quota.acme"]);

    // Another tenant's is another quota.
    let other = api.tenant(&new_slug("import"))?;
    work.write("main.tf", &quota_hcl(&other, 7))?;
    assert_eq!(work.apply()?.planned(), ["replace integraci_quota.acme"]);
    assert_eq!(quota_of(&api, &tenant)?["effective"], of_plan);
    assert_eq!(quota_of(&api, &other)?["limits"], json!({ "connectors": 7 }));
    Ok(())
}

fn what_no_limit_can_be(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    for (limit, told) in [
        ("conectors = 5", "`conectors`: unknown dimension; there are: connectors, secrets,"),
        ("connectors = -1", "`connectors` is negative: expected a whole number"),
        ("connectors = 1.5", "`connectors` is not whole: expected a whole number"),
        ("connectors = 1000001", "`connectors` is too large: expected an amount from 0 to 1000000"),
        ("memory = \"2GB\"", "`memory` has a unit that it does not come in: expected bytes such as `2Gi`"),
    ] {
        let limits =
            limits_hcl("acme", "ten_01890a5dac96774bbcceb302099a8057", &format!("{{ {limit} }}"), "");
        work.write("main.tf", &limits)?;
        let errors = work.run(&["validate", "-json"])?.validation_errors()?;
        assert!(errors.len() == 1 && errors[0].says(told), "{limit}: {errors:#?}");
        assert!(errors[0].line.starts_with("limits"), "{limit}: {errors:#?}");
    }
    Ok(())
}

fn past_a_months_limit(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("exceed"))?;
    let write = |lines: &str| {
        work.write("main.tf", &limits_hcl("acme", &tenant, "{ deploys_per_month = 10 }", lines))
    };
    let in_force = || -> Result<_> {
        let quota = quota_of(&api, &tenant)?;
        Ok((quota["on_exceed"].clone(), quota["effective_on_exceed"].clone()))
    };
    write("on_exceed = \"ignore\"")?;
    let errors = work.run(&["validate", "-json"])?.validation_errors()?;
    assert!(errors[0].line.starts_with("on_exceed") && errors[0].says("allow, refuse"), "{errors:#?}");

    write("on_exceed = \"refuse\"")?;
    work.apply()?;
    assert_eq!(in_force()?, (json!("refuse"), json!("refuse")));
    work.plan_is_empty()?;
    write("")?;
    assert_eq!(work.apply()?.planned(), ["update integraci_quota.acme"]);
    assert_eq!(in_force()?, (Value::Null, json!("allow")));
    work.plan_is_empty()
}

fn two_for_one_tenant(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("twice"))?;
    let two = quota_hcl(&tenant, 7) + &limits_hcl("other", &tenant, "{ pods = 5 }", "");
    work.write("main.tf", &two)?;
    // Whichever comes first, and also where both come at once.
    let error = work.try_apply()?.failed_once()?;
    assert!(error.says("the tenant has one already") && error.says("import"), "{error:#?}");
    assert!(error.line.starts_with("tenant_id"), "{error:#?}");
    assert_eq!(quota_of(&api, &tenant)?["revision"], 1);

    // A state that was lost is got back as the error says.
    work.destroy()?;
    work.write("main.tf", &quota_hcl(&tenant, 7))?;
    work.apply()?;
    work.run(&["state", "rm", "integraci_quota.acme"])?.succeeded()?;
    let error = work.try_apply()?.failed_once()?;
    assert!(error.says(&format!("terraform import integraci_quota.acme {tenant}")), "{error:#?}");
    work.run(&["import", "integraci_quota.acme", &tenant])?.succeeded()?;
    work.plan_is_empty()
}

fn a_plan_too_small(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("plan");
    work.write("main.tf", &tenant_hcl(&slug, ""))?;
    work.apply()?;
    let tenant = work.id("integraci_tenant.acme")?;
    let hook = webhook()?;
    for name in ["one", "two", "three", "four"] {
        let path = format!("/v1/tenants/{tenant}/connectors");
        api.succeeded(&api.post(&path, &webhook_body(name, &hook))?)?;
    }
    for n in 0..6 {
        let token = json!({ "name": format!("t{n}"), "scopes": ["connectors:read"], "tenant_id": tenant });
        api.post("/v1/tokens", &token)?.expect(201)?;
    }

    work.write("main.tf", &tenant_hcl(&slug, "plan = \"free\""))?;
    let error = work.try_apply()?.failed_once()?;
    assert!(error.line.starts_with("plan"), "{error:#?}");
    for words in ["allows 3 connectors and 4 are in use", "allows 5 api_tokens and 6 are in use"] {
        assert!(error.says(words), "the error does not say `{words}`: {error:#?}");
    }
    assert_eq!(api.get(&format!("/v1/tenants/{tenant}"))?.expect(200)?.body["plan"], "team");

    // As the error says: with a quota of its own there is room.
    let own = json!({ "limits": { "connectors": 4, "api_tokens": 6 } });
    api.put(&format!("/v1/tenants/{tenant}/quota"), &own)?.expect(200)?;
    work.apply()?;
    is_settled(&api, &tenant)?;
    work.plan_is_empty()
}

fn a_larger_plan(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let slug = new_slug("plan");
    work.write("main.tf", &tenant_hcl(&slug, "plan = \"free\""))?;
    work.apply()?;
    let tenant = work.id("integraci_tenant.acme")?;
    let limit =
        || -> Result<_> { Ok(quota_of(&api, &tenant)?["effective"]["openbao_requests_per_second"].clone()) };
    let before = limit()?;
    work.write("main.tf", &tenant_hcl(&slug, "plan = \"enterprise\""))?;
    assert_eq!(work.apply()?.planned(), ["update integraci_tenant.acme"]);
    // OpenBao has another limit by now, and nobody is still at it.
    is_settled(&api, &tenant)?;
    assert_ne!(limit()?, before);
    work.plan_is_empty()
}

fn plans_and_use(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let tenant = api.tenant(&new_slug("use"))?;
    let hook = webhook()?;
    api.succeeded(&api.post(&format!("/v1/tenants/{tenant}/connectors"), &webhook_body("one", &hook))?)?;
    work.write(
        "main.tf",
        &format!(
            "data \"integraci_plans\" \"all\" {{}}\ndata \"integraci_quota_usage\" \"acme\" {{\n  tenant_id = \"{tenant}\"\n}}\n"
        ),
    )?;
    work.apply()?;
    let plans = work.attributes("data.integraci_plans.all")?["plans"].clone();
    let names: Vec<_> = plans.as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["enterprise", "free", "team"]);
    assert_eq!((&plans[1]["limits"]["cpu"], &plans[1]["on_exceed"]), (&json!("2"), &json!("refuse")));

    let dimensions = work.attributes("data.integraci_quota_usage.acme")?["dimensions"].clone();
    let connectors = json!({
        "limit": 20, "used": 1, "reserved": 0, "remaining": 19,
        "unit": "ones", "enforced_by": "server", "unknown": null,
    });
    assert_eq!(dimensions["connectors"], connectors);
    let pods = &dimensions["pods"];
    assert_eq!(pods["enforced_by"], "kubernetes");
    assert!(pods["used"].is_null() && pods["remaining"].is_null() && pods["unknown"].is_string(), "{pods}");
    Ok(())
}
