//! A second cell of a system, added by configuration: new tenants go to the cell with room, their records
//! say which, and none is half made where there is none.

use acceptance_tests::api::tenant_body;
use acceptance_tests::{Api, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::systems::{command, config, configure};

/// A second Keycloak: the same one under another name and with another client, which is all that the
/// server can tell of two.
fn second_cell(world: &World, main_capacity: u32, second_capacity: u32) -> Result<()> {
    let section = |text: &str| -> Option<String> {
        let (_, rest) = text.split_once("[keycloak]\n")?;
        Some(rest.split("\n[").next().unwrap_or(rest).to_owned())
    };
    let text = std::fs::read_to_string(config(world))?;
    let of_main = section(&text).context("a section of Keycloak")?;
    let of_second = of_main
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("client_id", id)) => format!("client_id = \"{}-second\"", id.trim_matches('"')),
            Some(("client_secret_file", file)) => {
                format!("client_secret_file = \"{}-second\"", file.trim_matches('"'))
            }
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    configure(world, |text| {
        text.replace("[keycloak]\n", &format!("[keycloak]\ncapacity = {main_capacity}\n"))
            + &format!("\n[keycloak.cells.second]\ncapacity = {second_capacity}\n{of_second}\n")
    })?;
    let prepared = command(world, &["setup"])?;
    ensure!(prepared.status.success(), "setup: {}", prepared.stderr);
    Ok(())
}

fn cell(api: &Api, tenant: &str) -> Result<Value> {
    let tenant = api.get(&format!("/v1/tenants/{tenant}"))?.expect(200)?;
    Ok(tenant.body["isolation"]["keycloak"]["cell"].clone())
}

#[test]
fn tenants_go_to_the_cell_with_room_and_nowhere_when_there_is_none() -> Result<()> {
    let world = World::whole("cells")?;
    let alone = std::fs::read_to_string(config(&world))?;
    second_cell(&world, 1, 2)?;
    let both = std::fs::read_to_string(config(&world))?;
    let server = world.serve()?;
    let api = server.api()?;

    // The second has room for two, the first for one.
    let tenants = (0..3).map(|_| api.tenant(&new_slug("celled"))).collect::<Result<Vec<_>>>()?;
    let mut cells = tenants.iter().map(|tenant| cell(&api, tenant)).collect::<Result<Vec<_>>>()?;
    assert_eq!(cells[0], "second");
    cells.sort_by_key(ToString::to_string);
    assert_eq!(cells, ["main", "second", "second"]);

    let slug = new_slug("homeless");
    let refused = api.post("/v1/tenants", &tenant_body(&slug))?.problem(503, "no_room")?;
    let detail = refused.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Keycloak") && detail.contains("capacity"), "{detail}");
    assert_eq!(world.remains(&slug)?, Vec::<String>::new());
    assert!(api.list(&format!("/v1/tenants?slug={slug}"))?.is_empty());
    // One that leaves makes room for it.
    api.succeeded(&api.delete(&format!("/v1/tenants/{}", tenants[0]))?)?;
    let late = api.tenant(&slug)?;
    assert_eq!(cell(&api, &late)?, "second");

    // The second cell is taken out of the configuration, and with it goes the way to its tenants.
    drop(server);
    configure(&world, |_| alone)?;
    let server = world.serve()?;
    let api = server.api()?;
    let path = format!("/v1/tenants/{late}");
    let changed = api.patch(&path, &json!({ "suspended": true }))?.expect(200)?;
    let id = changed.body["operation_id"].as_str().context("its places are being closed")?;
    let operation = api.operation_settled(id)?;
    assert_eq!(operation["state"], "stuck", "{operation}");
    let detail = operation["error"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("a cell of Keycloak that is not configured"), "{detail}");
    // Its rows, and its places elsewhere, are closed all the same.
    let tenant = api.get(&path)?.expect(200)?.body;
    assert_eq!(tenant["suspended"], true);
    assert_eq!(tenant["isolation"]["kubernetes"]["state"], "suspended", "{tenant}");

    // Put back, it goes on from there.
    drop(server);
    configure(&world, |_| both)?;
    let server = world.serve()?;
    let api = server.api()?;
    let resumed = command(&world, &["operation", "resume", id])?;
    ensure!(resumed.status.success(), "{}", resumed.stderr);
    assert_eq!(api.operation_settled(id)?["state"], "succeeded");
    assert_eq!(api.get(&path)?.body["isolation"]["keycloak"]["state"], "suspended");
    for tenant in [&tenants[1], &tenants[2], &late] {
        api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}"))?)?;
    }
    Ok(())
}

/// Whoever asks at once for the last room, one gets it.
#[test]
fn the_last_room_is_given_once() -> Result<()> {
    const ROOM: usize = 2;
    let world = World::whole("last-room")?;
    configure(&world, |text| text.replace("[kubernetes]\n", &format!("[kubernetes]\ncapacity = {ROOM}\n")))?;
    let server = world.serve()?;
    let api = server.api()?;
    let answers = std::thread::scope(|scope| {
        let ask = || api.post("/v1/tenants", &tenant_body(&new_slug("room")));
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        asked
            .into_iter()
            .map(|it| it.join().map_err(|_| anyhow::anyhow!("a panic"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(taken.len(), ROOM);
    for answer in refused {
        answer.problem(503, "no_room")?;
    }
    for answer in taken {
        let tenant = api.succeeded(&answer)?;
        api.succeeded(&api.delete(&format!("/v1/tenants/{tenant}"))?)?;
    }
    Ok(())
}
