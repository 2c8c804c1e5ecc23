//! Lists: pages, cursors and filters.

use std::collections::BTreeSet;

use acceptance_tests::api::tenant_body;
use acceptance_tests::{World, new_slug};
use anyhow::{Context as _, Result};
use serde_json::json;

const TENANTS: usize = 7;

#[test]
fn every_item_is_on_exactly_one_page() -> Result<()> {
    let api = World::shared()?.1.api()?;
    let marker = new_slug("page");
    let mut made = BTreeSet::new();
    for n in 0..TENANTS {
        let mut body = tenant_body(&format!("{marker}-{n}"));
        body["labels"] = json!({ "marker": marker });
        body["plan"] = json!(if n % 2 == 0 { "team" } else { "free" });
        made.insert(api.succeeded(&api.post("/v1/tenants", &body)?)?);
    }

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/tenants?label=marker={marker}&limit=3{cursor}"))?.expect(200)?.body;
        let items = page["items"].as_array().context("a page has items")?;
        assert!(items.len() <= 3);
        seen.extend(items.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)));
        // What comes in meanwhile does not shift the pages.
        api.tenant(&new_slug("between"))?;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), TENANTS);
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), made);

    let count = |filter: &str| -> Result<usize> {
        Ok(api.list(&format!("/v1/tenants?label=marker={marker}&{filter}"))?.len())
    };
    assert_eq!((count("plan=free")?, count("plan=team")?), (3, 4));
    assert_eq!((count("suspended=true")?, count("suspended=false")?), (0, TENANTS));
    assert_eq!(count(&format!("slug={marker}-2"))?, 1);
    Ok(())
}
