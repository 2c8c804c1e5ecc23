//! Writes the registry's pages below `docs/`. Run it from the root of the repository: `make docs`.

use std::path::Path;
use std::process::ExitCode;

use terraform_provider_integraci::docs;

fn main() -> std::io::Result<ExitCode> {
    for page in docs::pages(Path::new("examples"))? {
        let file = Path::new("docs").join(&page.path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, page.text)?;
    }
    Ok(ExitCode::SUCCESS)
}
