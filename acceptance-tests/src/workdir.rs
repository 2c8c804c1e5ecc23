//! A user's directory: configuration, variables, state, and a CLI that runs in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cli::{Cli, Ran};
use crate::process::{self, guarded};
use crate::{binaries, scratch};

/// No run of these tests takes longer, on a machine that does other things as well.
const RUN_DEADLINE: Duration = Duration::from_secs(240);

/// What every configuration begins with. Endpoint and token come from the environment.
const PROVIDER: &str = r#"terraform {
  required_providers {
    integraci = { source = "integraci/integraci" }
  }
}

provider "integraci" {}
"#;

/// A directory with a configuration, for one CLI.
pub struct Workdir {
    cli: Cli,
    dir: PathBuf,
    env: BTreeMap<String, String>,
}

impl Workdir {
    /// An empty one, whose provider talks to an endpoint. It needs no `init`: the provider is an override.
    ///
    /// # Errors
    /// When the provider is not built.
    pub fn new(cli: Cli, endpoint: &str, token: &str) -> Result<Self> {
        let dir = scratch::dir(cli.name())?;
        let config = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"integraci/integraci\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            parent(&binaries::provider()?).display()
        );
        let workdir = Self::with_cli_config(cli, &dir, &config)?.env("INTEGRACI_ENDPOINT", endpoint);
        let workdir = workdir.env("INTEGRACI_TOKEN", token);
        workdir.write("provider.tf", PROVIDER)?;
        Ok(workdir)
    }

    /// An empty one that finds its provider in a mirror, the way a user without a registry does: for
    /// configurations that bring their own `required_providers` and are begun with `init`.
    ///
    /// # Errors
    /// When the provider is not built.
    pub fn mirrored(cli: Cli, endpoint: &str, token: &str) -> Result<Self> {
        let dir = scratch::dir(cli.name())?;
        let mirror = dir.join("mirror");
        let platform = format!("{}_{}", std::env::consts::OS, go_arch());
        let place = mirror
            .join(cli.registry())
            .join("integraci/integraci")
            .join(env!("CARGO_PKG_VERSION"))
            .join(platform);
        fs::create_dir_all(&place)?;
        let provider = binaries::provider()?;
        // A hard link, because the CLI refuses symbolic links in a mirror and the binary is large.
        fs::hard_link(&provider, place.join("terraform-provider-integraci"))
            .context("linking the provider into the mirror")?;
        let config = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        );
        let workdir = Self::with_cli_config(cli, &dir, &config)?.env("INTEGRACI_ENDPOINT", endpoint);
        Ok(workdir.env("INTEGRACI_TOKEN", token))
    }

    fn with_cli_config(cli: Cli, dir: &Path, config: &str) -> Result<Self> {
        let cli_config = dir.join("cli.tfrc");
        fs::write(&cli_config, config)?;
        let work = dir.join("work");
        fs::create_dir(&work)?;
        let env = [
            ("TF_CLI_CONFIG_FILE", cli_config.display().to_string()),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("TF_INPUT", "0".to_owned()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
        ];
        Ok(Self { cli, dir: work, env: env.map(|(name, value)| (name.to_owned(), value)).into() })
    }

    /// The same with a variable in the environment of every run.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set_env(name, value);
        self
    }

    /// Sets a variable in the environment of every run from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Sets an input variable of the configuration.
    pub fn set_var(&mut self, name: &str, value: &str) {
        self.set_env(&format!("TF_VAR_{name}"), value);
    }

    /// Which CLI runs here.
    #[must_use]
    pub const fn cli(&self) -> Cli {
        self.cli
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file of the configuration, in the place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.dir.join(file), text).with_context(|| format!("writing {file}"))
    }

    /// Runs the CLI, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be run, or hangs.
    pub fn run(&self, args: &[&str]) -> Result<Ran> {
        let mut command = guarded(&self.cli.program()?);
        let kept = ["PATH", "HOME", "TMPDIR"];
        command
            .args(args)
            .current_dir(&self.dir)
            .env_clear() // a TF_VAR_ or a plug-in cache of the user's is none of our business
            .envs(kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(&self.env);
        let what = format!("{} {}", self.cli.name(), args.join(" "));
        let finished = process::run(command, &what, RUN_DEADLINE)?;
        ensure!(
            !finished.stderr.contains("panicked at") && !finished.stdout.contains("panicked at"),
            "{what}: something panicked:\n{}\n{}",
            finished.stdout,
            finished.stderr
        );
        Ok(Ran::new(finished, what))
    }

    /// `init`, for a mirrored one.
    ///
    /// # Errors
    /// When it fails.
    pub fn init(&self) -> Result<Ran> {
        self.run(&["init", "-no-color"])?.succeeded()
    }

    /// `plan`, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn try_plan(&self) -> Result<Ran> {
        self.run(&["plan", "-json", "-detailed-exitcode"])
    }

    /// `plan`, which must succeed.
    ///
    /// # Errors
    /// When it fails.
    pub fn plan(&self) -> Result<Ran> {
        self.try_plan()?.succeeded()
    }

    /// `plan`, which must find nothing to do and nothing drifted.
    ///
    /// # Errors
    /// When it has anything to do.
    pub fn plan_is_empty(&self) -> Result<()> {
        let ran = self.plan()?;
        let code = ran.finished.status.code();
        ensure!(
            code == Some(0) && ran.planned().is_empty(),
            "the plan is not empty: {:?}, drifted {:?}\n{}",
            ran.planned(),
            ran.drifted(),
            ran.finished.stdout
        );
        Ok(())
    }

    /// `apply`, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn try_apply(&self) -> Result<Ran> {
        self.run(&["apply", "-json", "-auto-approve"])
    }

    /// `apply`, which must succeed.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self) -> Result<Ran> {
        self.try_apply()?.succeeded()
    }

    /// `destroy`, which must succeed and leave no resource in state.
    ///
    /// # Errors
    /// When it fails.
    pub fn destroy(&self) -> Result<Ran> {
        let ran = self.run(&["destroy", "-json", "-auto-approve"])?.succeeded()?;
        ensure!(self.state()?["resources"] == serde_json::json!([]), "destroy left something in state");
        Ok(ran)
    }

    /// The state file.
    ///
    /// # Errors
    /// When there is none.
    pub fn state(&self) -> Result<Value> {
        let text = fs::read(self.dir.join("terraform.tfstate")).context("reading the state")?;
        serde_json::from_slice(&text).context("the state is no JSON")
    }

    /// The attributes in state of a resource, by an address such as `integraci_tenant.acme`.
    ///
    /// # Errors
    /// When it is not in state.
    pub fn attributes(&self, address: &str) -> Result<Value> {
        let state = self.state()?;
        let resources = state["resources"].as_array().context("a state has resources")?;
        let found = resources.iter().find(|it| {
            let mode = if it["mode"] == "data" { "data." } else { "" };
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            format!("{mode}{}.{}", text("type"), text("name")) == address
        });
        let found = found.with_context(|| format!("{address} is not in state"))?;
        Ok(found["instances"][0]["attributes"].clone())
    }

    /// The id in state of a resource.
    ///
    /// # Errors
    /// When it is not in state.
    pub fn id(&self, address: &str) -> Result<String> {
        let attributes = self.attributes(address)?;
        Ok(attributes["id"].as_str().with_context(|| format!("{address} has no id"))?.to_owned())
    }

    /// Changes the state file by hand, as an older version of the provider would have written it.
    ///
    /// # Errors
    /// When there is none.
    pub fn state_edit(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut state = self.state()?;
        edit(&mut state);
        fs::write(self.dir.join("terraform.tfstate"), serde_json::to_vec_pretty(&state)?)?;
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// The machine's architecture in Go's words, which mirrors are laid out by.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
