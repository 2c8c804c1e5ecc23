//! `integraci-verify`: checks, offline, what the platform signed.
//!
//! Exit codes: 0 it is signed and shows what it says; 1 it is signed, and what it says is not good; 2
//! it is not to be trusted, or could not be read.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use integraci_verify::keys::Keys;
use integraci_verify::{attestation, report};

/// The largest file that is read: hundreds of times an honest attestation.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

const FAILED: u8 = 1;
const DISTRUSTED: u8 = 2;

/// Checks what an IntegraCI platform signed, offline, with its public keys alone.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    document: Document,
}

#[derive(Debug, Subcommand)]
enum Document {
    /// Checks an attestation: that the platform signed it, and that it shows the tenant to be isolated.
    ///
    /// Exits with 0 when both hold, 1 when it is signed but a check did not pass, and 2 when it is not
    /// to be trusted or cannot be read.
    Attestation {
        /// The attestation as the API gives it, or its envelope alone.
        file: PathBuf,
        /// The platform's public keys, from `/.well-known/integraci-keys.json`.
        #[arg(long)]
        keys: PathBuf,
    },
}

fn main() -> ExitCode {
    let Document::Attestation { file, keys } = Cli::parse().document;
    match attestation(&file, &keys) {
        Ok((text, true)) => ending(&text, ExitCode::SUCCESS),
        Ok((text, false)) => ending(&text, ExitCode::from(FAILED)),
        Err(text) => {
            // Nobody may be listening; the exit code says it all.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(DISTRUSTED)
        }
    }
}

/// The report, and whether the tenant is shown to be isolated.
fn attestation(file: &Path, keys: &Path) -> Result<(String, bool), String> {
    let keys = Keys::parse(&read(keys)?).map_err(|why| format!("The keys cannot be used: {why}."))?;
    let attested = attestation::verify(&read(file)?, &keys)
        .map_err(|why| format!("The attestation is not to be trusted: {why}."))?;
    let doubts = attestation::doubts(&attested.statement);
    Ok((report::attestation(&attested, &doubts), doubts.is_empty()))
}

fn ending(text: &str, code: ExitCode) -> ExitCode {
    // A verdict that could not be told was not given.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::from(DISTRUSTED),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}.", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("{} is larger than anything that the platform signs.", path.display()));
    }
    Ok(bytes)
}
