//! The registry's pages are those of the schemas there are.

use std::path::Path;

use integraci_api::catalogue::KINDS;
use terraform_provider_integraci::docs;

use crate::terraform::Terraform;

#[test]
fn the_pages_are_those_of_the_schemas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for page in docs::pages(&root.join("examples")).unwrap() {
        let file = root.join("docs").join(&page.path);
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == page.text, "docs/{} is stale: run `make docs`", page.path.display());
    }
}

#[tokio::test]
async fn the_examples_fit_together() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = [
        "resources/integraci_tenant/resource.tf",
        "resources/integraci_connector/resource.tf",
        "resources/integraci_quota/resource.tf",
        "data-sources/integraci_tenant/data-source.tf",
        "data-sources/integraci_tenants/data-source.tf",
        "data-sources/integraci_connector/data-source.tf",
        "data-sources/integraci_connectors/data-source.tf",
        "data-sources/integraci_connector_kinds/data-source.tf",
        "data-sources/integraci_oidc_trust/data-source.tf",
    ];
    let all = files.map(|file| std::fs::read_to_string(examples.join(file)).unwrap());
    Terraform::new("").configure(&all.concat()).run(&["validate"]).await.ok();
}

/// Those that need providers of others cannot be looked at without them.
#[tokio::test]
async fn the_connectors_examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/connectors");
    for kind in KINDS {
        let Ok(example) = std::fs::read_to_string(examples.join(kind.name).join("main.tf")) else {
            continue;
        };
        assert!(example.contains("resource \"integraci_connector\""), "{}", kind.name);
        if example.lines().filter(|line| line.trim().starts_with("source")).count() == 1 {
            Terraform::new("").configure_whole(&example).run(&["validate"]).await.ok();
        }
    }
}

#[test]
fn the_schemas_are_ones_that_core_takes() {
    assert_eq!(terraform_provider_integraci::server().faults(), Vec::<String>::new());
}
