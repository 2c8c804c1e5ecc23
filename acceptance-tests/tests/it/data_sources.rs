//! `integraci_tenant` and `integraci_tenants` as data sources.

use acceptance_tests::{Cli, for_each_cli, new_slug};
use anyhow::Result;
use serde_json::json;

use crate::support::begin;

for_each_cli!(one_and_many, one_that_is_not_there);

fn one_and_many(cli: Cli) -> Result<()> {
    let (work, api) = begin(cli)?;
    let marker = new_slug("list");
    let mut ids = Vec::new();
    // More than a page holds would take minutes; that pages are followed is the API client's test.
    for n in 0..3 {
        let mut body = acceptance_tests::api::tenant_body(&format!("{marker}-{n}"));
        body["labels"] = json!({ "marker": marker });
        ids.push(api.succeeded(&api.post("/v1/tenants", &body)?)?);
    }

    work.write(
        "main.tf",
        &format!(
            r#"
data "integraci_tenant" "by_slug" {{ slug = "{marker}-0" }}
data "integraci_tenant" "by_id" {{ id = "{id}" }}
data "integraci_tenants" "marked" {{ label = "marker={marker}" }}

output "by_slug" {{ value = data.integraci_tenant.by_slug.id }}
output "by_id" {{ value = data.integraci_tenant.by_id.slug }}
output "marked" {{ value = sort(data.integraci_tenants.marked.tenants[*].id) }}
"#,
            id = ids[1],
        ),
    )?;
    work.apply()?;
    let outputs = work.state()?["outputs"].clone();
    assert_eq!(outputs["by_slug"]["value"], ids[0].as_str());
    assert_eq!(outputs["by_id"]["value"], format!("{marker}-1"));
    ids.sort();
    assert_eq!(outputs["marked"]["value"], json!(ids));
    work.plan_is_empty()
}

fn one_that_is_not_there(cli: Cli) -> Result<()> {
    let (work, _) = begin(cli)?;
    let slug = new_slug("nobody");
    work.write("main.tf", &format!("data \"integraci_tenant\" \"nobody\" {{\n  slug = \"{slug}\"\n}}\n"))?;
    let error = work.try_plan()?.failed_once()?;
    assert!(error.line.starts_with("slug"), "{error:#?}");
    assert!(error.says(&slug), "{error:#?}");
    Ok(())
}
