//! The registry's pages, written from the schemas and from `examples/`.
//!
//! The form is the one that the registries of Terraform and OpenTofu read: front matter, an example,
//! the attributes by how they are set, and how to import. Beside them stands what the catalogue of
//! connectors has, which no registry shows. `make docs` writes them; a test fails where they are stale.

mod attributes;
mod connectors;
mod dimensions;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use tfplugin::schema::ObjectSchema;
use tfplugin::{AttributeSet, DataSource, EphemeralResource, Provider, Resource};

use crate::{IntegraCi, data_sources, ephemeral, resources};

/// A page, and where it is below `docs/`.
pub struct Page {
    /// The path below `docs/`.
    pub path: PathBuf,
    /// Markdown.
    pub text: String,
}

/// Every page, with the examples that lie below `examples`.
///
/// # Errors
/// When an example cannot be read.
pub fn pages(examples: &Path) -> io::Result<Vec<Page>> {
    Ok(vec![
        provider(examples)?,
        resource::<resources::Tenant>(examples)?,
        resource::<resources::Connector>(examples)?,
        quota(examples)?,
        data_source::<data_sources::Tenant>(examples)?,
        data_source::<data_sources::Tenants>(examples)?,
        data_source::<data_sources::Attestation>(examples)?,
        data_source::<data_sources::Connector>(examples)?,
        data_source::<data_sources::Connectors>(examples)?,
        data_source::<data_sources::ConnectorKinds>(examples)?,
        data_source::<data_sources::OidcTrust>(examples)?,
        data_source::<data_sources::Plans>(examples)?,
        data_source::<data_sources::QuotaUsage>(examples)?,
        ephemeral_resource::<ephemeral::KubernetesCredentials>(examples)?,
        ephemeral_resource::<ephemeral::NatsCredentials>(examples)?,
        ephemeral_resource::<ephemeral::OpenBaoCredentials>(examples)?,
        ephemeral_resource::<ephemeral::OidcClientCredentials>(examples)?,
        Page { path: "connectors.md".into(), text: connectors::page() },
    ])
}

fn provider(examples: &Path) -> io::Result<Page> {
    let name = IntegraCi::NAME;
    let schema = IntegraCi::schema();
    let mut text = front(&format!("{name} Provider"), &schema);
    _ = writeln!(text, "# {name} Provider\n\n{}\n", schema.description());
    section(&mut text, "Example Usage", &[("terraform", &examples.join("provider/provider.tf"))])?;
    attributes::write(&mut text, &schema);
    Ok(Page { path: "index.md".into(), text })
}

fn resource<R: Resource>(examples: &Path) -> io::Result<Page> {
    let schema = R::schema();
    let folder = examples.join("resources").join(R::NAME);
    let mut text = head(R::NAME, "Resource", &schema);
    section(&mut text, "Example Usage", &[("terraform", &folder.join("resource.tf"))])?;
    attributes::write(&mut text, &schema);
    import(&mut text, &folder)?;
    Ok(Page { path: page("resources", R::NAME), text })
}

fn quota(examples: &Path) -> io::Result<Page> {
    let Page { path, mut text } = resource::<resources::Quota>(examples)?;
    dimensions::write(&mut text);
    Ok(Page { path, text })
}

fn data_source<D: DataSource>(examples: &Path) -> io::Result<Page> {
    let schema = D::schema();
    let mut text = head(D::NAME, "Data Source", &schema);
    let example = examples.join("data-sources").join(D::NAME).join("data-source.tf");
    section(&mut text, "Example Usage", &[("terraform", &example)])?;
    attributes::write(&mut text, &schema);
    Ok(Page { path: page("data-sources", D::NAME), text })
}

fn ephemeral_resource<E: EphemeralResource>(examples: &Path) -> io::Result<Page> {
    let schema = E::schema();
    let mut text = head(E::NAME, "Ephemeral Resource", &schema);
    let example = examples.join("ephemeral-resources").join(E::NAME).join("ephemeral-resource.tf");
    section(&mut text, "Example Usage", &[("terraform", &example)])?;
    attributes::write(&mut text, &schema);
    Ok(Page { path: page("ephemeral-resources", E::NAME), text })
}

fn import(text: &mut String, folder: &Path) -> io::Result<()> {
    text.push_str("\n## Import\n\nBy an `import` block with an `id`:\n\n");
    code(text, "terraform", &folder.join("import-by-string-id.tf"))?;
    text.push_str("\nWith Terraform or OpenTofu 1.12 or newer, by an `import` block with an `identity`:\n\n");
    code(text, "terraform", &folder.join("import-by-identity.tf"))?;
    text.push_str("\nOn the command line:\n\n");
    code(text, "shell", &folder.join("import.sh"))
}

/// `docs/resources/tenant.md`: the registry leaves the provider's name out.
fn page(folder: &str, name: &str) -> PathBuf {
    let short = name.strip_prefix(IntegraCi::NAME).unwrap_or(name).trim_start_matches('_');
    Path::new(folder).join(format!("{short}.md"))
}

fn head(name: &str, kind: &str, schema: &ObjectSchema) -> String {
    let mut text = front(&format!("{name} {kind} - {}", IntegraCi::NAME), schema);
    _ = writeln!(text, "# {name} ({kind})\n\n{}\n", schema.description());
    text
}

fn front(title: &str, schema: &ObjectSchema) -> String {
    let first = schema.description().split("\n\n").next().unwrap_or_default();
    let indented = first.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    format!("---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n{indented}\n---\n\n")
}

fn section(text: &mut String, title: &str, examples: &[(&str, &Path)]) -> io::Result<()> {
    _ = writeln!(text, "## {title}\n");
    for (language, example) in examples {
        code(text, language, example)?;
    }
    text.push('\n');
    Ok(())
}

fn table(text: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    _ = writeln!(text, "\n| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

fn code(text: &mut String, language: &str, file: &Path) -> io::Result<()> {
    let example = std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    _ = writeln!(text, "```{language}\n{}\n```", example.trim_end());
    Ok(())
}
