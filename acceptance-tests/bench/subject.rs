//! The providers that are measured.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A provider, and how it is used.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    /// Its address, as a configuration names its source.
    pub(crate) source: &'static str,
    /// The resource that is planned.
    pub(crate) resource: &'static str,
    /// The provider's own configuration.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Logs are off on both sides: ours writes none unless asked, the other must be told.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

impl Subject {
    /// Ours.
    pub(crate) fn ours(root: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        run(build
            .args(["build", "--release", "--quiet", "-p", "terraform-provider-integraci"])
            .current_dir(root))?;
        let beside = std::env::current_exe().context("finding this program")?;
        Ok(Self {
            name: "integraci",
            binary: beside.with_file_name("terraform-provider-integraci"),
            source: "integraci/integraci",
            resource: "integraci_tenant",
            // Nothing listens there, and nothing needs to: new tenants are planned without a call.
            settings: &[("endpoint", "https://localhost:9"), ("token", "ici_benchmark")],
            environment: &[],
        })
    }

    /// The same in Go.
    pub(crate) fn baseline(root: &Path, scratch: &Path) -> Result<Self> {
        let binary = scratch.join("terraform-provider-baseline");
        let mut build = Command::new("go");
        build.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&binary).arg(".");
        run(build.current_dir(root.join("acceptance-tests/bench/go-provider")))?;
        Ok(Self {
            name: "baseline",
            binary,
            source: "integraci/baseline",
            resource: "baseline_tenant",
            settings: &[],
            environment: &[("TF_LOG_SDK", "OFF"), ("TF_LOG_PROVIDER", "OFF")],
        })
    }

    /// The same provider as its users run it: it writes its trace, and core throws it away.
    pub(crate) fn logging(&self) -> Self {
        Self { name: "baseline, logs as they are by default", environment: &[], ..self.clone() }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let program = Path::new(&program).file_name().unwrap_or(OsStr::new("a program")).display();
    let status =
        command.status().with_context(|| format!("starting {program}, which the benchmark needs"))?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(())
}
