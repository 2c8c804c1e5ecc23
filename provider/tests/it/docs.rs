//! The registry's pages are those of the schemas there are.

use std::path::Path;

use terraform_provider_integraci::docs;

#[test]
fn the_pages_are_those_of_the_schemas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for page in docs::pages(&root.join("examples")).unwrap() {
        let file = root.join("docs").join(&page.path);
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == page.text, "docs/{} is stale: run `make docs`", page.path.display());
    }
}

#[test]
fn the_schemas_are_ones_that_core_takes() {
    assert_eq!(terraform_provider_integraci::server().faults(), Vec::<String>::new());
}
