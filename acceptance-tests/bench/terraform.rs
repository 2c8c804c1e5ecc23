//! `terraform plan` itself, of so many new resources.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::median;
use crate::subject::Subject;

/// How long a plan took, medians, and by which Terraform.
pub(crate) struct Walls {
    pub(crate) version: String,
    /// The resource that core has built in: core's own share of any plan.
    pub(crate) built_in: Duration,
    /// In the order of the subjects.
    pub(crate) providers: Vec<Duration>,
}

/// The values of one resource; `workload.rs` plans the same.
const ATTRIBUTES: &str = r#"
    slug        = "tenant-${count.index}"
    name        = "Tenant ${count.index}"
    plan        = "team"
    owner_email = "owner-${count.index}@example.test"
    labels      = { cost_centre = "42", region = "north" }
"#;

/// Plans turn by turn, so that a busy moment of the machine falls on all alike.
pub(crate) fn walls(subjects: &[&Subject], resources: u32, runs: u32, scratch: &Path) -> Result<Walls> {
    let settings = cli_settings(subjects, scratch)?;
    let built_in = scratch.join("terraform_data");
    let config = format!(
        "resource \"terraform_data\" \"each\" {{\n  count = {resources}\n  input = {{{ATTRIBUTES}  }}\n}}\n"
    );
    write_config(&built_in, &config)?;
    let mut walls = vec![(built_in, Vec::new())];
    for subject in subjects {
        let directory = scratch.join(subject.resource);
        write_config(&directory, &config_of(subject, resources)?)?;
        walls.push((directory, Vec::new()));
    }
    for _ in 0..runs {
        for (at, (directory, walls)) in walls.iter_mut().enumerate() {
            let environment = at.checked_sub(1).map_or(&[][..], |at| subjects[at].environment);
            walls.push(plan(directory, &settings, environment)?);
        }
    }
    let mut medians = walls.into_iter().map(|(_, walls)| median(walls));
    let built_in = medians.next().context("the built-in comes first")?;
    Ok(Walls { version: version()?, built_in, providers: medians.collect() })
}

/// Where Terraform finds the providers, without an installation.
fn cli_settings(subjects: &[&Subject], scratch: &Path) -> Result<std::path::PathBuf> {
    let mut text = String::from("disable_checkpoint = true\nprovider_installation {\n  dev_overrides {\n");
    for subject in subjects {
        let directory = subject.binary.parent().context("a binary lies in a directory")?;
        writeln!(text, "    {:?} = {:?}", subject.source, directory)?;
    }
    text.push_str("  }\n  direct {}\n}\n");
    let path = scratch.join("terraformrc");
    fs::write(&path, text).context("writing Terraform's settings")?;
    Ok(path)
}

fn config_of(subject: &Subject, resources: u32) -> Result<String> {
    let provider = subject.resource.split('_').next().unwrap_or_default();
    let mut text = format!(
        "terraform {{\n  required_providers {{\n    {provider} = {{ source = {:?} }}\n  }}\n}}\n\nprovider {provider:?} {{\n",
        subject.source,
    );
    for (name, value) in subject.settings {
        writeln!(text, "  {name} = {value:?}")?;
    }
    write!(
        text,
        "}}\n\nresource {:?} \"each\" {{\n  count = {resources}\n{ATTRIBUTES}}}\n",
        subject.resource
    )?;
    Ok(text)
}

fn write_config(directory: &Path, text: &str) -> Result<()> {
    fs::create_dir(directory).context("making a configuration's directory")?;
    fs::write(directory.join("main.tf"), text).context("writing a configuration")
}

fn plan(directory: &Path, settings: &Path, environment: &[(&str, &str)]) -> Result<Duration> {
    let mut command = Command::new("terraform");
    command
        .args(["plan", "-input=false", "-no-color"])
        .current_dir(directory)
        .env("TF_CLI_CONFIG_FILE", settings)
        .env_remove("TF_LOG")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let started = Instant::now();
    let output = command.output().context("starting terraform, which the benchmark needs")?;
    let took = started.elapsed();
    ensure!(output.status.success(), "terraform plan failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

fn version() -> Result<String> {
    let output = Command::new("terraform").arg("version").output().context("starting terraform")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
