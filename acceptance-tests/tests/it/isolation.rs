//! Each system is on or off by configuration: a tenant gets what is on, and is told what is off; what is
//! switched on later, it gets then.

use std::time::Duration;

use acceptance_tests::admin::until;
use acceptance_tests::{World, new_slug};
use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::systems::{config, configure};

/// The systems that can be off, and what each leaves of a tenant for its administrator to see.
const SYSTEMS: [(&str, &str); 3] =
    [("keycloak", "keycloak: realm"), ("nats", "nats: account"), ("kubernetes", "kubernetes: namespace")];
const SOON: Duration = Duration::from_secs(60);

/// The configuration without a system's section.
fn without(text: &str, system: &str) -> String {
    let sections = text.split("\n[").filter(|section| !section.starts_with(&format!("{system}]")));
    sections.collect::<Vec<_>>().join("\n[")
}

fn states(tenant: &Value) -> Vec<&str> {
    SYSTEMS.iter().map(|(system, _)| tenant["isolation"][system]["state"].as_str().unwrap_or("?")).collect()
}

#[test]
fn a_tenant_gets_what_is_on_and_later_what_is_switched_on() -> Result<()> {
    let world = World::whole("switched")?;
    let whole = std::fs::read_to_string(config(&world))?;
    let mut tenants = Vec::new();
    for (off, remnant) in SYSTEMS {
        configure(&world, |_| without(&whole, off))?;
        let server = world.serve()?;
        let api = server.api()?;
        let slug = new_slug("partly");
        let accepted = api.post("/v1/tenants", &acceptance_tests::api::tenant_body(&slug))?;
        let operation = api.settled(&accepted)?;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        let steps = operation["steps"].as_array().context("an operation has steps")?;
        assert!(steps.iter().all(|step| step["name"] != format!("{off}_place")), "{operation}");
        let id = operation["target_id"].as_str().context("an operation has a target")?.to_owned();

        let tenant = api.get(&format!("/v1/tenants/{id}"))?.expect(200)?.body;
        let expected = SYSTEMS.map(|(system, _)| if system == off { "off" } else { "ready" });
        assert_eq!(states(&tenant), expected);
        assert_eq!(tenant["isolation"][off]["cell"], Value::Null);
        let there = world.remains(&slug)?;
        assert!(!there.iter().any(|it| it == remnant), "{off} is off: {there:?}");
        assert_eq!(
            there.iter().filter(|it| SYSTEMS.iter().any(|(_, what)| it == what)).count(),
            2,
            "{there:?}"
        );
        tenants.push((id, slug));
    }

    // All are on by now, and nobody asks for anything.
    configure(&world, |_| whole)?;
    let server = world.serve_with(&[("INTEGRACI_SERVER__RECONCILE__EVERY_S", "1")])?;
    let api = server.api()?;
    for (id, slug) in &tenants {
        let path = format!("/v1/tenants/{id}");
        until("it has a place in every system", SOON, || {
            let tenant = api.get(&path)?.expect(200)?.body;
            Ok((states(&tenant) == ["ready"; 3] && tenant["operation_id"].is_null()).then_some(()))
        })?;
        let there = world.remains(slug)?;
        for (_, remnant) in SYSTEMS {
            assert!(there.iter().any(|it| it == remnant), "{remnant} is not in {there:?}");
        }
    }
    for (id, slug) in &tenants {
        api.succeeded(&api.delete(&format!("/v1/tenants/{id}"))?)?;
        assert_eq!(world.remains(slug)?, Vec::<String>::new());
    }
    Ok(())
}
